"""The transforms that a DICOM data set prescribes for the display of a frame."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from xiqa.errors import ImageReadError
from xiqa.imaging.dicom.display import Display, modality_range
from xiqa.imaging.dicom.elements import BrokenElementError, choice, numbers
from xiqa.imaging.dicom.tables import Range, Table, first_table

__all__ = ["display_of"]

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def display_of(data: Dataset, frame: int, stored_range: Range | None = None) -> Display:
    """The transforms that a data set prescribes for one frame.

    Of several VOI transforms the first is taken: a table before a window, and the frame's own functional
    groups before those shared by all frames and the data set's own attributes.

    Args:
        data: The header.
        frame: Which frame.
        stored_range: Smallest and largest stored value that can be expressed; None for floats.

    Raises:
        ImageReadError: ``bad_rescale``, ``bad_window`` or ``bad_lut``.
    """
    groups = _groups(data, frame)
    notes: list[str] = []
    modality = first_table(data, "ModalityLUTSequence", "Modality LUT", notes, stored_range)
    slope, intercept = (1.0, 0.0) if modality else _rescale(groups, notes)
    inputs = modality_range(Display(slope, intercept, modality), stored_range) if stored_range else None
    voi, window, function = _voi(groups, notes, inputs)
    presentation = first_table(data, "PresentationLUTSequence", "Presentation LUT", notes, None)
    inverse = _inverse(data, presentation, notes)
    if choice(data, "PresentationIntentType") == "FOR PROCESSING":
        notes.append("FOR PROCESSING: not meant for display by its maker")
    return Display(slope, intercept, modality, voi, window, function, presentation, inverse, tuple(notes))


def _groups(data: Dataset, frame: int) -> list[Dataset]:
    """Where the frame's attributes may stand, the most specific first."""
    transforms = []
    per_frame, shared = (
        data.get("PerFrameFunctionalGroupsSequence"),
        data.get("SharedFunctionalGroupsSequence"),
    )
    for group in (per_frame[frame] if per_frame and frame < len(per_frame) else None, shared and shared[0]):
        if group:
            for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                transforms.extend(list(group.get(name) or [])[:1])
    return [*transforms, data]


def _rescale(groups: list[Dataset], notes: list[str]) -> tuple[float, float]:
    for group in groups:
        try:
            slopes, intercepts = (numbers(group, f"Rescale{name}", notes) for name in ("Slope", "Intercept"))
        except BrokenElementError as error:
            raise ImageReadError(
                "the rescaling cannot be applied", code="bad_rescale", got=str(error)
            ) from None
        if slopes or intercepts:
            slope, intercept = (
                _single("RescaleSlope", slopes, 1.0),
                _single("RescaleIntercept", intercepts, 0.0),
            )
            if slope == 0:
                raise ImageReadError(
                    "the rescale slope makes every pixel the same",
                    code="bad_rescale",
                    expected="a finite RescaleSlope other than 0",
                    got=f"slope {slope:g}, intercept {intercept:g}",
                )
            return slope, intercept
    return 1.0, 0.0


def _single(keyword: str, values: list[float], default: float) -> float:
    if len(set(values)) > 1:
        raise ImageReadError(
            f"{keyword} has several values", code="bad_rescale", expected="one number", got=str(values)[:80]
        )
    return values[0] if values else default


def _voi(
    groups: list[Dataset], notes: list[str], inputs: Range | None
) -> tuple[Table | None, tuple[float, float] | None, str]:
    """The first VOI table or window with its function; neither where no group has one."""
    for group in groups:
        table = first_table(group, "VOILUTSequence", "VOI LUT", notes, inputs)
        if table is not None:
            return table, None, "LINEAR"
        window, function = _window(group, notes)
        if window is not None:
            return None, window, function
    return None, None, "LINEAR"


def _window(group: Dataset, notes: list[str]) -> tuple[tuple[float, float] | None, str]:
    """The first window of a group and the function it is applied with.

    A width of 0 with a centre of 0 or 1 is what writers put down who have no window.
    """
    function = choice(group, "VOILUTFunction") or "LINEAR"
    try:
        centres, widths = (numbers(group, f"Window{name}", notes) for name in ("Center", "Width"))
    except BrokenElementError as error:
        notes.append(f"the window was left out: {error}")
        return None, function
    if bool(centres) != bool(widths):
        notes.append(f"the window was left out: Window{'Width' if centres else 'Center'} is missing")
    pairs = list(zip(centres, widths, strict=False))
    used = [pair for pair in pairs if pair[1] != 0 or pair[0] not in (0, 1)]
    if len(used) < len(pairs):
        notes.append("a window of WindowWidth 0 counts as none")
    if not used:
        return None, function
    _check_window(*used[0], function)
    if len(pairs) > 1:
        which = "first" if used[0] == pairs[0] else "first usable"
        centre, width = used[0]
        notes.append(f"the {which} of {len(pairs)} windows was applied: centre {centre:g}, width {width:g}")
    return used[0], function


def _check_window(centre: float, width: float, function: str) -> None:
    if function not in _FUNCTIONS:
        raise ImageReadError(
            "unknown VOILUTFunction", code="bad_window", expected=", ".join(_FUNCTIONS), got=function[:40]
        )
    smallest = "at least 1" if function == "LINEAR" else "above 0"
    if not np.isfinite([centre, width]).all() or width <= 0 or (function == "LINEAR" and width < 1):
        raise ImageReadError(
            "the window cannot be applied",
            code="bad_window",
            expected=f"a WindowWidth {smallest} for {function}",
            got=f"centre {centre:g}, width {width:g}",
        )


def _inverse(data: Dataset, presentation: Table | None, notes: list[str]) -> bool:
    """Whether low values are bright.

    A usable Presentation LUT Shape decides before the Photometric Interpretation, as highdicom has it.
    """
    shape, photometric = choice(data, "PresentationLUTShape"), choice(data, "PhotometricInterpretation")
    if shape and shape not in ("IDENTITY", "INVERSE"):
        notes.append(f"Presentation LUT Shape {shape} is not for displays and was ignored")
        shape = ""
    if (shape, photometric) in (("IDENTITY", "MONOCHROME1"), ("INVERSE", "MONOCHROME2")):
        notes.append(f"{photometric} with Presentation LUT Shape {shape}: they contradict each other")
    inverse = shape == "INVERSE" if shape else photometric == "MONOCHROME1"
    return inverse and presentation is None
