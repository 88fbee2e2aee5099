"""Slices of NIfTI volumes.

Which way up? With ``axis="stored"`` the file's first axis runs along the columns and its second along the
rows; slices follow the third axis, then time. The other axes first turn the volume to the nearest axes of the
patient (from the header's affine) and show slices as radiologists see them:

========== ================== ===================== =======================
axis       left of the image  top of the image      slices go
========== ================== ===================== =======================
axial      patient's right    anterior              from feet to head
coronal    patient's right    head                  from back to front
sagittal   anterior           head                  from left to right
========== ================== ===================== =======================
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.inflate import Inflated
from xiqa.imaging.options import ReadOptions
from xiqa.types import Image, Source

__all__ = ["NiftiReader"]

# Axis codes of (columns, rows, slices): the ends that the axes run towards.
_LONGEST = 540  # bytes of a NIfTI-2 header
_CODES = {"axial": "LPS", "coronal": "LIA", "sagittal": "PIR"}


class NiftiReader:
    """An open NIfTI-1 or NIfTI-2 file, gzipped or not; see `xiqa.imaging.options.Reader`.

    Values are scaled from the header's display range (``cal_min``, ``cal_max``) to [0, 1] and clipped, or
    from the volume's own smallest and largest value, and the notes say which.
    """

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None:
        self.path, self.options = path, options
        with path.open("rb") as raw:
            self.header, self.volume = self._load(raw)
        if not np.isfinite(self.volume).all():
            raise ImageReadError("the volume holds NaN or infinity", code="not_finite", expected="numbers")
        self.spacing = np.asarray(self.header.get_zooms(), dtype=float)[:2]
        if options.axis != "stored":
            self._turn(_CODES[options.axis])
        self.frames = int(np.prod(self.volume.shape[2:]))
        options.limits.check_frames(self.frames)
        self.note = "scaled by the header's display range"
        low, high = float(self.header["cal_min"]), float(self.header["cal_max"])
        if not low < high:
            low, high = float(self.volume.min()), float(self.volume.max())
            low = low if low < high else min(low, 0.0)  # one value everywhere is no darkness
            self.note = f"scaled by the volume's own range, {low:g} to {high:g}"
        self.low, self.high = low, high

    @property
    def affine(self) -> NDArray[np.float64] | None:
        """(column, row, slice) to millimetres; None where the volume was turned, or goes over time."""
        plain = self.options.axis == "stored" and self.volume.ndim == 3
        return np.asarray(self.header.get_best_affine(), dtype=np.float64) if plain else None

    @property
    def notes(self) -> tuple[str, ...]:
        """How the frames of a volume over time are counted; that nothing tells where it lies."""
        shape, notes = self.volume.shape[2:], []
        if len(shape) > 1 and min(shape) > 1:
            times = self.frames // shape[0]
            notes.append(f"{shape[0]} slices at {times} times: all slices of a time, then the next")
        if not (int(self.header["sform_code"]) or int(self.header["qform_code"])):
            notes.append("the file does not say where it lies in the patient: its axes are taken to be RAS")
        return tuple(notes)

    def close(self) -> None:
        """Let go of the volume."""
        del self.volume

    def read(self, frame: int) -> Image:
        """One slice."""
        volume = self.volume.reshape(*self.volume.shape[:2], -1, order="F")
        values = volume[:, :, frame].T.astype(np.float64)
        scaled = ((values - self.low) / ((self.high - self.low) or 1.0)).clip(0, 1)
        column, row = self.spacing
        return Image(
            np.ascontiguousarray(scaled, dtype=np.float32),
            bits=int(self.header["bitpix"]),
            spacing=(float(row), float(column)) if row > 0 and column > 0 else None,
            source=Source(str(self.path), "nifti", frame, self.frames, notes=(self.note,)),
        )

    def _load(self, file: Any) -> tuple[Any, NDArray[Any]]:
        """The header and the volume ``(columns, rows, slices, ...)`` of an open file."""
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        inflated = Inflated(file) if zipped else None
        start = (inflated or file).read(_LONGEST)
        kind = nibabel.Nifti1Header if start[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c") else nibabel.Nifti2Header
        header = kind.from_fileobj(io.BytesIO(start))
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        if len(shape) < 2 or dtype.kind not in "iuf":
            raise ImageReadError(
                "the volume is no stack of grey slices", code="unsupported_layout", got=f"{shape} of {dtype}"
            )
        limits = self.options.limits
        limits.check_frame(int(shape[1]), int(shape[0]))
        limits.check_frames(int(np.prod(shape[2:], dtype=float)))
        limits.check_frame(int(np.prod(shape, dtype=float)), 1)  # the whole volume is kept
        offset, size = int(header.get_data_offset()), int(np.prod(shape)) * dtype.itemsize
        if inflated is None:
            file.seek(offset)
            data = file.read(size)
        else:
            inflated.skip(offset - len(start), limits.header)
            data = start[offset:] + inflated.read(size - max(0, len(start) - offset))
            inflated.finish(limits.header)
        if len(data) < size:
            raise ImageReadError(
                "the volume is cut off", code="truncated", expected=f"{size:,} bytes", got=f"{len(data):,}"
            )
        volume = np.frombuffer(data, dtype=dtype).reshape(shape, order="F")
        slope, intercept = header.get_slope_inter()
        if slope not in (None, 1) or intercept not in (None, 0):
            volume = (volume * np.float32(slope or 1) + np.float32(intercept or 0)).astype(np.float32)
        return header, volume

    def _turn(self, codes: str) -> None:
        """Put the volume's axes along (columns, rows, slices) of a view of the patient."""
        if self.volume.ndim < 3:
            raise ImageReadError(
                "a flat image has no other axis", code="unsupported_layout", got="2 dimensions"
            )
        orientation = io_orientation(self.header.get_best_affine())
        wanted = ornt_transform(orientation, axcodes2ornt(codes))
        self.volume = apply_orientation(self.volume, wanted)
        zooms = np.asarray(self.header.get_zooms(), dtype=float)[:3]
        self.spacing = zooms[np.argsort(wanted[:, 0])][:2]
