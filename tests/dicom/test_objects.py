"""What each object says, and that it is one that the standard knows."""

import io
from dataclasses import replace
from datetime import timedelta

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.sr.codedict import codes

import xiqa
from tests.dicom.sources import CLASSES, FINDINGS, MADE, assessment, enhanced_mr, source
from tests.dicom.tools import dcmdump, dsrdump, errors_of, saved
from xiqa.dicom import KINDS, Decision, results
from xiqa.dicom.read import read_report
from xiqa.errors import ConfigError, DicomResultError
from xiqa.saliency.placing import on_picture
from xiqa.types import Source, Verdict

EVERYWHERE = ("sc", "sr", "pr", "ko", "seg")


def made(assessed=None, ds=None, kinds=EVERYWHERE, **choices):
    return results(assessed or assessment(), ds or source(), kinds=kinds, made=MADE, **choices)


def encoded(ds) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def decision(**changes) -> Decision:
    settings = {
        "uid": source().SOPInstanceUID,
        "action": Verdict.REACQUIRE,
        "reason": "111210",
        "note": "moved",
        "person": "Roe^Richard",
        "time": MADE,
    }
    return Decision(**(settings | changes))


class TestEveryObject:
    @pytest.mark.parametrize("full", [True, False], ids=["all attributes", "required attributes"])
    @pytest.mark.parametrize("modality", list(CLASSES))
    def test_the_validator_finds_no_error(self, tmp_path, modality, full):
        kinds = (*EVERYWHERE, "pm") if modality == "MR" else EVERYWHERE
        for kind, ds in made(ds=source(modality, full=full), kinds=kinds).items():
            assert errors_of(saved(ds, tmp_path / f"{kind}.dcm")) == [], kind

    def test_the_validator_finds_no_error_in_a_frames_results(self, tmp_path):
        assessed = assessment(source=Source(frame=1, frames=3))
        for kind, ds in made(assessed, enhanced_mr(), tuple(KINDS)).items():
            assert errors_of(saved(ds, tmp_path / f"{kind}.dcm")) == [], kind

    def test_the_validator_finds_no_error_in_a_rejection(self, tmp_path):
        ds = made(kinds=["ko"], decision=decision())["ko"]
        assert errors_of(saved(ds, tmp_path / "ko.dcm")) == []

    def test_the_validator_would_find_one(self, tmp_path):
        ds = made(kinds=["sr"])["sr"]
        del ds.StudyInstanceUID
        assert errors_of(saved(ds, tmp_path / "sr.dcm")) != []

    @pytest.mark.parametrize("kind", EVERYWHERE)
    def test_patient_and_study_are_the_sources(self, kind):
        ds, original = made()[kind], source()
        for keyword in (
            *(
                "PatientName",
                "PatientID",
                "PatientBirthDate",
                "PatientSex",
                "PatientAge",
                "IssuerOfPatientID",
            ),
            *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription"),
            "ReferringPhysicianName",
        ):
            assert str(ds[keyword].value) == str(original[keyword].value), keyword
        assert ds.SeriesInstanceUID != original.SeriesInstanceUID

    @pytest.mark.parametrize("kind", EVERYWHERE)
    def test_nothing_else_of_the_source_and_no_path_is_told(self, kind):
        text = str(made()[kind])
        for word in ("Hospital", "ROOM7", "Acme", "SN-1", "jane-doe", "Station"):
            assert word not in text

    @pytest.mark.parametrize("kind", EVERYWHERE)
    def test_class_and_modality(self, kind):
        ds = made()[kind]
        modality = {"sc": "OT"}.get(kind, kind.upper())
        assert (ds.SOPClassUID, ds.Modality) == (KINDS[kind].sop_class, modality)

    def test_dcmtk_reads_all_back(self, tmp_path):
        for kind, ds in made().items():
            assert f"[{ds.SOPInstanceUID}]" in dcmdump(saved(ds, tmp_path / f"{kind}.dcm"))

    def test_the_source_is_left_alone(self):
        ds = source()
        before = encoded(ds)
        made(ds=ds)
        assert encoded(ds) == before


