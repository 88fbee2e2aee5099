"""PNG, JPEG, TIFF and NumPy files."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster

from tests.imaging.dicom_files import radiograph
from xiqa.errors import ImageReadError
from xiqa.imaging import iter_images, read_image, to_grey
from xiqa.imaging.values import to_unit

GREY8, GREY16 = radiograph(bits=8), radiograph(bits=16)
RGB8 = np.stack([radiograph(bits=8, seed=s) for s in range(3)], axis=-1)
RGB16 = np.stack([radiograph(bits=16, seed=s) for s in range(3)], axis=-1)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("pixels", [GREY8, GREY16, RGB8], ids=["grey8", "grey16", "rgb8"])
def test_lossless_by_pillow(tmp_path, suffix, pixels):
    path = tmp_path / f"a.{suffix}"
    Raster.fromarray(pixels).save(path)
    image = read_image(path)
    top = np.iinfo(pixels.dtype).max
    np.testing.assert_array_equal(np.rint(image.pixels.astype(float) * top), pixels)
    assert image.pixels.dtype == np.float32
    assert (image.bits, image.source.format) == (8 * pixels.dtype.itemsize, suffix)
    assert (image.mask, image.spacing, image.modality) == (None, None, "")


def test_16_bit_colour_keeps_its_bits(tmp_path):
    """Pillow reads these as 8 bits."""
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB16))
    tifffile.imwrite(tmp_path / "a.tiff", RGB16, photometric="rgb", compression="deflate")
    for name in ("a.png", "a.tiff"):
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(np.rint(image.pixels.astype(float) * 65535), RGB16)
        assert image.bits == 16


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_compressions(tmp_path, compression, order):
    tifffile.imwrite(tmp_path / "a", GREY16, compression=compression, byteorder=order)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "a").pixels.astype(float) * 65535), GREY16)


def test_tiff_white_is_zero(tmp_path):
    for pixels in (GREY8, GREY16):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
        top = np.iinfo(pixels.dtype).max
        np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, 1 - pixels / top, atol=1e-6)


def test_tiff_of_floats(tmp_path):
    values = (GREY16 / 65535).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, values)
    tifffile.imwrite(tmp_path / "b.tif", values * 7)
    with pytest.raises(ImageReadError) as caught:
        read_image(tmp_path / "b.tif")
    assert caught.value.code == "range"


def test_pages_of_a_tiff(tmp_path):
    stack = np.stack([radiograph(bits=8, seed=s) for s in range(3)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    images = list(iter_images(tmp_path / "a.tif"))
    assert [(i.source.frame, i.source.frames) for i in images] == [(0, 3), (1, 3), (2, 3)]
    np.testing.assert_allclose([i.pixels for i in images], stack / 255, atol=1e-6)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", frame=2).pixels, images[2].pixels)


def test_jpeg_is_what_pillow_decodes(tmp_path):
    Raster.fromarray(RGB8).save(tmp_path / "a.jpg", quality=90)
    with Raster.open(tmp_path / "a.jpg") as theirs:
        np.testing.assert_allclose(read_image(tmp_path / "a.jpg").pixels, np.asarray(theirs) / 255, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation(tmp_path, orientation, suffix):
    """The dark corner of the stored picture lands where the orientation says."""
    stored = np.full((64, 32), 255, dtype=np.uint8)
    stored[:16, :8] = 0
    exif = Raster.Exif()
    exif[0x0112] = orientation
    Raster.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif)
    image = read_image(tmp_path / f"a.{suffix}")
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: stored.T[:, ::-1],
        7: stored[::-1, ::-1].T,
        8: stored.T[::-1],
    }[orientation]
    np.testing.assert_allclose(image.pixels, turned / 255, atol=0.05)
    assert any("orientation" in note for note in image.source.notes) == (orientation > 1)


def test_other_modes(tmp_path):
    bilevel = GREY8 > 127
    Raster.fromarray(bilevel).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png").pixels, bilevel)

    Raster.fromarray(RGB8).quantize(16).save(tmp_path / "palette.png")
    with Raster.open(tmp_path / "palette.png") as raster:
        expected = np.asarray(raster.convert("RGB")) / 255
    np.testing.assert_allclose(read_image(tmp_path / "palette.png").pixels, expected, atol=1e-6)

    Raster.fromarray(np.dstack([RGB8, GREY8])).save(tmp_path / "rgba.png")
    image = read_image(tmp_path / "rgba.png")
    np.testing.assert_allclose(image.pixels, RGB8 / 255, atol=1e-6)
    assert "transparency was dropped" in image.source.notes

    Raster.fromarray(RGB8).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert read_image(tmp_path / "cmyk.jpg").pixels.shape == (96, 80, 3)


def test_grey_on_request(tmp_path):
    Raster.fromarray(RGB8).save(tmp_path / "a.png")
    grey = read_image(tmp_path / "a.png", grey=True).pixels
    expected = (RGB8 / 255) @ [0.2126, 0.7152, 0.0722]
    np.testing.assert_allclose(grey, expected, atol=1e-6)
    np.testing.assert_array_equal(to_grey(grey), grey)


def test_pixels_of_full_brightness_are_1(tmp_path):
    for dtype in (np.uint8, np.uint16):
        np.save(tmp_path / "a.npy", np.array([[0, np.iinfo(dtype).max]], dtype=dtype))
        np.testing.assert_array_equal(read_image(tmp_path / "a.npy").pixels, [[0, 1]])


@pytest.mark.parametrize(
    ("shape", "frames", "one"),
    [((8, 9), 1, (8, 9)), ((8, 9, 3), 1, (8, 9, 3)), ((5, 8, 9), 5, (8, 9)), ((5, 8, 9, 3), 5, (8, 9, 3))],
)
def test_numpy_layouts(tmp_path, shape, frames, one):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    images = list(iter_images(tmp_path / "a.npy"))
    assert len(images) == frames
    assert images[-1].pixels.shape == one
    np.testing.assert_array_equal(images[-1].pixels, values[-1] if frames > 1 else values)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros(7), "unsupported_layout"),
        (np.zeros((0, 4)), "no_pixels"),
        (np.zeros((2, 2), dtype=np.int16), "unsupported_type"),
        (np.zeros((2, 2), dtype=complex), "unsupported_type"),
        (np.full((2, 2), 7.0), "range"),
        (np.full((2, 2), np.inf), "not_finite"),
    ],
)
def test_numpy_arrays_that_are_no_image(tmp_path, values, code):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ImageReadError) as caught:
        read_image(tmp_path / "a.npy")
    assert caught.value.code == code


def test_real_images_read(real_images):
    path = min((real_images / "images").glob("*.jpg"))
    image = read_image(path)
    assert image.size == (640, 640)
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_value_is_scaled_within_the_last_place(kind):
    top = np.iinfo(kind).max
    values = np.arange(top + 1, dtype=kind)
    found, bits = to_unit(values)
    exact = (values / top).astype(np.float32)
    assert (found[0], found[-1], bits) == (0, 1, 8 * values.dtype.itemsize)
    assert (np.abs(found - exact) <= np.spacing(exact)).all()
    np.testing.assert_array_equal(to_unit(values[::-1])[0], found[::-1])
