"""`xiqa assess --dicom-results` and `xiqa dicom read`."""

import json
import sys

import numpy as np
import pytest
from PIL import Image as Pillow
from pydicom import dcmread
from tests.cli.test_assess import xiqa
from tests.dicom.sources import source
from tests.dicom.test_send import archive
from tests.dicom.tools import saved

from xiqa.dicom.read import read_report


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (1, 2):
        saved(source(SOPInstanceUID=f"1.2.3.{number}", InstanceNumber=number), folder / f"{number}.dcm")
    return folder


def objects(out):
    return {path.name: dcmread(path) for path in sorted((out / "dicom").glob("1.dcm-*/*.dcm"))}


def test_objects_are_written_beside_the_report(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    options = ("--model", bundle, "--out", out, "--dicom-results", "sr,sc,pr")
    assert xiqa(monkeypatch, "assess", images, *options) == 0
    assert f"DICOM results: {out / 'dicom'}" in capsys.readouterr().out
    made = objects(out)
    assert list(made) == ["pr.dcm", "sc.dcm", "sr.dcm"]
    assert {ds.StudyInstanceUID for ds in made.values()} == {source().StudyInstanceUID}
    report = read_report(made["sr.dcm"])
    rows = json.loads((out / "results.json").read_text())
    row = next(row for row in rows if row["file"].endswith("1.dcm"))
    assert report.image == "1.2.3.1"
    assert report.numbers["probability of poor quality"] == pytest.approx(
        (row["probability"], row["threshold"])
    )
    for region, finding in zip(report.regions, row["findings"], strict=False):
        assert region.box == pytest.approx(finding["box"], abs=1e-3)


def test_a_second_run_keeps_the_objects_and_makes_what_is_missing(
    monkeypatch, capsys, bundle, images, tmp_path
):
    out = tmp_path / "out"
    options = ("--model", bundle, "--out", out, "--dicom-results")
    xiqa(monkeypatch, "assess", images, *options, "sr")
    first = next((out / "dicom").glob("1.dcm-*/sr.dcm")).read_bytes()
    xiqa(monkeypatch, "assess", images, *options, "sr")
    assert "2 of 2 images are done already" in capsys.readouterr().out
    assert next((out / "dicom").glob("1.dcm-*/sr.dcm")).read_bytes() == first
    xiqa(monkeypatch, "assess", images, *options, "sr,seg")
    assert list(objects(out)) == ["seg.dcm", "sr.dcm"]


def test_objects_are_sent_and_counted(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    with archive(lambda event: 0) as (to, kept):
        options = ("--model", bundle, "--out", out, "--dicom-results", "sr,sc", "--send", str(to))
        assert xiqa(monkeypatch, "assess", images, *options) == 0
    assert "has stored 4 of 4 objects" in capsys.readouterr().out
    assert {ds.SOPInstanceUID for ds in kept} == {
        dcmread(path).SOPInstanceUID for path in (out / "dicom").glob("*/*.dcm")
    }


def test_what_the_archive_refuses_is_told(monkeypatch, capsys, bundle, images, tmp_path):
    with archive(lambda event: 0xA700) as (to, _):
        options = ("--out", tmp_path / "out", "--dicom-results", "sr", "--send", str(to))
        assert xiqa(monkeypatch, "assess", images, "--model", bundle, *options) == 1
    told = capsys.readouterr().out
    assert "has stored 0 of 2 objects" in told
    assert "sr.dcm: status A700" in told


def test_a_picture_has_no_patient(monkeypatch, capsys, bundle, tmp_path):
    Pillow.fromarray(np.arange(4800, dtype=np.uint8).reshape(60, 80)).save(tmp_path / "a.png")
    options = ("--model", bundle, "--out", tmp_path / "out", "--dicom-results", "sr")
    assert xiqa(monkeypatch, "assess", tmp_path / "a.png", *options) == 1
    assert "only a DICOM image has a patient and a study" in capsys.readouterr().out


def test_options_that_make_no_sense(monkeypatch, capsys, bundle, images, tmp_path):
    command = ("assess", images, "--model", bundle, "--out", tmp_path / "out")
    for options in (
        ("--send", "PACS@host:104"),
        ("--dicom-results", "dicom"),
        ("--dicom-results", "sr", "--send", "x"),
    ):
        assert xiqa(monkeypatch, *command, *options) == 2
    told = capsys.readouterr().err
    assert "nothing to send" in told
    assert "sc, sr, pr, ko, seg, pm" in told
    assert "AE@host:port" in told


def test_an_archive_that_is_not_there(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    options = ("--model", bundle, "--out", out, "--dicom-results", "sr", "--send", "PACS@127.0.0.1:1")
    assert xiqa(monkeypatch, "assess", images, *options) == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert (out / "report.html").exists()
    assert list(objects(out)) == ["sr.dcm"], "the objects stay for another try"


def test_a_report_is_read(monkeypatch, capsys, bundle, images, tmp_path):
    out = tmp_path / "out"
    xiqa(monkeypatch, "assess", images, "--model", bundle, "--out", out, "--dicom-results", "sr")
    capsys.readouterr()
    assert xiqa(monkeypatch, "dicom", "read", next((out / "dicom").glob("1.dcm-*/sr.dcm"))) == 0
    told = capsys.readouterr().out
    assert "1.2.3.1" in told
    assert "Probability of poor quality" in told
    assert xiqa(monkeypatch, "dicom", "read", images / "1.dcm") == 2
    assert "no report of xiqa" in capsys.readouterr().err


def test_without_highdicom(monkeypatch, capsys, bundle, images, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("highdicom", "xiqa.dicom.objects"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    options = ("--model", bundle, "--out", tmp_path / "out", "--dicom-results", "sr")
    assert xiqa(monkeypatch, "assess", images, *options) == 1
    assert 'pip install "xiqa[dicom]"' in capsys.readouterr().out
