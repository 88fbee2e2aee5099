import numpy as np
import pytest
from tests.datasets import layouts
from typer.testing import CliRunner

from xiqa.cli import data
from xiqa.datasets.balance import class_weights, downsample, sample_weights
from xiqa.datasets.check import check_dataset, thumbnail
from xiqa.datasets.collection import assign_splits, leaking_patients, require_no_leak
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.sample import Sample
from xiqa.errors import DatasetError
from xiqa.types import Image

RUN = CliRunner()


def sample(key, label=0, split="train", patient=""):
    return Sample(key, None, label, split, patient=patient)


def test_splits_keep_patients_whole_and_fractions_near():
    patients = [f"p{index // 3}" for index in range(300)]
    splits = assign_splits(patients, seed=1)
    assert not leaking_patients(
        sample(str(i), split=s, patient=p) for i, (p, s) in enumerate(zip(patients, splits, strict=True))
    )
    assert abs(splits.count("train") - 240) <= 3
    assert abs(splits.count("test") - 30) <= 3
    assert splits == assign_splits(patients, seed=1) != assign_splits(patients, seed=2)
    assert set(assign_splits(patients, (1, 0, 0))) == {"train"}
    with pytest.raises(DatasetError, match="fractions"):
        assign_splits(patients, (1, -1, 0))


def test_a_leak_is_named():
    with pytest.raises(DatasetError, match=r"p1 \(test\+train\)"):
        require_no_leak([sample("a", patient="p1"), sample("b", split="test", patient="p1")])
    require_no_leak([sample("a"), sample("b", split="test")])


def test_balance():
    samples = [sample(str(i), label=int(i >= 6)) for i in range(8)]
    assert class_weights(samples, 3) == pytest.approx([8 / 12, 8 / 4, 0])
    assert sample_weights(samples, 2).sum() == pytest.approx(8)
    kept = downsample(samples, seed=0)
    assert [s.label for s in kept] == [0, 0, 1, 1]
    assert downsample([]) == []


def test_thumbnail_is_block_means():
    pixels = np.arange(128 * 128, dtype=np.float32).reshape(128, 128)
    small = pixels.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    small = (small - small.mean()) / small.std()
    assert thumbnail(Image(pixels)) == pytest.approx(small, abs=1e-4)


def test_check_finds_missing_broken_and_a_copied_image(tmp_path):
    layouts.object_cxr(tmp_path)
    (tmp_path / "train" / "a.jpg").unlink()
    (tmp_path / "dev" / "c.jpg").write_bytes(b"no image")
    (tmp_path / "test" / "d.jpg").write_bytes((tmp_path / "train" / "b.jpg").read_bytes())
    report = check_dataset(read_dataset(tmp_path))
    assert report.missing == ["a.jpg"]
    assert list(report.broken) == ["c.jpg"]
    (pair,) = report.duplicates
    assert {pair.first, pair.second} == {"b.jpg", "d.jpg"}
    assert report.leaky
    assert report.counts == {
        ("train", "clean"): 1,
        ("train", "foreign"): 1,
        ("val", "foreign"): 1,
        ("test", "clean"): 1,
    }


def test_check_command(tmp_path):
    layouts.object_cxr(tmp_path)
    sheet = tmp_path / "sheet.png"
    clean = RUN.invoke(data.app, ["check", str(tmp_path), "--sheet", str(sheet)])
    assert clean.exit_code == 0, clean.output
    assert "object_cxr: 4 images" in clean.output
    assert sheet.stat().st_size > 1000
    (tmp_path / "test" / "d.jpg").write_bytes((tmp_path / "train" / "b.jpg").read_bytes())
    leaky = RUN.invoke(data.app, ["check", str(tmp_path)])
    assert leaky.exit_code == 1
    assert "near-duplicates across splits: 1" in leaky.output


def test_convert_command(tmp_path):
    layouts.nih(tmp_path)
    out = tmp_path / "coco.json"
    assert RUN.invoke(data.app, ["convert", str(tmp_path), "--out", str(out)]).exit_code == 0
    assert len(read_dataset(out).samples) == 4
    again = RUN.invoke(data.app, ["convert", str(tmp_path), "--out", str(out)])
    assert isinstance(again.exception, DatasetError)


def test_real_images_do_not_leak(real_images):
    report = check_dataset(read_dataset(real_images))
    assert not report.leaks
    assert not report.missing
    assert not report.broken
    assert report.duplicates == []
