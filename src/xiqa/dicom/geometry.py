"""Body part, shape, orientation and shutter of a source image, where its results repeat them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from xiqa.dicom.origin import Origin
from xiqa.imaging.dicom.elements import choices
from xiqa.imaging.dicom.mask import shutter_mask
from xiqa.imaging.dicom.reader import shutter_group, spacing_of

__all__ = ["anatomy_of", "orientation_of", "pixel_aspect", "shutter_of"]

_DIRECTIONS = {frozenset("LR"), frozenset("AP"), frozenset("HF")}
_SHUTTER: dict[str, tuple[str, ...]] = {
    "RECTANGULAR": (
        *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
        *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
    ),
    "CIRCULAR": ("CenterOfCircularShutter", "RadiusOfCircularShutter"),
    "POLYGONAL": ("VerticesOfThePolygonalShutter",),
}
# Body parts of which there is one: there a laterality makes no sense.
_UNPAIRED = {
    *("CHEST", "HEART", "ABDOMEN", "PELVIS", "HEAD", "SKULL", "BRAIN", "NECK", "LIVER", "WHOLEBODY"),
    *("SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "COCCYX", "STERNUM", "MEDIASTINUM"),
}
# what reading a malformed element raises
_UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    NotImplementedError,
)


def pixel_aspect(origin: Origin) -> tuple[int, int]:
    """Height to width of a pixel, as DICOM's Pixel Aspect Ratio has it; (1, 1) where nothing is told.

    Args:
        origin: The source image.
    """
    try:
        spacing, _ = spacing_of(origin.dataset, origin.frame)
        if spacing is not None:
            ratio = Fraction(spacing[0] / spacing[1]).limit_denominator(1000)
        else:
            height, width = (int(part) for part in origin.dataset.get("PixelAspectRatio") or (1, 1))
            ratio = Fraction(height, width)
    except (*_UNREADABLE, ZeroDivisionError):
        return 1, 1
    return (ratio.numerator, ratio.denominator) if ratio > 0 else (1, 1)


def orientation_of(origin: Origin) -> list[str]:
    """Directions of rows and columns, ``["L", "F"]`` for one; empty where they are not told or no directions.

    Args:
        origin: The source image.
    """
    try:
        value = [str(part) for part in origin.dataset.get("PatientOrientation") or ()]
    except _UNREADABLE:
        return []
    return value if len(value) == 2 and all(map(_is_direction, value)) else []


def anatomy_of(origin: Origin, *, image: bool) -> Iterator[DataElement]:
    """Body part and side, as far as the source tells them.

    A side that the source tells of the image alone is not told of the results' series, which may hold results
    of both sides. Where the side matters and is unknown, the series' laterality is there and empty.

    Args:
        origin: The source image.
        image: The result is an image itself, which can tell its own side.
    """
    body_part = origin.header.get("BodyPartExamined")
    if body_part:
        yield DataElement("BodyPartExamined", "CS", body_part)
    own, series = (_one_of(origin.dataset, name, sides) for name, sides in _SIDES.items())
    if series:
        yield DataElement("Laterality", "CS", series)
    elif image and own:
        yield DataElement("ImageLaterality", "CS", own)
    elif body_part not in _UNPAIRED:
        yield DataElement("Laterality", "CS", "")


_SIDES = {"ImageLaterality": "LRUB", "Laterality": "LR"}


def _one_of(dataset: Dataset, keyword: str, values: str) -> str:
    """The attribute's value where it is one of those letters, else nothing."""
    try:
        value = str(dataset.get(keyword) or "")
    except _UNREADABLE:
        return ""
    return value if len(value) == 1 and value in values else ""


def _is_direction(text: str) -> bool:
    """At most one letter of each pair of opposite directions.

    >>> [_is_direction(text) for text in ("L", "PFR", "LR", "", "l")]
    [True, True, False, False, False]
    """
    known = all(any(letter in pair for pair in _DIRECTIONS) for letter in text)
    return (
        bool(text) and known and all(sum(text.count(letter) for letter in pair) <= 1 for pair in _DIRECTIONS)
    )


def shutter_of(origin: Origin) -> Iterator[DataElement]:
    """The elements of the display shutter; none where there is no shutter or it cannot be drawn.

    Args:
        origin: The source image.
    """
    try:
        group = shutter_group(origin.dataset, origin.frame)
        shapes = choices(group, "ShutterShape")
        if not shapes or shutter_mask(group, origin.size, []) is None or not set(shapes) <= set(_SHUTTER):
            return
        elements = [_valid(group, name) for shape in shapes for name in _SHUTTER[shape]]
    except _UNREADABLE:
        return
    yield DataElement("ShutterShape", "CS", shapes)
    yield from elements
    yield DataElement("ShutterPresentationValue", "US", 0)


def _valid(group: Dataset, keyword: str) -> DataElement:
    """A copy of an element of whole numbers.

    Raises:
        ValueError: It breaks its type's rules.
    """
    value: Any = group[keyword].value
    numbers = [str(int(part)) for part in (value if isinstance(value, MultiValue | list) else [value])]
    for number in numbers:
        validate_value(dictionary_VR(keyword), number, config.RAISE)
    return DataElement(keyword, dictionary_VR(keyword), numbers if len(numbers) > 1 else numbers[0])
