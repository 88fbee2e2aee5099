"""`xiqa simulate chest`: a folder of simulated radiographs with their truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xiqa.types import Annotation, Image

app = typer.Typer(no_args_is_help=True, help="Simulate images whose truth is known exactly.")

SHEET_FILMS = 24


class Count(StrEnum):
    """How many objects lie on a film."""

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
    count: int = typer.Option(16, min=1, help="How many films."),
    seed: int = typer.Option(0, min=0, help="Seed of the first film; the next ones count up."),
    size: int = typer.Option(600, min=48, max=4096, help="Rows and columns of a film, pixels."),
    dicom: bool = typer.Option(False, "--dicom", help="DICOM DX files (12 bits) instead of 8-bit PNG."),
    masks: bool = typer.Option(
        False, "--masks", help="Also write the lungs' and every object's mask as PNG."
    ),
    objects: Count = typer.Option(
        Count.random, help="Objects a film: as on a ward, none, one, several of the same or different kinds."
    ),
    object_size: ObjectSize = typer.Option(ObjectSize.any, help="Small or large ones of their kind."),
    place: Place = typer.Option(Place.any, help="Where they lie."),
    kind: list[str] = typer.Option([], help="Only this kind of object (button, electrode, ...); repeatable."),
    implants: bool | None = typer.Option(
        None, "--implants/--no-implants", help="Implanted devices on every film, or on none; else by chance."
    ),
    force: bool = typer.Option(False, "--force", help="Replace what a folder holds."),
) -> None:
    """Simulate chest radiographs with and without foreign objects.

    Writes images/, images.csv (label, split by seed), objects.csv (every object's box, kind, zone),
    annotations.csv (Object-CXR's layout: removable objects over the chest) and contact_sheet.png. The same
    seed gives the same film, and with other objects the same patient.
    """
    from rich.progress import track

    from xiqa.datasets.phantoms.chest import Scenario, simulate_chest
    from xiqa.datasets.phantoms.write import PhantomFolder
    from xiqa.report.contact_sheet import contact_sheet

    scenario = Scenario(
        count=objects.value, size=object_size.value, place=place.value, kinds=tuple(kind), implant=implants
    )
    films: list[Image] = []
    captions: list[str] = []
    boxes: list[tuple[Annotation, ...]] = []
    foreign = 0
    with PhantomFolder(out, dicom=dicom, masks=masks, force=force) as folder:
        for number in track(range(seed, seed + count), "Simulating", transient=True):
            phantom = simulate_chest(number, size=(size, size), objects=scenario)
            path = folder.add(phantom)
            foreign += phantom.label
            if len(films) < SHEET_FILMS:
                films.append(phantom.image)
                captions.append(f"{path.stem} {'foreign' if phantom.label else 'clean'}")
                boxes.append(phantom.annotations)
    contact_sheet(films, captions=captions, annotations=boxes).save(out / "contact_sheet.png")
    typer.echo(f"{count} films in {out / 'images'}: {foreign} with a removable object over the chest")
