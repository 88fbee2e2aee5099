"""NumPy arrays in ``.npy`` files, never pickled ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xiqa.errors import ImageReadError
from xiqa.imaging.options import ReadOptions
from xiqa.imaging.values import narrowed, to_grey, to_unit
from xiqa.types import Image, Source

__all__ = ["NpyReader"]

_LOOKED_AT = 1 << 28  # bytes


class NpyReader:
    """An open ``.npy`` file; see `xiqa.imaging.options.Reader`.

    ``(H, W)`` is one grey image, ``(H, W, 3)`` one in colour, ``(N, H, W)`` and ``(N, H, W, 3)`` are N
    frames. A last axis of 1 or 4 behind one of more than 4 stands for grey, and for colour with transparency.
    The file is mapped, so only the frame that is asked for is read.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None:
        self.path, self.options = path, options
        try:
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            short = "mmap length" in str(error)
            raise ImageReadError(
                "the array is cut off" if short else "not an array of numbers",
                code="truncated" if short else "corrupt",
                got=str(error),
            ) from error
        shape = self.array.shape
        channels = len(shape) >= 3 and (shape[-1] == 3 or (shape[-1] in (1, 4) and shape[-2] > 4))
        self.channels = int(shape[-1]) if channels else 0
        dimensions = len(shape) - channels
        if dimensions not in (2, 3):
            raise ImageReadError(
                "the array is no image",
                code="unsupported_layout",
                expected="shape (H, W), (H, W, 3), (N, H, W) or (N, H, W, 3)",
                got=f"{shape}",
            )
        self.stacked = dimensions == 3
        rows, columns = shape[self.stacked : self.stacked + 2]
        options.limits.check_frame(rows, columns, self.channels or 1)
        self.frames = int(shape[0]) if self.stacked else 1
        options.limits.check_frames(self.frames)
        # all frames by the same bits; of many some are looked at
        few = self.array[:: max(1, self.array.nbytes // _LOOKED_AT)] if self.stacked else self.array
        self._notes: list[str] = []
        used = narrowed(few, 16, self._notes)
        self._bits = used if self._notes else None

    def close(self) -> None:
        """Unmap the file."""
        del self.array

    def read(self, frame: int) -> Image:
        """One frame."""
        values = self.array[frame] if self.stacked else self.array
        notes = list(self._notes)
        if self.channels == 1:
            values = values[..., 0]
        elif self.channels == 4:
            values = values[..., :3]
            notes.append("transparency was dropped")
        pixels, bits = to_unit(np.asarray(values), self._bits)
        source = Source(str(self.path), "numpy", frame, self.frames, notes=tuple(notes))
        return Image(to_grey(pixels) if self.options.grey else pixels, bits=bits, source=source)
