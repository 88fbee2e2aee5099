"""DICOM images in display order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xiqa.errors import ImageReadError
from xiqa.imaging.blocks import blockwise, look_up, scale
from xiqa.imaging.dicom.contrast import with_range
from xiqa.imaging.dicom.display import Display, straight_line, to_display
from xiqa.imaging.dicom.elements import BrokenElementError, choice, numbers
from xiqa.imaging.dicom.groups import functional_group
from xiqa.imaging.dicom.header import IDENTIFIERS, Elements, read_header
from xiqa.imaging.dicom.mask import padding_range, shutter_mask
from xiqa.imaging.dicom.palette import palette_colours
from xiqa.imaging.dicom.pixels import PixelFormat, read_frame
from xiqa.imaging.dicom.position import frame_planes, plane_of
from xiqa.imaging.dicom.transforms import display_of
from xiqa.imaging.options import ReadOptions, printable
from xiqa.imaging.planes import Plane, in_order, series_notes
from xiqa.imaging.values import to_grey
from xiqa.types import FloatArray, Image, MaskArray, Source

__all__ = ["DicomReader", "shutter_group", "spacing_of"]

_UIDS = tuple(name for name in IDENTIFIERS if name.endswith("UID"))
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII)  # PS3.5 section 9.1


class DicomReader:
    """An open DICOM file; see `xiqa.imaging.options.Reader`."""

    def __init__(self, path: Path, format: str, options: ReadOptions) -> None:
        self.path, self.options = path, options
        self.file = path.open("rb")
        try:
            self.header = read_header(self.file, options.limits)
            self.format = PixelFormat.of(self.header, options.limits)
        except BaseException:
            self.file.close()
            raise
        self.frames = self.format.frames

    @property
    def planes(self) -> list[Plane]:
        """Where each frame lies in the patient; empty where the file does not say."""
        whole = plane_of(self.header.data)
        frames = frame_planes(self.header.data, self.frames)
        return frames or ([whole] if whole is not None and self.frames == 1 else [])

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the frames lie in the patient, as far as it is not plain."""
        planes = self.planes if self.frames > 1 else []
        order = in_order(planes)
        stored = ("the frames are not stored in the order of their positions",)
        notes = series_notes([planes[place] for place in order]) if planes else ()
        return (*notes, *(stored if order != sorted(order) else ()))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def read(self, frame: int) -> Image:
        """One frame in display order."""
        data, notes = self.header.data, list[str]()
        raw, plain, mask = self._stored(frame, notes)
        if raw.ndim == 3:
            pixels = np.divide(raw, np.float32((1 << self.format.bits) - 1), dtype=np.float32)
        elif self.format.photometric == "PALETTE COLOR":
            pixels, palette_notes = palette_colours(self.format.values(raw), data, self.format.stored_range)
            notes += palette_notes
        else:
            display = self._display(raw, plain, mask, frame)
            pixels = self._shown(raw, plain, display)
            notes = [*display.notes, *notes]
        spacing, spacing_notes = spacing_of(data, frame)
        identifiers, identifier_notes = _identifiers(data)
        return Image(
            pixels=to_grey(pixels) if self.options.grey else pixels,
            bits=self.format.bits,
            spacing=spacing,
            mask=mask,
            modality=str(data.get("Modality") or ""),
            source=Source(
                path=str(self.path),
                format="dicom",
                frame=frame,
                frames=self.frames,
                identifiers=identifiers,
                notes=(*notes, *spacing_notes, *identifier_notes),
            ),
        )

    def display(self, frame: int) -> Display:
        """The transforms that `read` applies to a grey frame, with the range that its pixels may decide."""
        raw, plain, mask = self._stored(frame, [])
        return self._display(raw, plain, mask, frame)

    def _stored(
        self, frame: int, notes: list[str]
    ) -> tuple[NDArray[Any], NDArray[Any] | None, MaskArray | None]:
        """The bit patterns of a frame, the same as numbers where they are, and which pixels count."""
        raw = read_frame(self.header, self.format, frame, self.options.limits)
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            raise ImageReadError("the pixels hold NaN or infinity", code="not_finite", expected="numbers")
        plain = self.format.numbers(raw) if raw.ndim == 2 else None
        shutter = shutter_mask(shutter_group(self.header.data, frame), raw.shape[:2], notes)
        return raw, plain, _both(self._not_padding(raw, plain, notes), shutter)

    def _display(
        self, raw: NDArray[Any], numbers: NDArray[Any] | None, mask: MaskArray | None, frame: int
    ) -> Display:
        """The transforms of a frame, with a range of grey values where the file names none."""
        data, stored = self.header.data, self.format.stored_range
        display = display_of(data, frame, stored)
        if display.voi is not None or display.window is not None or stored is None:
            return display
        values = self.format.values(raw) if numbers is None else numbers
        return with_range(display, values, mask, stored, self.format.bits, choice(data, "Modality"))

    def _shown(self, raw: NDArray[Any], numbers: NDArray[Any] | None, display: Display) -> FloatArray:
        """Grey patterns in display order.

        A window alone is computed, everything else is looked up in a table of all values where those are
        fewer than pixels.
        """
        format = self.format
        line = straight_line(display, format.stored_range)
        direct = None if line is None else scale(*line, clip=True)
        if numbers is not None and direct is not None:
            return blockwise(direct, numbers, np.dtype(np.float32))

        def compute(patterns: NDArray[Any], out: NDArray[Any]) -> None:
            if direct is not None:
                direct(format.values(patterns), out)
            else:
                out[...] = to_display(format.values(patterns), format.stored_range, display)

        patterns = 1 << (8 * raw.dtype.itemsize)
        if raw.dtype.kind == "f" or patterns > raw.size:
            return blockwise(compute, raw, np.dtype(np.float32))
        stored = np.empty(1 << format.bits, dtype=np.float32)
        compute(np.arange(stored.size) << format.shift, stored)
        unused_below = np.repeat(stored, 1 << format.shift)
        table = np.tile(unused_below, patterns // unused_below.size)
        return blockwise(look_up(table), raw, table.dtype)

    def _not_padding(
        self, raw: NDArray[Any], numbers: NDArray[Any] | None, notes: list[str]
    ) -> MaskArray | None:
        ends = padding_range(self.header.data, notes)
        if ends is None or raw.dtype.kind == "f" or raw.ndim == 3:
            return None
        first, last = (self.format.number(end) for end in ends)
        if numbers is not None and first <= last:
            if first == last:
                return np.asarray(numbers != first)
            return np.asarray((numbers < first) | (numbers > last))
        kind = raw.dtype.newbyteorder("=").type
        low, span = (kind(number % (1 << self.format.bits)) for number in (ends[0], ends[1] - ends[0]))
        shift, bits = kind(self.format.shift), kind((1 << self.format.bits) - 1)

        def counts(patterns: NDArray[Any], out: NDArray[Any]) -> None:
            np.greater(((patterns >> shift) - low) & bits, span, out=out)  # modulo 2^bits, so also signed

        return blockwise(counts, raw, np.dtype(np.bool_))


def _both(first: MaskArray | None, second: MaskArray | None) -> MaskArray | None:
    """Where both masks are true; None when every pixel counts."""
    masks = [mask for mask in (first, second) if mask is not None and not mask.all()]
    return masks[0] & masks[1] if len(masks) == 2 else next(iter(masks), None)


def shutter_group(data: Dataset, frame: int) -> Dataset:
    """Where the display shutter of one frame is described."""
    return functional_group(data, frame, "FrameDisplayShutterSequence") or data


def spacing_of(data: Dataset, frame: int) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Millimetres a pixel as (row, column), and what it is measured at."""
    measures = functional_group(data, frame, "PixelMeasuresSequence")
    notes: list[str] = []
    for group, keyword, note in (
        (measures, "PixelSpacing", ""),
        (data, "PixelSpacing", ""),
        (data, "ImagerPixelSpacing", "spacing is measured at the detector"),
        (data, "NominalScannedPixelSpacing", "spacing is measured on the scanned image"),
    ):
        value = [] if group is None else _millimetres(group, keyword, notes)
        if value:
            return (value[0], value[1]), (*notes, note) if note else tuple(notes)
    return None, tuple(notes)


def _millimetres(group: Dataset, keyword: str, notes: list[str]) -> list[float]:
    """Two lengths above zero; none where the element has others, with a note."""
    try:
        value = numbers(group, keyword, notes)
    except BrokenElementError as error:
        notes.append(f"{error}; it was left out")
        return []
    if not value or (len(value) == 2 and min(value) > 0):
        return value
    notes.append(f"{keyword} is {value} instead of two lengths; it was left out")
    return []


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _identifiers(data: Elements) -> tuple[dict[str, str], tuple[str, ...]]:
    """The identifiers as text without control characters, and a note on those that are no legal UID.

    They are what the file says: never part of a path or of a page without quoting.
    """
    texts = {name: printable(data.text(name))[:1024] for name in IDENTIFIERS}
    illegal = [name for name in _UIDS if (text := texts[name]) and not _is_uid(text)]
    notes = tuple(f"{name} is not a legal UID" for name in illegal)
    return {name: text for name, text in texts.items() if text}, notes
