"""Bytes in, the same bytes out."""

import hashlib
import time
import zlib
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.dicom.net.objects import instance, radiograph
from xiqa.dicom.net.instance import Instance, check_identity, part10, split_part10
from xiqa.errors import NetworkError


def test_a_file_gives_back_what_it_was_made_of():
    made = instance("1.2.3.4")
    file = part10(made) + made.content
    assert split_part10(file) == made
    read = pydicom.dcmread(BytesIO(file))
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert read.PixelData == radiograph("1.2.3.4").PixelData


@pytest.mark.parametrize(
    "content",
    [b"", b"<html></html>", bytes(128) + b"DICM", bytes(200), bytes(128) + b"DICM" + b"\xff" * 60],
    ids=["empty", "html", "no meta", "no prefix", "garbage"],
)
def test_what_is_no_file_is_refused(content):
    with pytest.raises(NetworkError) as caught:
        split_part10(content)
    assert caught.value.code == "unreadable"


def test_a_deflated_data_set_is_not_inflated():
    """A few kilobytes that would become a gigabyte."""
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    made = Instance("1.2", "1.2.3", str(DeflatedExplicitVRLittleEndian), bomb)
    begun = time.process_time()
    assert split_part10(part10(made) + bomb) == made
    assert time.process_time() - begun < 0.2


def test_every_truncation_of_the_file_meta_is_refused():
    head = part10(instance("1.2.3"))
    for length in range(132, len(head)):
        with pytest.raises(NetworkError):
            split_part10(head[:length])


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "", ".", "..", "1.2\n3", "1" * 65, "a.b", "1/2", "1.2\x00"]
)
def test_a_uid_that_cannot_name_a_file_is_refused(uid):
    with pytest.raises(NetworkError) as caught:
        check_identity(Instance("1.2", uid, "1.2.840.10008.1.2", b""))
    assert caught.value.code == "bad_uid"


def test_the_request_and_the_data_set_must_agree():
    made = instance("1.2.3")
    check_identity(made)
    for other in ({"uid": "1.2.4"}, {"sop_class": "1.2.840.10008.5.1.4.1.1.7"}):
        wrong = Instance(**{field: getattr(made, field) for field in Instance.__slots__} | other)
        with pytest.raises(NetworkError) as caught:
            check_identity(wrong)
        assert caught.value.code == "mismatch"


def test_a_deflated_data_set_is_refused():
    with pytest.raises(NetworkError) as caught:
        check_identity(Instance("1.2", "1.2.3", str(DeflatedExplicitVRLittleEndian), b""))
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("content", [b"", b"\xff" * 300, b"\x08\x00\x18\x00UI\xff\xff", b"random bytes" * 30])
def test_garbage_has_no_identity(content):
    with pytest.raises(NetworkError) as caught:
        check_identity(Instance("1.2", "1.2.3", "1.2.840.10008.1.2.1", content))
    assert caught.value.code in ("unreadable", "mismatch")


def test_the_hash_is_that_of_the_data_set_alone():
    made = instance("1.2.3")
    assert made.sha256 == hashlib.sha256(made.content).hexdigest()
    assert Instance("a", "b", "c", made.content).sha256 == made.sha256
    assert Instance("a", "b", "c", made.content + b"\0").sha256 != made.sha256
