"""TIFF files: page by page, by Pillow where it loses nothing, else by tifffile in the decoding process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Raster
from PIL import TiffImagePlugin, UnidentifiedImageError

from xiqa.errors import ImageReadError
from xiqa.imaging.decoding import Task, decode
from xiqa.imaging.raster import ORIENTATION, SIXTEEN, RasterReader, orientation_of, plain_values

__all__ = ["TiffReader"]

_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_PARTS = ((273, 279), (324, 325))  # offsets and byte counts of strips, and of tiles
_JPEG = 7
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", *SIXTEEN)


class TiffReader(RasterReader):
    """An open TIFF file.

    Pillow decodes; what it would reduce to 8 bits or cannot read at all (16-bit colour, 9 to 15 bits,
    floats), and JPEG, whose damage it keeps to itself, goes through tifffile.
    """

    raster: Raster.Image | None = None

    def _look(self) -> None:
        try:
            self.raster = Raster.open(self.file, formats=["TIFF"])
        except UnidentifiedImageError:
            self.file.seek(0)
        self.frames = self._count_pages()

    def close(self) -> None:
        """Close the file."""
        if self.raster is not None:
            self.raster.close()
        super().close()

    def _values(self, frame: int, notes: list[str]) -> tuple[NDArray[Any], int, int]:
        if isinstance(self.raster, TiffImagePlugin.TiffImageFile):
            self.raster.seek(frame)
            if _is_lossless(self.raster):
                return self._plain(self.raster)
        return self._deep(frame)

    def _count_pages(self) -> int:
        """How many pages there are; no more of them than allowed are looked at."""
        if self.raster is None:
            with tifffile.TiffFile(self.file) as file:
                return len(file.pages)
        pages = 1
        try:
            while True:
                self.raster.seek(pages)
                pages += 1
                self.options.limits.check_frames(pages)
        except EOFError:
            return pages

    def _plain(self, raster: TiffImagePlugin.TiffImageFile) -> tuple[NDArray[Any], int, int]:
        """A page that Pillow reads."""
        self.options.limits.check_frame(raster.height, raster.width, len(raster.getbands()))
        bits = sum(raster.tag_v2.get(_BITS, (1,)))
        raw = raster.height * -(-raster.width * bits // 8)
        for offsets, counts in _PARTS:
            if offsets in raster.tag_v2:
                needed = raw if raster.tag_v2.get(_COMPRESSION, 1) == 1 else 0
                self._check_parts(raster.tag_v2[offsets], raster.tag_v2.get(counts, ()), needed)
        white_is_zero = raster.mode in SIXTEEN and raster.tag_v2.get(_PHOTOMETRIC) == 0
        orientation = orientation_of(raster.getexif())
        values = plain_values(raster)
        return ~values if white_is_zero else values, 8 * values.dtype.itemsize, orientation

    def _deep(self, frame: int) -> tuple[NDArray[Any], int, int]:
        """A page that tifffile reads."""
        self.file.seek(0)
        with tifffile.TiffFile(self.file) as tiff:
            page = tiff.pages[frame].aspage()
            shape, dtype, bits = page.shape, np.dtype(page.dtype), int(page.bitspersample)
            palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
            inverse = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
            apart = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and len(shape) == 3
            orientation = orientation_of({ORIENTATION: page.tags.valueof(ORIENTATION)})
            raw = 0 if page.compression != 1 else int(np.prod(shape, dtype=float)) * bits // 8
            self._check_parts(page.dataoffsets, page.databytecounts, raw)
        channels = shape[0 if apart else 2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in (1, 2, 3, 4) or palette:
            raise ImageReadError(
                "a TIFF page of this layout is not supported",
                code="unsupported_layout",
                expected="grey or RGB",
                got=f"shape {shape}",
            )
        self.options.limits.check_frame(*shape)
        self.file.seek(0)
        values = decode(self.file, Task("tiff", shape, dtype.name, {"page": frame}), self.options.limits)
        if apart:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3 and channels == 1:
            values = values[..., 0]
        if inverse and dtype.kind == "u":
            values = dtype.type((1 << bits) - 1) - values
        return values, bits if dtype.kind == "u" else 8 * dtype.itemsize, orientation

    def _check_parts(self, offsets: Iterable[int], counts: Iterable[int], needed: int) -> None:
        """Refuse a page some of whose strips or tiles are not in the file; decoders give zeros for them.

        Args:
            offsets: Where they start.
            counts: Their bytes.
            needed: Bytes of all of them, where that is known.
        """
        starts, sizes = np.asarray(list(offsets), np.float64), np.asarray(list(counts), np.float64)
        if len(starts) != len(sizes):
            sizes, needed = np.ones_like(starts), 0  # without byte counts it is known only that they exist
        missing = (starts <= 0) | (sizes <= 0)
        if missing.any():
            raise ImageReadError(
                "the image is damaged",
                code="damaged",
                got=f"{int(missing.sum())} of {len(starts)} strips or tiles have no place in the file",
            )
        if sizes.sum() < needed:
            raise ImageReadError(
                "the image is damaged",
                code="damaged",
                expected=f"{needed:,} bytes of pixels",
                got=f"{int(sizes.sum()):,} in its strips or tiles",
            )
        if (starts + sizes > self.size).any():
            raise ImageReadError(
                "the image is cut off",
                code="truncated",
                got=f"a strip or tile that ends at byte {int((starts + sizes).max()):,} of {self.size:,}",
            )


def _is_lossless(raster: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether Pillow reads a page as it is."""
    if raster.mode not in _PLAIN or raster.tag_v2.get(_COMPRESSION) == _JPEG:
        return False
    if raster.tag_v2.get(ORIENTATION, 1) != 1:  # Pillow turns TIFF files itself, some of them wrongly
        return False
    bits = raster.tag_v2.get(_BITS, (1,))
    return set(bits) == {16} if raster.mode in SIXTEEN else max(bits) <= 8