class TestIdentity:
    def test_the_same_result_is_the_same_object(self):
        first, again = made(), made()
        for kind in EVERYWHERE:
            assert encoded(first[kind]) == encoded(again[kind]), kind

    def test_a_later_time_changes_no_uid(self):
        first, later = made(), results(assessment(), source(), kinds=EVERYWHERE, made=MADE + timedelta(1))
        for kind in EVERYWHERE:
            assert first[kind].SOPInstanceUID == later[kind].SOPInstanceUID
            assert later[kind].InstanceCreationDate == "20260305"

    def test_kinds_frames_models_settings_and_images_are_told_apart(self):
        provenance = assessment().provenance
        variants = [
            made(),
            made(ds=source(SOPInstanceUID="1.2.3.9")),
            made(ds=source(NumberOfFrames=2), image=None, kinds=["sr"]),
            made(assessment(provenance={**provenance, "model_hash": "f" * 64})),
            made(assessment(provenance={**provenance, "method": "gradcam"})),
            made(assessment(provenance={**provenance, "threshold": 0.5})),
            made(assessment(source=Source(frame=1, frames=3)), enhanced_mr()),
            made(assessment(source=Source(frame=2, frames=3)), enhanced_mr()),
        ]
        uids = [ds.SOPInstanceUID for variant in variants for ds in variant.values()]
        # one frame of two is the same image and frame as the image without frames
        assert len(set(uids)) == len(uids) - 1

    def test_images_of_a_series_share_a_series_of_each_kind(self):
        first, second = made(), made(ds=source(SOPInstanceUID="1.2.3.9", InstanceNumber=8))
        for kind in EVERYWHERE:
            assert first[kind].SeriesInstanceUID == second[kind].SeriesInstanceUID
            assert (first[kind].InstanceNumber, second[kind].InstanceNumber) == (7, 8)
        assert len({ds.SeriesInstanceUID for ds in first.values()}) == len(EVERYWHERE)

    def test_uids_are_of_the_form_that_needs_no_root(self):
        for ds in made().values():
            assert ds.SOPInstanceUID.startswith("2.25.")
            assert ds.SOPInstanceUID.is_valid


class TestReport:
    def test_numbers_and_sentence(self):
        report = read_report(made()["sr"])
        assert report.image == source().SOPInstanceUID
        assert report.numbers == {"probability of poor quality": (0.93, 0.6)}
        assert report.comment == "reacquire: poor quality (foreign) is likely: 93 %, limit 60 %"
        assert report.quality == "Usable - Does not meet the quality control standard"
        assert report.frame is None

    def test_regions_are_the_findings(self):
        regions = read_report(made()["sr"]).regions
        assert [region.box for region in regions] == [finding.box for finding in FINDINGS]
        assert [region.score for region in regions] == [1.0, 0.6]
        assert {region.kind for region in regions} == {"Artifact(s) other than grid or detector artifact"}
        assert {region.explanation for region in regions} == {"Saliency"}

    def test_regions_are_closed_outlines_of_five_points(self):
        groups = hd.sr.ComprehensiveSR.from_dataset(made()["sr"]).content.get_planar_roi_measurement_groups()
        corners = [[9, 27], [18, 27], [18, 41], [9, 41], [9, 27]]
        np.testing.assert_array_equal(groups[0].roi.value, corners)
        assert groups[0].roi.GraphicType == "POLYLINE"

    def test_problems_have_a_group_each(self):
        problems = {"motion_blur": 0.8, "haze": 0.25}
        assessed = assessment(provenance={**assessment().provenance, "problems": problems})
        content = hd.sr.ComprehensiveSR.from_dataset(made(assessed)["sr"]).content
        _, motion, haze = content.get_image_measurement_groups()
        assert motion.finding_type == codes.DCM.MotionBlur
        assert haze.finding_type is None
        assert read_report(made(assessed)["sr"]).numbers["probability of motion blur"] == (0.8, 0.6)

    def test_a_graded_problem_tells_its_grade(self, tmp_path):
        told = {"problems": {"motion_blur": 0.8, "noise": 0.2}, "grades": {"motion_blur": "marked"}}
        assessed = assessment(provenance={**assessment().provenance, **told})
        text = dsrdump(saved(made(assessed)["sr"], tmp_path / "sr.dcm"))
        assert text.count("grade: ") == text.count("grade: marked") == 1

    def test_an_image_for_review_has_no_coded_quality(self):
        assert read_report(made(assessment(Verdict.REVIEW))["sr"]).quality == ""
        accepted = read_report(made(assessment(Verdict.ACCEPT))["sr"])
        assert accepted.quality == "Usable - Meets the quality control standard"

    def test_of_an_accepted_image_the_strongest_finding_alone_as_on_the_page(self):
        assert [r.box for r in read_report(made(assessment(Verdict.ACCEPT))["sr"]).regions] == [
            FINDINGS[0].box
        ]

    def test_the_algorithm_is_identified(self, tmp_path):
        text = dsrdump(saved(made()["sr"], tmp_path / "sr.dcm"))
        for words in (
            "model_hash=a1b2c3d4",
            '"Algorithm Name")="cxr-foreign-objects"',
            '"Algorithm Version")="0.1.0"',
            '(123110,DCM,"Artificial Intelligence")',
            '"Visual explanation")=(130404,DCM,"Saliency")',
            "(POLYLINE,9/27,18/27,18/41,9/41,9/27)",
        ):
            assert words in text or words.replace("=", " = ") in text, text

    def test_the_source_is_its_evidence(self):
        (study,) = made()["sr"].CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        (instance,) = series.ReferencedSOPSequence
        told = study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID
        assert told == (source().StudyInstanceUID, source().SeriesInstanceUID, source().SOPInstanceUID)

    def test_other_objects_are_no_reports(self, tmp_path):
        for strange in (made()["sc"], source(), tmp_path / "none.dcm", tmp_path):
            with pytest.raises(DicomResultError) as caught:
                read_report(strange)
            assert caught.value.code == "no_report"

    def test_text_for_people(self):
        text = str(read_report(made()["sr"]))
        assert "Finding 2" in text
        assert "columns 30 to 38, rows 5 to 12; Saliency 0.60" in text
        assert "Jane" not in text


