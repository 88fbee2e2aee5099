"""Every code means in the standard what it means here; no validator looks."""

import pytest
from pydicom.sr._concepts_dict import concepts

from xiqa.dicom import codes as tables
from xiqa.dicom.codes import (
    PROBLEMS,
    PROCEDURES,
    QUALITY,
    REJECT_REASONS,
    Concept,
    explanation_of,
    problem_of,
)
from xiqa.saliency.registry import methods
from xiqa.types import Verdict

# pydicom's dictionary has no languages and none of UCUM's meanings but its own
ELSEWHERE = {("en", "RFC5646"), ("1", "UCUM")}
ALL = [
    *(concept.value for concept in Concept),
    *REJECT_REASONS.values(),
    *PROCEDURES.values(),
]


def meanings() -> dict[tuple[str, str], list[tuple[str, list[int]]]]:
    known: dict[tuple[str, str], list[tuple[str, list[int]]]] = {}
    for scheme, keywords in concepts.items():
        for codes in keywords.values():
            for value, told in codes.items():
                known.setdefault((value, scheme), []).append(told)
    return known


KNOWN = meanings()


@pytest.mark.parametrize("code", ALL, ids=lambda code: f"{code.scheme_designator}-{code.value}")
def test_code_and_meaning_are_the_dictionarys(code):
    key = (code.value, code.scheme_designator)
    if key not in ELSEWHERE:
        assert code.meaning in [meaning for meaning, _ in KNOWN[key]]


def test_the_comparison_sees_a_wrong_meaning():
    assert "Foreign object" not in [meaning for meaning, _ in KNOWN["111212", "DCM"]]
    assert [meaning for meaning, _ in KNOWN["111212", "DCM"]] == ["Over exposed"]


def context_group(number: int) -> set[str]:
    return {value for (value, _), told in KNOWN.items() for _, groups in told if number in groups}


def test_the_reasons_are_the_whole_of_cid_7011():
    assert set(REJECT_REASONS) == context_group(7011)


def test_codes_come_from_the_groups_that_their_places_allow():
    assert {Concept.REJECTED.value.value, Concept.QUALITY_ISSUE.value.value} <= context_group(7010)
    assert {concept.value.value for concept in QUALITY.values()} <= context_group(6044)
    assert Concept.MEASUREMENT_REPORT.value.value in context_group(7021)
    assert {explanation_of(name).value for name in ("cam", "gradcam", "rise")} == context_group(217)


def test_a_model_calls_no_image_unusable():
    assert "111235" not in {concept.value.value for concept in QUALITY.values()}
    assert set(QUALITY) == {Verdict.ACCEPT, Verdict.REACQUIRE}


def test_every_method_has_an_explanation():
    kinds = {info.name: explanation_of(info.name).value for info in methods()}
    assert kinds["gradcampp"] == "130403"
    assert kinds["scorecam"] == "130402"
    assert kinds["normgrad_conv1x1"] == kinds["rise"] == "130404"


def test_the_tables_name_methods_that_exist():
    assert {info.name for info in methods()} >= tables._CLASS_ACTIVATION | tables._GRADIENT_WEIGHTED


def test_problems_are_reasons():
    assert set(PROBLEMS.values()) <= set(REJECT_REASONS)
    assert problem_of("foreign").meaning == "Artifact(s) other than grid or detector artifact"
    assert problem_of("haze") is None
