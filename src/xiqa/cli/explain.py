"""`xiqa explain`: the maps of several methods for images, as numbers and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from xiqa.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from xiqa.assessment.runtime import Runtime
    from xiqa.types import Image, SaliencyMap


def command(
    paths: list[str] = typer.Argument(help="Images, folders or patterns such as 'images/*.dcm'."),
    method: list[str] = typer.Option([], help="Saliency method; give it several times to compare."),
    model: str = typer.Option(
        "cxr-foreign-objects", help="A shipped model's name, a bundle's folder or an exported .onnx file."
    ),
    runtime_name: str = typer.Option(
        "auto",
        "--runtime",
        help="What runs the model: torch, onnxruntime, openvino, or auto: its graph where that will do.",
    ),
    frame: int = typer.Option(0, min=0, help="Which frame or slice of a file with several, from 0."),
    target: str | None = typer.Option(None, help="Explained class; the poor-quality one unless told."),
    device: str = typer.Option("cpu", help="Where a bundle runs: cpu, cuda, cuda:1, ... or auto."),
    out: Path = typer.Option(
        Path("xiqa-explain"), help="Folder for maps and pictures; of several images one folder each in it."
    ),
) -> None:
    """Explain images by one or more methods.

    Writes maps.npz (raw maps, one array a method), for each method a 16-bit TIFF on the original's grid
    with its scale in the description and an overlay, and contact-sheet.png with all of them.

    An exported model has its own heat map, and needs no PyTorch for methods that score altered copies of the
    image or of a layer: occlusion, rise, scorecam, iscam, reciprocam. Exit status 1 when an image could not
    be explained; the others are.

    Example: xiqa explain a.png b.dcm --method gradcam --method normgrad_conv1x1:layers=multi --out maps
    """
    from rich.console import Console
    from rich.markup import escape

    from xiqa.assessment.loading import load_runtime
    from xiqa.errors import ImageReadError
    from xiqa.imaging import image_files

    console = Console()
    refused: list[ImageReadError] = []
    found = image_files(paths, refused=refused)
    files = [file for file in found if not file.absolute().is_relative_to(out.absolute())]
    if not files and not refused:
        raise ConfigError("no image to explain", got=", ".join(paths))
    alone = len(files) + len(refused) == 1
    if refused and alone:
        raise refused[0]
    with console.status("Loading the model"):
        loaded = load_runtime(
            model,
            runtime_name,  # type: ignore[arg-type]  # checked there
            device=device,
            methods=tuple(method),
            gradients=target is not None,
        )
    chosen = method or [str(loaded.resolve(None))]
    folders = [out] if alone else [out / name for name in _names(files)]
    for file, folder in zip(files, folders, strict=True):
        try:
            _explain(console, loaded, file, chosen, target, frame, folder)
        except ImageReadError as error:
            if alone:
                raise
            refused.append(error)
    for problem in refused:
        console.print(f"[bold]Not explained:[/] {escape(str(problem))}", soft_wrap=True)
    raise typer.Exit(int(bool(refused)))


def _explain(
    console: Console,
    runtime: Runtime,
    file: Path,
    methods: list[str],
    target: str | None,
    frame: int,
    out: Path,
) -> None:
    """The maps of one image, written and told."""
    from rich.markup import escape

    from xiqa.assessment import explain
    from xiqa.files import writing
    from xiqa.imaging import read_image
    from xiqa.imaging.options import printable
    from xiqa.report.maps import write_maps

    with console.status(f"Explaining {escape(printable(file.name))}"):
        picture = read_image(file, frame=frame)
        results = explain(runtime, picture, methods, target=target)
        maps = {text: found[0] for text, found in results.items()}
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            written = write_maps(out, picture, maps)
            _contact_sheet(picture, maps).save(out / "contact-sheet.png")
    _table(console, maps, picture)
    if picture.source.frames > 1:
        console.print(f"frame {frame} of 0 to {picture.source.frames - 1} (--frame: another)")
    console.print(f"{len(written) + 1} files in {escape(str(out))}", soft_wrap=True)


def _names(files: Sequence[Path]) -> list[str]:
    """A folder's name for each file: its own, with a number where another has it as well."""
    names: list[str] = []
    for file in files:
        name, number = file.name, 2
        while name in names:
            name, number = f"{file.name}-{number}", number + 1
        names.append(name)
    return names


def _contact_sheet(image: Image, maps: dict[str, SaliencyMap]) -> Any:
    """The image and each method's overlay with its peak, side by side."""
    import numpy as np

    from xiqa.assessment.places import locate
    from xiqa.report.contact_sheet import contact_sheet
    from xiqa.report.overlay import overlay_picture
    from xiqa.types import Image as Picture

    pictures = [overlay_picture(image, None, long_side=768)]
    pictures += [overlay_picture(image, one, locate(one, image)[:1], long_side=768) for one in maps.values()]
    tiles = [Picture(np.asarray(one, dtype=np.float32) / np.float32(255)) for one in pictures]
    return contact_sheet(tiles, captions=["original", *maps])


def _table(console: Any, maps: dict[str, SaliencyMap], image: Image) -> None:
    from rich.table import Table

    from xiqa.assessment.places import locate

    table = Table(box=None, pad_edge=False)
    for column in ("method", "map", "peak (x, y)", "box"):
        table.add_column(column, overflow="fold")
    for text, one in maps.items():
        found = next(iter(locate(one, image)), None)
        rows, columns = one.values.shape
        peak, box = "no place", ""
        if found is not None:
            peak = f"({found.peak.x:.0f}, {found.peak.y:.0f})"
            box = " ".join(f"{edge:.0f}" for edge in found.box)
        table.add_row(text, f"{rows} x {columns}", peak, box)
    console.print(table)
