"""Damaged files that other readers fill up in grey: what their format can tell is told."""

import gzip
import io
import struct
import zlib
from itertools import pairwise

import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster
from pydicom import uid
from pydicom.encaps import encapsulate

from tests.imaging.dicom_files import dataset, radiograph, save
from xiqa.errors import ImageReadError
from xiqa.imaging import read_image
from xiqa.imaging.decoding.jpeg import DamagedError, check_lossless, read_head

GREY = radiograph(130, 111, bits=8)
RGB = np.stack([radiograph(130, 111, bits=8, seed=seed) for seed in range(3)], axis=-1)


def code_of(path) -> str:
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    return caught.value.code


def halved(stream: bytes) -> bytes:
    return stream[: len(stream) // 2] + b"\xff\xd9"


def zeroed(stream: bytes) -> bytes:
    middle = len(stream) // 2
    return stream[:middle] + bytes(64) + stream[middle + 64 :]


def jpeg(pixels, mode="", **options) -> bytes:
    buffer = io.BytesIO()
    raster = Raster.fromarray(pixels)
    (raster.convert(mode) if mode else raster).save(buffer, "JPEG", quality=92, **options)
    return buffer.getvalue()


JPEGS = {
    "grey": jpeg(GREY),
    "rgb": jpeg(RGB),
    "rgb-444": jpeg(RGB, subsampling=0),
    "progressive": jpeg(RGB, progressive=True),
    "cmyk": jpeg(RGB, "CMYK"),
    "12-bit": imagecodecs.jpeg8_encode(radiograph(130, 111), level=92, bitspersample=12),
    **{
        f"lossless-{predictor}": imagecodecs.jpeg8_encode(
            radiograph(130, 111), lossless=True, bitspersample=12, predictor=predictor
        )
        for predictor in range(1, 8)
    },
    "lossless-rgb": imagecodecs.jpeg8_encode(RGB, lossless=True, predictor=1),
    "lossless-8-bit": imagecodecs.jpeg8_encode(GREY, lossless=True, predictor=6),
}


@pytest.mark.parametrize("damage", [halved, zeroed])
@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_files(tmp_path, name, damage):
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEGS[name])
    good = read_image(path)
    assert good.pixels.std() > 0.1
    path.write_bytes(damage(JPEGS[name]))
    if name == "progressive" and damage is zeroed:
        return  # a scan of refinements may take any bits
    assert code_of(path) in ("damaged", "truncated")


@pytest.mark.parametrize("damage", [halved, zeroed])
@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("grey", uid.JPEGBaseline8Bit),
        ("rgb", uid.JPEGBaseline8Bit),
        ("12-bit", uid.JPEGExtended12Bit),
        ("lossless-1", uid.JPEGLosslessSV1),
        ("lossless-4", uid.JPEGLossless),
        ("lossless-rgb", uid.JPEGLosslessSV1),
    ],
)
def test_jpeg_in_dicom(tmp_path, name, syntax, damage):
    eight = "grey" in name or "rgb" in name
    pixels = RGB if "rgb" in name else GREY if eight else radiograph(130, 111)
    data = dataset(pixels, BitsStored=8 if eight else 12)
    data.file_meta.TransferSyntaxUID = syntax
    if name == "rgb":
        data.PhotometricInterpretation = "YBR_FULL_422"
    for stream in (JPEGS[name], damage(JPEGS[name])):
        data.PixelData = encapsulate([stream])
        data["PixelData"].VR = "OB"
        save(data, tmp_path / "a.dcm")
        if stream == JPEGS[name]:
            read_image(tmp_path / "a.dcm")
    assert code_of(tmp_path / "a.dcm") == "damaged"


def test_the_bits_of_a_lossless_jpeg_are_those_of_its_pixels():
    """One sample of another category, and the sum is another one."""
    stream = JPEGS["lossless-8-bit"]
    head = read_head(stream)
    assert (head.width, head.height, head.precision, head.lossless) == (111, 130, 8, True)
    check_lossless(stream, head, GREY)
    other = GREY.copy()
    other[70, 20] ^= 128
    with pytest.raises(DamagedError, match=r"the pixels take [\d,]+ bytes, the stream has"):
        check_lossless(stream, head, other)


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


