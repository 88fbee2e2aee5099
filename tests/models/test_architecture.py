"""What describes a network that nobody could build is refused, at the edge of each range."""

import pytest
from pydantic import ValidationError

from xiqa.models.architecture import Architecture


@pytest.mark.parametrize(
    ("wrong", "edge"),
    [
        ({"classes": 0}, {"classes": 1}),
        ({"classes": 10_001}, {"classes": 10_000}),
        ({"stages": ()}, {"stages": (0,)}),
        ({"width": 0}, {"width": 1}),
        ({"width": 8193}, {"width": 8192}),
        ({"sharpness": 0.0}, {"sharpness": 1e-6}),
        ({"pool": 0}, {"pool": 1}),
        ({"pool": 1025}, {"pool": 1024}),
        ({"hidden": 0}, {"hidden": 1}),
        ({"hidden": 65_537}, {"hidden": 65_536}),
        ({"grades": -1}, {"grades": 0}),
        ({"grades": 1001}, {"grades": 1000}),
    ],
)
def test_a_range_ends_where_it_says(wrong, edge):
    with pytest.raises(ValidationError):
        Architecture(**wrong)
    made = Architecture(**edge)
    assert {name: getattr(made, name) for name in edge} == edge


def test_what_is_not_named_is_the_default():
    made = Architecture()
    assert (made.library, made.backbone, made.head) == ("timm", "tf_efficientnet_lite0", "pooled")
    assert (made.classes, made.output_stride, made.stages, made.width) == (2, 32, (2, 3, 4), 96)
    assert (made.sharpness, made.input_size, made.pool, made.hidden, made.grades) == (2.0, None, 4, 64, 0)