class TestPicture:
    def test_marked_as_what_it_is(self):
        ds = made()["sc"]
        assert ds.BurnedInAnnotation == "YES"
        assert ds.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
        assert ds.SeriesDescription == "Image quality picture (AI image quality, not for diagnosis)"
        (referred,) = ds.SourceImageSequence
        assert referred.ReferencedSOPInstanceUID == source().SOPInstanceUID
        assert referred.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"

    def test_captions_stand_below_the_image_and_cover_none_of_it(self):
        ds = made(assessment(saliency=None, findings=()), kinds=["sc"])["sc"]
        shown = ds.pixel_array[:60, :44]
        read = xiqa.dicom.pixels.image_of(source(), 0)
        np.testing.assert_array_equal(shown, np.rint(read.pixels * 255)[..., None].repeat(3, 2))
        assert (ds.Rows, ds.Columns) > (60, 44)
        assert ds.Columns == 44
        assert ds.pixel_array[60:].max() == 255

    def test_pixels_that_are_not_square(self):
        ds = made(ds=source("MR"), kinds=["sc", "pr"])
        assert ds["sc"].PixelAspectRatio == [2, 1]
        assert ds["pr"].DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == [2, 1]
        assert "PixelAspectRatio" not in made()["sc"]

    def test_without_pixels(self):
        bare = source()
        del bare.PixelData
        with pytest.raises(xiqa.errors.ImageReadError):
            made(ds=bare, kinds=["sc"])
        assert set(made(ds=bare, kinds=["sr", "pr", "ko"])) == {"sr", "pr", "ko"}


