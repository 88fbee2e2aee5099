"""PNG, JPEG and TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Raster
from PIL import TiffImagePlugin, UnidentifiedImageError

from xiqa.errors import ImageReadError
from xiqa.imaging.decoding import Task, decode
from xiqa.imaging.options import ReadOptions
from xiqa.imaging.values import to_grey, to_unit
from xiqa.types import Image, Source

__all__ = ["RasterReader"]

_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 258, 262  # EXIF and TIFF tags
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", *_SIXTEEN)


class RasterReader:
    """An open PNG, JPEG or TIFF file; see `xiqa.imaging.options.Reader`.

    Pillow decodes; what it would reduce to 8 bits or cannot read at all (16-bit colour, float TIFF) goes
    through imagecodecs and tifffile in the decoding process. The orientation of EXIF is applied,
    transparency is dropped, a palette becomes RGB.
    """

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None:
        self.path, self.format, self.options = path, format, options
        self.raster: Raster.Image | None = None
        try:
            self.raster = Raster.open(path, formats=[format.upper()])
        except UnidentifiedImageError:
            if format != "tiff":
                raise
        except Raster.DecompressionBombError as error:
            raise ImageReadError("the image is too large", code="too_large", got=str(error)) from error
        self.frames = self._count_pages() if format == "tiff" else 1

    def close(self) -> None:
        """Close the file."""
        if self.raster is not None:
            self.raster.close()

    def read(self, frame: int) -> Image:
        """One page."""
        notes: list[str] = []
        values, orientation = self._deep(frame) or self._plain(frame)
        if orientation != 1:
            notes.append(f"turned by its orientation {orientation} (EXIF)")
            values = _upright(values, orientation)
        if values.ndim == 3 and values.shape[2] in (2, 4):
            notes.append("transparency was dropped")
            values = values[..., :-1] if values.shape[2] == 4 else values[..., 0]
        pixels, bits = to_unit(values)
        source = Source(str(self.path), self.format, frame, self.frames, notes=tuple(notes))
        return Image(to_grey(pixels) if self.options.grey else pixels, bits=bits, source=source)

    def _count_pages(self) -> int:
        """How many pages a TIFF file has; no more of them than allowed are looked at."""
        if self.raster is None:
            with tifffile.TiffFile(self.path) as file:
                return len(file.pages)
        pages = 1
        try:
            while True:
                self.raster.seek(pages)
                pages += 1
                self.options.limits.check_frames(pages)
        except EOFError:
            return pages

    def _plain(self, frame: int) -> tuple[NDArray[Any], int]:
        """A page that Pillow reads without loss, and its orientation."""
        raster = self.raster
        assert raster is not None
        if self.format == "tiff":
            raster.seek(frame)
        self.options.limits.check_frame(raster.height, raster.width, len(raster.getbands()))
        white_is_zero = isinstance(raster, TiffImagePlugin.TiffImageFile) and (
            raster.mode in _SIXTEEN and raster.tag_v2.get(_PHOTOMETRIC) == 0
        )
        orientation = _orientation(raster.getexif().get(_ORIENTATION))
        if raster.mode in ("1", "LA"):
            raster = raster.convert("L")
        elif raster.mode not in ("L", "RGB", "RGBA", "I", *_SIXTEEN):
            raster = raster.convert("RGB")
        values = np.asarray(raster)
        if raster.mode == "I":  # 16-bit PNG in older versions of Pillow
            values = values.astype(np.uint16)
        return ~values if white_is_zero else values, orientation

    def _deep(self, frame: int) -> tuple[NDArray[Any], int] | None:
        """A page of more than 8 bits a channel or of floats; None when Pillow reads it as it is."""
        if self.format == "png":
            assert self.raster is not None
            with self.path.open("rb") as file:
                head = file.read(26)
                depth, channels = head[24], {2: 3, 4: 2, 6: 4}.get(head[25])
                if depth != 16 or channels is None:
                    return None
                shape: tuple[int, ...] = (self.raster.height, self.raster.width, channels)
                self.options.limits.check_frame(*shape)
                stream = head + file.read()
            orientation = _orientation(self.raster.getexif().get(_ORIENTATION))
            return decode(stream, Task("png", shape, "uint16", {}), self.options.limits), orientation
        if self.format != "tiff" or self._pillow_is_lossless():
            return None
        with tifffile.TiffFile(self.path) as tiff:
            page = tiff.pages[frame].aspage()
            shape, dtype = page.shape, np.dtype(page.dtype)
            palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
            inverse = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
            orientation = _orientation(page.tags.valueof(_ORIENTATION))
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)) or palette:
            raise ImageReadError(
                "a TIFF page of this layout is not supported",
                code="unsupported_layout",
                expected="grey or RGB, channels last",
                got=f"shape {shape}",
            )
        self.options.limits.check_frame(*shape)
        limits = self.options.limits
        values = decode(self.path.read_bytes(), Task("tiff", shape, dtype.name, {"page": frame}), limits)
        return ~values if inverse and dtype.kind == "u" else values, orientation

    def _pillow_is_lossless(self) -> bool:
        raster = self.raster
        if not isinstance(raster, TiffImagePlugin.TiffImageFile) or raster.mode not in _PLAIN:
            return False
        if raster.tag_v2.get(_ORIENTATION, 1) != 1:  # Pillow turns TIFF files itself, some of them wrongly
            return False
        return raster.mode in _SIXTEEN or max(raster.tag_v2.get(_BITS, (8,))) <= 8


def _orientation(value: Any) -> int:
    """An EXIF orientation; 1 (upright) when it is missing or nonsense."""
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
