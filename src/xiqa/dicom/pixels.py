"""The pixels of a data set, by way of a file, which alone the readers take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.datadict import tag_for_keyword

from xiqa.imaging.dicom.display import Display
from xiqa.imaging.dicom.reader import DicomReader
from xiqa.imaging.options import ReadOptions
from xiqa.imaging.reading import read_image
from xiqa.types import Image

__all__ = ["image_of", "used_display"]


def image_of(dataset: Dataset, frame: int) -> Image:
    """A frame in display order.

    Raises:
        ImageReadError: The data set has no pixels, or none that can be read.
    """
    with _as_file(dataset) as path:
        return read_image(path, frame=frame)


def used_display(dataset: Dataset, frame: int) -> Display:
    """The transforms that `image_of` applies to a grey frame, the range that its pixels decide included.

    Raises:
        ImageReadError: The data set has no pixels, or none that can be read.
    """
    with _as_file(dataset) as path:
        reader = DicomReader(path, "dicom", ReadOptions())
        try:
            return reader.display(frame)
        finally:
            reader.close()


# What decides how pixels are shown, by group, and single elements beside these.
_GROUPS = {0x0028, 0x2050, 0x5200, 0x7FE0}
_ELEMENTS = ("SOPClassUID", "SOPInstanceUID", "Modality", "PresentationIntentType", "PatientOrientation")
_SHUTTER = range(0x00181600, 0x00181625)


@contextmanager
def _as_file(dataset: Dataset) -> Iterator[Path]:
    """A file with the pixels and what decides how they are shown; no person is named in it."""
    tags = {tag_for_keyword(keyword) for keyword in _ELEMENTS}
    part = Dataset()
    for tag in tuple(dataset.keys()):
        if tag.group in _GROUPS or tag in tags or tag in _SHUTTER:
            part[tag] = dataset.get_item(tag)
    part.file_meta, part.preamble = dataset.file_meta, b"\0" * 128
    implicit, little = dataset.original_encoding
    part.set_original_encoding(implicit, little, None)
    with tempfile.TemporaryDirectory(prefix="xiqa-") as folder:
        path = Path(folder) / "image.dcm"
        dcmwrite(path, part, enforce_file_format=True)
        yield path
