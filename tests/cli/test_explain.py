import json
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from xiqa.cli import main


def xiqa(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["xiqa", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


@pytest.fixture
def explained(monkeypatch, bundle, images, tmp_path):
    out = tmp_path / "out"
    methods = ["--method", "gradcam", "--method", "normgrad_conv1x1:layers=multi"]
    assert xiqa(monkeypatch, "explain", images / "b.png", *methods, "--model", bundle, "--out", out) == 0
    return out


def test_every_method_gives_its_files(capsys, explained):
    names = {path.name for path in explained.iterdir()}
    stems = ("gradcam", "normgrad_conv1x1_layers=multi")
    assert names == {
        "maps.npz",
        "contact-sheet.png",
        *(f"{s}.{end}" for s in stems for end in ("tif", "png")),
    }
    told = capsys.readouterr().out
    assert "normgrad_conv1x1" in told
    assert "6 files" in told


def test_the_numbers_can_be_had_back(explained):
    saved = np.load(explained / "maps.npz")
    about = json.loads(str(saved["about"]))
    assert set(saved.files) == {"gradcam", "normgrad_conv1x1:layers=multi", "about"}
    assert about["gradcam"]["target"] == 1
    assert about["gradcam"]["frame"]["original_size"] == [90, 60]
    assert saved["gradcam"].dtype == np.float32


def test_a_tiff_lies_on_the_originals_grid_and_tells_its_scale(explained):
    with tifffile.TiffFile(explained / "gradcam.tif") as file:
        pixels, told = file.asarray(), json.loads(file.pages[0].description)
    assert pixels.shape == (90, 60)
    assert pixels.dtype == np.uint16
    assert told["method"] == "gradcam"
    values = np.load(explained / "maps.npz")["gradcam"]
    assert told["offset"] + told["slope"] * int(pixels.max()) <= values.max() * 1.0001


def test_pictures_show_the_image(explained):
    assert Pillow.open(explained / "gradcam.png").size == (60, 90)
    assert Pillow.open(explained / "contact-sheet.png").width > 900


def test_an_unreadable_image_is_one_clear_line(monkeypatch, capsys, bundle, tmp_path):
    (tmp_path / "x.png").write_text("no")
    assert xiqa(monkeypatch, "explain", tmp_path / "x.png", "--model", bundle, "--out", tmp_path / "o") == 2
    assert "cannot read" in capsys.readouterr().err


def test_several_images_have_a_folder_each_and_a_bad_one_stops_none(
    monkeypatch, capsys, bundle, images, tmp_path
):
    (images / "bad.png").write_text("no")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((images / "c.png").read_bytes())
    out = images / "maps"  # inside what is explained
    arguments = ("explain", images, other, "--method", "gradcam", "--model", bundle, "--out", out)
    assert xiqa(monkeypatch, *arguments) == 1
    told = capsys.readouterr().out
    assert "Not explained: cannot read" in " ".join(told.split())
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "a.png-2", "b.png", "c.png"]
    first, second = (np.load(out / name / "maps.npz")["gradcam"] for name in ("a.png-2", "c.png"))
    np.testing.assert_array_equal(first, second)
    assert xiqa(monkeypatch, *arguments) == 1  # its own pictures are no images
    assert len(list(out.iterdir())) == 4


def test_what_is_not_there_is_one_clear_line(monkeypatch, capsys, bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    for path, told in (("absent.png", "absent.png"), ("empty", "no image to explain")):
        assert xiqa(monkeypatch, "explain", tmp_path / path, "--model", bundle) == 2
        assert told in capsys.readouterr().err
