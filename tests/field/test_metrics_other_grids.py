"""A truth told on another grid than the map is an error, also where the peak lies on both."""

import numpy as np
import pytest

from tests.metrics.truths import SIZE, pixels, random_map
from xiqa.errors import MetricError
from xiqa.geometry import Box, Point
from xiqa.metrics import metrics
from xiqa.metrics.localisation.froc import froc
from xiqa.types import Annotation

ON_IMAGES = [info for info in metrics() if info.kind == "localisation" and info.scope == "image"]
MASK = pixels(rows=slice(2, 9), columns=slice(3, 12))


@pytest.mark.parametrize("info", ON_IMAGES, ids=lambda info: info.name)
@pytest.mark.parametrize("size", [(12, 16), (48, 64), (32, 24), (24, 33)])
def test_a_mask_on_another_grid_is_refused_wherever_the_peak_is(info, size):
    for place in ((4, 5), (11, 15)):
        saliency = np.zeros(size)
        saliency[place] = 1.0
        with pytest.raises(MetricError, match="different grids"):
            info.function(saliency, [MASK])


@pytest.mark.parametrize("info", [i for i in ON_IMAGES if "shape" in i.params], ids=lambda info: info.name)
def test_so_it_is_where_only_its_box_is_asked_for(info):
    with pytest.raises(MetricError, match="different grids"):
        info.function(random_map(1, (12, 16)), [MASK], shape="box")


def test_one_mask_of_several_objects_is_enough():
    info = next(i for i in ON_IMAGES if i.name == "pointing_game")
    with pytest.raises(MetricError, match="different grids"):
        info.function(random_map(1, (12, 16)), [Annotation(Box(0, 0, 15, 11)), MASK])


def test_a_candidate_beyond_the_mask_is_refused():
    inside, beyond = [(Point(5, 4), 0.9)], [(Point(SIZE[1], 4), 0.8)]
    assert froc([inside], [[MASK]]) == 1.0
    with pytest.raises(MetricError, match="different grids"):
        froc([inside + beyond], [[MASK]])
    assert froc([inside + beyond], [[Annotation(MASK.box)]]) == 1.0  # a box tells no grid


@pytest.mark.parametrize("info", [i for i in metrics() if i.kind == "agreement"], ids=lambda info: info.name)
def test_maps_of_other_sizes_are_not_compared(info):
    for other in ((24, 16), (1, 32), (24 * 32, 1)):
        with pytest.raises(MetricError, match="different grids"):
            info.function(random_map(1), random_map(2, other))
