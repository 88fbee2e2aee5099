"""Mutated files of every format: an image in [0, 1] or a typed error, in bounded time and memory.

A file that was cut gives what the whole one gives, or an error; never nonsense.
"""

import resource
import time
import warnings

import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster
from pydicom import uid

from tests.imaging.dicom_files import compress, dataset, radiograph, save
from tests.imaging.test_damage import MAKERS
from xiqa.errors import ImageReadError
from xiqa.imaging import Limits, iter_images

ROUNDS = 150
LIMITS = Limits(samples=10**6, frames=20, decoder_seconds=1.0)
EIGHT, SIXTEEN = radiograph(32, 24, bits=8), radiograph(32, 24, bits=16)
RGB = np.stack([EIGHT, EIGHT[::-1], EIGHT[:, ::-1]], axis=-1)


def raster(pixels, format, mode="", **options):
    def make(path):
        picture = Raster.fromarray(pixels)
        (picture.convert(mode) if mode else picture).save(path, format, **options)

    return make


def dicom(syntax, pixels=EIGHT, **elements):
    return lambda path: save(compress(dataset(pixels, **elements), syntax), path)


FORMATS = MAKERS | {
    "dicom-baseline": dicom(uid.JPEGBaseline8Bit),
    "dicom-baseline-rgb": dicom(uid.JPEGBaseline8Bit, RGB),
    "dicom-extended": dicom(uid.JPEGExtended12Bit, radiograph(32, 24), BitsStored=12),
    "dicom-lossless-4": dicom(uid.JPEGLossless, radiograph(32, 24), BitsStored=12),
    "dicom-deflated": lambda path: save(dataset(EIGHT, syntax=uid.DeflatedExplicitVRLittleEndian), path),
    "dicom-big-endian": lambda path: save(
        dataset(SIXTEEN.astype(">u2"), syntax=uid.ExplicitVRBigEndian), path
    ),
    "dicom-implicit": lambda path: save(dataset(SIXTEEN, syntax=uid.ImplicitVRLittleEndian), path),
    "png-16": raster(SIXTEEN, "PNG"),
    "png-rgb": raster(RGB, "PNG"),
    "png-palette": raster(RGB, "PNG", "P"),
    "png-48": lambda path: path.write_bytes(imagecodecs.png_encode(RGB.astype("u2") * 257)),
    "jpeg-rgb": raster(RGB, "JPEG"),
    "jpeg-progressive": raster(RGB, "JPEG", progressive=True),
    "jpeg-cmyk": raster(RGB, "JPEG", "CMYK"),
    "jpeg-lossless": lambda path: path.write_bytes(
        imagecodecs.jpeg8_encode(radiograph(32, 24), lossless=True, bitspersample=12, predictor=1)
    ),
    "tiff-plain": raster(EIGHT, "TIFF"),
    "tiff-lzw": raster(EIGHT, "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": raster(EIGHT, "TIFF", compression="jpeg"),
    "tiff-12": lambda path: tifffile.imwrite(path, radiograph(32, 24), bitspersample=12),
    "tiff-pages": lambda path: tifffile.imwrite(path, np.stack([SIXTEEN] * 3), photometric="minisblack"),
    "npy-stack": lambda path: np.save(path.open("wb"), np.stack([EIGHT] * 3)),
}


def nifti_gz(path):
    whole = path.with_suffix(".nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.arange(600, dtype="<i2").reshape(20, 15, 2), np.eye(4)), whole)
    path.write_bytes(whole.read_bytes())


FORMATS["nifti-gz"] = nifti_gz


def flipped(good: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes replaced, most of them in the header."""
    bad = bytearray(good)
    reach = min(len(good), 1500) if rng.random() < 0.6 else len(good)
    for place in rng.integers(0, reach, size=rng.integers(1, 6)):
        bad[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(0, 256)])
    return bytes(bad)


def cut(good: bytes, rng: np.random.Generator) -> bytes:
    return good[: rng.integers(1, len(good))]


def zeroed(good: bytes, rng: np.random.Generator) -> bytes:
    start, length = rng.integers(0, len(good)), rng.integers(1, 200)
    return good[:start] + bytes(min(length, len(good) - start)) + good[start + length :]


def spliced(good: bytes, rng: np.random.Generator) -> bytes:
    """A piece left out, or put in twice."""
    start, length = rng.integers(0, len(good)), rng.integers(1, 60)
    piece = good[start : start + length]
    return good[:start] + piece * (2 * int(rng.random() < 0.5)) + good[start + length :]


def outcome(path):
    """The frames that a file gives, or the error's code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [image.pixels for image in iter_images(path, limits=LIMITS)]
        except ImageReadError as error:
            return error.code


@pytest.mark.long
@pytest.mark.parametrize("mutate", [flipped, cut, zeroed, spliced])
@pytest.mark.parametrize("name", FORMATS)
def test_fuzz(tmp_path, name, mutate):
    path = tmp_path / ("good.nii" if name == "nifti" else "good")
    FORMATS[name](path)
    good, whole = path.read_bytes(), outcome(path)
    assert isinstance(whole, list)
    rng = np.random.default_rng([len(name), *name.encode(), *mutate.__name__.encode()])
    bad, before, refused = tmp_path / "bad", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for _ in range(ROUNDS):
        content = mutate(good, rng)
        bad.write_bytes(content)
        start = time.monotonic()
        found = outcome(bad)
        assert time.monotonic() - start < 60
        if not isinstance(found, list):
            refused += 1
            continue
        for pixels in found:
            assert np.isfinite(pixels).all()
            assert 0 <= pixels.min() <= pixels.max() <= 1
        if mutate is cut:  # what is cut off was no part of the picture
            assert len(found) <= len(whole)
            for pixels, expected in zip(found, whole, strict=False):
                np.testing.assert_array_equal(pixels, expected)
    assert refused
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 512
