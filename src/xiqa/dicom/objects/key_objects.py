"""Key objects: images that a person should look at, and images that a person has rejected."""

from __future__ import annotations

from highdicom import ko, sr
from pydicom import Dataset
from pydicom.sr.coding import Code

from xiqa.dicom.case import Case, Series
from xiqa.dicom.codes import REJECT_REASONS, Concept
from xiqa.dicom.objects.structured_report import device_observer
from xiqa.errors import DicomResultError
from xiqa.types import Decision, Verdict

__all__ = ["SERIES", "key_objects", "quality_issue", "rejection"]

SERIES = Series("ko", 9104, "Key objects")
#: The code that says nothing without words.
_OTHER_ARTIFACT = "111215"


def key_objects(case: Case) -> Dataset | None:
    """`rejection` where a person decided to take the image again, nothing where one decided otherwise.

    Without a decision a `quality_issue`.

    Args:
        case: The assessed image.
    """
    if case.decision is None:
        return quality_issue(case)
    return rejection(case) if case.decision.action is Verdict.REACQUIRE else None


def quality_issue(case: Case) -> Dataset | None:
    """A note *Quality Issue* (113010) on an image that a person should look at.

    Args:
        case: The assessed image.

    Returns:
        The key object selection; None for an image that the model accepts.
    """
    if case.assessment.verdict not in (Verdict.REVIEW, Verdict.REACQUIRE):
        return None
    content = ko.KeyObjectSelection(
        document_title=Concept.QUALITY_ISSUE.value,
        referenced_objects=[case.origin.header],
        observer_device_context=device_observer(case),
        description=f"A person should look: {case.assessment.reason}",
    )
    return _document(case, content, "issue")


def rejection(case: Case) -> Dataset:
    """A note *Rejected for Quality Reasons* (113001), with the reason as the title's modifier.

    Archives hide an image that such a note names (IHE, Imaging Object Change Management). It is therefore
    made from the decision of a named person alone, never from a verdict, and is to be sent only after the
    archive has confirmed that it holds the image.

    Args:
        case: The assessed image and the decision on it.

    Raises:
        DicomResultError: ``no_decision``, ``other_image``, ``not_rejected``, ``no_person``, ``no_reason`` or
            ``no_words``.
    """
    decision, reason = _rejected(case)
    content = ko.KeyObjectSelection(
        document_title=Concept.REJECTED.value,
        referenced_objects=[case.origin.header],
        observer_person_context=_person(decision),
        description=decision.note or None,
    )
    modifier = sr.CodeContentItem(
        name=Concept.TITLE_MODIFIER.value,
        value=reason,
        relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    content[0].ContentSequence.insert(0, modifier)
    parts = (decision.person, decision.reason, decision.note, decision.time.isoformat())
    return _document(case, content, "rejection", *parts)


def _rejected(case: Case) -> tuple[Decision, Code]:
    """The decision and its reason, where they allow to hide the image."""
    decision = case.decision
    if decision is None:
        raise _refused("no_decision", "a person's decision", "none")
    if decision.uid != case.origin.uid:
        raise _refused("other_image", f"a decision on {case.origin.uid}", decision.uid)
    if decision.action is not Verdict.REACQUIRE:
        raise _refused("not_rejected", Verdict.REACQUIRE.value, decision.action.value)
    if not decision.person.strip():
        raise _refused("no_person", "who decided", "no name")
    if decision.reason not in REJECT_REASONS:
        raise _refused("no_reason", f"a code of CID 7011: {', '.join(REJECT_REASONS)}", str(decision.reason))
    if decision.reason == _OTHER_ARTIFACT and not decision.note.strip():
        raise _refused("no_words", f"a note that says what {_OTHER_ARTIFACT} is here", "none")
    return decision, REJECT_REASONS[decision.reason]


def _refused(code: str, expected: str, got: str) -> DicomResultError:
    return DicomResultError("the image cannot be marked as rejected", code=code, expected=expected, got=got)


def _person(decision: Decision) -> sr.ObserverContext:
    """Who decided; a plain name is a family name."""
    name = decision.person if "^" in decision.person else f"{decision.person}^"
    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(Concept.PERSON.value),
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name=name),
    )


def _document(case: Case, content: ko.KeyObjectSelection, *parts: str | None) -> Dataset:
    """The selection as an object; of a multi-frame image only the frame is selected."""
    result = ko.KeyObjectSelectionDocument(
        evidence=[case.origin.header], content=content, **case.common(SERIES, *parts)
    )
    result.copy_patient_and_study_information(case.origin.header)
    for item in result.ContentSequence:
        if case.origin.frame_numbers and item.ValueType == "IMAGE":
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = case.origin.frame_numbers
    return case.dated(result)
