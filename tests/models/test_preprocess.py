"""What the network sees of an image."""

import numpy as np

from xiqa.imaging import to_grey
from xiqa.models.preprocess import Preprocessing
from xiqa.types import Image


def test_normalisation_in_closed_form():
    plan = Preprocessing(size=(4, 4), mean=(0.5, 0.25), std=(0.5, 0.1))
    array, _ = plan.prepare(Image(np.full((4, 4), 0.75, dtype=np.float32)))
    assert array.shape == (2, 4, 4)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array[:, 0, 0], [0.5, 5.0], rtol=1e-6)


def test_letterbox_pads_with_the_fill_and_resize_does_not():
    image = Image(np.ones((8, 16), dtype=np.float32))
    boxed, _ = Preprocessing(size=(16, 16), fill=0.25).grid(image)
    assert (boxed[0] == 0.25).all()
    assert (boxed[8] == 1).all()
    stretched, _ = Preprocessing(size=(16, 16), fit="resize").grid(image)
    assert (stretched == 1).all()


def test_colour_becomes_luma():
    pixels = np.zeros((1, 3, 3), dtype=np.float32)
    pixels[0, [0, 1, 2], [0, 1, 2]] = 1
    np.testing.assert_allclose(to_grey(pixels)[0], [0.2126, 0.7152, 0.0722], rtol=1e-6)
