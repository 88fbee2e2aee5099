"""Files that vanished from a run without a word, and links that ended one."""

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from tests.imaging.dicom_files import radiograph, write
from xiqa.errors import ImageReadError
from xiqa.imaging import image_files, skipped_files


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    write(root / "a.dcm", radiograph(8, 8, bits=8))
    write(root / "sub" / "no-suffix", radiograph(8, 8, bits=8))
    return root


def collected(paths, root):
    refused, skipped = [], Counter()
    files = image_files(paths, refused=refused, skipped=skipped)
    return [str(file.relative_to(root)) for file in files], refused, skipped


def test_other_files_are_counted_by_kind(folder):
    for name, content in {
        "a.pdf": b"%PDF-1.4",
        "b.pdf": b"%PDF-1.4",
        "letter": b"%PDF-1.4",
        "c.zip": b"PK\x03\x04",
        "sub/d.csv": b"a,b",
        "sub/e": b"some text without a suffix",
        "f": b"",
        ".hidden.dcm": b"x",
    }.items():
        (folder / name).write_bytes(content)
    write(folder / "DICOMDIR", radiograph(8, 8, bits=8))
    (folder / ".git").mkdir()
    files, refused, skipped = collected(folder, folder)
    assert files == ["a.dcm", "sub/no-suffix"]
    assert refused == []
    kinds = {"PDF": 3, "ZIP": 1, "CSV": 1, "without suffix": 1, "empty": 1, "hidden": 1, "DICOMDIR": 1}
    assert skipped == {**kinds, "hidden folder": 1}
    assert skipped_files(skipped).startswith("9 files skipped: 3 PDF, ")
    assert skipped_files(skipped).endswith("; 1 hidden folder")
    assert skipped_files(Counter()) == ""


def test_dicom_without_a_preamble_is_no_stranger(folder):
    """It is taken, so that its error says how to mend it."""
    whole = (folder / "a.dcm").read_bytes()
    place = whole.index(b"\x08\0\x16\0UI")
    (folder / "raw").write_bytes(whole[place:])
    assert collected(folder, folder)[0] == ["a.dcm", "raw", "sub/no-suffix"]


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipes_and_sockets_are_refused_unopened(folder, kind):
    if kind == "pipe":
        os.mkfifo(folder / "x.dcm")
        files, refused, _ = collected(folder, folder)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            here = Path.cwd()
            os.chdir(folder)  # a socket's name must be short
            try:
                server.bind("x.dcm")
            finally:
                os.chdir(here)
        files, refused, _ = collected(folder, folder)
    assert files == ["a.dcm", "sub/no-suffix"]
    assert [(error.code, "x.dcm" in str(error)) for error in refused] == [("not_a_file", True)]


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    files, refused, _ = collected(folder, folder)
    assert files == ["a.dcm"]
    assert [error.code for error in refused] == ["no_permission"]
    assert f"{folder}/sub: cannot be listed" in str(refused[0])
    with pytest.raises(ImageReadError, match="cannot be listed"):
        image_files(folder)


def test_a_file_without_suffix_that_cannot_be_opened_is_named(folder, monkeypatch):
    real = Path.open

    def denied(path, *arguments, **options):
        if path.name == "no-suffix":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", denied)
    files, refused, skipped = collected(folder, folder)
    assert files == ["a.dcm"]
    assert [error.code for error in refused] == ["no_permission"]
    assert not skipped


def test_links_are_followed_and_loops_are_cut(folder, tmp_path):
    other = tmp_path / "other" / "deep"
    other.mkdir(parents=True)
    write(other / "b.dcm", radiograph(8, 8, bits=8))
    (other / "back").symlink_to(folder)
    (other / "self").symlink_to(other)
    (folder / "link.dcm").symlink_to(other / "b.dcm")
    (folder / "subset").symlink_to(tmp_path / "other")
    (folder / "again").symlink_to(folder / "sub")
    (folder / "up").symlink_to(tmp_path)
    (folder / "sub" / "here").symlink_to(".")
    files, refused, skipped = collected(folder, folder)
    assert files == ["a.dcm", "link.dcm", "sub/no-suffix", "subset/deep/b.dcm"]
    assert refused == []
    assert skipped == {"link into its own folder": 2}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["**/*.dcm", "**", "**/sub/*", "*/**/no-*"])
def test_patterns_end_among_links_in_loops(folder, pattern):
    """Two of them gave `glob` 2^40 ways."""
    (folder / "one").symlink_to(".")
    (folder / "sub" / "two").symlink_to("..")
    (folder / "sub" / "three").symlink_to("..")
    files, refused, _ = collected(f"{folder}/{pattern}", folder)
    assert files == {"**/*.dcm": ["a.dcm"], "**": ["a.dcm", "sub/no-suffix"]}.get(pattern, ["sub/no-suffix"])
    assert refused == []


def test_links_to_themselves_and_to_nothing_are_told_and_the_rest_goes_on(folder):
    (folder / "loop.dcm").symlink_to("loop.dcm")
    (folder / "gone.dcm").symlink_to("nowhere.dcm")
    for paths in (folder, f"{folder}/*.dcm"):
        files, refused, _ = collected(paths, folder)
        assert "a.dcm" in files
        assert "loop.dcm" not in files
        assert {error.code for error in refused} == {"link_loop", "not_found"}
        assert any("gone.dcm: is a link that leads nowhere" in str(error) for error in refused)


def test_a_path_that_is_a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageReadError) as caught:
        image_files(tmp_path / "loop")
    assert caught.value.code in ("link_loop", "not_found")
