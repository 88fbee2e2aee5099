r"""From stored values to display values in [0, 1]: the DICOM grey-scale pipeline.

Modality LUT, then VOI LUT, then Presentation LUT (PS3.4 N.2). Stored integers have at most 65,536 different
values, so the pipeline runs once over a table of them and the pixels are looked up in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xiqa.errors import ImageReadError

__all__ = ["Display", "display_of", "straight_line", "to_display"]

Values = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table of a DICOM LUT sequence: entry i is for the input ``first + i``."""

    entries: Values
    first: int
    bits: int

    def __call__(self, values: Values) -> Values:
        """Inputs outside the table take its first or last entry (PS3.3 C.11.1.1)."""
        index = (np.rint(values) - self.first).clip(0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index]


@dataclass(frozen=True, slots=True)
class Display:
    """The transforms of one frame.

    Attributes:
        slope: Rescale slope, where there is no modality table.
        intercept: Rescale intercept.
        modality: Modality LUT sequence, or None.
        voi: VOI LUT sequence, or None.
        window: (centre, width), or None.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
        presentation: Presentation LUT sequence, or None.
        inverse: Low values are to be shown bright.
        notes: What was chosen.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: Table | None = None
    voi: Table | None = None
    window: tuple[float, float] | None = None
    function: str = "LINEAR"
    presentation: Table | None = None
    inverse: bool = False
    notes: tuple[str, ...] = ()


def to_display(stored: NDArray[Any], stored_range: Range | None, display: Display) -> NDArray[np.float32]:
    r"""Stored values as display values in [0, 1].

    Window, with :math:`c, w` its centre and width and :math:`x` the modality value (PS3.3 C.11.2.1.2):

    .. math::
        \text{LINEAR}:\; \frac{x - (c - \frac12)}{w - 1} + \frac12 \qquad
        \text{LINEAR\_EXACT}:\; \frac{x - c}{w} + \frac12 \qquad
        \text{SIGMOID}:\; \frac{1}{1 + e^{-4 (x - c) / w}}

    clipped to [0, 1]. A VOI table is scaled by its own smallest and largest entry. With neither, what the
    bits stored can express is scaled to [0, 1].

    Args:
        stored: Any shape.
        stored_range: Smallest and largest value that the bits stored can express; None for floats.
        display: The transforms.

    Raises:
        ImageReadError: ``range`` for floats outside of [0, 1] without a VOI transform.
    """
    values = np.asarray(stored, dtype=np.float64)
    if display.modality is not None:
        values, low, high = display.modality(values), 0.0, 2.0**display.modality.bits - 1
    else:
        values = values * display.slope + display.intercept
        low, high = sorted(end * display.slope + display.intercept for end in stored_range or (0.0, 1.0))
    if display.voi is not None:
        values = _spanned(display.voi)(values)
    elif display.window is not None:
        values = _windowed(values, *display.window, display.function)
    elif stored_range is None and (values.min() < 0 or values.max() > 1):
        raise ImageReadError(
            "floating point pixels without a window",
            code="range",
            expected="values in [0, 1] or a VOI window",
            got=f"[{values.min():g}, {values.max():g}]",
        )
    else:
        values = (values - low) / (high - low)
    if display.presentation is not None:
        table = _spanned(display.presentation)
        values = table(values * (len(table.entries) - 1) + table.first)
    if display.inverse:
        values = 1 - values
    return values.astype(np.float32)


def straight_line(display: Display, stored_range: Range | None) -> tuple[float, float] | None:
    """(zero, gain) where `to_display` is ``clip((stored - zero) * gain, 0, 1)``; None where it is not.

    Also None where float32, in which 16 bits have their exact place, could not tell ``zero`` within 1e-7 of
    the display's range.
    """
    if stored_range is None or display.modality or display.voi or display.presentation:
        return None
    low, high = sorted(end * display.slope + display.intercept for end in stored_range)
    if display.window is not None:
        if display.function == "SIGMOID":
            return None
        centre, width = display.window
        if display.function == "LINEAR":
            centre, width = centre - 0.5, width - 1
        low, high = centre - width / 2, centre + width / 2
    if high == low or max(map(abs, stored_range)) >= 1 << 24:
        return None
    black, white = (high, low) if display.inverse else (low, high)
    zero, gain = (black - display.intercept) / display.slope, display.slope / (white - black)
    return (zero, gain) if abs(float(np.float32(zero)) - zero) * abs(gain) < 1e-7 else None


def _windowed(values: Values, centre: float, width: float, function: str) -> Values:
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
        if width == 0:
            return (values > centre).astype(np.float64)
    return np.asarray(((values - centre) / width + 0.5).clip(0, 1))


def _spanned(table: Table) -> Table:
    low, high = table.entries.min(), table.entries.max()
    return Table((table.entries - low) / ((high - low) or 1), table.first, table.bits)


def display_of(data: Dataset, frame: int) -> Display:
    """The transforms that a data set prescribes for one frame.

    Of several VOI transforms the first is taken: a table before a window, and the frame's own functional
    groups before those shared by all frames and the data set's own attributes.

    Raises:
        ImageReadError: ``bad_rescale``, ``bad_window`` or ``bad_lut``.
    """
    groups = _groups(data, frame)
    notes: list[str] = []
    modality = _first_table(data, "ModalityLUTSequence", "Modality LUT", notes)
    slope, intercept = (1.0, 0.0) if modality else _rescale(groups)
    voi = window = None
    function = "LINEAR"
    for group in groups:
        voi = _first_table(group, "VOILUTSequence", "VOI LUT", notes)
        if voi is None:
            window, function = _window(group, notes)
        if voi or window:
            break
    else:
        notes.append("no VOI transform: the range of the bits stored is shown")
    presentation = _first_table(data, "PresentationLUTSequence", "Presentation LUT", notes)
    shape = data.get("PresentationLUTShape") or "IDENTITY"
    if shape not in ("IDENTITY", "INVERSE"):
        notes.append(f"Presentation LUT Shape {shape} is not for displays and was ignored")
    monochrome1 = data.get("PhotometricInterpretation") == "MONOCHROME1"
    inverse = shape == "INVERSE" if data.get("PresentationLUTShape") else monochrome1
    inverse = inverse and presentation is None
    if data.get("PresentationIntentType") == "FOR PROCESSING":
        notes.append("FOR PROCESSING: not meant for display by its maker")
    return Display(slope, intercept, modality, voi, window, function, presentation, inverse, tuple(notes))


def _groups(data: Dataset, frame: int) -> list[Dataset]:
    """Where the frame's attributes may stand, the most specific first."""
    found = []
    per_frame, shared = (
        data.get("PerFrameFunctionalGroupsSequence"),
        data.get("SharedFunctionalGroupsSequence"),
    )
    for group in (per_frame[frame] if per_frame and frame < len(per_frame) else None, shared and shared[0]):
        if group:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                found.extend(list(group.get(name) or [])[:1])
    return [*found, data]


