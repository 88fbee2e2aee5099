"""From a path to images, and from any failure on the way to one typed error."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.limits import DEFAULT_LIMITS, Limits
from xiqa.imaging.options import Axis, Reader, ReadOptions, printable
from xiqa.imaging.planes import Plane
from xiqa.imaging.sniff import sniff
from xiqa.types import Image

__all__ = ["OpenImage", "iter_images", "open_image", "read_image"]

# Each library is loaded when the first file of its format is read.
_READERS = {
    "dicom": ("xiqa.imaging.dicom", "DicomReader"),
    "png": ("xiqa.imaging.raster", "PngReader"),
    "jpeg": ("xiqa.imaging.raster", "JpegReader"),
    "tiff": ("xiqa.imaging.tiff", "TiffReader"),
    "numpy": ("xiqa.imaging.npy", "NpyReader"),
    "nifti": ("xiqa.imaging.nifti", "NiftiReader"),
}

_CODES: tuple[tuple[type[Exception], str], ...] = (
    (FileNotFoundError, "not_found"),
    (PermissionError, "no_permission"),
    (RecursionError, "nested_too_deep"),
    (MemoryError, "too_large"),
    (EOFError, "truncated"),
    (zlib.error, "corrupt"),
)


def read_image(
    path: str | Path,
    *,
    frame: int = 0,
    grey: bool = False,
    axis: Axis = "stored",
    limits: Limits = DEFAULT_LIMITS,
) -> Image:
    """Read one image, in display order with values in [0, 1].

    The format is told by the content. DICOM goes through Modality LUT, VOI LUT and Presentation LUT, with
    padding and shutters in the mask; other formats are scaled by their type.

    Args:
        path: The file.
        frame: Which frame, page or slice.
        grey: Turn colour into grey.
        axis: How NIfTI volumes are sliced; see `xiqa.imaging.nifti`.
        limits: What the file may cost.

    Raises:
        ImageReadError: Whatever is wrong with the file; its ``code`` says which kind of wrong.
    """
    with open_image(path, grey=grey, axis=axis, limits=limits) as file:
        return file.read(frame)


def iter_images(
    path: str | Path, *, grey: bool = False, axis: Axis = "stored", limits: Limits = DEFAULT_LIMITS
) -> Iterator[Image]:
    """Read all frames of a file, one at a time; see `read_image`.

    Raises:
        ImageReadError: Whatever is wrong with the file.
    """
    with open_image(path, grey=grey, axis=axis, limits=limits) as file:
        for frame in range(file.frames):
            yield file.read(frame)


@contextmanager
def open_image(
    path: str | Path, *, grey: bool = False, axis: Axis = "stored", limits: Limits = DEFAULT_LIMITS
) -> Iterator[OpenImage]:
    """A file whose frames are read one by one, in any order; see `read_image`.

    Raises:
        ImageReadError: It cannot be opened.
    """
    file = OpenImage(Path(path), ReadOptions(grey, axis, limits))
    try:
        yield file
    finally:
        file.close()


class OpenImage:
    """An open file; see `open_image`.

    Attributes:
        frames: How many frames it holds.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        with _errors_of(path):
            self._reader = _reader(path, options)
        self.frames = self._reader.frames

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the frames as a series: gaps, an order that is not theirs in space."""
        with _errors_of(self._path):
            return self._reader.notes

    @property
    def planes(self) -> list[Plane]:
        """Where each frame lies in the patient; empty where the file does not say."""
        with _errors_of(self._path):
            return getattr(self._reader, "planes", [])

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """(column, row, slice) to millimetres, of a NIfTI volume read as it is stored; else None."""
        return getattr(self._reader, "affine", None)

    def read(self, frame: int) -> Image:
        """One frame.

        Raises:
            ImageReadError: There is no such frame, or it cannot be read.
        """
        with _errors_of(self._path):
            if not 0 <= frame < self.frames:
                raise ImageReadError(
                    "no such frame", code="no_such_frame", expected=f"0 to {self.frames - 1}", got=str(frame)
                )
            return _noted(self._reader.read(frame))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


def _noted(image: Image) -> Image:
    """The image, with a note when it shows nothing."""
    flat = image.pixels.reshape(-1)
    if (flat[::1009] == flat[0]).all() and (flat == flat[0]).all():
        notes = (*image.source.notes, "constant: every pixel has the same value")
        return replace(image, source=replace(image.source, notes=notes))
    return image


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """An exception of any library within becomes an `ImageReadError` that names the file."""
    try:
        yield
    except ImageReadError as error:
        raise _named(error, path) from error.__cause__
    except Exception as error:
        raise _named(_typed(error), path) from error


def _reader(path: Path, options: ReadOptions) -> Reader:
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - one call tells all
        raise ImageReadError("not a file", code="not_a_file", expected="a regular file")
    with path.open("rb") as file:
        format = sniff(file)
    module, name = _READERS[format]
    reader: type[Reader] = getattr(import_module(module), name)
    return reader(path, format, options)


def _typed(error: Exception) -> ImageReadError:
    """What a library's exception means."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "corrupt")
    if "truncated" in str(error).lower():
        code = "truncated"
    if "too large" in str(error).lower():
        code = "too_large"
    got = f"{type(error).__name__}: {printable(str(error))[:300]}"
    return ImageReadError("the file cannot be read", code=code, got=got)


def _named(error: ImageReadError, path: Path) -> ImageReadError:
    """The same error, with the file's name before it."""
    return ImageReadError(
        f"cannot read {printable(str(path))}: {error.problem}",
        code=error.code,
        expected=error.expected,
        got=error.got,
        todo=error.todo,
    )
