"""The decoders, each a function that fills an array from a code stream. Imported in the child only."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from xiqa.imaging.decoding.jpeg import (
    DamagedError,
    check_end,
    check_lossless,
    decode_8bit,
    read_head,
)

__all__ = ["CODECS", "DamagedError"]

Array = NDArray[Any]

_RLE_SPARE = 1024  # bytes that padding behind a segment may seem to code


def _jpeg(stream: bytes, out: Array, *, colour: str | None = None) -> None:
    """JPEG of all processes: baseline, extended 12 bit, lossless; refused where pixels are missing."""
    _check_end(stream)
    head = read_head(stream)
    if head.height and (head.height, head.width) != out.shape[:2]:
        raise ValueError(f"the stream holds {head.height} x {head.width} pixels, not {out.shape}")
    if head.precision == 8 and not head.lossless and colour is None and head.components == 1:
        out[...] = decode_8bit(stream, "GRAY")[..., 0]
        return
    outcolour = None if colour is None else "RGB"

    def decoder(stream: bytes = stream, **to: Any) -> Array:
        return np.asarray(imagecodecs.jpeg8_decode(stream, colorspace=colour, outcolorspace=outcolour, **to))

    _fill(decoder, out)
    if head.precision == 8 and not head.lossless:
        decode_8bit(stream, "GRAY")  # for its warnings
    elif not head.lossless:
        check_end(stream, decoder(), decoder)
    elif colour in (None, "RGB"):
        check_lossless(stream, head, out)


def _jpeg_file(stream: bytes, out: Array, *, colours: str) -> None:
    """A JPEG file of 8 bits, as its own markers say."""
    pixels = decode_8bit(stream, colours)
    out[...] = pixels[..., 0] if out.ndim == 2 else pixels


def _jpegls(stream: bytes, out: Array) -> None:
    """JPEG-LS; on a stream that is cut off the decoder would look for the rest for ever."""
    _check_end(stream)
    _fill(lambda **k: imagecodecs.jpegls_decode(stream, **k), out)


def _jpeg2k(stream: bytes, out: Array) -> None:
    """JPEG 2000, also of high throughput."""
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
    try:
        decoded = imagecodecs.dicomrle_decode(stream, out.dtype, out=cast("bytearray", flat))
        size = len(decoded)
    except RuntimeError:
        size = _rle_padded(stream, offsets, planes)
    if size != flat.size:
        raise ValueError(f"{size} bytes instead of {flat.size}")
    if out.ndim == 3:
        out[...] = _planes_last(planes, out)


def _rle_padded(stream: bytes, offsets: list[int], planes: Array) -> int:
    """Decode segments one by one, each with a few bytes more than it should give: padding gives them."""
    width = planes.dtype.itemsize
    if planes.size * width % len(offsets) or len(offsets) % width:
        raise ValueError(f"{len(offsets)} segments do not fit the image")
    count = planes.size * width // len(offsets)
    places = planes.reshape(-1).view(np.uint8).reshape(-1, count, width)
    for number, (start, end) in enumerate(zip(offsets, [*offsets[1:], len(stream)], strict=True)):
        segment = imagecodecs.packbits_decode(stream[start:end], out=count + _RLE_SPARE)
        if len(segment) < count:
            raise ValueError(f"a segment of {len(segment)} bytes instead of {count}")
        plane, byte = divmod(number, width)  # the highest byte comes first
        places[plane, :, width - 1 - byte] = np.frombuffer(segment, np.uint8)[:count]
    return planes.size * width


def _tiff(file: IO[bytes], out: Array, *, page: int = 0) -> None:
    import tifffile  # noqa: PLC0415 - takes longer to load than all the rest

    with tifffile.TiffFile(file, name="image") as tiff:
        tiff_page = tiff.pages[page].aspage()
        if tiff_page.compression == tifffile.COMPRESSION.JPEG and tiff_page.bitspersample == 8:
            _check_jpeg_parts(file, tiff_page)
        out[...] = tiff_page.asarray()


def _check_jpeg_parts(file: IO[bytes], page: Any) -> None:
    """Decode the strips or tiles of a TIFF page for libjpeg's warnings."""
    tables = page.jpegtables
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        part = file.read(count)
        decode_8bit(tables[:-2] + part[2:] if tables else part, "GRAY")


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


#: Each takes a code stream, ``tiff`` an open file, and the array to fill.
CODECS: dict[str, Callable[..., None]] = {
    "jpeg": _jpeg,
    "jpegfile": _jpeg_file,
    "jpegls": _jpegls,
    "jpeg2k": _jpeg2k,
    "png": _png,
    "rle": _rle,
    "tiff": _tiff,
}
