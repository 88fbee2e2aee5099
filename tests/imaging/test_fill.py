"""Decoding into a given array: what fits goes in, what is wider or of another shape is refused."""

import numpy as np
import pytest

from xiqa.imaging.decoding.codecs import _fill


def decoder(pixels):
    """One that refuses every array it is given, as codecs do where type or shape differ."""

    def decode(out=None):
        if out is not None:
            raise ValueError("invalid out")
        return pixels

    return decode


PIXELS = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize(("held", "wanted"), [("u1", "u1"), ("u1", "u2"), ("i2", "u2")])
def test_numbers_of_the_same_width_or_less_go_in(held, wanted):
    out = np.zeros((2, 3), wanted)
    _fill(decoder(PIXELS.astype(held)), out)
    assert out.tolist() == PIXELS.tolist()


def test_wider_numbers_are_refused():
    with pytest.raises(ValueError, match="holds uint16, not uint8"):
        _fill(decoder(PIXELS.astype("u2")), np.zeros((2, 3), "u1"))


def test_planes_are_put_last_and_other_shapes_refused():
    planes, out = np.arange(24, dtype="u1").reshape(4, 2, 3), np.zeros((2, 3, 4), "u1")
    _fill(decoder(planes), out)
    assert out[1, 2].tolist() == [5, 11, 17, 23]
    with pytest.raises(ValueError, match="holds shape"):
        _fill(decoder(planes), np.zeros((3, 2), "u1"))


def test_another_fault_is_the_decoders_own():
    def broken(out=None):
        raise ValueError("damaged stream")

    with pytest.raises(ValueError, match="damaged"):
        _fill(broken, np.zeros((2, 3), "u1"))
