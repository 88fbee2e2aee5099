"""Values that travel: pickled and through JSON they come back unchanged."""

import ast
import json
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xiqa
from xiqa.codec import decode, encode
from xiqa.errors import Code, XiqaError
from xiqa.geometry import Box, Frame, Point
from xiqa.saliency.method import Method
from xiqa.types import (
    Annotation,
    Assessment,
    Decision,
    Finding,
    Fragility,
    Image,
    SaliencyMap,
    Source,
    Verdict,
    result_key,
)

numbers = st.floats(allow_nan=False, width=64)
places = st.floats(-1e6, 1e6)
texts = st.text(st.characters(codec=None), max_size=12)  # lone surrogates too: names outside Unicode
plain = st.one_of(st.none(), st.booleans(), st.integers(), numbers, texts)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
mappings = st.dictionaries(texts, anything, max_size=4)
frames = st.builds(
    lambda rows, columns, side: Frame.letterbox((rows, columns), (side, side)),
    *(st.integers(3, 900), st.integers(3, 900), st.integers(4, 64)),
)
sources = st.builds(
    Source,
    path=texts,
    format=st.sampled_from(["dicom", "png", "array"]),
    frame=st.integers(0, 99),
    frames=st.integers(1, 100),
    identifiers=st.dictionaries(texts, texts, max_size=3),
    notes=st.lists(texts, max_size=2).map(tuple),
    digest=texts,
    size=st.integers(0, 2**40),
    modified=st.integers(0, 2**62),
)
maps = st.builds(
    SaliencyMap,
    values=st.lists(st.floats(width=32), min_size=6, max_size=6).map(
        lambda row: np.array(row, dtype=np.float32).reshape(2, 3)
    ),
    method=texts,
    target=st.integers(0, 9),
    params=mappings,
    input_size=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    frame=st.none() | frames,
    steps=st.lists(texts, max_size=2).map(tuple),
)
findings = st.builds(
    Finding,
    peak=st.builds(Point, places, places),
    box=st.builds(Box, places, places, places, places),
    score=st.floats(0, 1),
    ties=st.integers(1, 9),
    label=texts,
)
fragilities = st.builds(
    Fragility,
    *[st.none() | numbers] * 5,
    margin=numbers,
    pixels=st.integers(0, 10**6),
)
assessments = st.builds(
    Assessment,
    file=texts,
    verdict=st.sampled_from(Verdict),
    reason=texts,
    code=st.sampled_from(Code),
    probability=st.none() | st.floats(0, 1),
    threshold=st.none() | st.floats(0, 1),
    findings=st.lists(findings, max_size=3).map(tuple),
    provenance=mappings,
    saliency=st.none() | maps,
    image_size=st.tuples(st.integers(0, 9999), st.integers(0, 9999)),
    fragility=st.none() | fragilities,
    source=sources,
)


def through_json(value):
    text = json.dumps(value.to_dict(), allow_nan=False)
    return type(value).from_dict(json.loads(text.encode("ascii")))


def assert_same(a, b):
    """Equal, maps included: those are left out of an assessment's equality."""
    assert a == b
    assert type(a) is type(b)
    if a.saliency is None:
        assert b.saliency is None
        return
    np.testing.assert_array_equal(a.saliency.values, b.saliency.values)
    assert a.saliency.values.dtype == b.saliency.values.dtype
    for name in ("method", "target", "params", "input_size", "frame", "steps"):
        assert getattr(a.saliency, name) == getattr(b.saliency, name)


@settings(max_examples=60, deadline=None)
@given(assessments)
def test_an_assessment_comes_back_unchanged(assessment):
    assert_same(pickle.loads(pickle.dumps(assessment)), assessment)
    assert_same(through_json(assessment), assessment)


