"""Images in memory are what their files would be."""

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image as Pillow

from tests.dicom.net.objects import radiograph
from xiqa.errors import Code, ImageReadError
from xiqa.imaging import read_image
from xiqa.imaging.given import as_image, is_one_image
from xiqa.types import Image

GREY = (np.arange(35).reshape(5, 7) * 7).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


@pytest.mark.parametrize(
    ("given", "pixels", "bits"),
    [
        (GREY, GREY / 255, 8),
        (GREY.astype(np.uint16) * 257, GREY / 255, 16),
        ((GREY / 255).astype(np.float64), GREY / 255, None),
        (GREY[None], GREY / 255, 8),
        (COLOUR, COLOUR / 255, 8),
        (np.moveaxis(COLOUR, -1, 0), COLOUR / 255, 8),
        (torch.from_numpy(GREY), GREY / 255, 8),
        (torch.from_numpy(np.moveaxis(COLOUR, -1, 0) / 255).requires_grad_(), COLOUR / 255, None),
        (Pillow.fromarray(GREY), GREY / 255, 8),
        (Pillow.fromarray(COLOUR), COLOUR / 255, 8),
        (Pillow.fromarray(GREY).convert("P"), np.repeat(GREY[..., None] / 255, 3, axis=-1), 8),
        (Pillow.fromarray(GREY.astype(np.uint16) * 257), GREY / 255, 16),
        (Pillow.fromarray(GREY.astype(np.int32) * 257), GREY / 255, 16),
    ],
)
def test_values_and_axes(given, pixels, bits):
    image = as_image(given)
    assert image.pixels.dtype == np.float32
    np.testing.assert_allclose(image.pixels, pixels, atol=1e-6)
    assert bits is None or image.bits == bits


def test_an_image_stays_what_it_is():
    image = Image(GREY.astype(np.float32) / 255, 8)
    assert as_image(image) is image


def test_a_data_set_is_read_as_its_file(tmp_path):
    dataset = radiograph("1.2.3.4")
    dataset.WindowCenter, dataset.WindowWidth = 90, 60
    of_memory = as_image(dataset)  # never in a file
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    of_file = read_image(tmp_path / "a.dcm")
    np.testing.assert_array_equal(of_file.pixels, of_memory.pixels)
    assert of_memory.source.identifiers == of_file.source.identifiers
    assert as_image(pydicom.dcmread(tmp_path / "a.dcm")).source.path == str(tmp_path / "a.dcm")
    assert dataset.WindowCenter == 90


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((2, 4, 5)),
        np.zeros((1, 2, 3, 4)),
        np.zeros((4, 5), np.int16),
        np.full((4, 5), 2.0),
        np.full((4, 5), np.nan),
        np.zeros((0, 5)),
        np.array([["a"]]),
        torch.zeros(4, 5, dtype=torch.complex64),
        object(),
        7,
        pydicom.Dataset(),
    ],
)
def test_what_is_no_image_is_told(given):
    with pytest.raises(ImageReadError) as caught:
        as_image(given)
    assert isinstance(caught.value.code, Code | str)


@pytest.mark.parametrize(
    ("given", "single"),
    [
        (np.zeros((4, 5)), True),
        (np.zeros((3, 4, 5)), True),
        (np.zeros((4, 5, 3)), True),
        (np.zeros((2, 4, 5)), False),
        (np.zeros((2, 3, 4, 5)), False),
        (torch.zeros(1, 4, 5), True),
        (torch.zeros(8, 1, 4, 5), False),
        (Pillow.new("L", (4, 5)), True),
        (pydicom.Dataset(), True),
        ([np.zeros((4, 5))], False),
    ],
)
def test_one_or_several(given, single):
    assert is_one_image(given) is single
