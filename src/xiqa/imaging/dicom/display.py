r"""From stored values to display values in [0, 1]: the DICOM grey-scale pipeline.

Modality LUT, then VOI LUT, then Presentation LUT (PS3.4 N.2). Stored integers have at most 65,536 different
values, so the pipeline runs once over a table of them and the pixels are looked up in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.dicom.tables import Range, Table

__all__ = ["Display", "modality_range", "straight_line", "to_display", "to_modality"]

Values = NDArray[np.float64]


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
    bits stored (or the modality table) can express is scaled to [0, 1].

    Args:
        stored: Any shape.
        stored_range: Smallest and largest value that the bits stored can express; None for floats.
        display: The transforms.

    Raises:
        ImageReadError: ``range`` for floats outside of [0, 1] without a VOI transform.
    """
    values = to_modality(stored, display)
    if display.voi is not None:
        values = display.voi.spanned()(values)
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
        low, high = modality_range(display, stored_range or (0.0, 1.0))
        values = (values - low) / ((high - low) or 1)
    if display.presentation is not None:
        table = display.presentation.spanned()
        values = table(values * (len(table.entries) - 1) + table.first)
    if display.inverse:
        values = 1 - values
    return values.astype(np.float32)


def to_modality(stored: NDArray[Any], display: Display) -> Values:
    """Stored values after the modality table, or after slope and intercept."""
    values = np.asarray(stored, dtype=np.float64)
    if display.modality is not None:
        return display.modality(values)
    return np.asarray(values * display.slope + display.intercept)


def modality_range(display: Display, stored_range: Range) -> Range:
    """Smallest and largest modality value that can come of a range of stored values."""
    if display.modality is not None:
        return display.modality.span
    low, high = sorted(end * display.slope + display.intercept for end in stored_range)
    return low, high


def straight_line(display: Display, stored_range: Range | None) -> tuple[float, float] | None:
    """(zero, gain) where `to_display` is ``clip((stored - zero) * gain, 0, 1)``; None where it is not.

    Also None where float32, in which 16 bits have their exact place, could not tell ``zero`` within 1e-7 of
    the display's range.
    """
    if stored_range is None or display.modality or display.voi or display.presentation:
        return None
    low, high = modality_range(display, stored_range)
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
