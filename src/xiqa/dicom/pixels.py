"""The pixels of a data set, by way of a file, which alone the readers take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmwrite

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


@contextmanager
def _as_file(dataset: Dataset) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xiqa-") as folder:
        path = Path(folder) / "image.dcm"
        dcmwrite(path, dataset, enforce_file_format=True)
        yield path