def _rescale(groups: list[Dataset]) -> tuple[float, float]:
    for group in groups:
        slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
        if slope is not None or intercept is not None:
            slope = 1.0 if slope is None else float(slope)
            intercept = float(intercept or 0)
            if slope == 0 or not np.isfinite([slope, intercept]).all():
                raise ImageReadError(
                    "the rescale slope makes every pixel the same",
                    code="bad_rescale",
                    expected="a finite slope other than 0",
                    got=f"slope {slope:g}, intercept {intercept:g}",
                )
            return slope, intercept
    return 1.0, 0.0


def _window(group: Dataset, notes: list[str]) -> tuple[tuple[float, float] | None, str]:
    """The first window of a group and the function it is applied with."""
    centres, widths = _numbers(group.get("WindowCenter")), _numbers(group.get("WindowWidth"))
    function = str(group.get("VOILUTFunction") or "LINEAR")
    if not centres or not widths:
        return None, function
    centre, width = centres[0], widths[0]
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageReadError("unknown VOI LUT function", code="bad_window", got=function)
    smallest = "at least 1" if function == "LINEAR" else "above 0"
    if not np.isfinite([centre, width]).all() or width <= 0 or (function == "LINEAR" and width < 1):
        raise ImageReadError(
            "the window cannot be applied",
            code="bad_window",
            expected=f"a width {smallest} for {function}",
            got=f"centre {centre:g}, width {width:g}",
        )
    if len(centres) > 1:
        notes.append(f"the first of {len(centres)} windows was applied: centre {centre:g}, width {width:g}")
    return (centre, width), function


def _numbers(value: Any) -> list[float]:
    if value is None or value == "":
        return []
    return [float(number) for number in (value if hasattr(value, "__iter__") else [value])]


def _first_table(data: Dataset, keyword: str, name: str, notes: list[str]) -> Table | None:
    """The first table of a LUT sequence."""
    items = data.get(keyword)
    if not items:
        return None
    if len(items) > 1:
        notes.append(f"the first of {len(items)} {name}s was applied")
    descriptor, raw = items[0].get("LUTDescriptor"), items[0].get("LUTData")
    try:
        count, first, bits = (int(number) for number in descriptor)
        count = count or 65536
        if isinstance(raw, bytes):
            entries = np.frombuffer(raw, dtype="u1" if len(raw) == count else "<u2")
        else:
            entries = np.atleast_1d(np.asarray(raw))
        if len(entries) < count or not 1 <= bits <= 16:
            raise ValueError(f"{len(entries)} entries of {bits} bits, {count} are described")
    except (TypeError, ValueError) as error:
        raise ImageReadError(f"the {name} cannot be used", code="bad_lut", got=str(error)) from error
    return Table(entries[:count].astype(np.float64), first, bits)
