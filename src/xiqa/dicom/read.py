"""Reading back a report of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from xiqa.dicom.case import MANUFACTURER
from xiqa.dicom.codes import Concept
from xiqa.dicom.coordinates import box_of
from xiqa.errors import DicomResultError, MissingDependencyError
from xiqa.geometry import Box
from xiqa.imaging.options import printable

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

__all__ = ["Region", "Report", "read_report"]


@dataclass(frozen=True, slots=True)
class Region:
    """A finding of a report.

    Attributes:
        box: In pixels of the source image.
        score: Height of the map's peak there over its highest.
        kind: What was found, in words; empty where no code says it.
        explanation: Kind of map.
    """

    box: Box
    score: float
    kind: str
    explanation: str

    def __str__(self) -> str:
        across, down = (
            f"columns {self.box.x0:g} to {self.box.x1:g}",
            f"rows {self.box.y0:g} to {self.box.y1:g}",
        )
        return f"{across}, {down}; {self.explanation} {self.score:.2f}{'; ' if self.kind else ''}{self.kind}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says, without the patient.

    Attributes:
        image: SOP Instance UID of the source image.
        frame: The frame's number from 1; None where the image has one.
        made: Date and time as the object has them.
        model: Name and shortened hash of the model, and the version of xiqa.
        comment: Verdict and reason.
        quality: The coded quality, in words; empty for an image that a person should look at.
        numbers: Each probability by what it is one of, with its limit.
        regions: The findings.
    """

    image: str
    frame: int | None
    made: str
    model: str
    comment: str
    quality: str
    numbers: dict[str, tuple[float, float | None]]
    regions: tuple[Region, ...]

    def __str__(self) -> str:
        rows = [
            ("Image", self.image + (f", frame {self.frame}" if self.frame else "")),
            ("Made", f"{self.made} by {self.model}"),
            ("Verdict", self.comment),
            ("Quality", self.quality or "not decided: a person should look"),
        ]
        for name, (value, limit) in self.numbers.items():
            rows.append((name.capitalize(), f"{value:g}" + ("" if limit is None else f", limit {limit:g}")))
        rows += [(f"Finding {number}", str(region)) for number, region in enumerate(self.regions, start=1)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {printable(text)}" for name, text in rows)


def read_report(source: Path | Dataset) -> Report:
    """Read a structured report that `xiqa.dicom.results` made.

    Args:
        source: A file or a data set.

    Raises:
        DicomResultError: ``no_report`` for anything else.
        MissingDependencyError: highdicom is not installed.
    """
    try:
        from highdicom import sr  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingDependencyError("this needs highdicom", todo='pip install "xiqa[dicom]"') from error
    dataset = _dataset(source)
    if dataset.get("Modality") != "SR" or dataset.get("Manufacturer") != MANUFACTURER:
        raise _no_report(
            f"{dataset.get('Modality') or 'an object'} of {dataset.get('Manufacturer') or 'nobody'}"
        )
    try:
        content = sr.ComprehensiveSR.from_dataset(dataset).content
        return _report(dataset, content)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise _no_report(f"{type(error).__name__}: {error}"[:200]) from error


def _dataset(source: Path | Dataset) -> Dataset:
    if isinstance(source, Dataset):
        return source
    try:
        return dcmread(source)
    except (InvalidDicomError, OSError, ValueError, EOFError) as error:
        raise _no_report(f"{type(error).__name__}: {error}"[:200]) from error


def _no_report(got: str) -> DicomResultError:
    return DicomResultError(
        "this is no report of xiqa", code="no_report", expected="a structured report made by xiqa", got=got
    )


def _report(dataset: Dataset, content: Any) -> Report:
    groups = content.get_image_measurement_groups()
    quality = groups[0].get_qualitative_evaluations(Concept.ASSESSMENT.value)
    reference = groups[0].source_images[0].ReferencedSOPSequence[0]
    frame = reference.get("ReferencedFrameNumber")
    hash = str(dataset.DeviceSerialNumber)[:12]
    return Report(
        image=str(reference.ReferencedSOPInstanceUID),
        frame=None if frame is None else int(frame),
        made=f"{dataset.ContentDate} {str(dataset.ContentTime)[:6]} {dataset.get('TimezoneOffsetFromUTC')}",
        model=f"{MANUFACTURER} {dataset.SoftwareVersions}, {dataset.ManufacturerModelName} ({hash})",
        comment=next(_texts(groups[0], Concept.COMMENT.value), ""),
        quality=str(quality[0].value.meaning) if quality else "",
        numbers={str(group.tracking_identifier): _numbers(group) for group in groups},
        regions=tuple(map(_region, content.get_planar_roi_measurement_groups())),
    )


def _texts(group: Any, concept: Code) -> Iterator[str]:
    """The texts of a group under a concept."""
    for item in group[0].ContentSequence:
        if item.ValueType == "TEXT" and item.name == concept:
            yield str(item.TextValue)


def _numbers(group: Any) -> tuple[float, float | None]:
    """Probability and limit."""
    (probability,) = group.get_measurements(Concept.PROBABILITY.value)
    limits = group.get_measurements(Concept.THRESHOLD.value)
    return float(probability.value), float(limits[0].value) if limits else None


def _region(group: Any) -> Region:
    (measurement,) = group.get_measurements()
    kind = group.finding_type
    return Region(
        box=box_of(group.roi.value),
        score=float(measurement.value),
        kind="" if kind is None else str(kind.meaning),
        explanation=str(measurement.name.meaning),
    )
