"""Files with random damage are read or refused, never anything else."""

import warnings

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Raster
from pydicom import uid

from tests.imaging.dicom_files import compress, dataset, radiograph, save
from tests.imaging.test_dicom_display import RISING, enhanced
from xiqa.errors import ImageReadError
from xiqa.imaging import Limits, iter_images


def dicom(syntax):
    def make(path):
        elements = {
            "WindowCenter": 900,
            "WindowWidth": 500,
            "PixelPaddingValue": 3,
            "ShutterShape": "CIRCULAR",
        }
        elements |= {"CenterOfCircularShutter": [20, 20], "RadiusOfCircularShutter": 9}
        data = dataset(radiograph(32, 24), BitsStored=12, **elements)
        save(compress(data, syntax) if syntax else data, path)

    return make


def with_tables(path):
    save(dataset(radiograph(32, 24), BitsStored=12, VOILUTSequence=[RISING]), path)


MAKERS = {
    "native": dicom(None),
    "rle": dicom(uid.RLELossless),
    "jpeg": dicom(uid.JPEGLosslessSV1),
    "jpeg-ls": dicom(uid.JPEGLSLossless),
    "jpeg2000": dicom(uid.JPEG2000Lossless),
    "tables": with_tables,
    "enhanced": lambda path: save(enhanced(), path),
    "png": lambda path: Raster.fromarray(radiograph(32, 24, bits=8)).save(path, "PNG"),
    "jpg": lambda path: Raster.fromarray(radiograph(32, 24, bits=8)).save(path, "JPEG"),
    "tiff": lambda path: tifffile.imwrite(path, radiograph(32, 24), compression="deflate"),
    "npy": lambda path: np.save(path.open("wb"), radiograph(32, 24)),
    "nifti": lambda path: nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 4), np.int16), np.eye(4)), path),
}

LIMITS = Limits(samples=10**6, frames=20, decoder_seconds=0.5)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("how", ["bytes", "cut"])
def test_damage(tmp_path, name, how):
    path = tmp_path / ("good.nii" if name == "nifti" else "good")
    MAKERS[name](path)
    good = path.read_bytes()
    assert list(iter_images(path))
    rng = np.random.default_rng(len(name))
    bad, codes = tmp_path / "bad", set()
    for _ in range(60):
        if how == "cut":
            damaged = bytearray(good[: rng.integers(1, len(good))])
        else:
            damaged = bytearray(good)
            header = min(len(good), 1500) if rng.random() < 0.7 else len(good)
            for place in rng.integers(0, header, size=rng.integers(1, 5)):
                damaged[place] = rng.integers(0, 256)
        bad.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                for image in iter_images(bad, limits=LIMITS):
                    assert np.isfinite(image.pixels).all()
                    assert 0 <= image.pixels.min() <= image.pixels.max() <= 1
            except ImageReadError as error:
                codes.add(error.code)
    assert codes
