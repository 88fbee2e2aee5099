import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.errors import OutputError
from xiqa.files import FileIdentity
from xiqa.report.folder import ResultsFolder, picture_stem
from xiqa.report.journal import slot_of
from xiqa.types import Source

SETTINGS = {"model_hash": "0123abcd", "method": "gradcam", "xiqa": "0.1.0"}


def test_a_run_leaves_everything(tmp_path, make, unread):
    out = tmp_path / "out"
    with ResultsFolder.open(out, SETTINGS) as folder:
        folder.add(*make("images/a.png"))
        folder.add(unread("images/b.png"), None)
        folder.finish()
    rows = json.loads((out / "results.json").read_text())
    assert [row["file"] for row in rows] == ["images/a.png", "images/b.png"]
    assert len(list(csv.DictReader((out / "results.csv").open()))) == 2
    (overlay,) = (out / "overlays").iterdir()
    assert Pillow.open(overlay).size == (40, 60)
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2  # picture and heat map of the image that could be read


def test_the_overlay_shows_the_heat_at_its_place(tmp_path, make):
    with ResultsFolder.open(tmp_path, SETTINGS) as folder:
        folder.add(*make("a.png", size=(640, 640), findings=()))
    (overlay,) = (tmp_path / "overlays").iterdir()
    picture = np.asarray(Pillow.open(overlay)).astype(float)
    coloured = picture.max(axis=2) - picture.min(axis=2)
    y, x = np.unravel_index(coloured.argmax(), coloured.shape)
    assert abs(x - (5.5 * 80 - 0.5)) < 60
    assert abs(y - (2.5 * 80 - 0.5)) < 60


def test_a_second_run_knows_what_is_done(tmp_path, make):
    image = tmp_path / "a.png"
    image.write_bytes(b"x")
    with ResultsFolder.open(tmp_path / "out", SETTINGS) as folder:
        assert not folder.done(str(image))
        identity = FileIdentity.of(image)
        source = Source(path=str(image), digest="d1", size=identity.size, modified=identity.modified)
        folder.add(*make(image, source=source))
    with ResultsFolder.open(tmp_path / "out", SETTINGS) as folder:  # was not finished: a kill in between
        assert folder.done(str(image))
        folder.finish()
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 1
    with ResultsFolder.open(tmp_path / "out", SETTINGS | {"method": "fem"}) as folder:
        assert not folder.done(str(image))


def test_a_page_without_its_pictures_still_tells_the_verdicts(tmp_path, make):
    with ResultsFolder.open(tmp_path, SETTINGS) as folder:
        folder.add(*make("a.png"))
        for picture in (tmp_path / "pictures").iterdir():
            picture.unlink()
        folder.finish()
    assert "Re-acquire" in (tmp_path / "report.html").read_text()


def test_a_read_only_disk_is_one_clear_error(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    told = pytest.raises(OutputError, match=r"cannot write.*Read-only.*choose another folder")
    with told, ResultsFolder.open(tmp_path / "out", SETTINGS):
        pass


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    told = pytest.raises(OutputError, match=r"cannot write.*choose another folder")
    with told, ResultsFolder.open(tmp_path / "out", SETTINGS):
        pass


def test_picture_names_are_plain_and_unique():
    paths = ("/a/x.png", "/b/x.png", '/a/"\n\udcff', "/a/..", "/a/" + "é" * 300)
    names = [picture_stem(path, slot_of(path, 0, {})) for path in paths]
    assert len(set(names)) == 5
    assert all(name.isascii() and "/" not in name and len(name) < 90 for name in names)
