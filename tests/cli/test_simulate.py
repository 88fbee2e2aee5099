"""`xiqa simulate cardiac|scenarios|corrupt`: what is written is read back by the readers, exactly."""

import csv

import nibabel
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from xiqa.cli import data
from xiqa.cli.simulate import app
from xiqa.datasets.check import check_dataset
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.folder import read_csv
from xiqa.datasets.foreign_objects import read_scenarios
from xiqa.errors import ConfigError, DatasetError
from xiqa.simulation.chest import scenario_grid
from xiqa.simulation.corrupt import CORRUPTIONS
from xiqa.simulation.write_cardiac import simulate_cines
from xiqa.simulation.write_corrupt import CorruptFolder, draw_problem, grade_of
from xiqa.types import Image

RUN = CliRunner()


def run(*arguments):
    return RUN.invoke(app, [str(one) for one in arguments], catch_exceptions=False)


def rows(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(("option", "step"), [(None, 1 / 255), ("--dicom", 1 / 4095), ("--nifti", 1 / 4095)])
def test_cines_come_back_with_pixels_labels_masks_and_patients(tmp_path, option, step):
    out = tmp_path / "cines"
    options = [option] if option else []
    done = run("cardiac", "--count", 3, "--frames", 2, "--seed", 5, "--size", 64, "--out", out, *options)
    assert "12 slices of 3 patients" in done.output
    assert (out / "contact_sheet.png").stat().st_size > 1000
    found = read_dataset(out)
    assert found.name == "lvot"
    assert found.notes == ()
    phantoms = [frame for seed in (5, 6, 7) for cine in simulate_cines(seed, 2, (64, 64)) for frame in cine]
    assert [s.label for s in found.samples] == [p.label for p in phantoms]
    assert [s.patient for s in found.samples] == [f"sim{p.parameters['seed']:06d}" for p in phantoms]
    assert sum(s.label for s in found.samples) == 6
    for sample, phantom in zip(found.samples, phantoms, strict=True):
        assert np.abs(sample.read().pixels - phantom.image.pixels).max() <= 0.51 * step
        assert len(sample.annotations) == sample.label
        for told, true in zip(sample.annotations, phantom.annotations, strict=True):
            assert np.array_equal(told.mask, true.mask)
            assert told.box == true.box
    report = check_dataset(found)
    assert (report.missing, report.broken, report.leaky) == ([], {}, False)


def test_two_cines_of_a_patient_differ_in_the_plane_alone():
    one, other = simulate_cines(3, 1, (64, 64))
    assert {one[0].label, other[0].label} == {0, 1}
    assert one[0].parameters["heart"] == other[0].parameters["heart"]
    assert one[0].image.spacing == other[0].image.spacing
    assert len({simulate_cines(seed, 1, (32, 32))[0][0].label for seed in range(8)}) == 2


def test_cine_as_dicom_says_what_it_is(tmp_path):
    run("cardiac", "--count", 1, "--frames", 3, "--size", 64, "--out", tmp_path / "a", "--dicom")
    run("cardiac", "--count", 1, "--frames", 3, "--size", 64, "--out", tmp_path / "b", "--dicom")
    files = sorted((tmp_path / "a" / "images").rglob("*.dcm"))
    headers = [pydicom.dcmread(file) for file in files]
    assert len({ds.SOPInstanceUID for ds in headers}) == 6
    assert len({ds.SeriesInstanceUID for ds in headers}) == 2
    assert len({ds.StudyInstanceUID for ds in headers}) == 1
    assert [float(ds.TriggerTime) for ds in headers[:3]] == pytest.approx([0, 300, 600], abs=0.1)
    required = """
        SOPClassUID Modality FrameOfReferenceUID ImageType ScanningSequence SequenceVariant MRAcquisitionType
        EchoTime EchoTrainLength SliceThickness PixelSpacing ImagePositionPatient ImageOrientationPatient
        PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelData
    """
    for ds in headers:
        assert "SIMULATED" in str(ds.PatientName)
        for keyword in required.split():
            assert ds.get(keyword) not in (None, ""), keyword
        row, column = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        assert row @ column == pytest.approx(0)
        assert column @ column == pytest.approx(1, abs=1e-5)
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_cine_as_nifti_has_time_and_millimetres(tmp_path):
    run("cardiac", "--count", 1, "--frames", 4, "--size", 48, "--out", tmp_path / "a", "--nifti")
    volume = nibabel.load(next((tmp_path / "a" / "images").rglob("*.nii.gz")))
    (phantom,) = simulate_cines(0, 1, (48, 48))[0]
    assert volume.shape == (48, 48, 1, 4)
    assert volume.header.get_zooms()[:2] == pytest.approx(phantom.image.spacing)
    assert volume.header.get_zooms()[3] == pytest.approx(0.9 / 4)
    assert volume.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.long
def test_scenarios_tell_each_image_s_scenario_and_keep_the_patient(tmp_path):
    out = tmp_path / "grid"
    done = run("scenarios", "--count", 2, "--seed", 8, "--size", 64, "--masks", "--out", out)
    assert "68 images" in done.output
    names = [scenario.name for scenario in scenario_grid()]
    table = rows(out / "scenarios.csv")
    assert [row["scenario"] for row in table] == names * 2
    told = read_scenarios(out)
    found = read_dataset(out)
    assert [told[s.key] for s in found.samples] == names * 2
    splits = {s.patient: s.split for s in found.samples}
    assert splits == {"sim000008": "val", "sim000009": "test"}
    for sample in found.samples:
        scenario = told[sample.key]
        assert sample.label == (not scenario.startswith("none") and not scenario.endswith("outside"))
        removable = [a for a in sample.annotations if "removable" in a.groups]
        if scenario.startswith("one"):
            kinds = sorted(a.kind for a in removable)
            assert len(kinds) == 1 or kinds == ["electrode", "lead"]  # an electrode has its lead
        if scenario.startswith(("same", "different")):
            assert len(removable) > 1
    report = check_dataset(found)
    assert not report.leaky
    assert any((out / "masks").iterdir())


def test_scenarios_of_a_folder_without_them_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"scenarios\.csv"):
        read_scenarios(tmp_path)


