"""Many images on one page, with captions and annotated boxes."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from xiqa.errors import GeometryError
from xiqa.report.overlay import picture_of
from xiqa.types import Annotation, Image

__all__ = ["contact_sheet"]

PAPER, INK = (16, 18, 22), (225, 228, 232)
PROBLEM, HARMLESS = (255, 92, 80), (96, 208, 160)


def contact_sheet(
    images: Sequence[Image],
    *,
    captions: Sequence[str] = (),
    annotations: Sequence[Sequence[Annotation]] = (),
    columns: int = 4,
    cell: int = 320,
) -> Pillow.Image:
    """Lay images out in rows, each in a square cell with its caption below.

    Boxes of problems are red; boxes of what is no reason to repeat an image are green.

    Args:
        images: What to show.
        captions: One line each, cut where it is too long; empty for none.
        annotations: The boxes of each image; empty for none.
        columns: Images a row, at most.
        cell: Pixels of a cell's side.

    Returns:
        An RGB picture.

    Raises:
        GeometryError: If there is no image, or captions or annotations are not one an image.

    >>> import numpy as np
    >>> contact_sheet([Image(np.zeros((30, 20), np.float32))] * 3, columns=2, cell=64).size
    (134, 134)
    """
    for name, given in (("captions", captions), ("annotations", annotations)):
        if given and len(given) != len(images):
            raise GeometryError(f"wrong number of {name}", expected=str(len(images)), got=str(len(given)))
    if not images:
        raise GeometryError("an empty contact sheet", expected="at least one image")
    gap, line = 2, 18 if captions else 0
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Pillow.new("RGB", (columns * (cell + gap) + gap, rows * (cell + line + gap) + gap), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for k, image in enumerate(images):
        left = gap + k % columns * (cell + gap)
        top = gap + k // columns * (cell + line + gap)
        picture = _picture(image, annotations[k] if annotations else (), cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        if captions:
            pen.text((left + 2, top + cell + 1), _cut(captions[k], font, cell - 4), fill=INK, font=font)
    return sheet


def _picture(image: Image, annotations: Sequence[Annotation], cell: int) -> Pillow.Image:
    """One image within a cell, with its boxes."""
    picture = picture_of(image, cell).convert("RGB")
    scale = picture.width / image.width, picture.height / image.height
    pen = ImageDraw.Draw(picture)
    for annotation in annotations:
        colour = PROBLEM if annotation.problem else HARMLESS
        box = annotation.box
        corners = (
            (box.x0 - 0.5) * scale[0],
            (box.y0 - 0.5) * scale[1],
            (box.x1 + 0.5) * scale[0],
            (box.y1 + 0.5) * scale[1],
        )
        pen.rectangle(corners, outline=colour)
    return picture


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """As much of a line as fits."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