class TestKeyObjects:
    def test_an_image_that_a_person_should_look_at(self):
        for verdict in (Verdict.REVIEW, Verdict.REACQUIRE):
            ds = hd.ko.KeyObjectSelectionDocument.from_dataset(made(assessment(verdict))["ko"])
            assert ds.ConceptNameCodeSequence[0].CodeValue == "113010"
            (image,) = ds.content.get_references()
            assert image.referenced_sop_instance_uid == source().SOPInstanceUID

    def test_none_for_an_accepted_image(self):
        assert set(made(assessment(Verdict.ACCEPT))) == set(EVERYWHERE) - {"ko"}

    @pytest.mark.parametrize("verdict", list(Verdict)[:3])
    def test_no_verdict_rejects(self, verdict):
        ds = made(assessment(verdict), kinds=["ko", "sr"]).get("ko")
        assert ds is None or "113001" not in str(ds)

    def test_a_rejection_names_person_and_reason(self):
        ds = made(assessment(Verdict.ACCEPT), decision=decision(), kinds=["ko"])["ko"]
        title, modifier = ds.ConceptNameCodeSequence[0], ds.ContentSequence[0]
        assert (title.CodeValue, title.CodeMeaning) == ("113001", "Rejected for Quality Reasons")
        assert modifier.RelationshipType == "HAS CONCEPT MOD"
        assert modifier.ConceptNameCodeSequence[0].CodeValue == "113011"
        reason = modifier.ConceptCodeSequence[0]
        assert (reason.CodeValue, reason.CodeMeaning) == ("111210", "Motion blur")
        texts = {i.ValueType: i for i in ds.ContentSequence}
        assert texts["PNAME"].PersonName == "Roe^Richard"
        assert texts["TEXT"].TextValue == "moved"

    def test_another_decision_is_another_object(self):
        variants = [
            {},
            {"reason": "111209"},
            {"person": "Poe^P"},
            {"note": "again"},
            {"time": MADE + timedelta(1)},
        ]
        uids = {made(kinds=["ko"], decision=decision(**v))["ko"].SOPInstanceUID for v in variants}
        assert len(uids) == len(variants)
        assert made(kinds=["ko"])["ko"].SOPInstanceUID not in uids

    def test_a_decision_to_keep_the_image_marks_nothing(self):
        for action in (Verdict.ACCEPT, Verdict.REVIEW):
            assert made(kinds=["ko"], decision=decision(action=action)) == {}

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"person": " "}, "no_person"),
            ({"reason": None}, "no_reason"),
            ({"reason": "111235"}, "no_reason"),
            ({"reason": "111215", "note": " "}, "no_words"),
            ({"uid": "1.2.3"}, "other_image"),
        ],
    )
    def test_what_a_rejection_needs(self, changes, code):
        with pytest.raises(DicomResultError) as caught:
            made(kinds=["ko"], decision=decision(**changes))
        assert caught.value.code == code

    def test_a_foreign_object_is_told_in_words(self):
        ds = made(kinds=["ko"], decision=decision(reason="111215", note="a button, größer"))["ko"]
        assert "a button, größer" in str(dcmread(io.BytesIO(encoded(ds))))


class TestMaps:
    def test_the_segment_is_the_upper_half_of_the_map(self):
        ds = hd.seg.Segmentation.from_dataset(made(kinds=["seg"])["seg"])
        values = on_picture(assessment().saliency, (60, 44), (60, 44))
        low, high = values.min(), values.max()
        expected = values >= (low + high) / 2
        assert 0 < expected.sum() < expected.size / 2
        np.testing.assert_array_equal(ds.pixel_array.squeeze(), expected)
        assert ds.get_segment_description(1).segment_label == "foreign"

    def test_the_parametric_map_holds_the_numbers(self):
        ds = made(ds=source("MR"), kinds=["pm"])["pm"]
        stored = dcmread(io.BytesIO(encoded(ds)))
        values = np.frombuffer(stored.FloatPixelData, "<f4").reshape(60, 44)
        np.testing.assert_array_equal(values, on_picture(assessment().saliency, (60, 44), (60, 44)))

    def test_a_projection_has_no_place_for_a_parametric_map(self):
        with pytest.raises(DicomResultError, match="ImageOrientationPatient") as caught:
            made(ds=source("DX"), kinds=["pm"])
        assert caught.value.code == "no_place"

    @pytest.mark.parametrize("kind", ["seg", "pm"])
    def test_no_map_no_object(self, kind):
        constant = replace(assessment().saliency, values=np.ones((8, 8), np.float32))
        for saliency in (None, constant, replace(constant, values=np.full((8, 8), np.nan, np.float32))):
            with pytest.raises(DicomResultError) as caught:
                made(assessment(saliency=saliency), source("MR"), [kind])
            assert caught.value.code == "no_map"


class TestRefusals:
    def test_an_assessment_of_another_image(self):
        other = assessment(source=Source(identifiers={"SOPInstanceUID": "1.2.9"}))
        for assessed in (other, assessment(size=(44, 60))):
            with pytest.raises(DicomResultError) as caught:
                made(assessed)
            assert caught.value.code == "other_image"

    def test_an_image_that_was_not_assessed(self):
        with pytest.raises(DicomResultError) as caught:
            made(assessment(Verdict.NOT_ASSESSED, probability=None))
        assert caught.value.code == "not_assessed"

    @pytest.mark.parametrize(
        "keyword", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows"]
    )
    def test_an_image_that_cannot_be_referred_to(self, keyword):
        ds = source()
        del ds[keyword]
        with pytest.raises(DicomResultError, match=keyword) as caught:
            made(ds=ds, kinds=["sr"])
        assert caught.value.code == "missing_attribute"

    @pytest.mark.parametrize("kinds", [[], ["sr", "xx"], ["SR"]])
    def test_unknown_kinds(self, kinds):
        with pytest.raises(ConfigError, match="sc, sr, pr, ko, seg, pm"):
            made(kinds=kinds)
