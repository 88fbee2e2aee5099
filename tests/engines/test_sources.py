"""What a distributed run can be pointed at: folders, lists, an S3 API on loopback, an archive's DICOMweb."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.imaging.dicom_files import radiograph, write
from xiqa.engines.sources import Item, items_of, local
from xiqa.errors import ConfigError, ImageReadError, MissingDependencyError


def listed(*paths):
    refused, skipped = [], Counter()
    return list(items_of(map(str, paths), refused=refused, skipped=skipped)), refused, skipped


@pytest.fixture
def folder(tmp_path):
    for name in ("a.dcm", "sub/b.dcm"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "images" / name, radiograph(8, 8, bits=8))
    (tmp_path / "images" / "notes.pdf").write_bytes(b"%PDF")
    return tmp_path / "images"


def test_a_folder_is_its_images_with_size_and_time(folder):
    found, refused, skipped = listed(folder)
    status = (folder / "a.dcm").stat()
    assert found[0] == Item(str(folder / "a.dcm"), status.st_size, str(status.st_mtime_ns))
    assert [Path(item.uri).name for item in found] == ["a.dcm", "b.dcm"]
    assert (refused, skipped) == ([], Counter(PDF=1))
    with local(found[0]) as path:
        assert path == found[0].uri


def test_a_list_names_files_and_folders(folder, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text(f"{folder / 'a.dcm'}\n\n{folder / 'sub'}\n{folder / 'absent.dcm'}\n")
    found, refused, _ = listed(f"@{names}")
    assert [Path(item.uri).name for item in found] == ["a.dcm", "b.dcm"]
    assert [error.code for error in refused] == ["not_found"]
    with pytest.raises(ConfigError, match="cannot read the list"):
        listed(f"@{tmp_path / 'absent.txt'}")


def test_an_address_that_nothing_opens_is_one_clear_error():
    with pytest.raises(MissingDependencyError, match="s3fs, or gcsfs"):
        listed("no-such-protocol://bucket/images")


@pytest.fixture
def bucket(monkeypatch, folder):
    """A bucket with the folder's files behind an S3 API."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    for path in folder.rglob("*.*"):
        client.put_object(Bucket="images", Key=f"ward/{path.relative_to(folder)}", Body=path.read_bytes())
    yield client
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_bucket_is_listed_with_its_tags_and_fetched(bucket, folder):
    found, refused, skipped = listed("s3://images/ward")
    assert [item.uri for item in found] == ["s3://images/ward/a.dcm", "s3://images/ward/sub/b.dcm"]
    assert (refused, skipped) == ([], Counter(PDF=1))
    tag = bucket.head_object(Bucket="images", Key="ward/a.dcm")["ETag"].strip('"')
    assert (found[0].size, found[0].stamp) == ((folder / "a.dcm").stat().st_size, tag)
    with local(found[0]) as path:
        assert Path(path).read_bytes() == (folder / "a.dcm").read_bytes()
        assert Path(path).name == "a.dcm"
    assert not Path(path).exists()
    assert listed("s3://images/ward/a.dcm")[0] == found[:1]


def test_what_the_bucket_does_not_have_is_told(bucket):
    assert [error.code for error in listed("s3://images/absent")[1]] == ["not_found"]
    gone = Item("s3://images/ward/gone.dcm", 1, "")
    with pytest.raises(ImageReadError, match=r"cannot fetch s3://images/ward/gone\.dcm"), local(gone):
        pass


@pytest.mark.long
def test_an_archive_is_queried_page_by_page_and_gives_its_bytes(tmp_path, monkeypatch):
    from tests.service.orthanc import orthanc

    monkeypatch.setattr("xiqa.engines.sources._PAGE", 2)
    sent = {}
    with orthanc(tmp_path / "orthanc") as server:
        for number in range(5):
            pixels = np.full((9, 7), number, np.uint16)
            modality = "DX" if number else "CT"
            file = write(tmp_path / f"{number}.dcm", pixels, Modality=modality)
            server.post("/instances", file.read_bytes())
            sent[number] = file.read_bytes()
        found, refused, _ = listed(f"dicomweb+http://127.0.0.1:{server.http}/dicom-web?Modality=DX")
        assert refused == []
        assert len(found) == len(set(found)) == 4
        contents = []
        for item in found:
            with local(item) as path:
                contents.append(Path(path).read_bytes())
        assert sorted(contents) == sorted(sent[number] for number in range(1, 5))
        with pytest.raises(ImageReadError, match="cannot fetch"), local(Item(found[0].uri + "9", 0, "")):
            pass
    assert [e.code for e in listed(f"dicomweb+http://127.0.0.1:{server.http}/dicom-web")[1]] == ["unreadable"]