@pytest.mark.parametrize("pixels", [GREY, radiograph(130, 111, bits=16), RGB], ids=["8", "16", "rgb"])
def test_png_checksums(tmp_path, pixels):
    path = tmp_path / "a.png"
    Raster.fromarray(pixels).save(path)
    good = path.read_bytes()
    path.write_bytes(flip(good, len(good) // 2))
    assert code_of(path) == "damaged"
    path.write_bytes(good[:-12])
    assert code_of(path) == "truncated"


def test_a_damaged_comment_of_a_png_is_a_note(tmp_path):
    path = tmp_path / "a.png"
    Raster.fromarray(GREY).save(path)
    good = path.read_bytes()
    text = struct.pack(">I", 5) + b"tEXt" + b"a\0bcd" + struct.pack(">I", 7)
    path.write_bytes(good[:33] + text + good[33:])
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, GREY / 255, atol=1e-6)
    assert "the chunk tEXt is damaged and was left out" in image.source.notes


VOLUME = np.stack([radiograph(40, 30, seed=seed) for seed in range(5)], axis=-1).astype("<i2")


def nii_gz(path) -> bytes:
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), path)
    return path.read_bytes()


@pytest.mark.parametrize("place", [-8, -4], ids=["crc", "length"])
def test_the_checksum_of_a_zipped_volume(tmp_path, place):
    path = tmp_path / "a.nii.gz"
    good = nii_gz(path)
    path.write_bytes(flip(good, len(good) + place))
    assert code_of(path) == "damaged"


def test_a_zipped_volume_that_is_cut_behind_its_last_voxel(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nii_gz(path)[:-4])
    assert code_of(path) == "truncated"


@pytest.mark.parametrize("tail", [b"", bytes(5000), b"no gzip"], ids=["nothing", "zeros", "text"])
@pytest.mark.parametrize("parts", [1, 3, 900])
def test_zipped_volumes_of_several_members_are_whole(tmp_path, parts, tail):
    """As bgzip and pigz write them."""
    path = tmp_path / "a.nii.gz"
    plain = gzip.decompress(nii_gz(path))
    edges = np.linspace(0, len(plain), parts + 1).astype(int)
    members = [gzip.compress(plain[a:b]) for a, b in pairwise(edges)]
    path.write_bytes(b"".join(members) + tail)
    expected = (VOLUME[:, :, 2].T - VOLUME.min()) / (VOLUME.max() - VOLUME.min())
    np.testing.assert_allclose(read_image(path, frame=2).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("tag", [273, 279], ids=["offset", "count"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("bits", [8, 16, 48])
def test_tiff_strips_without_a_place(tmp_path, bits, compression, tag):
    """They came back as zeros."""
    pixels = {8: GREY, 16: radiograph(130, 111, bits=16), 48: RGB.astype("u2") * 257}[bits]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, rowsperstrip=40, compression=compression)
    read_image(path)
    with tifffile.TiffFile(path, mode="r+") as file:
        entry = file.pages[0].tags[tag]
        values = list(entry.value)
        values[1] = 0
        entry.overwrite(tuple(values))
    assert code_of(path) == "damaged"


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "packbits", "jpeg"])
def test_tiff_that_is_cut_or_halved(tmp_path, compression):
    path = tmp_path / "a.tif"
    if compression == "jpeg":
        Raster.fromarray(GREY).save(path, compression="jpeg", quality=92)
    else:
        tifffile.imwrite(path, GREY, rowsperstrip=130, compression=compression)
    np.testing.assert_allclose(
        read_image(path).pixels, GREY / 255, atol=0.1 if compression == "jpeg" else 1e-6
    )
    with tifffile.TiffFile(path, mode="r+") as file:
        count = file.pages[0].databytecounts[0]
        file.pages[0].tags[279].overwrite(count // 2)
    assert code_of(path) in ("damaged", "truncated", "corrupt", "bad_codestream")


def test_zlib_ends_inside_a_png(tmp_path):
    """Whole chunks of half a stream."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in GREY))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 111, 130, 8, 0, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows[: len(rows) // 2]) + chunk(b"IEND", b"")
    )
    assert code_of(path) in ("truncated", "corrupt")
