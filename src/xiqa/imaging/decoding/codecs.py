"""The decoders, each a function that fills an array from a code stream. Imported in the child only."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

__all__ = ["CODECS"]

Array = NDArray[Any]


def _jpeg(stream: bytes, out: Array, *, colour: str | None = None) -> None:
    """JPEG of all processes: baseline, extended 12 bit, lossless."""
    _check_end(stream)
    outcolour = None if colour is None else "RGB"
    _fill(lambda **k: imagecodecs.jpeg8_decode(stream, colorspace=colour, outcolorspace=outcolour, **k), out)


def _jpegls(stream: bytes, out: Array) -> None:
    """JPEG-LS; on a stream that is cut off the decoder would look for the rest for ever."""
    _check_end(stream)
    _fill(lambda **k: imagecodecs.jpegls_decode(stream, **k), out)


def _jpeg2k(stream: bytes, out: Array) -> None:
    _fill(lambda **k: imagecodecs.jpeg2k_decode(stream, numthreads=1, **k), out)


def _png(stream: bytes, out: Array) -> None:
    _fill(lambda **k: imagecodecs.png_decode(stream, **k), out)


def _rle(stream: bytes, out: Array) -> None:
    """DICOM RLE (PS3.5 annex G); each byte of a sample is a segment of its own."""
    count, *offsets = np.frombuffer(stream[:64], dtype="<u4").tolist()
    offsets = offsets[:count]
    in_order = [63, *offsets, len(stream)] == sorted({63, *offsets, len(stream)})
    if not (1 <= count <= 15 and in_order):
        raise ValueError("the segments' offsets do not fit the stream")  # the decoder would follow them
    planes = out if out.ndim == 2 else np.empty_like(out)
    flat = planes.reshape(-1).view(np.uint8)
    decoded = imagecodecs.dicomrle_decode(stream, out.dtype, out=cast("bytearray", flat))
    if len(decoded) != flat.size:
        raise ValueError(f"{len(decoded)} bytes instead of {flat.size}")
    if out.ndim == 3:
        out[...] = _planes_last(planes, out)


def _tiff(stream: bytes, out: Array, *, page: int = 0) -> None:
    import tifffile  # noqa: PLC0415 - takes longer to load than all the rest

    out[...] = tifffile.imread(io.BytesIO(stream), key=page)


def _check_end(stream: bytes) -> None:
    """A JPEG stream ends with a marker; decoders fill up in grey what is missing before it."""
    if b"\xff\xd9" not in stream[-64:]:
        raise ValueError("the stream ends before its end marker")


def _fill(decoder: Callable[..., Array], out: Array) -> None:
    """Decode into ``out``, directly where the decoder's type and shape allow it."""
    try:
        decoder(out=out)
    except ValueError as error:
        if "invalid out" not in str(error):
            raise
        pixels = decoder()
        if pixels.shape != out.shape and pixels.shape == (*out.shape[2:], *out.shape[:2]):
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.shape != out.shape:
            raise ValueError(f"the stream holds shape {pixels.shape}, not {out.shape}") from None
        if pixels.dtype.itemsize > out.dtype.itemsize:
            raise ValueError(f"the stream holds {pixels.dtype}, not {out.dtype}") from None
        out[...] = pixels.astype(out.dtype)


def _planes_last(planes: Array, out: Array) -> Array:
    return np.moveaxis(planes.reshape(out.shape[2], *out.shape[:2]), 0, -1)


CODECS: dict[str, Callable[..., None]] = {
    "jpeg": _jpeg,
    "jpegls": _jpegls,
    "jpeg2k": _jpeg2k,
    "png": _png,
    "rle": _rle,
    "tiff": _tiff,
}
