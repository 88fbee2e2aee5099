"""PNG, JPEG and TIFF."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Raster

from xiqa.errors import ImageReadError
from xiqa.imaging.decoding import Task, decode
from xiqa.imaging.decoding.jpeg import DamagedError, JpegHead, decode_8bit, read_head
from xiqa.imaging.options import ReadOptions
from xiqa.imaging.png import PngHead, checked
from xiqa.imaging.values import narrowed, to_grey, to_unit
from xiqa.types import Image, Source

__all__ = ["JpegReader", "PngReader", "RasterReader"]

ORIENTATION = 0x0112  # an EXIF and TIFF tag
SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")


class RasterReader(ABC):
    """What PNG, JPEG and TIFF have in common; see `xiqa.imaging.options.Reader`.

    The file is opened once and read through that one opening. The orientation of EXIF is applied,
    transparency is dropped, a palette becomes RGB.
    """

    frames = 1
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None:
        self.path, self.format, self.options = path, format, options
        self.file = path.open("rb")
        try:
            self.size = os.fstat(self.file.fileno()).st_size
            self._look()
        except Raster.DecompressionBombError as error:
            self.close()
            raise ImageReadError("the image is too large", code="too_large", got=str(error)) from error
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:  # noqa: B027 - not every format has something to look at first
        """Read what stands before the pixels."""

    @abstractmethod
    def _values(self, frame: int, notes: list[str]) -> tuple[NDArray[Any], int, int]:
        """A page's samples, the bits of a sample, and the page's orientation."""

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def read(self, frame: int) -> Image:
        """One page."""
        notes: list[str] = []
        values, bits, orientation = self._values(frame, notes)
        if orientation != 1:
            notes.append(f"turned by its orientation {orientation} (EXIF)")
            values = _upright(values, orientation)
        if values.ndim == 3 and values.shape[2] in (2, 4):
            notes.append("transparency was dropped")
            values = values[..., :-1] if values.shape[2] == 4 else values[..., 0]
        pixels, bits = to_unit(values, narrowed(values, bits, notes))
        source = Source(str(self.path), self.format, frame, self.frames, notes=tuple(notes))
        return Image(to_grey(pixels) if self.options.grey else pixels, bits=bits, source=source)


class PngReader(RasterReader):
    """An open PNG file.

    Pillow decodes after the chunks' checksums were looked at; 16-bit colour, which it would reduce to 8 bits,
    goes through imagecodecs in the decoding process.
    """

    def _look(self) -> None:
        self.head = PngHead.of(self.file.read(33))
        limits = self.options.limits
        limits.check_frame(self.head.height, self.head.width, self.head.channels)
        limits.check_stream(self.size, self.head.inflated)

    def _values(self, frame: int, notes: list[str]) -> tuple[NDArray[Any], int, int]:
        self.file.seek(0)
        stream = checked(self.file.read(), notes)
        with Raster.open(io.BytesIO(stream), formats=["PNG"]) as raster:
            orientation = orientation_of(raster.getexif())
            if self.head.depth == 16 and self.head.channels > 1:
                shape = (self.head.height, self.head.width, self.head.channels)
                if self.head.transparent(stream):
                    notes.append("transparency was dropped")
                    stream = self.head.opaque(stream)
                task = Task("png", shape, "uint16", {})
                return decode(stream, task, self.options.limits), 16, orientation
            values = plain_values(raster)
        return values, 8 * values.dtype.itemsize, orientation


class JpegReader(RasterReader):
    """An open JPEG file of any process and precision.

    libjpeg-turbo decodes and its warnings count; what takes long for its size (progressive) or holds more
    than 8 bits does so in the decoding process.
    """

    def _look(self) -> None:
        limits = self.options.limits
        limits.check_stream(self.size, 2 * limits.samples)
        self.stream = self.file.read()
        self.head = head = read_head(self.stream)
        if head.process < 0:
            raise ImageReadError("the JPEG file has no frame", code="truncated", got=f"{self.size:,} bytes")
        if self.stream.rfind(b"\xff\xd9") < head.scan or not head.scan:
            raise ImageReadError("the image is cut off", code="truncated", got="a JPEG file without its end")
        limits.check_frame(head.height or 1, head.width, head.components)
        limits.check_stream(self.size, 2 * max(head.height, 1) * head.width * head.components)

    def _values(self, frame: int, notes: list[str]) -> tuple[NDArray[Any], int, int]:
        head = self.head
        exif = Raster.Exif()
        exif.load(head.exif)
        shape: tuple[int, ...] = (head.height, head.width)
        if head.components > 1:
            shape = (*shape, head.components)
        if head.precision == 8 and not head.lossless:
            values = self._eight_bits(head, shape)
        else:
            options = {} if head.components == 1 else {"colour": "RGB" if head.lossless else "YCBCR"}
            kind = "uint8" if head.precision <= 8 else "uint16"
            values = decode(self.stream, Task("jpeg", shape, kind, options), self.options.limits)
        return values, head.precision, orientation_of(exif)

    def _eight_bits(self, head: JpegHead, shape: tuple[int, ...]) -> NDArray[Any]:
        colours = {1: "GRAY", 3: "RGB"}.get(head.components, "CMYK")
        if head.process in _SLOW and colours != "CMYK":
            task = Task("jpegfile", shape, "uint8", {"colours": colours})
            return decode(self.stream, task, self.options.limits)
        try:
            values = decode_8bit(self.stream, colours)
        except DamagedError as error:
            cut = "premature end of jpeg file" in str(error).lower()
            raise ImageReadError(
                "the image is cut off" if cut else "the image is damaged",
                code="truncated" if cut else "damaged",
                got=str(error),
                todo="send or copy it again",
            ) from None
        if colours != "CMYK":
            return values[..., 0] if colours == "GRAY" else values
        with Raster.open(io.BytesIO(self.stream), formats=["JPEG"]) as raster:
            return np.asarray(raster.convert("RGB"))


_SLOW = (2, 10)  # progressive: as many passes as the file asks for


def plain_values(raster: Raster.Image) -> NDArray[Any]:
    """The samples of a picture that Pillow reads without loss."""
    if raster.mode in ("1", "LA"):
        raster = raster.convert("L")
    elif raster.mode not in ("L", "RGB", "RGBA", "I", *SIXTEEN):
        raster = raster.convert("RGB")
    values = np.asarray(raster)
    return values.astype(np.uint16) if raster.mode == "I" else values  # 16-bit PNG in older versions


def orientation_of(tags: Any) -> int:
    """An EXIF orientation; 1 (upright) when it is missing or nonsense."""
    value = tags.get(ORIENTATION)
    return int(value) if value in range(1, 9) else 1


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels turned and mirrored as EXIF says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
