"""Samples of unusual depth, which other readers showed 4 to 64 times too dark, or not at all."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from tests.imaging.dicom_files import dataset, radiograph, save
from xiqa.errors import ImageReadError
from xiqa.imaging import iter_images, read_image


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [3, 5, 7, 9, 10, 11, 12, 13, 14, 15])
def test_tiff_of_odd_depth(tmp_path, bits, photometric):
    pixels = radiograph(40, 35, bits=bits)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels.astype("u1" if bits < 9 else "u2"), bitspersample=bits, photometric=photometric
    )
    image = read_image(path)
    expected = pixels / ((1 << bits) - 1)
    expected = 1 - expected if photometric == "miniswhite" else expected
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    assert image.bits == bits


def save_as(path, pixels):
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(pixels))
    elif path.suffix == ".npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
@pytest.mark.parametrize("colour", [False, True])
def test_16_bit_files_that_hold_fewer(tmp_path, suffix, bits, colour):
    pixels = radiograph(bits=bits).astype("u2")
    pixels = np.stack([pixels, pixels[::-1], pixels // 2], axis=-1) if colour else pixels
    save_as(tmp_path / f"a.{suffix}", pixels)
    image = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(image.pixels, pixels / ((1 << bits) - 1), atol=1e-6)
    assert any(f"use {bits} of 16 bits" in note for note in image.source.notes)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_16_bits_and_masks_are_left_alone(tmp_path, suffix):
    for pixels in (radiograph(bits=16), (radiograph(bits=8) > 127).astype("u2"), np.zeros((9, 8), "u2")):
        save_as(tmp_path / f"a.{suffix}", pixels)
        image = read_image(tmp_path / f"a.{suffix}")
        np.testing.assert_allclose(image.pixels, pixels / 65535, atol=1e-6)
        assert not any("of 16 bits" in note for note in image.source.notes)


def test_frames_of_a_stack_share_their_bits(tmp_path):
    """A dark frame does not become a bright one."""
    stack = np.stack([radiograph(bits=12), radiograph(bits=12) // 8])
    np.save(tmp_path / "a.npy", stack)
    first, second = iter_images(tmp_path / "a.npy")
    np.testing.assert_allclose([first.pixels, second.pixels], stack / 4095, atol=1e-6)


def test_numpy_channels(tmp_path):
    grey = radiograph(bits=8)
    for pixels, expected in (
        (grey[..., None], grey),
        (np.dstack([grey, grey // 2, grey // 3, grey]), np.dstack([grey, grey // 2, grey // 3])),
        (np.stack([grey[..., None]] * 2), grey),
    ):
        np.save(tmp_path / "a.npy", pixels)
        np.testing.assert_allclose(read_image(tmp_path / "a.npy").pixels, expected / 255, atol=1e-6)


def test_tiff_channels_apart(tmp_path):
    pixels = np.stack([radiograph(bits=16, seed=seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(
        read_image(tmp_path / "a.tif").pixels, np.moveaxis(pixels, 0, -1) / 65535, atol=1e-6
    )


@pytest.mark.parametrize("bits", [2, 9, 12, 16])
def test_jpeg_files_of_other_depths(tmp_path, bits):
    """Pillow opens none of them."""
    pixels = radiograph(64, 72, bits=bits)
    (tmp_path / "a.jpg").write_bytes(
        imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits, predictor=2)
    )
    image = read_image(tmp_path / "a.jpg")
    np.testing.assert_allclose(image.pixels, pixels / ((1 << bits) - 1), atol=1e-6)
    assert image.bits == bits


def test_jpeg_of_12_bits(tmp_path):
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(radiograph(), level=98, bitspersample=12))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg").pixels, radiograph() / 4095, atol=0.02)


@pytest.mark.parametrize("mode", ["rgb", "grey"])
def test_png_of_16_bits_with_a_transparent_colour(tmp_path, mode):
    import struct
    import zlib

    grey = radiograph(bits=16)
    pixels = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1) if mode == "rgb" else grey
    whole = imagecodecs.png_encode(pixels)
    content = b"\0\1" * (3 if mode == "rgb" else 1)
    chunk = struct.pack(">I", len(content)) + b"tRNS" + content
    chunk += struct.pack(">I", zlib.crc32(b"tRNS" + content))
    place = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:place] + chunk + whole[place:])
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, pixels / 65535, atol=1e-6)


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
def test_dicom_of_one_bit(tmp_path, syntax):
    """Frames of 7 x 9 pixels begin within a byte; big-endian words hold their bytes in swapped pairs."""
    pixels = np.random.default_rng(5).random((5, 7, 9)) > 0.4
    data = dataset(pixels.astype("u1"), syntax=syntax, kind=uid.SegmentationStorage, Modality="SEG")
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    raw = np.packbits(pixels.reshape(-1), bitorder="little")
    raw = np.append(raw, np.zeros(len(raw) % 2, "u1"))
    big = syntax == uid.ExplicitVRBigEndian
    data.PixelData = (raw.reshape(-1, 2)[:, ::-1] if big else raw).tobytes()
    data["PixelData"].VR = "OW" if big else "OB"
    images = list(iter_images(save(data, tmp_path / "a.dcm")))
    np.testing.assert_array_equal([image.pixels for image in images], pixels)
    assert images[0].bits == 1


@pytest.mark.parametrize("syntax", [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K])
def test_high_throughput_jpeg_2000(tmp_path, syntax):
    data = dataset(radiograph(), BitsStored=12)
    data.PixelData = encapsulate([imagecodecs.htj2k_encode(radiograph(), reversible=True)])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    pixels = read_image(save(data, tmp_path / "a.dcm")).pixels
    np.testing.assert_allclose(pixels, radiograph() / 4095, atol=1e-6)


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", b"\x80\0", bytes(7)])
@pytest.mark.parametrize("kind", ["8", "16", "rgb"])
def test_rle_with_padding_behind_its_end(tmp_path, kind, padding):
    pixels = radiograph(33, 27, bits=8 if kind != "16" else 16)
    if kind == "rgb":
        pixels = np.stack([pixels, pixels[::-1], pixels[:, ::-1]], axis=-1)
    data = dataset(pixels)
    data.compress(uid.RLELossless, generate_instance_uid=False, encoding_plugin="pylibjpeg")
    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    data.PixelData = encapsulate([frame + padding])
    image = read_image(save(data, tmp_path / "a.dcm"))
    np.testing.assert_allclose(image.pixels, pixels / (65535 if kind == "16" else 255), atol=1e-6)


STREAMS = {
    "jpeg": imagecodecs.jpeg8_encode(radiograph(), lossless=True, bitspersample=12, predictor=1),
    "jpegls": imagecodecs.jpegls_encode(radiograph()),
    "jpeg2k": imagecodecs.jpeg2k_encode(
        radiograph(), level=0, codecformat="j2k", reversible=True, bitspersample=12
    ),
}


def under_uncompressed(path, stream):
    data = dataset(radiograph(), BitsStored=12)
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
    whole = save(data, path).read_bytes()
    old, new = uid.JPEGLSLossless.encode(), uid.ExplicitVRLittleEndian.encode()
    padded = old + b"\0" * (len(old) % 2)
    place = whole.index(b"\2\0\x10\0UI")
    length = len(new) + len(new) % 2
    value = whole[place + 8 + len(padded) :]
    head = whole[:place] + b"\2\0\x10\0UI" + bytes([length, 0]) + new + b"\0" * (len(new) % 2)
    path.write_bytes(head + value)
    return path


@pytest.mark.parametrize("name", STREAMS)
def test_compressed_pixels_under_a_syntax_that_says_they_are_not(tmp_path, name):
    path = under_uncompressed(tmp_path / "a.dcm", STREAMS[name])
    np.testing.assert_allclose(read_image(path).pixels, radiograph() / 4095, atol=1e-6)


def test_fragments_of_no_known_compression_are_named(tmp_path):
    path = under_uncompressed(tmp_path / "a.dcm", b"\1\2\3\4" * 9)
    with pytest.raises(ImageReadError, match="the transfer syntax says uncompressed"):
        read_image(path)


def test_a_png_of_pillow_stays_as_it_is(tmp_path):
    Raster.fromarray(radiograph(bits=16)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png").pixels, radiograph(bits=16) / 65535, atol=1e-6)
