"""Images that are given in memory: arrays, tensors, Pillow's pictures, DICOM data sets."""

from __future__ import annotations

import copy
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.values import to_unit
from xiqa.types import Image

__all__ = ["as_image", "is_one_image"]


def is_one_image(value: Any) -> bool:
    """Whether a value in memory is one image, and not several.

    An array is one where it is ``(H, W)``, ``(H, W, 3)``, or ``(C, H, W)`` with one or three channels and is
    no ``(N, H, W)`` of three pictures: an array that could be both counts as one.

    >>> is_one_image(np.zeros((4, 5))), is_one_image(np.zeros((2, 4, 5))), is_one_image(np.zeros((1, 4, 5)))
    (True, False, True)
    """
    if _is(value, "torch", "Tensor") or isinstance(value, np.ndarray):
        return value.ndim == 2 or (value.ndim == 3 and (value.shape[-1] == 3 or value.shape[0] in (1, 3)))
    return isinstance(value, Image) or _is(value, "PIL.Image", "Image") or _is(value, "pydicom", "Dataset")


def as_image(value: Any) -> Image:
    """One image from what is given in memory.

    Args:
        value: An `Image`; a NumPy array or a PyTorch tensor ``(H, W)``, ``(H, W, 3)`` or ``(C, H, W)`` with
            ``C`` 1 or 3, whole numbers without a sign or floats in [0, 1]; a Pillow picture; a pydicom data
            set with pixels, which is read as its file would be.

    Raises:
        ImageReadError: It is none of these, or its values or its shape are not those of an image.
    """
    if isinstance(value, Image):
        return value
    if _is(value, "pydicom", "Dataset"):
        return _from_dataset(value)
    if _is(value, "PIL.Image", "Image"):
        value = _of_pillow(value)
    elif _is(value, "torch", "Tensor"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise ImageReadError(
            "this is no image",
            code="unsupported_type",
            expected="a path, an Image, an array, a tensor, a Pillow picture or a DICOM data set",
            got=type(value).__name__,
        )
    pixels, bits = to_unit(_display_axes(value))
    return Image(pixels, bits)


def _of_pillow(picture: Any) -> NDArray[Any]:
    """Grey and colour as they are; palettes and other modes as RGB."""
    if picture.mode in ("1", "L", "RGB") or picture.mode.startswith("I;16"):
        return np.asarray(picture)
    if picture.mode in ("I", "F"):
        values = np.asarray(picture)
        return (
            values.astype(np.uint16)
            if picture.mode == "I" and 0 <= values.min() <= values.max() < 1 << 16
            else values
        )
    return np.asarray(picture.convert("RGB"))


def _display_axes(values: NDArray[Any]) -> NDArray[Any]:
    """``(H, W)`` or ``(H, W, 3)`` from either order of the axes."""
    if values.size and (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)):
        return values
    if values.size and values.ndim == 3 and values.shape[0] in (1, 3):
        return values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, -1)
    raise ImageReadError(
        "this array is no image",
        code="unsupported_type",
        expected="(H, W), (H, W, 3), (1, H, W) or (3, H, W), with pixels",
        got=str(values.shape),
    )


def _from_dataset(dataset: Any) -> Image:
    """A data set as the reader of files sees it: by way of a file, so that both give the same."""
    from xiqa.imaging.reading import read_image  # noqa: PLC0415 - formats are loaded when one is read

    with tempfile.TemporaryDirectory(prefix="xiqa-") as folder:
        path = Path(folder) / "given.dcm"
        try:
            _as_file(copy.deepcopy(dataset)).save_as(path, enforce_file_format=True)
        except Exception as error:  # pydicom raises errors of many types for elements that cannot be written
            raise ImageReadError(
                "the data set cannot be written, and so not read", code="corrupt", got=str(error)
            ) from error
        image = read_image(path)
    return replace(image, source=replace(image.source, path=str(getattr(dataset, "filename", None) or "")))


def _as_file(dataset: Any) -> Any:
    """A data set that knows how it is written; one that was never in a file is written plainly."""
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - as its reader
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415 - as above

    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in dataset.file_meta and None in dataset.original_encoding:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a library's class; a library that was never imported made no values."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))
