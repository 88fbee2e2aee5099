"""Where a DICOM image and its frames lie in the patient, and when they were taken."""

from __future__ import annotations

from pydicom.dataset import Dataset

from xiqa.imaging.dicom.elements import BrokenElementError, numbers
from xiqa.imaging.dicom.groups import functional_group
from xiqa.imaging.planes import Plane

__all__ = ["frame_planes", "plane_of"]

# Attributes of an image; of a frame they stand in functional groups of these names (PS3.3 C.7.6.16).
_POSITION = ("PlanePositionSequence", "ImagePositionPatient")
_DIRECTION = ("PlaneOrientationSequence", "ImageOrientationPatient")
_TIMES = (
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("FrameContentSequence", "TemporalPositionIndex"),
)


def plane_of(data: Dataset) -> Plane | None:
    """The slice that an image of one frame is; None for one without a place, such as a radiograph."""
    origin, directions = _numbers(data, "ImagePositionPatient"), _numbers(data, "ImageOrientationPatient")
    if len(origin) != 3 or len(directions) != 6:
        return None
    number = _numbers(data, "InstanceNumber")
    time = _numbers(data, "TriggerTime") or _numbers(data, "TemporalPositionIdentifier")
    return Plane(
        tuple(origin),
        tuple(directions),
        _size(data),
        time[0] if time else None,
        int(number[0]) if number else 0,
        str(data.get("SOPInstanceUID") or ""),
    )


def frame_planes(data: Dataset, frames: int) -> list[Plane]:
    """The slices of an enhanced image's frames; empty unless each has a place."""
    planes = []
    for frame in range(frames):
        origin, directions = (_in_group(data, frame, *names) for names in (_POSITION, _DIRECTION))
        if len(origin) != 3 or len(directions) != 6:
            return []
        time = next((found for names in _TIMES if (found := _in_group(data, frame, *names))), None)
        planes.append(
            Plane(tuple(origin), tuple(directions), _size(data), time[0] if time else None, frame + 1)
        )
    return planes


def _in_group(data: Dataset, frame: int, group: str, keyword: str) -> list[float]:
    found = functional_group(data, frame, group)
    return [] if found is None else _numbers(found, keyword)


def _numbers(data: Dataset, keyword: str) -> list[float]:
    """An element's numbers; none where it holds others."""
    try:
        return numbers(data, keyword)
    except BrokenElementError:
        return []


def _size(data: Dataset) -> tuple[int, int]:
    return int(data.get("Rows") or 0), int(data.get("Columns") or 0)
