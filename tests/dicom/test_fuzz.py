"""A hundred simulated studies whose optional attributes are anything: valid objects, or one typed error."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import DataElement
from pydicom.datadict import dictionary_VR

from tests.dicom.sources import CLASSES, MADE, assessment, source
from tests.dicom.tools import errors_of, saved
from xiqa.dicom import results
from xiqa.dicom.pixels import image_of
from xiqa.errors import DicomResultError, ImageReadError
from xiqa.types import Verdict

CODES = {
    *("missing_attribute", "invalid_attribute", "cannot_build", "other_image", "no_such_frame", "not_grey"),
    *("bad_window", "bad_rescale", "bad_lut", "bad_header", "missing_element"),
}
TEXTS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "IssuerOfPatientID"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "LongitudinalTemporalInformationModified"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription"),
    *("ReferringPhysicianName", "BodyPartExamined", "Laterality", "ImageLaterality", "PatientOrientation"),
    *("Modality", "SeriesInstanceUID", "PresentationLUTShape", "VOILUTFunction", "ShutterShape"),
)
NUMBERS = (
    *("SeriesNumber", "InstanceNumber", "NumberOfFrames", "WindowCenter", "WindowWidth", "RescaleSlope"),
    *("RescaleIntercept", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "PixelPaddingValue"),
    *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
)
WORDS = (
    *(
        "",
        " ",
        "YES",
        "NO",
        "M",
        "F",
        "O",
        "L",
        "R",
        "B",
        "U",
        "A",
        "FR",
        "CHEST",
        "BREAST",
        "hand",
        "INVERSE",
    ),
    *("IDENTITY", "SIGMOID", "LINEAR", "RECTANGULAR", "CIRCULAR", "POLYGONAL", "REMOVED", "20260102", "1200"),
    *(
        "Doe^Jane",
        "1.2.3",
        "1.02.3",
        "56Y",
        "056Y",
        "=",
        "a\\b",
        "x" * 65,
        "ä",
        "\x00",
        "line\nline",
        "^^^^^^",
    ),
)
TEXT = (
    st.sampled_from(WORDS) | st.text(max_size=12) | st.lists(st.sampled_from(WORDS), min_size=2, max_size=3)
)
NUMBER = st.sampled_from(["", "0", "1", "-1", "7", "0.5", "1e9", "nan", "44", "60", "x", "3000000000"])
NUMBERS_ = NUMBER | st.lists(NUMBER, min_size=2, max_size=3)


@st.composite
def studies(draw):
    """An image with up to six attributes as no standard allows them, written past every check."""
    ds = source(draw(st.sampled_from(list(CLASSES))), full=draw(st.booleans()))
    changed = draw(st.dictionaries(st.sampled_from(TEXTS), TEXT, max_size=4))
    changed |= draw(st.dictionaries(st.sampled_from(NUMBERS), NUMBERS_, max_size=2))
    for keyword, value in changed.items():
        element = DataElement(keyword, dictionary_VR(keyword), None, validation_mode=0)
        element._value = value
        ds[keyword] = element
    return ds


@pytest.fixture(scope="module")
def image():
    return image_of(source(), 0)


@pytest.mark.long
@settings(max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))
@given(ds=studies(), verdict=st.sampled_from([Verdict.ACCEPT, Verdict.REVIEW, Verdict.REACQUIRE]))
def test_a_valid_object_or_one_typed_error(image, ds, verdict):
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("sc", "sr", "pr", "ko", "seg"):
            made, code = outcome(assessment(verdict), ds, kinds=[kind], image=image, made=MADE)
            assert code is None or code in CODES
            for result in made.values():
                assert errors_of(saved(result, Path(folder) / f"{kind}.dcm")) == [], ds


def outcome(*case, **choices):
    """The objects, or the code of the error."""
    try:
        return results(*case, **choices), None
    except (DicomResultError, ImageReadError) as error:
        return {}, error.code
