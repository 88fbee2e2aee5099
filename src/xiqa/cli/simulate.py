"""`xiqa simulate`: folders of simulated images with their truth, laid out as data sets of real ones are."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.types import Annotation, Image, Split

app = typer.Typer(no_args_is_help=True, help="Simulate images whose truth is known exactly.")

SHEET_IMAGES = 24


class Count(StrEnum):
    """How many objects lie on an image."""

    random = "random"
    none = "none"
    one = "one"
    same = "same"
    different = "different"


class ObjectSize(StrEnum):
    """How large the objects are for their kind."""

    any = "any"
    small = "small"
    large = "large"


class Base(StrEnum):
    """What global problems are put into."""

    chest = "chest"
    cardiac = "cardiac"


class Place(StrEnum):
    """Where the objects lie."""

    any = "any"
    lung = "lung"
    heart = "heart"
    edge = "edge"
    marker = "marker"
    outside = "outside"


@app.callback()
def simulate() -> None:
    """Simulate images whose truth is known exactly."""


@app.command()
def chest(
    out: Path = typer.Option(..., help="Folder to write to; it must be empty or absent, unless --force."),
    count: int = typer.Option(16, min=1, help="How many images."),
    seed: int = typer.Option(0, min=0, help="Seed of the first image; the next ones count up."),
    size: int = typer.Option(600, min=48, max=4096, help="Rows and columns of an image, pixels."),
    dicom: bool = typer.Option(False, "--dicom", help="DICOM DX files (12 bits) instead of 8-bit PNG."),
    masks: bool = typer.Option(
        False, "--masks", help="Also write the lungs' and every object's mask as PNG."
    ),
    objects: Count = typer.Option(
        Count.random,
        help="Objects an image: as on a ward, none, one, several of the same or different kinds.",
    ),
    object_size: ObjectSize = typer.Option(ObjectSize.any, help="Small or large ones of their kind."),
    place: Place = typer.Option(Place.any, help="Where they lie."),
    kind: list[str] = typer.Option([], help="Only this kind of object (button, electrode, ...); repeatable."),
    implants: bool | None = typer.Option(
        None, "--implants/--no-implants", help="Implanted devices on every image, or on none; else by chance."
    ),
    force: bool = typer.Option(False, "--force", help="Replace what a folder holds."),
) -> None:
    """Simulate chest radiographs with and without foreign objects.

    Writes images/, images.csv (label, split by seed), objects.csv (every object's box, kind, zone),
    annotations.csv (Object-CXR's layout: removable objects over the chest) and contact_sheet.png. The same
    seed gives the same image, and with other objects the same patient.

    Example: xiqa simulate chest --count 8 --seed 1 --out radiographs
    """
    from rich.progress import track

    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.simulation.chest import Scenario, simulate_chest
    from xiqa.simulation.write import PhantomFolder

    scenario = Scenario(
        count=objects.value, size=object_size.value, place=place.value, kinds=tuple(kind), implant=implants
    )
    radiographs: list[Image] = []
    captions: list[str] = []
    boxes: list[tuple[Annotation, ...]] = []
    foreign = 0
    with PhantomFolder(out, dicom=dicom, masks=masks, force=force) as folder:
        for number in track(range(seed, seed + count), "Simulating", transient=True):
            phantom = simulate_chest(number, size=(size, size), objects=scenario)
            path = folder.add(phantom)
            foreign += phantom.label
            if len(radiographs) < SHEET_IMAGES:
                radiographs.append(phantom.image)
                captions.append(f"{path.stem} {'foreign' if phantom.label else 'clean'}")
                boxes.append(phantom.annotations)
    contact_sheet(radiographs, captions=captions, annotations=boxes).save(out / "contact_sheet.png")
    typer.echo(f"{count} images in {out / 'images'}: {foreign} with a removable object over the chest")


@app.command()
def scenarios(
    out: Path = typer.Option(..., help="Folder to write to; it must be empty or absent, unless --force."),
    count: int = typer.Option(2, min=1, help="How many patients; each is shown under all 34 scenarios."),
    seed: int = typer.Option(0, min=0, help="Seed of the first patient; the next ones count up."),
    size: int = typer.Option(600, min=48, max=4096, help="Rows and columns of an image, pixels."),
    dicom: bool = typer.Option(False, "--dicom", help="DICOM DX files (12 bits) instead of 8-bit PNG."),
    masks: bool = typer.Option(
        False, "--masks", help="Also write the lungs' and every object's mask as PNG."
    ),
    force: bool = typer.Option(False, "--force", help="Replace what a folder holds."),
) -> None:
    """Simulate the same patients under every scenario, to ask where a detector fails.

    One object, several of the same kind, several of different kinds; small or large; over a lung, over the
    heart, at the chest's edge, beside the burned-in marker; with an implanted device, which is no reason to
    repeat the image; and images with nothing removable over the chest. Only the scenario differs between the
    images of a patient, so results can be compared in pairs.

    Writes what `xiqa simulate chest` writes, and scenarios.csv: the scenario of every image. All images of a
    patient lie in one split.

    Example: xiqa simulate scenarios --out scenarios
    """
    from rich.progress import track

    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.simulation.chest import scenario_grid, simulate_chest
    from xiqa.simulation.write import PhantomFolder

    grid = scenario_grid()
    shown: list[tuple[Image, str, tuple[Annotation, ...]]] = []
    with PhantomFolder(out, dicom=dicom, masks=masks, scenarios=True, force=force) as folder:
        cases = [(number, scenario) for number in range(seed, seed + count) for scenario in grid]
        for number, scenario in track(cases, "Simulating", transient=True):
            phantom = simulate_chest(number, size=(size, size), objects=scenario)
            folder.add(phantom)
            if len(shown) < len(grid):
                shown.append((phantom.image, scenario.name, phantom.annotations))
    pictures, captions, boxes = zip(*shown, strict=True)
    sheet = contact_sheet(pictures, captions=captions, annotations=boxes, columns=6, cell=240)
    sheet.save(out / "contact_sheet.png")
    typer.echo(f"{len(cases)} images in {out / 'images'}: {count} patients under {len(grid)} scenarios")


@app.command()
def cardiac(
    out: Path = typer.Option(..., help="Folder to write to; it must be empty or absent, unless --force."),
    count: int = typer.Option(16, min=1, help="How many patients."),
    frames: int = typer.Option(6, min=1, max=99, help="Phases of the heart beat in each cine."),
    seed: int = typer.Option(0, min=0, help="Seed of the first patient; the next ones count up."),
    size: int = typer.Option(224, min=32, max=1024, help="Rows and columns of a slice, pixels."),
    dicom: bool = typer.Option(False, "--dicom", help="DICOM MR files (12 bits) instead of PNG."),
    nifti: bool = typer.Option(
        False, "--nifti", help="NIfTI volumes (columns, rows, 1, frames) instead of PNG."
    ),
    force: bool = typer.Option(False, "--force", help="Replace what a folder holds."),
) -> None:
    """Simulate 4-chamber cardiac MR with and without the left ventricular outflow tract (LVOT).

    Every patient has two cines of the same beating heart: one in the 4-chamber plane, one tilted into the
    five-chamber view, on which the outflow tract shows and for which the slice is acquired again. Coil
    shading, noise (Rician), place and size vary from patient to patient and not between the two.

    Writes the layout that the LVOT reader expects: images/PATIENT/, masks/PATIENT/ under the same names,
    labels.csv (image, label, tilt of the plane, phase of the beat), and contact_sheet.png.

    Example: xiqa simulate cardiac --count 20 --out hearts
    """
    from rich.progress import track

    from xiqa.errors import ConfigError
    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.simulation.write_cardiac import CineFolder, simulate_cines

    if dicom and nifti:
        raise ConfigError("two formats at once", expected="--dicom or --nifti", got="both")
    shown: list[tuple[Image, str, tuple[Annotation, ...]]] = []
    visible = 0
    with CineFolder(out, format="dicom" if dicom else "nifti" if nifti else "png", force=force) as folder:
        for number in track(range(seed, seed + count), "Simulating", transient=True):
            cines = simulate_cines(number, frames, (size, size))
            visible += folder.add(cines)
            for phantoms in cines:
                chosen = phantoms[number % frames]
                if len(shown) < SHEET_IMAGES:
                    line = f"sim{number:06d} phase {chosen.parameters['phase']:.2f}"
                    line += " outflow tract" if chosen.label else ""
                    shown.append((chosen.image, line, chosen.annotations))
    pictures, captions, boxes = zip(*shown, strict=True)
    sheet = contact_sheet(pictures, captions=captions, annotations=boxes, cell=max(192, min(size, 320)))
    sheet.save(out / "contact_sheet.png")
    typer.echo(
        f"{2 * count * frames} slices of {count} patients in {out / 'images'}: "
        f"{visible} show the outflow tract"
    )


@app.command("corrupt")
def corrupt_(
    out: Path = typer.Option(..., help="Folder to write to; it must be empty or absent, unless --force."),
    count: int = typer.Option(16, min=1, help="How many images (with --images: at most)."),
    seed: int = typer.Option(0, min=0, help="Seed of the first image; the next ones count up."),
    size: int = typer.Option(448, min=48, max=4096, help="Rows and columns of a simulated image, pixels."),
    base: Base = typer.Option(Base.chest, help="What to simulate and to put the problems into."),
    images: Path | None = typer.Option(
        None, help="Put them into the images of this data set instead, which are taken to be good."
    ),
    problem: list[str] = typer.Option([], help="Only this problem (motion_blur, noise, ...); repeatable."),
    least: float = typer.Option(0.1, help="Smallest degree of a problem, above 0 and below 1."),
    force: bool = typer.Option(False, "--force", help="Replace what a folder holds."),
) -> None:
    """Make images with a global quality problem of a known degree, and good ones.

    motion_blur, underexposure, overexposure, noise, rotation, clipped_anatomy (collimation cuts one side off)
    and low_contrast, each from just visible to useless; one image in eight stays good.

    Writes images/ and images.csv: image, label (the problem, or good), patient, split, degree (0 to 1), grade
    (none, slight, marked, severe), and contact_sheet.png. A classifier may learn the problem, an ordered
    head the grade, a regression the degree.

    Example: xiqa simulate corrupt --count 20 --out problems
    """
    from rich.progress import track

    from xiqa.errors import ConfigError
    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.simulation.write_corrupt import CorruptFolder, draw_problem

    bases = _good_images(base, images, count, seed, size)
    shown: list[tuple[Image, str]] = []
    with CorruptFolder(out, force=force) as folder:
        for number, (make, patient, split) in track(bases.items(), "Simulating", transient=True):
            name, degree = draw_problem(number, least=least, problems=tuple(problem))
            try:
                made = folder.add(make(), name, degree, seed=number, patient=patient, split=split)
            except ConfigError as error:
                raise ConfigError(f"image {patient or number}: {error}") from error
            if len(shown) < SHEET_IMAGES:
                shown.append((made, f"{name} {degree:.2f}"))
    pictures, captions = zip(*shown, strict=True)
    sheet = contact_sheet(pictures, captions=captions, cell=max(192, min(size, 320)))
    sheet.save(out / "contact_sheet.png")
    typer.echo(f"{len(bases)} images in {out / 'images'}; what is wrong with them tells {out / 'images.csv'}")


def _good_images(
    base: Base, images: Path | None, count: int, seed: int, size: int
) -> dict[int, tuple[Callable[[], Image], str, Split | None]]:
    """For each seed a way to a good image, its patient and its split (empty where the seed decides)."""
    from functools import partial

    from xiqa.datasets.detect import read_dataset
    from xiqa.simulation.cardiac import simulate_cardiac
    from xiqa.simulation.chest import Scenario, simulate_chest

    if images is not None:
        samples = read_dataset(images).samples[:count]
        return {seed + k: (s.read, s.patient or s.key, s.split) for k, s in enumerate(samples)}

    def simulated(number: int) -> Image:
        if base is Base.cardiac:
            return simulate_cardiac(number, outflow=False, size=(size, size)).image
        return simulate_chest(number, size=(size, size), objects=Scenario(count="none")).image

    return {number: (partial(simulated, number), "", None) for number in range(seed, seed + count)}


@app.command()
def department(
    config: Path = typer.Option(..., "--config", "-c", help="A node's TOML file; with an empty database."),
    days: int = typer.Option(365, min=1, max=3650, help="How many days, up to today."),
    images: int = typer.Option(60, min=1, max=5000, help="Images on a usual day."),
    seed: int = typer.Option(0, min=0, help="Of the random numbers."),
) -> None:
    """Simulate a department's images, verdicts and decisions, to try the reject analysis on.

    Example: xiqa simulate department --config node.toml
    """
    from datetime import UTC, datetime

    from xiqa.service.node import open_store
    from xiqa.service.records.department import Department, add_department
    from xiqa.service.settings import read_settings

    store = open_store(read_settings(config))
    wanted = Department(datetime.now(UTC).date(), days, images, seed)
    typer.echo(f"{add_department(store, wanted)} images of {days} days")
