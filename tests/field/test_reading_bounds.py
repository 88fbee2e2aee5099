"""Time and memory go by what a file may hold, not by how long it is."""

import gzip
import os
import resource
import struct
import time

import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster
from pydicom import uid

from tests.imaging.dicom_files import compress, dataset, radiograph, save
from xiqa.errors import ImageReadError
from xiqa.imaging import read_image

LONG = 2_500_000_000  # bytes, of which next to none are on the disk


def longer(path):
    os.truncate(path, LONG)
    return path


def png(path):
    Raster.fromarray(radiograph(bits=16)).save(path, "PNG")


def png_colour(path):
    path.write_bytes(imagecodecs.png_encode(np.stack([radiograph(bits=16)] * 3, axis=-1)))


def jpeg(path):
    Raster.fromarray(radiograph(bits=8)).save(path, "JPEG")


def tiff(path):
    tifffile.imwrite(path, radiograph(bits=12), bitspersample=12)


def deflated(path):
    save(dataset(radiograph(), BitsStored=12, syntax=uid.DeflatedExplicitVRLittleEndian), path)


def fragment(path):
    """A JPEG-LS fragment that claims the rest of the file."""
    whole = save(compress(dataset(radiograph(), BitsStored=12), uid.JPEGLSLossless), path).read_bytes()
    place = whole.rindex(b"\xfe\xff\x00\xe0", 0, whole.index(b"\xff\xd8\xff\xf7"))
    length = struct.pack("<I", LONG - place - 8)
    path.write_bytes(whole[: place + 4] + length + whole[place + 8 :])


def header_element(path):
    """A LUT explanation of two gigabytes before the pixels."""
    whole = save(dataset(radiograph(), BitsStored=12), path).read_bytes()
    place = whole.index(b"\x28\0\x02\0US")
    element = b"\x28\0\x00\0UN\0\0" + struct.pack("<I", LONG - place - 12)
    path.write_bytes(whole[:place] + element)


def gzip_zeros(path):
    nibabel.save(nibabel.Nifti1Image(radiograph().astype("<i2"), np.eye(4)), path.with_suffix(".nii.gz"))
    path.write_bytes(path.with_suffix(".nii.gz").read_bytes())


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "make", [png, png_colour, jpeg, tiff, deflated, fragment, header_element, gzip_zeros]
)
def test_files_with_a_long_hole(tmp_path, make):
    path = tmp_path / "a"
    make(path)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    code = ""
    try:
        read_image(longer(path))
    except ImageReadError as error:
        code = error.code
    assert code in ("", "too_large", "truncated", "damaged", "no_pixel_data", "bad_encapsulation")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 512
    assert time.process_time() - start < 10


def volume(offset=352) -> bytes:
    head = bytearray(offset)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 2, 30, 20, 1, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<f", head, 108, offset)
    head[344:348] = b"n+1\0"
    return bytes(head) + np.arange(600, dtype="<i2").tobytes()


def far(path):
    path.write_bytes(gzip.compress(volume(offset=100_000_000), 1))


def empty_members(path):
    path.write_bytes(gzip.compress(b"") * 100_000 + gzip.compress(volume()))


def long_tail(path):
    path.write_bytes(gzip.compress(volume()) + gzip.compress(bytes(200_000_000), 9))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [far, empty_members, long_tail])
def test_zipped_volumes_that_cost_more_than_they_hold(tmp_path, make):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(volume()))
    assert read_image(path).size == (20, 30)
    make(path)
    start = time.process_time()
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert caught.value.code in ("too_large", "damaged", "archive")
    assert time.process_time() - start < 10
