"""How images, maps and results show themselves in a notebook, and on axes of matplotlib."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from xiqa.errors import ConfigError, MissingDependencyError
from xiqa.report.overlay import bounded_size, heat_picture, overlay_picture, picture_of
from xiqa.types import Assessment, Finding, Image, SaliencyMap, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["drawn", "html", "overlay", "plot", "png"]

LONG_SIDE = 512
WORDS = {
    Verdict.ACCEPT: "good enough",
    Verdict.REVIEW: "please look",
    Verdict.REACQUIRE: "repeat",
    Verdict.NOT_ASSESSED: "not assessed",
}


def drawn(value: Image | SaliencyMap) -> Pillow.Image:
    """An image in grey or colour; a map alone as its heat on black, with the shape of its image.

    A volume's map is projected: the highest value along its depth.
    """
    if isinstance(value, Image):
        return picture_of(value, LONG_SIDE)
    shape = _shape(value)
    if value.values.ndim > 2:
        value = replace(value, values=value.values.max(axis=tuple(range(value.values.ndim - 2))))
    rows, columns = bounded_size(shape, LONG_SIDE)
    picture = Pillow.new("RGB", (columns, rows))
    heat = heat_picture(value, shape, LONG_SIDE)
    picture.paste(heat, (0, 0), heat)
    return picture


def png(value: Image | SaliencyMap) -> bytes:
    """`drawn` as a PNG file."""
    file = io.BytesIO()
    drawn(value).save(file, "PNG")
    return file.getvalue()


def overlay(value: SaliencyMap | Assessment, image: Image) -> Pillow.Image:
    """The image with a map, or a result's map and places, drawn on it.

    Raises:
        ConfigError: The image has another size than the one that was assessed.
    """
    if isinstance(value, SaliencyMap):
        size = value.frame.original_size if value.frame is not None else image.size
        parts: tuple[SaliencyMap | None, tuple[Finding, ...]] = (value, ())
    else:
        size, parts = value.image_size, (value.saliency, value.findings)
    if min(size) > 0 and tuple(size) != image.size:
        raise ConfigError("this is another image", expected=f"{size} pixels", got=f"{image.size}")
    return overlay_picture(image, *parts)


def plot(value: Image | SaliencyMap | Assessment, ax: Axes | None = None, image: Image | None = None) -> Axes:
    """Draw on axes of matplotlib, in pixels of the original.

    Args:
        value: What to draw.
        ax: Where; the current axes unless told.
        image: What lies under a map or a result's places.

    Returns:
        The axes.

    Raises:
        ConfigError: A result without its image has nothing to draw on.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependencyError(
            "plots need matplotlib", todo="pip install matplotlib; .overlay(image) gives a picture without it"
        ) from error
    if isinstance(value, Assessment) and image is None:
        raise ConfigError("a result needs its image", todo=".plot(image=xiqa.read_image(path))")
    if isinstance(value, Image) or image is None:
        picture = drawn(value)  # type: ignore[arg-type]  # a result has its image
        rows, columns = _shape(value)  # type: ignore[arg-type]
    else:
        picture, (rows, columns) = overlay(value, image), image.size
    axes: Axes = plt.gca() if ax is None else ax
    grey = "gray" if picture.mode == "L" else None
    axes.imshow(picture, cmap=grey, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(_title(value))
    return axes


def html(result: Assessment) -> str:
    """Verdict, probability, reason and places as a small table, with the map where it was kept."""
    rows = [("Verdict", f"{WORDS[result.verdict]} ({result.verdict})"), ("Why", result.reason)]
    if result.probability is not None and result.threshold is not None:
        rows.append(("Poor quality", f"{result.probability:.0%} likely; repeat from {result.threshold:.0%}"))
    for number, finding in enumerate(result.findings, 1):
        x, y = finding.peak
        rows.append((f"Place {number}", f"{finding.label or 'highest'} at column {x:.0f}, row {y:.0f}"))
    rows += [("File", result.file)] if result.file else []
    rows += [("Note", note) for note in result.source.notes]
    body = "".join(f"<tr><th>{escape(head)}</th><td>{escape(text)}</td></tr>" for head, text in rows)
    picture = ""
    if result.saliency is not None:
        data = base64.b64encode(png(result.saliency)).decode()
        picture = f'<img alt="heat map" style="max-height:12em" src="data:image/png;base64,{data}">'
    return f'<div style="display:flex;gap:1em"><table>{body}</table>{picture}</div>'


def _shape(value: Image | SaliencyMap) -> tuple[int, int]:
    """Rows and columns that a picture stands for; of a volume those of its slices."""
    if isinstance(value, Image):
        return value.size
    size = value.frame.original_size if value.frame is not None else value.input_size
    rows, columns = (size if min(size) > 0 else value.values.shape)[-2:]
    return int(rows), int(columns)


def _title(value: Image | SaliencyMap | Assessment) -> str:
    if isinstance(value, Assessment):
        return WORDS[value.verdict]
    return value.method if isinstance(value, SaliencyMap) else ""
