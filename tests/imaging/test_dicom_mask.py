"""Padding and shutters are masked; identifiers, spacing and notes travel along."""

import numpy as np
import pydicom
import pytest

from tests.imaging.dicom_files import item, radiograph, save, write
from tests.imaging.test_dicom_display import enhanced
from xiqa.imaging import read_image
from xiqa.imaging.options import printable


def test_padding_value(tmp_path):
    stored = radiograph()
    stored[:7] = 3000
    stored[7:][stored[7:] == 3000] = 3001
    mask = read_image(write(tmp_path / "a.dcm", stored, BitsStored=12, PixelPaddingValue=3000)).mask
    assert not mask[:7].any()
    assert mask[7:].all()


def test_padding_range_of_signed_pixels(tmp_path):
    stored = radiograph().astype("<i2") - 2048
    path = write(
        tmp_path / "a.dcm",
        stored,
        kind="MR",
        BitsStored=16,
        PixelPaddingValue=-2000,
        PixelPaddingRangeLimit=-1000,
    )
    np.testing.assert_array_equal(read_image(path).mask, (stored < -2000) | (stored > -1000))


def test_no_padding_no_mask(tmp_path):
    path = write(tmp_path / "a.dcm", radiograph() // 2, BitsStored=12, PixelPaddingValue=4095)
    assert read_image(path).mask is None


RECTANGLE = {
    "ShutterLeftVerticalEdge": 11,
    "ShutterRightVerticalEdge": 60,
    "ShutterUpperHorizontalEdge": 6,
    "ShutterLowerHorizontalEdge": 90,
}
CIRCLE = {"CenterOfCircularShutter": [41, 31], "RadiusOfCircularShutter": 20}
POLYGON = {"VerticesOfThePolygonalShutter": [1, 1, 1, 41, 41, 1]}
ROWS, COLUMNS = np.mgrid[:96, :80]
IN_RECTANGLE = (ROWS >= 5) & (ROWS <= 89) & (COLUMNS >= 10) & (COLUMNS <= 59)
IN_CIRCLE = (ROWS - 40) ** 2 + (COLUMNS - 30) ** 2 <= 400
IN_POLYGON = ROWS + COLUMNS <= 40


@pytest.mark.parametrize(
    ("shape", "elements", "inside"),
    [
        ("RECTANGULAR", RECTANGLE, IN_RECTANGLE),
        ("CIRCULAR", CIRCLE, IN_CIRCLE),
        ("POLYGONAL", POLYGON, IN_POLYGON),
        (["RECTANGULAR", "CIRCULAR"], RECTANGLE | CIRCLE, IN_RECTANGLE & IN_CIRCLE),
    ],
    ids=["rectangle", "circle", "polygon", "two"],
)
def test_shutters(tmp_path, shape, elements, inside):
    path = write(tmp_path / "a.dcm", radiograph(), BitsStored=12, ShutterShape=shape, **elements)
    np.testing.assert_array_equal(read_image(path).mask, inside)


def test_shutter_and_padding_together(tmp_path):
    stored = radiograph()
    stored[:50] = 0
    path = write(
        tmp_path / "a.dcm", stored, BitsStored=12, PixelPaddingValue=0, ShutterShape="CIRCULAR", **CIRCLE
    )
    np.testing.assert_array_equal(read_image(path).mask, (stored > 0) & IN_CIRCLE)


def test_each_frame_has_its_own_shutter(tmp_path):
    data = enhanced()
    data.PerFrameFunctionalGroupsSequence[1].FrameDisplayShutterSequence = [
        item(ShutterShape="CIRCULAR", **CIRCLE)
    ]
    path = save(data, tmp_path / "a.dcm")
    assert read_image(path, frame=0).mask is None
    np.testing.assert_array_equal(read_image(path, frame=1).mask, IN_CIRCLE[:64, :64])


@pytest.mark.parametrize(
    ("elements", "spacing", "note"),
    [
        ({"PixelSpacing": [0.2, 0.3]}, (0.2, 0.3), None),
        ({"ImagerPixelSpacing": [0.14, 0.14]}, (0.14, 0.14), "detector"),
        ({"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [0.14, 0.14]}, (0.2, 0.3), None),
        ({"PixelSpacing": [0, 0.3]}, None, None),
        ({}, None, None),
    ],
)
def test_spacing(tmp_path, elements, spacing, note):
    image = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **elements))
    assert image.spacing == spacing
    assert any("detector" in text for text in image.source.notes) == (note is not None)


def test_identifiers(tmp_path):
    path = write(tmp_path / "a.dcm", radiograph(), BitsStored=12, ViewPosition="PA", BodyPartExamined="CHEST")
    source = read_image(path).source
    for name in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert source.identifiers[name].startswith("1.2.")
    assert source.identifiers["PatientID"] == "P1"
    assert source.identifiers["PatientName"] == "Doe^Jane"
    assert source.identifiers["AccessionNumber"] == "A1"
    assert source.identifiers["ViewPosition"] == "PA"
    assert (source.path, source.format) == (str(path), "dicom")


def test_odd_identifiers_stay_inert_text(tmp_path):
    path = write(
        tmp_path / "a.dcm",
        radiograph(),
        BitsStored=12,
        PatientName="<script>alert(1)</script>",
        PatientID="../../etc/passwd",
        StudyInstanceUID="1.02.x",
        AccessionNumber="A\x00\x1b1",
    )
    image = read_image(path)
    assert image.source.identifiers["PatientID"] == "../../etc/passwd"
    assert image.source.identifiers["PatientName"] == "<script>alert(1)</script>"
    assert image.source.identifiers["AccessionNumber"] == "A\\x00\\x1b1"
    assert "StudyInstanceUID is not a legal UID" in image.source.notes


@pytest.mark.filterwarnings("ignore:Invalid value", "ignore:Failed to decode", "ignore:Value")
@pytest.mark.parametrize("charset", ["", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13"])
@pytest.mark.parametrize("text", ["plain", " two  words ", "a\\b", "~", "", "x\0 ", "M\xfcller"])
def test_identifiers_are_what_pydicom_reads(tmp_path, charset, text):
    """Plain text is taken without pydicom's conversion, and must be the same."""
    texts = {"PatientID": text, "StudyID": text, "BodyPartExamined": text, "ViewPosition": text}
    path = write(tmp_path / "a.dcm", radiograph(), BitsStored=12, SpecificCharacterSet="ISO_IR 100", **texts)
    raw = path.read_bytes().replace(b"ISO_IR 100", charset.ljust(10).encode())
    path.write_bytes(raw)
    data = pydicom.dcmread(path)
    got = read_image(path).source.identifiers
    for name in texts:
        assert got.get(name, "") == printable(str(data.get(name) or ""))


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("limit", [None, -1500, 40])
def test_padding_does_not_depend_on_the_unused_bits(tmp_path, bits, limit):
    """Sign-extended pixels are compared as they are, others after their bits are dropped."""
    stored = radiograph(64, 64).astype(np.int16) - 2048
    elements = {"BitsStored": bits, "PixelPaddingValue": -2048 if limit is None else limit}
    if limit is not None:
        elements["PixelPaddingRangeLimit"] = -2040
    stored[:3] = -2048
    extended = read_image(write(tmp_path / "a.dcm", stored, **elements))
    low, high = sorted((elements["PixelPaddingValue"], -2040 if limit is not None else -2048))
    np.testing.assert_array_equal(extended.mask, (stored < low) | (stored > high))
    if bits == 12:
        cut = (stored & 0xFFF).astype(np.int16)
        other = read_image(write(tmp_path / "b.dcm", cut, **elements))
        np.testing.assert_array_equal(other.mask, extended.mask)
        np.testing.assert_array_equal(other.pixels, extended.pixels)
