"""`xiqa lungs train` and `xiqa lungs mask`: a small network that finds the lungs of a radiograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.training.lungs import MaskedImage

app = typer.Typer(
    no_args_is_help=True, help="Find the lungs of frontal chest radiographs, so that a model sees no more."
)

SHEET_IMAGES = 24
TEST_IMAGES = 40
DOUBTS = 20


@app.command()
def train(
    out: Path = typer.Option(..., help="File to write (.safetensors)."),
    images: int = typer.Option(480, min=0, help="How many simulated images to learn from."),
    data: list[Path] = typer.Option(
        [],
        help="Data set whose images have masks, learned from as well (its training split): the COVID-19 "
        "Radiography Database, a folder of `xiqa simulate chest --masks`; repeatable.",
    ),
    epochs: int = typer.Option(10, min=1, help="How often every image is seen, each time changed at random."),
    seed: int = typer.Option(0, min=0, help="Of weights, order and changes."),
    force: bool = typer.Option(False, "--force", help="Overwrite the file."),
) -> None:
    """Train a lung network on simulated images and, where you have them, on real masks.

    A few minutes on one core. Prints the overlap (Dice) with the true lungs of unseen simulated images, and
    of the test images of each --data. A recipe uses the network by:

    [preprocessing.region] name = "lungs", how = "crop" (or "multiply"), model = "FILE"

    Example: xiqa lungs train --data our-masks --out lungs.safetensors
    """
    from rich.progress import Progress

    from xiqa.datasets.detect import read_dataset
    from xiqa.datasets.sample import by_split
    from xiqa.errors import ConfigError, OutputError
    from xiqa.models.regions.lungs import LungMask
    from xiqa.simulation.seeds import LUNGS_TEST, TRAINING
    from xiqa.training.lungs import (
        BATCH,
        masked_images,
        score_lungs,
        score_masks,
        simulated_masks,
        train_lungs,
    )

    if out.suffix != ".safetensors":
        raise ConfigError("wrong name for the lung network", expected="NAME.safetensors", got=out.name)
    if out.exists() and not force:
        raise OutputError(f"{out} exists", todo="choose another name or add --force")
    if not images and not data:
        raise ConfigError("nothing to learn from", expected="--images above 0, or --data")
    sets = [read_dataset(path).samples for path in data]
    with Progress() as progress:

        def bar(text: str, total: int) -> Callable[..., object]:
            task = progress.add_task(text, total=total)
            return lambda *_: progress.advance(task)

        known: list[MaskedImage] = simulated_masks(TRAINING.take(images), bar("Simulating", images))
        for path, samples in zip(data, sets, strict=True):
            part = by_split(samples, "train")
            known += masked_images(part, bar(f"Reading {path.name}", len(part)))
        steps = epochs * -(-len(known) // BATCH)
        network = train_lungs(known, epochs=epochs, seed=seed, tick=bar("Training", steps))
        lungs = LungMask(network)
        scores = score_lungs(lungs, LUNGS_TEST.take(TEST_IMAGES), bar("Testing", TEST_IMAGES))
        details = {"images": str(len(known)), "epochs": str(epochs), "seed": str(seed)}
        details["dice_simulated"] = f"{scores.mean():.4f}"
        lines = [
            f"Dice on {TEST_IMAGES} unseen simulated images: {scores.mean():.3f}, lowest {scores.min():.3f}"
        ]
        for path, samples in zip(data, sets, strict=True):
            test = [sample for sample in by_split(samples, "test") if sample.organ_mask is not None]
            if test:
                real = score_masks(lungs, test, bar(f"Testing {path.name}", len(test)))
                lines.append(
                    f"Dice on {len(test)} test images of {path}: {real.mean():.3f}, lowest {real.min():.3f}"
                )
        LungMask(network, details).save(out)
    for line in lines:
        typer.echo(line)
    typer.echo(f"The lung network is in {out}")


@app.command()
def mask(
    images: list[str] = typer.Argument(help="Frontal chest radiographs: files, folders or patterns."),
    out: Path = typer.Option(..., help="Folder for the masks (NAME_lungs.png) and contact_sheet.png."),
    model: str = typer.Option("lungs-1", help="The shipped network, or a file of `xiqa lungs train`."),
) -> None:
    """Write the lungs of images as masks, and a sheet to look at: lungs bright, the box that is cropped to.

    Images whose masks can hardly be two lungs (one piece, very unequal ones, a ragged outline, ...) are
    counted and named with the reason: look at these. An image on which no lungs are found gets an empty
    mask; exit status 1.

    Example: xiqa lungs mask radiographs/ --out masks
    """
    from dataclasses import replace

    from rich.progress import track

    from xiqa.imaging import image_files, read_image
    from xiqa.imaging.masks import write_mask
    from xiqa.imaging.values import to_grey
    from xiqa.models.regions.lungs import LungMask, doubt
    from xiqa.models.regions.region import box_around
    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.types import Annotation, Image

    lungs = LungMask.load(model)
    out.mkdir(parents=True, exist_ok=True)
    shown: list[tuple[Image, str, tuple[Annotation, ...]]] = []
    doubts: dict[str, str] = {}
    files = image_files(images)
    for file in track(files, "Finding lungs", transient=True):
        image = read_image(file)
        mask = lungs(image)
        write_mask(mask, out / f"{file.stem}_lungs.png")
        if why := doubt(mask):
            doubts[file.name] = why
        if len(shown) < SHEET_IMAGES:
            grey = to_grey(image.pixels)
            box = (Annotation(box_around(mask)),) if mask.any() else ()
            shown.append((replace(image, pixels=grey * (0.45 + 0.55 * mask)), file.stem, box))
    pictures, captions, boxes = zip(*shown, strict=True)
    contact_sheet(pictures, captions=captions, annotations=boxes).save(out / "contact_sheet.png")
    typer.echo(f"Masks in {out}")
    typer.echo(f"{len(files) - len(doubts)} of {len(files)} masks are plausible")
    for name, why in list(doubts.items())[:DOUBTS]:
        typer.echo(f"  {name}: {why}")
    if "no lungs" in doubts.values():
        raise typer.Exit(1)
