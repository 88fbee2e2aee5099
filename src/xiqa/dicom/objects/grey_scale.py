"""The grey scale that an image was assessed in, as the transformations of a presentation state."""

from __future__ import annotations

from typing import Any, TypeVar

import highdicom as hd
import numpy as np
from highdicom import pr
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.tag import Tag

from xiqa.dicom.origin import Origin
from xiqa.dicom.pixels import used_display
from xiqa.imaging.dicom.display import Display, modality_range
from xiqa.imaging.dicom.tables import Range, Table
from xiqa.imaging.dicom.transforms import display_of

__all__ = ["grey_scale_of"]

_Lut = TypeVar("_Lut", hd.ModalityLUT, hd.VOILUT, hd.PresentationLUT)
_FULL = (1 << 16) - 1
_HALF = 1 << 15


def grey_scale_of(origin: Origin) -> dict[str, Any]:
    """Modality, VOI and Presentation LUT transformations, as arguments of highdicom's presentation state.

    All three are always written out. A presentation state replaces those of the image, and one that leaves
    the polarity of MONOCHROME1 or the range of an image without a window to the viewer is shown by no two
    viewers alike.

    Args:
        origin: The source image.

    Raises:
        ImageReadError: The source's tables or window cannot be used; or it has neither, and no pixels that
            could tell the range.
    """
    stored = _stored_range(origin.dataset)
    display = display_of(origin.dataset, origin.frame, stored)
    voi = _told(display) or _chosen(used_display(origin.dataset, origin.frame), stored)
    return {
        "modality_lut_transformation": _modality(display),
        "voi_lut_transformations": [voi],
        "presentation_lut_transformation": _presentation(display),
    }


def _modality(display: Display) -> hd.ModalityLUTTransformation:
    if display.modality is None:
        return hd.ModalityLUTTransformation(display.intercept, display.slope, "US")
    lut = hd.ModalityLUT("US", 0, display.modality.entries.astype(np.uint16))
    return hd.ModalityLUTTransformation(
        modality_lut=_starting_at(lut, display.modality.first, display.modality.bits)
    )


def _told(display: Display) -> pr.SoftcopyVOILUTTransformation | None:
    """The image's own table or window."""
    if display.voi is not None:
        lut = _starting_at(hd.VOILUT(0, _over_16_bits(display.voi)), display.voi.first)
        return pr.SoftcopyVOILUTTransformation(voi_luts=[lut])
    if display.window is None:
        return None
    function = None if display.function == "LINEAR" else display.function
    return pr.SoftcopyVOILUTTransformation(*display.window, voi_lut_function=function)


def _chosen(display: Display, stored: Range) -> pr.SoftcopyVOILUTTransformation:
    r"""The range that was shown of an image without window, as the linear window that every viewer knows.

    That window maps :math:`c - \frac12 - \frac{w - 1}{2}` to 0 and :math:`c - \frac12 + \frac{w - 1}{2}`
    to 1 (PS3.3 C.11.2.1.2.1).
    """
    low, high = modality_range(display, stored)
    centre, width = display.window or ((low + high) / 2, high - low)
    return pr.SoftcopyVOILUTTransformation(window_center=centre + 0.5, window_width=width + 1)


def _presentation(display: Display) -> hd.PresentationLUTTransformation:
    if display.presentation is not None:
        lut = _starting_at(hd.PresentationLUT(0, _over_16_bits(display.presentation)), 0)
        return hd.PresentationLUTTransformation(presentation_lut=lut)
    return hd.PresentationLUTTransformation(
        presentation_lut_shape=hd.PresentationLUTShapeValues("INVERSE" if display.inverse else "IDENTITY")
    )


def _stored_range(dataset: Dataset) -> Range:
    """Smallest and largest value that the bits stored can express."""
    bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16)
    half = 1 << (bits - 1)
    return (-half, half - 1) if dataset.get("PixelRepresentation") == 1 else (0, 2 * half - 1)


def _over_16_bits(table: Table) -> NDArray[np.uint16]:
    """The entries from the smallest to the largest over all 16 bits, which is how they are displayed here."""
    return np.asarray(np.rint(table.spanned().entries * _FULL), dtype=np.uint16)


def _starting_at(lut: _Lut, first: int, bits: int = 16) -> _Lut:
    """The table for inputs from ``first`` on; a negative one makes the descriptor signed."""
    count = lut.LUTDescriptor[0]
    signed = first < 0
    numbers = [count - 2 * _HALF if signed and count >= _HALF else count, first, bits]
    lut[Tag("LUTDescriptor")] = DataElement(Tag("LUTDescriptor"), "SS" if signed else "US", numbers)
    lut["LUTData"].VR = "OW"
    return lut