def test_corrupt_set_has_problem_degree_and_grade(tmp_path):
    out = tmp_path / "corrupt"
    done = run("corrupt", "--count", 20, "--seed", 10, "--size", 64, "--out", out)
    assert "20 images" in done.output
    assert (out / "contact_sheet.png").stat().st_size > 1000
    found = read_dataset(out)
    assert set(found.classes) == {"good", *CORRUPTIONS}
    for sample, seed in zip(found.samples, range(10, 30), strict=True):
        problem, degree = draw_problem(seed)
        assert found.classes[sample.label] == problem
        assert sample.degree == pytest.approx(degree, abs=6e-4)
        assert (sample.degree == 0) == (problem == "good")
        assert sample.read().size == (64, 64)
    graded = read_csv(out / "images.csv", label="grade")
    assert set(graded.classes) == {"none", "slight", "marked", "severe"}
    assert not check_dataset(found).leaky


def test_every_split_meets_every_problem_equally_often():
    for first in (0, 8, 9):
        met = [draw_problem(seed)[0] for seed in range(first, 800, 10)]
        assert {met.count(problem) for problem in ("good", *CORRUPTIONS)} == {10}


def test_grades_are_thirds():
    assert [grade_of(x) for x in (0, 1e-3, 1 / 3, 0.34, 2 / 3, 0.67, 1)] == [
        "none", "slight", "slight", "marked", "marked", "severe", "severe",
    ]  # fmt: skip


def test_corrupt_takes_heart_slices_or_another_data_set(tmp_path):
    run("corrupt", "--count", 3, "--base", "cardiac", "--size", 48, "--out", tmp_path / "hearts")
    assert len(read_dataset(tmp_path / "hearts").samples) == 3
    radiographs = tmp_path / "images"
    run("chest", "--count", 3, "--seed", 7, "--size", 64, "--objects", "none", "--out", radiographs)
    out = tmp_path / "own"
    run("corrupt", "--images", radiographs, "--problem", "noise", "--seed", 1, "--out", out)
    found = read_dataset(out)
    assert {found.classes[s.label] for s in found.samples} <= {"good", "noise"}
    assert [(s.patient, s.split) for s in found.samples] == [
        ("sim000007", "train"), ("sim000008", "val"), ("sim000009", "test"),
    ]  # fmt: skip


def test_what_is_written_can_be_checked_from_the_command_line(tmp_path):
    run("cardiac", "--count", 2, "--frames", 1, "--size", 48, "--out", tmp_path / "a")
    done = RUN.invoke(data.app, ["check", str(tmp_path / "a")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "lvot: 4 images" in done.output


@pytest.mark.parametrize("command", ["cardiac", "scenarios", "corrupt"])
def test_a_folder_is_replaced_only_when_asked_and_ours(tmp_path, command):
    arguments = [command, "--count", "1", "--size", "48", "--out", str(tmp_path / "set")]
    if command == "cardiac":
        arguments += ["--frames", "1"]
    assert RUN.invoke(app, arguments).exit_code == 0
    assert "not empty" in str(RUN.invoke(app, arguments).exception)
    assert RUN.invoke(app, [*arguments, "--force", "--seed", "3"]).exit_code == 0
    written = [path.name for path in (tmp_path / "set" / "images").iterdir()]
    assert written
    assert all("3" in name for name in written)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "images").mkdir()
    foreign = [*arguments[:-1], str(tmp_path / "other"), "--force"]
    if command == "cardiac":
        foreign = [*arguments[:5], "--out", str(tmp_path / "other"), "--force"]
    assert "does not hold simulated" in str(RUN.invoke(app, foreign).exception)


def test_wrong_requests_are_told(tmp_path):
    with pytest.raises(ConfigError, match="two formats"):
        run("cardiac", "--dicom", "--nifti", "--out", tmp_path / "a")
    with pytest.raises(ConfigError, match="unknown problem"):
        run("corrupt", "--problem", "coffee", "--size", 64, "--out", tmp_path / "b")
    with pytest.raises(ConfigError, match="least degree"):
        draw_problem(0, least=1.0)
    with CorruptFolder(tmp_path / "c") as folder:
        radiograph = Image(np.zeros((8, 8), np.float32))
        folder.add(radiograph, "good", 0, seed=1)
        with pytest.raises(DatasetError, match="two images"):
            folder.add(radiograph, "good", 0, seed=1)
