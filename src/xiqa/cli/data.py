"""`xiqa data check` and `xiqa data convert`: look at a data set, bring it into another layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xiqa.datasets.check import DatasetReport
    from xiqa.datasets.sample import Sample
    from xiqa.types import Image

app = typer.Typer(no_args_is_help=True, help="Check a data set, or bring it into another layout.")

SHEET_IMAGES = 24
LAYOUT = typer.Option("auto", help="Its layout (`xiqa data layouts`); auto: recognised by its files.")


@app.command()
def layouts() -> None:
    """List the layouts of data sets that can be read, in the order in which they are tried.

    Example: xiqa data layouts
    """
    from xiqa.cli._parts.listing import print_listing
    from xiqa.datasets.layout import layouts as known_layouts

    print_listing(("layout", "what it is"), [(known.name, known.summary) for known in known_layouts()])


@app.command()
def check(
    path: Path = typer.Argument(help="Folder, CSV or COCO file of the data set."),
    layout: str = LAYOUT,
    sheet: Path | None = typer.Option(None, help="Write a contact sheet of annotated images to this PNG."),
) -> None:
    """Look at a data set before training on it: every image is opened once.

    Tells images by class and split, their sizes, annotated objects by kind, missing and broken files,
    annotations that lie outside their image, patients in several splits, and pictures that are nearly the
    same in two splits (perceptual hash, then correlation). What layouts there are: `xiqa data layouts`.

    Exit status 1 when a patient, or nearly the same picture, lies in two splits: results would be too good.

    Example: xiqa data check our-images
    """
    from rich.progress import Progress

    from xiqa.datasets.check import check_dataset
    from xiqa.datasets.detect import read_dataset

    collection = read_dataset(path, layout, leaks=True)
    every = max(1, len(collection.samples) // SHEET_IMAGES)
    shown: list[tuple[Sample, Image]] = []
    with Progress(transient=True) as progress:
        task = progress.add_task("Reading images", total=len(collection.samples))

        def on_image(sample: Sample, image: Image | None) -> None:
            if image is not None and progress.tasks[0].completed % every == 0 and len(shown) < SHEET_IMAGES:
                shown.append((sample, image))
            progress.advance(task)

        report = check_dataset(collection, on_image)
    _print(report, collection.classes)
    if sheet is not None:
        from xiqa.report.contact_sheet import contact_sheet

        contact_sheet(
            [image for _, image in shown],
            captions=[f"{s.split} {collection.classes[s.label]}" for s, _ in shown],
            annotations=[s.annotations for s, _ in shown],
        ).save(sheet)
        typer.echo(f"Contact sheet: {sheet}")
    if report.leaky:
        raise typer.Exit(1)


def _print(report: DatasetReport, classes: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xiqa.datasets.collection import SPLITS

    console = Console()
    table = Table(title=f"{report.name}: {sum(report.counts.values())} images")
    table.add_column("class")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for name in classes:
        table.add_row(escape(name), *(str(report.counts.get((split, name), 0)) for split in SPLITS))
    console.print(table)
    common = [f"{rows} x {columns}: {count}" for (rows, columns), count in list(report.sizes.items())[:5]]
    more = f" and {len(report.sizes) - 5} more sizes" if len(report.sizes) > 5 else ""
    console.print(f"Sizes (rows x columns): {', '.join(common)}{more}")
    if report.annotations:
        console.print("Objects: " + ", ".join(f"{kind} {n}" for kind, n in report.annotations.items()))
    for note in report.notes:
        console.print(f"Note: {escape(note)}")
    problems = {
        "missing": [escape(key) for key in report.missing],
        "annotations outside their image": [escape(key) for key in report.outside],
        "broken": [f"{escape(key)}: {escape(reason)}" for key, reason in report.broken.items()],
        "patients in several splits": [
            f"{escape(patient)}: {'+'.join(splits)}" for patient, splits in report.leaks.items()
        ],
        "near-duplicates across splits": [
            f"{escape(d.first)} ({d.splits[0]}) ~ {escape(d.second)} ({d.splits[1]}), r = {d.correlation:.4f}"
            for d in report.duplicates
        ],
    }
    for title, lines in problems.items():
        colour = "green" if not lines else "red"
        console.print(f"[{colour}]{title}: {len(lines)}[/]")
        for line in lines[:10]:
            console.print(f"  {line}", soft_wrap=True)
        if len(lines) > 10:
            console.print(f"  and {len(lines) - 10} more")


@app.command()
def convert(
    path: Path = typer.Argument(help="Data set in any known layout."),
    out: Path = typer.Option(
        ..., help="NAME.json: COCO; NAME.csv: a table of images; a folder: Object-CXR's tables."
    ),
    layout: str = LAYOUT,
    force: bool = typer.Option(False, "--force", help="Overwrite what is there."),
) -> None:
    """Bring a data set into another layout; the images stay where they are.

    COCO JSON keeps everything: labels, patients, splits, boxes, polygons, ellipses and masks. A CSV keeps
    labels, patients, splits and degrees. Object-CXR's train.csv, dev.csv and test.csv keep the shapes of
    removable objects. Each of them is read back by every other command.

    Example: xiqa data convert our-images --out our-images.json
    """
    from xiqa.datasets.convert import OBJECT_CXR_TABLES
    from xiqa.datasets.convert import convert as write
    from xiqa.datasets.detect import read_dataset
    from xiqa.errors import DatasetError

    written = [out] if out.suffix else [out / name for name in OBJECT_CXR_TABLES.values()]
    for file in written:
        if file.exists() and not force:
            raise DatasetError(f"{file} exists", todo="choose another name or add --force")
    collection = read_dataset(path, layout)
    write(collection, out)
    typer.echo(f"{len(collection.samples)} images written to {out}")
