"""Which files are read, and what becomes of errors."""

import os
from collections import Counter

import numpy as np
import pytest

from tests.imaging.dicom_files import radiograph, write
from xiqa.errors import ImageReadError
from xiqa.imaging import Limits, image_files, iter_image_files, iter_images, read_image


@pytest.fixture
def folder(tmp_path):
    """Images with and without telling names, and other things."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for name in ("b.dcm", "no-suffix", "sub/a.dcm", "DICOMDIR"):
        write(root / name, radiograph(8, 8, bits=8))
    np.save(root / "c.npy", radiograph(8, 8, bits=8))
    (root / "broken.png").write_text("not a PNG")
    (root / "notes.csv").write_text("a,b")
    (root / ".hidden.dcm").write_bytes(b"")
    return root


def names(files, folder):
    return [str(file.relative_to(folder)) for file in files]


def test_a_folder_gives_images_and_what_claims_to_be(folder):
    expected = ["b.dcm", "broken.png", "c.npy", "no-suffix", "sub/a.dcm"]
    assert names(image_files(folder), folder) == expected
    assert names(image_files([str(folder)]), folder) == expected


def test_patterns_and_files_each_once(folder):
    paths = [f"{folder}/**/*.dcm", folder / "b.dcm", folder / "notes.csv"]
    assert names(image_files(paths), folder) == ["b.dcm", "notes.csv", "sub/a.dcm"]


def test_links_out_of_the_folder_are_refused_on_demand(folder, tmp_path):
    outside = write(tmp_path / "secret.dcm", radiograph(8, 8, bits=8))
    (folder / "out.dcm").symlink_to(outside)
    (folder / "in.dcm").symlink_to(folder / "b.dcm")
    (folder / "up").symlink_to(tmp_path)
    with pytest.raises(ImageReadError) as caught:
        image_files(folder, follow=False)
    assert caught.value.code == "link_outside"
    refused = []
    files = image_files(folder, refused=refused, follow=False)
    assert "in.dcm" in names(files, folder)
    assert "out.dcm" not in names(files, folder)
    assert [error.code for error in refused] == ["link_outside"] * 2


def test_what_is_not_there(folder):
    with pytest.raises(ImageReadError) as caught:
        image_files(folder / "*.gif")
    assert caught.value.code == "not_found"
    refused = []
    assert image_files([folder / "nope.dcm", folder / "b.dcm"], refused=refused) == [folder / "b.dcm"]
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "not_found"),
        (lambda path: path.mkdir(), "not_a_file"),
        (os.mkfifo, "not_a_file"),
        (lambda path: path.write_bytes(b""), "empty"),
    ],
)
def test_what_is_no_file(tmp_path, make, code):
    path = tmp_path / "a.dcm"
    make(path)
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert caught.value.code == code
    assert str(path) in str(caught.value)


def test_errors_name_odd_files_in_printable_text(tmp_path):
    path = tmp_path / "a\n\udcff.dcm"
    path.write_bytes(b"")
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert str(caught.value).isprintable()
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("frame", [-1, 2, 100])
def test_frames_that_are_not_there(tmp_path, frame):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4)))
    with pytest.raises(ImageReadError) as caught:
        read_image(tmp_path / "a.npy", frame=frame)
    assert caught.value.code == "no_such_frame"


def test_limits_can_be_set(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 10, 10)))
    for limits, code in ((Limits(samples=99), "too_large"), (Limits(frames=2), "too_many_frames")):
        with pytest.raises(ImageReadError) as caught:
            read_image(tmp_path / "a.npy", limits=limits)
        assert caught.value.code == code
    assert len(list(iter_images(tmp_path / "a.npy", limits=Limits(samples=100, frames=3)))) == 3


def test_a_constant_image_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.full((30, 40), 0.5))
    assert "constant: every pixel has the same value" in read_image(tmp_path / "a.npy").source.notes
    np.save(tmp_path / "b.npy", np.linspace(0, 1, 12).reshape(3, 4))
    assert read_image(tmp_path / "b.npy").source.notes == ()


def test_a_bug_of_a_library_becomes_a_typed_error(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm", radiograph(8, 8, bits=8))

    def broken(*_):
        raise AttributeError("'NoneType' object has no attribute 'x'")

    monkeypatch.setattr("xiqa.imaging.dicom.reader.display_of", broken)
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert caught.value.code == "corrupt"
    assert isinstance(caught.value.__cause__, AttributeError)


def test_files_come_one_by_one_as_they_are_found(folder, monkeypatch):
    (folder / "loop").symlink_to(folder)
    refused, skipped = [], Counter()
    found = list(iter_image_files([folder], refused=refused, skipped=skipped))
    whole = Counter()
    assert sorted(found) == image_files(folder, skipped=whole)
    assert (skipped, refused) == (whole, [])
    monkeypatch.setattr("xiqa.imaging.files._LISTED", 2)
    assert sorted(iter_image_files([folder], refused=refused, skipped=Counter())) == sorted(found)


def test_a_folder_of_many_files_is_never_held_as_a_whole(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number:02}.png").touch()
    monkeypatch.setattr("xiqa.imaging.files._LISTED", 10)
    scandir, taken = os.scandir, [0]

    class Counting:
        def __init__(self, path):
            self.listing = scandir(path)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.listing.close()

        def __iter__(self):
            return self

        def __next__(self):
            taken[0] += 1
            return next(self.listing)

    monkeypatch.setattr(os, "scandir", Counting)
    stream = iter_image_files([tmp_path], refused=[], skipped=Counter())
    next(stream)
    assert taken[0] == 10
    assert len(list(stream)) == 49
