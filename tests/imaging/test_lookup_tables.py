"""Lookup tables at the edges of their descriptors: padded bytes, the first input's sign."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from xiqa.imaging.dicom.tables import Table, read_table


def table(descriptor, content: bytes, vr="US", inputs=None) -> Table:
    data = Dataset()
    data.add_new("LUTDescriptor", vr, list(descriptor))
    data.add_new("LUTData", "OW", content)
    return read_table(data, "LUTDescriptor", "LUTData", inputs)


def test_words():
    found = table((3, 10, 16), np.array([7, 300, 65535], "<u2").tobytes())
    assert (found.entries.tolist(), found.first, found.bits) == ([7, 300, 65535], 10, 16)
    assert found(np.array([9.0, 10.4, 11.0, 99.0])).tolist() == [7, 7, 300, 65535]


@pytest.mark.parametrize("bits", [7, 8])
def test_an_odd_number_of_packed_bytes_is_padded(bits):
    found = table((5, 0, bits), bytes([1, 2, 3, 4, 9, 0]))
    assert (found.entries.tolist(), found.bits) == ([1, 2, 3, 4, 9], 8)


def test_nine_bits_are_not_packed():
    with pytest.raises(ValueError, match="has 3 entries"):
        table((5, 0, 9), bytes([1, 2, 3, 4, 9, 0]))


@pytest.mark.parametrize(
    ("first", "inputs", "expected"),
    [
        (32768, (-32768.0, 32767.0), -32768),
        (65535, (-5.0, 5.0), -1),
        (32767, (-5.0, 40000.0), 32767),
        (32768, (0.0, 65535.0), 32768),
        (65535, None, 65535),
    ],
)
def test_the_first_input_has_the_sign_that_lies_among_the_inputs(first, inputs, expected):
    assert table((2, first, 16), b"\1\0\2\0", inputs=inputs).first == expected


def test_a_table_of_one_value_stays_at_0():
    assert Table(np.array([5.0, 5.0]), 0, 16).spanned().entries.tolist() == [0, 0]
    assert Table(np.array([2.0, 6.0, 4.0]), 3, 16).spanned().entries.tolist() == [0, 1, 0.5]
