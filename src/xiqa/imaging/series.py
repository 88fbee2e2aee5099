"""Files that are the slices of one series, in the order of their positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from xiqa.errors import ImageReadError
from xiqa.imaging.limits import DEFAULT_LIMITS
from xiqa.imaging.planes import Plane, in_order, series_notes
from xiqa.imaging.sniff import sniff

__all__ = ["Series", "find_series"]


@dataclass(frozen=True, slots=True)
class Series:
    """Two or more DICOM files that are slices of one series.

    Attributes:
        uid: SeriesInstanceUID.
        paths: The files, by position in the patient, then by time; never by name.
        notes: Gaps, duplicates, mixtures, a tilted gantry.
    """

    uid: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def _never(path: Path) -> bool:
    """No file is known to stand alone."""
    return False


def find_series(paths: Iterable[str | Path], alone: Callable[[Path], bool] = _never) -> list[Path | Series]:
    """Files, with those that are slices of one series put together, in the order of the first of each.

    Slices are what has a place in the patient (ImagePositionPatient) and one frame: CT, MR, PET. Radiographs
    stand alone even where they share a series, and so does what cannot be read. Headers alone are looked at.

    Args:
        paths: The files.
        alone: Says of a file, without reading it, that it is known to be no slice.
    """
    found: dict[object, list[tuple[Path, Plane]]] = {}
    single: dict[object, Path] = {}
    for path in map(Path, paths):
        slice_ = None if alone(path) else _slice(path)
        if slice_ is None:
            single[path] = path
            found.setdefault(path, [])
        else:
            found.setdefault(slice_[0], []).append((path, slice_[1]))
    return [single[key] if key in single else _together(str(key), slices) for key, slices in found.items()]


def _together(uid: str, slices: list[tuple[Path, Plane]]) -> Path | Series:
    """A series in order; a slice that has no other stands alone."""
    if len(slices) == 1:
        return slices[0][0]
    order = in_order([plane for _, plane in slices])
    notes = series_notes([slices[place][1] for place in order])
    return Series(uid, tuple(slices[place][0] for place in order), notes)


def _slice(path: Path) -> tuple[str, Plane] | None:
    """The series and the place of a slice; None for every other file."""
    try:
        with path.open("rb") as file:
            return _dicom_slice(file) if sniff(file) == "dicom" else None
    except (ImageReadError, OSError, ValueError):
        return None  # whoever assesses it says why


def _dicom_slice(file: IO[bytes]) -> tuple[str, Plane] | None:
    from xiqa.imaging.dicom.header import read_header  # noqa: PLC0415 - loaded with the first DICOM file
    from xiqa.imaging.dicom.position import plane_of  # noqa: PLC0415

    data = read_header(file, DEFAULT_LIMITS).data
    uid, plane = data.text("SeriesInstanceUID"), plane_of(data)
    alone = plane is None or not uid or data.text("NumberOfFrames") not in ("", "1")
    return None if alone or plane is None else (uid, plane)
