"""Values from lists: of one length where the type says so."""

import pytest

from xiqa.codec import decode
from xiqa.errors import XiqaError
from xiqa.geometry import Box, Point


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (tuple[int, int], [1, 2, 3]),
        (tuple[int, int], [1]),
        (Box, [0.0, 0.0, 1.0, 1.0, 1.0]),
        (Point, [1.0]),
    ],
    ids=["longer", "shorter", "longer-box", "shorter-point"],
)
def test_a_list_of_another_length_is_no_value(kind, data):
    with pytest.raises(XiqaError, match="cannot read"):
        decode(kind, data)


def test_lists_of_fixed_and_of_any_length_keep_their_order():
    assert decode(tuple[int, str], [1, "b"]) == (1, "b")
    assert decode(tuple[int, ...], [3, 1, 2]) == (3, 1, 2)
    assert decode(Box, [1.0, 2.0, 3.0, 5.0]) == Box(1, 2, 3, 5)
