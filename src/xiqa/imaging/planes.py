r"""Where slices lie in the patient and when they were taken: their order, and what is wrong with it.

The *position* of a slice is the distance of its first pixel's centre from the patient's origin along the
slices' normal, :math:`p = o \cdot (r \times c)`, with the origin :math:`o` (ImagePositionPatient), and the
directions of rows :math:`r` and columns :math:`c` (ImageOrientationPatient), in millimetres.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plane", "in_order", "series_notes"]

_SAME = 0.01  # millimetres, and parts of a direction, within which two slices lie alike
_UNEVEN = 0.02  # of the usual step
_GAP = 1.5  # steps
_SHEARED = 0.5  # degrees
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice in the patient's space.

    Attributes:
        origin: Centre of the first pixel, millimetres.
        directions: Of the rows and of the columns, two unit vectors.
        size: (rows, columns).
        time: Trigger or delay time, or a temporal position; None where the image does not say.
        number: InstanceNumber or the frame's number.
        uid: SOPInstanceUID, empty for frames of one file.
    """

    origin: tuple[float, ...]
    directions: tuple[float, ...]
    size: tuple[int, int]
    time: float | None = None
    number: int = 0
    uid: str = ""

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice."""
        across = np.cross(self.directions[:3], self.directions[3:])
        return np.asarray(across / (np.linalg.norm(across) or 1.0))

    @property
    def kind(self) -> tuple[float, ...]:
        """What slices of one stack share: size and directions."""
        return (*self.size, *(round(part / _SAME) * _SAME + 0.0 for part in self.directions))


def in_order(planes: Sequence[Plane]) -> list[int]:
    """Indices by stack, position, time and number: never by the file's name."""
    kinds = list(dict.fromkeys(plane.kind for plane in planes))
    normals = {kind: next(plane for plane in planes if plane.kind == kind).normal for kind in kinds}

    def key(index: int) -> tuple[float, ...]:
        plane = planes[index]
        position = float(normals[plane.kind] @ np.asarray(plane.origin))
        time = -1.0 if plane.time is None else plane.time
        return kinds.index(plane.kind), round(position / _SAME), time, plane.number

    return sorted(range(len(planes)), key=key)


def series_notes(planes: Sequence[Plane]) -> tuple[str, ...]:
    """What a reader should know of slices in their order: mixtures, duplicates, gaps, tilt, numbers."""
    return (*_mixed(planes), *_duplicates(planes), *_steps(planes), *_tilt(planes), *_numbers(planes))


def _mixed(planes: Sequence[Plane]) -> Iterator[str]:
    kinds = Counter(plane.kind for plane in planes)
    if len(kinds) > 1:
        sizes = len({plane.size for plane in planes})
        told = f"{len(kinds)} stacks of different direction" if sizes == 1 else f"images of {sizes} sizes"
        yield f"mixed series: {told} ({', '.join(map(str, kinds.values()))} images)"


def _duplicates(planes: Sequence[Plane]) -> Iterator[str]:
    copies = len([plane for plane in planes if plane.uid]) - len({plane.uid for plane in planes if plane.uid})
    if copies:
        yield f"{copies} of the files hold an image that another holds, too (same SOP Instance UID)"
    known = {plane.uid: plane for plane in planes if plane.uid}
    distinct = [*known.values(), *(plane for plane in planes if not plane.uid)]
    places = Counter((plane.kind, plane.origin, plane.time) for plane in distinct)
    twice = sum(count - 1 for count in places.values())
    untimed = all(plane.time is None for plane in planes)
    if twice and not untimed:
        yield f"{twice} images lie where another one lies, at the same time"
    elif twice and len({plane.origin for plane in planes}) > 1:  # one place alone is a cine without times
        yield f"{twice} images lie where another one lies, and nothing tells their times"


def _steps(planes: Sequence[Plane]) -> Iterator[str]:
    positions = _positions(planes)
    if len(positions) < 3:
        return
    steps = np.diff(positions)
    usual = float(np.median(steps))
    wide = [place for place, step in enumerate(steps) if step > _GAP * usual]
    if steps.max() - steps.min() > _UNEVEN * usual:
        yield f"uneven: steps between slices from {steps.min():.2f} to {steps.max():.2f} mm"
    if wide and len(wide) <= len(steps) // 4:
        told = ", ".join(f"{positions[place]:.1f} and {positions[place + 1]:.1f}" for place in wide[:_LISTED])
        yield f"gap: wider than the usual step of {usual:.2f} mm between the slices at {told} mm"


def _positions(planes: Sequence[Plane]) -> list[float]:
    """The distinct positions of the first stack, rising."""
    stack = [plane for plane in planes if plane.kind == planes[0].kind]
    along = sorted(float(stack[0].normal @ np.asarray(plane.origin)) for plane in stack)
    return [p for place, p in enumerate(along) if place == 0 or p - along[place - 1] > _SAME]


def _tilt(planes: Sequence[Plane]) -> Iterator[str]:
    """A stack whose slices are shifted against each other, as by a tilted gantry."""
    stack = [plane for plane in planes if plane.kind == planes[0].kind]
    line = np.subtract(stack[-1].origin, stack[0].origin)
    length = float(np.linalg.norm(line))
    if length < _SAME:
        return
    angle = float(np.degrees(np.arccos(min(1.0, abs(float(line @ stack[0].normal)) / length))))
    if angle > _SHEARED:
        yield f"sheared: the slices' centres run at {angle:.1f} degrees to their normal (a tilted gantry)"


def _numbers(planes: Sequence[Plane]) -> Iterator[str]:
    numbers = {plane.number for plane in planes}
    if len(numbers) < 2 or len(numbers) < len(planes):
        return
    missing = sorted(set(range(min(numbers), max(numbers))) - numbers) if max(numbers) < 100_000 else []
    if missing:
        told = ", ".join(map(str, missing[:_LISTED])) + (", ..." if len(missing) > _LISTED else "")
        yield f"image numbers {told} are missing"
