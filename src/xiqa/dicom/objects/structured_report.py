"""The assessment as an Imaging Measurement Report (TID 1500), for archives, viewers and databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from highdicom import sr
from pydicom import Dataset

from xiqa.dicom.case import MANUFACTURER, Case, Series
from xiqa.dicom.codes import QUALITY, Concept, explanation_of, problem_of, procedure_of
from xiqa.dicom.coordinates import outline
from xiqa.dicom.identity import derived_uid
from xiqa.types import Finding

__all__ = ["SERIES", "device_observer", "structured_report"]

SERIES = Series("sr", 9101, "Image quality report")
_ENGLISH = sr.CodedConcept.from_code(Concept.ENGLISH.value)
_RELATION = sr.RelationshipTypeValues
_LONGEST_COMMENT = 1024
_SETTINGS = (
    *("recipe", "method", "threshold", "review_band", "temperature", "beta"),
    *("guard_limit", "guard_distance"),
)

Group = sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations


def structured_report(case: Case) -> Dataset:
    """A Comprehensive SR: quality, problems with their probabilities, and where they are seen.

    One group of measurements tells the verdict on the image (TID 1501), one more each problem that the model
    tells apart, and one each finding (TID 1410): its region in pixels of the source, the height of the map's
    peak there, and the kind of map.

    Args:
        case: The assessed image.

    Returns:
        The report, with the source image as its evidence.
    """
    first, *rest = _groups(case)
    result = sr.ComprehensiveSR(
        evidence=[case.origin.header],
        content=_report(case, [first])[0],
        is_complete=True,
        is_final=True,
        is_verified=False,
        **case.common(SERIES),
    )
    if rest:  # they refer to the same image; highdicom would copy and search the whole tree four times over
        result.ContentSequence = _report(case, [first, *rest])[0].ContentSequence
    return case.dated(result)


def _report(case: Case, groups: Sequence[Group]) -> sr.MeasurementReport:
    """The document's content."""
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device_observer(case)),
        procedure_reported=procedure_of(str(case.origin.header.get("Modality", ""))),
        imaging_measurements=list(groups),
        title=Concept.MEASUREMENT_REPORT.value,
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(_ENGLISH),
    )


def device_observer(case: Case) -> sr.ObserverContext:
    """The model as the device that observed."""
    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(Concept.DEVICE.value),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device", case.model_hash),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=case.model,
            serial_number=case.model_hash,
        ),
    )


def _groups(case: Case) -> Iterator[Group]:
    yield _quality(case)
    grades = case.provenance.get("grades") or {}
    for name, probability in (case.provenance.get("problems") or {}).items():
        group = _problem(case, str(name), float(probability))
        if name in grades:
            _comment(group, f"grade: {grades[name]}")
        yield group
    for number, finding in enumerate(case.findings, start=1):
        yield _region(case, number, finding)


def _quality(case: Case) -> sr.MeasurementsAndQualitativeEvaluations:
    """The verdict on the whole image and the sentence that says why."""
    assessment, quality = case.assessment, QUALITY.get(case.assessment.verdict)
    evaluations = (
        [] if quality is None else [sr.QualitativeEvaluation(Concept.ASSESSMENT.value, quality.value)]
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(case, "probability of poor quality"),
        finding_type=Concept.IMAGE_QUALITY.value,
        algorithm_id=_classifier(case),
        measurements=list(_probability(assessment.probability, assessment.threshold)),
        qualitative_evaluations=evaluations,
        source_images=[sr.SourceImageForMeasurementGroup(*_reference(case))],
    )
    _comment(group, f"{assessment.verdict.value}: {assessment.reason}")
    return group


def _comment(group: sr.MeasurementsAndQualitativeEvaluations, text: str) -> None:
    """Add words to a group, for which there is no code."""
    group[0].ContentSequence.append(
        sr.TextContentItem(
            name=Concept.COMMENT.value,
            value=text[:_LONGEST_COMMENT],
            relationship_type=_RELATION.CONTAINS,
        )
    )


def _problem(case: Case, name: str, probability: float) -> sr.MeasurementsAndQualitativeEvaluations:
    """One of several problems that the model tells apart."""
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(case, f"probability of {name.replace('_', ' ')}"),
        finding_type=problem_of(name),
        algorithm_id=_classifier(case),
        measurements=list(_probability(probability, case.assessment.threshold)),
        source_images=[sr.SourceImageForMeasurementGroup(*_reference(case))],
    )


def _region(case: Case, number: int, finding: Finding) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """One finding: its outline, and how high the map is there."""
    explanation = explanation_of(case.method)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(case, f"finding {number}"),
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=outline(finding.box),
            source_image=sr.SourceImageForRegion(*_reference(case)),
        ),
        finding_type=problem_of(finding.label or str(case.provenance.get("target", ""))),
        algorithm_id=sr.AlgorithmIdentification(case.method or "saliency", case.version),
        measurements=[sr.Measurement(explanation, float(finding.score), Concept.NO_UNITS.value)],
        qualitative_evaluations=[sr.QualitativeEvaluation(Concept.VISUAL_EXPLANATION.value, explanation)],
    )


def _reference(case: Case) -> tuple[Any, ...]:
    """Class, instance and frame of the source image."""
    header = case.origin.header
    return header.SOPClassUID, header.SOPInstanceUID, case.origin.frame_numbers


def _tracking(case: Case, name: str) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(uid=case.uid("tracking", name), identifier=name)


def _probability(probability: float | None, threshold: float | None) -> Iterator[sr.Measurement]:
    """The number and the limit that it is compared with."""
    for concept, value in ((Concept.PROBABILITY, probability), (Concept.THRESHOLD, threshold)):
        if value is not None:
            yield sr.Measurement(concept.value, float(value), Concept.NO_UNITS.value)


def _classifier(case: Case) -> sr.AlgorithmIdentification:
    """Name, version and all that makes the numbers and the regions repeatable."""
    keys = ("model_hash", *_SETTINGS)
    provenance = {**case.provenance, "model_hash": case.model_hash}
    return sr.AlgorithmIdentification(
        name=case.model,
        version=case.version,
        parameters=[f"{key}={provenance[key]}" for key in keys if provenance.get(key) is not None],
        family=Concept.ARTIFICIAL_INTELLIGENCE.value,
        manufacturer=MANUFACTURER,
    )