def test_an_image_and_an_annotation_come_back_unchanged():
    pixels = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    image = Image(pixels, 12, (0.2, 0.3), pixels > 0.4, "DX", Source(path="a.dcm", frame=2, frames=5))
    for back in (through_json(image), pickle.loads(pickle.dumps(image))):
        np.testing.assert_array_equal(back.pixels, pixels)
        np.testing.assert_array_equal(back.mask, pixels > 0.4)
        assert (back.bits, back.spacing, back.modality, back.source) == (12, (0.2, 0.3), "DX", image.source)
    annotation = Annotation(Box(1, 2, 3, 5), "clip", polygon=(Point(1, 2), Point(3, 2), Point(1, 5)))
    back = through_json(annotation)
    assert (back.box, back.kind, back.polygon) == (annotation.box, "clip", annotation.polygon)


@pytest.mark.parametrize("kind", ["O", "O,i4"])
def test_an_array_of_objects_is_not_read(kind):
    image = encode(Image(np.zeros((2, 3), np.float32)))
    image["pixels"]["dtype"] = kind
    with pytest.raises(XiqaError, match="numbers, not of objects"):
        decode(Image, image)


def test_numbers_that_are_not_finite_survive():
    source = {"a": float("inf"), "b": (float("-inf"), 1.5)}
    result = Assessment("a", Verdict.REVIEW, "", Code.UNLIKE_TRAINING, provenance=source)
    assert through_json(result).provenance == source
    assert np.isnan(decode(float, encode(float("nan"))))


def test_a_decision_comes_back_unchanged_and_knows_its_time_zone():
    time = datetime(2026, 5, 4, 3, 2, 1, 5, tzinfo=timezone(timedelta(hours=2)))
    decision = Decision("1.2.3", Verdict.REACQUIRE, "Doe^Jane", time, "111215", "a necklace")
    assert through_json(decision) == pickle.loads(pickle.dumps(decision)) == decision
    with pytest.raises(XiqaError, match="no time zone"):
        Decision("1.2.3", Verdict.ACCEPT, "Doe^Jane", time.replace(tzinfo=None))


def test_the_parameters_of_a_method_pickle():
    params = Method("normgrad_conv1x1", layers=["a", "b"], combine="geometric").params
    assert pickle.loads(pickle.dumps(params)) == {"combine": "geometric", "layers": ("a", "b")}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": "maybe"}, "maybe"),
        ({"probability": "high"}, "a number, not str"),
        ({"findings": "none"}, "a list, not str"),
        ({"colour": 1}, "no field colour"),
        ({"image_size": [1]}, "shorter"),
        ({"source": {"frame": True}}, "int, not bool"),
    ],
)
def test_what_is_no_assessment_is_one_clear_error(change, complaint):
    data = Assessment("a", Verdict.ACCEPT, "good", Code.GOOD).to_dict()
    with pytest.raises(XiqaError, match=complaint):
        Assessment.from_dict(data | change)


def test_a_result_depends_on_content_frame_model_method_settings_and_version():
    settings = {"model_hash": "m", "method": "gradcam", "fragility": None, "xiqa": "1"}
    keys = {result_key("d", 0, settings), result_key("e", 0, settings), result_key("d", 1, settings)}
    keys |= {result_key("d", 0, settings | {name: "other"}) for name in settings}
    assert len(keys) == 7
    assert result_key("d", 0, settings | {"threads": 2}) == result_key("d", 0, settings)


def read_codes():
    """Every code that a read error is raised with in the package's text."""
    for path in Path(xiqa.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ImageReadError":
                codes = [key.value for key in node.keywords if key.arg == "code"]
                yield from (code.value for code in codes if isinstance(code, ast.Constant))


def test_every_code_of_a_read_error_is_known():
    codes = set(read_codes())
    assert len(codes) > 20
    assert codes <= {code.value for code in Code}


def test_people_are_disclosed_on_request_only():
    source = Source(identifiers={"SOPInstanceUID": "1.2", "PatientName": "Doe"})
    assert source.disclosed().identifiers == {"SOPInstanceUID": "1.2"}
    assert source.disclosed(identifiers=True).identifiers == source.identifiers
