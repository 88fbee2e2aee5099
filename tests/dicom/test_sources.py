"""Sources as hospitals have them: character sets, frames, encodings, and what is missing or wrong."""

import io
import subprocess

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread, dcmwrite, uid

from tests.dicom.sources import MADE, assessment, enhanced_mr, item, pattern, pixels, source, voi_lut
from tests.dicom.tools import dcmdump, errors_of, program, saved
from xiqa.dicom import results
from xiqa.dicom.read import read_report
from xiqa.errors import DicomResultError
from xiqa.imaging import read_image
from xiqa.types import Source, Verdict

ALL = ("sc", "sr", "pr", "ko", "seg")


def reread(ds):
    """What a receiver of the object sees."""
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def made(ds, kinds=ALL, assessed=None, **choices):
    return results(assessed or assessment(), ds, kinds=kinds, made=MADE, **choices)


class TestCharacterSets:
    @pytest.mark.parametrize(
        ("charset", "name"),
        [
            ("ISO_IR 100", "Äneas^Rüdiger"),
            ("ISO_IR 144", "Люкceмбypг"),
            ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
            (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
            (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
            ("GB18030", "Wang^XiaoDong=王^小东"),
        ],
        ids=str,
    )
    def test_names_survive(self, tmp_path, charset, name):
        ds = source(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName="Roe^R")
        stored = dcmread(saved(ds, tmp_path / "source.dcm"))
        for kind, result in made(stored).items():
            assert str(reread(result).PatientName) == name, kind
            assert errors_of(saved(result, tmp_path / "result.dcm")) == []

    def test_a_name_without_a_character_set_is_refused_where_its_bytes_mean_nothing(self):
        with pytest.raises(DicomResultError, match="PatientName") as caught:
            made(source(PatientName="Doe\x07^Jane"), ["sr"])
        assert caught.value.code == "invalid_attribute"

    def test_words_of_a_reason_in_any_language(self):
        result = made(source(), ["sr"], assessment(reason="unscharf: Größe 3 µm"))["sr"]
        assert read_report(reread(result)).comment == "reacquire: unscharf: Größe 3 µm"


class TestFrames:
    ASSESSED = assessment(source=Source(frame=1, frames=3))

    def test_every_reference_names_the_frame(self):
        objects = made(enhanced_mr(), (*ALL, "pm"), self.ASSESSED)
        assert read_report(objects["sr"]).frame == 2
        for kind, count in {"sc": 1, "sr": 3, "pr": 2, "ko": 1, "seg": 2, "pm": 2}.items():
            numbers = [
                int(element.value)
                for element in objects[kind].iterall()
                if element.keyword == "ReferencedFrameNumber"
            ]
            assert numbers == [2] * count, kind

    def test_window_and_rescale_are_the_frames(self):
        state = made(enhanced_mr(), ["pr"], self.ASSESSED)["pr"]
        (window,) = state.SoftcopyVOILUTSequence
        assert (window.WindowCenter, window.WindowWidth) == (1100, 500)
        assert (state.RescaleIntercept, state.RescaleSlope) == (-100, 2)

    def test_the_picture_shows_the_frame(self):
        bare = assessment(source=Source(frame=1, frames=3), saliency=None, findings=())
        shown = made(enhanced_mr(), ["sc"], bare)["sc"].pixel_array[:60, :44, 0]
        values = 2.0 * np.roll(pattern(), 1, axis=1) - 100
        np.testing.assert_allclose(shown / 255, ((values - 1099.5) / 499 + 0.5).clip(0, 1), atol=0.6 / 255)

    def test_maps_lie_where_the_frame_lies(self):
        result = made(enhanced_mr(), ["pm"], self.ASSESSED)["pm"]
        position = result.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        assert position.ImagePositionPatient == [-10, -20, 38]

    def test_a_frame_that_is_not_there(self):
        with pytest.raises(DicomResultError) as caught:
            made(enhanced_mr(), ["sr"], assessment(source=Source(frame=3, frames=4)))
        assert caught.value.code == "no_such_frame"


def big_endian(ds):
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    ds.PixelData = pattern().astype(">u2").tobytes()
    return ds


def compressed(ds):
    ds.compress(uid.RLELossless, generate_instance_uid=False)
    return ds


def implicit(ds):
    ds.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    return ds


class TestEncodings:
    @pytest.mark.parametrize("encode", [big_endian, compressed, implicit])
    def test_results_are_those_of_the_plain_image(self, tmp_path, encode):
        path = tmp_path / "source.dcm"
        dcmwrite(path, encode(source()), enforce_file_format=True)
        plain = made(source())
        for kind, result in made(dcmread(path)).items():
            assert errors_of(saved(result, tmp_path / "result.dcm")) == []
            assert str(reread(result)) == str(reread(plain[kind])), kind
            if kind == "sc":
                np.testing.assert_array_equal(result.pixel_array, plain[kind].pixel_array)


def rendered(ds, tmp_path, **choices):
    """The image and how dcmtk shows it by its presentation state."""
    path = saved(ds, tmp_path / "source.dcm")
    image = read_image(path)
    state = saved(made(ds, ["pr"], **choices)["pr"], tmp_path / "pr.dcm")
    assert errors_of(state) == []
    picture = tmp_path / "shown.pgm"
    command = [program("dcmp2pgm", "dcmtk"), "-p", state, path, picture]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return image, np.asarray(Pillow.open(picture), dtype=np.float64) / 255


def signed(ds):
    pixels(ds, pattern() - 2048)
    ds.PixelRepresentation, ds.BitsStored, ds.HighBit = 1, 16, 15
    ds.RescaleIntercept, ds.RescaleSlope, ds.WindowCenter, ds.WindowWidth = 100, 0.5, -20, 1500


def table(ds):
    voi_lut(ds, np.linspace(4000, 90, 1800) ** 1.01, first=300, bits=16)


def negative_table(ds):
    signed(ds)
    ds.RescaleSlope = 1
    voi_lut(ds, np.sqrt(np.arange(900)) * 100, first=-400)


def modality_table(ds):
    lut = item(LUTDescriptor=[4096, 0, 16], LUTData=(np.arange(4096) * 16).astype("<u2").tobytes())
    lut["LUTDescriptor"].VR, lut["LUTData"].VR, lut.ModalityLUTType = "US", "OW", "US"
    del ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType
    ds.ModalityLUTSequence = [lut]
    ds.WindowCenter, ds.WindowWidth = 30000, 40000


GREY_SCALES = {
    "window": lambda ds: None,
    "MONOCHROME1": lambda ds: setattr(ds, "PhotometricInterpretation", "MONOCHROME1"),
    "inverse shape": lambda ds: setattr(ds, "PresentationLUTShape", "INVERSE"),
    "no window": lambda ds: [ds.pop(name) for name in ("WindowCenter", "WindowWidth")],
    "no window, a part of the bits": lambda ds: [
        pixels(ds, pattern() // 16 + 5000, bits=16),
        *(ds.pop(name) for name in ("WindowCenter", "WindowWidth")),
    ],
    "two windows": lambda ds: [setattr(ds, "WindowCenter", [900, 2]), setattr(ds, "WindowWidth", [700, 3])],
    "signed": signed,
    "table": table,
    "table from a negative value": negative_table,
    "modality table": modality_table,
}


class TestGreyScale:
    @pytest.mark.parametrize("change", GREY_SCALES.values(), ids=list(GREY_SCALES))
    def test_a_viewer_shows_what_was_assessed(self, tmp_path, change):
        ds = source()
        change(ds)
        image, shown = rendered(ds, tmp_path)
        assert np.ptp(image.pixels) > 0.4
        np.testing.assert_allclose(shown, image.pixels, atol=1.5 / 255)

    @pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT"])
    def test_the_windows_function_is_kept(self, function):
        (window,) = made(source(VOILUTFunction=function), ["pr"])["pr"].SoftcopyVOILUTSequence
        assert window.VOILUTFunction == function

    def test_a_colour_image(self, tmp_path):
        ds = source("MR", SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = (np.arange(60 * 44 * 3) % 251).astype(np.uint8).tobytes()
        with pytest.raises(DicomResultError) as caught:
            made(ds, ["pr"])
        assert caught.value.code == "not_grey"
        assert errors_of(saved(made(ds, ["sc"])["sc"], tmp_path / "sc.dcm")) == []


class TestShutters:
    def test_a_shutter_is_kept(self, tmp_path):
        ds = source(ShutterShape=["RECTANGULAR", "CIRCULAR"])
        ds.ShutterLeftVerticalEdge, ds.ShutterRightVerticalEdge = 3, 40
        ds.ShutterUpperHorizontalEdge, ds.ShutterLowerHorizontalEdge = 5, 55
        ds.CenterOfCircularShutter, ds.RadiusOfCircularShutter = [30, 22], 28
        state = made(ds, ["pr"])["pr"]
        assert errors_of(saved(state, tmp_path / "pr.dcm")) == []
        assert state.ShutterShape == ["RECTANGULAR", "CIRCULAR"]
        assert (state.ShutterRightVerticalEdge, state.RadiusOfCircularShutter) == (40, 28)
        assert state.CenterOfCircularShutter == [30, 22]

    @pytest.mark.parametrize("shape", ["RECTANGULAR", "OVAL", ["CIRCULAR", "POLYGONAL"]])
    def test_a_shutter_that_cannot_be_drawn_is_none(self, tmp_path, shape):
        state = made(source(ShutterShape=shape), ["pr"])["pr"]
        assert "ShutterShape" not in state
        assert errors_of(saved(state, tmp_path / "pr.dcm")) == []

    def test_padding_changes_no_object(self, tmp_path):
        for kind, result in made(source(PixelPaddingValue=0)).items():
            assert errors_of(saved(result, tmp_path / f"{kind}.dcm")) == []


class TestAnatomy:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, {"sc": (None, None), "pr": (None, None)}),
            ({"BodyPartExamined": None}, {"sc": ("", None), "pr": ("", None)}),
            ({"BodyPartExamined": "HAND"}, {"sc": ("", None), "pr": ("", None)}),
            ({"BodyPartExamined": "HAND", "Laterality": "R"}, {"sc": ("R", None), "pr": ("R", None)}),
            ({"BodyPartExamined": "HAND", "ImageLaterality": "L"}, {"sc": (None, "L"), "pr": ("", None)}),
            ({"BodyPartExamined": "HAND", "Laterality": "X"}, {"sc": ("", None), "pr": ("", None)}),
        ],
        ids=str,
    )
    def test_side(self, tmp_path, changes, expected):
        for kind, result in made(source(**changes), ["sc", "pr"]).items():
            told = result.get("Laterality"), result.get("ImageLaterality")
            assert told == expected[kind]
            assert errors_of(saved(result, tmp_path / f"{kind}.dcm")) == []

    def test_orientation(self):
        assert made(source("MG"), ["sc"])["sc"].PatientOrientation == ["A", "FR"]
        assert "[" not in str(
            made(source(PatientOrientation=["L", "LR"]), ["sc"])["sc"]["PatientOrientation"]
        )


class TestPatients:
    def test_a_de_identified_source_stays_so(self, tmp_path):
        ds = source(full=False, PatientName=None, PatientID=None, PatientIdentityRemoved="YES")
        ds.DeidentificationMethod, ds.LongitudinalTemporalInformationModified = "Basic profile", "REMOVED"
        for kind, result in made(ds).items():
            path = saved(result, tmp_path / f"{kind}.dcm")
            assert errors_of(path) == []
            assert result.PatientIdentityRemoved == "YES"
            assert result.DeidentificationMethod == "Basic profile"
            text = dcmdump(path)
            assert "jane" not in text.lower()
            assert "(0010,0020) LO (no value available)" in text

    def test_removed_by_a_method_that_is_not_told(self, tmp_path):
        result = made(source(PatientIdentityRemoved="YES"), ["sr"])["sr"]
        assert result.DeidentificationMethod == "Not told by the source image"
        assert errors_of(saved(result, tmp_path / "sr.dcm")) == []

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("PatientSex", "FEMALE"),
            ("PatientBirthDate", "2.1.70"),
            ("PatientAge", "56"),
            ("StudyDate", "tomorrow"),
            ("BodyPartExamined", "chest pa"),
        ],
    )
    def test_what_breaks_the_rules_is_left_out(self, tmp_path, keyword, value):
        ds = source()
        ds[keyword].validation_mode = 0
        ds[keyword]._value = value
        for kind, result in made(ds).items():
            assert not result.get(keyword)
            assert errors_of(saved(result, tmp_path / f"{kind}.dcm")) == []

    @pytest.mark.parametrize("keyword", ["PatientID", "StudyID", "AccessionNumber", "StudyInstanceUID"])
    def test_what_an_archive_files_by_is_refused(self, keyword):
        ds = source()
        ds[keyword].validation_mode = 0
        ds[keyword]._value = "1.02.x" * 15
        with pytest.raises(DicomResultError, match=keyword) as caught:
            made(ds, ["sr"], assessment(Verdict.REVIEW))
        assert caught.value.code == "invalid_attribute"
