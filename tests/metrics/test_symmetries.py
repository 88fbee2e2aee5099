"""What holds for any pair of maps: bounds, symmetries, and no matter which way the picture is turned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xiqa.metrics.registry import metrics

REFERRED = [info for info in metrics() if info.truth == "map"]
MUTUAL = ("pearson", "spearman", "similarity", "l1_similarity", "ssim", "map_dice")
#: A map and a reference, of unequal sides; ties are likely.
PAIRS = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(12, 17), st.integers(18, 24), st.sampled_from([3, 1000])
)


def maps_of(pair):
    seed, rows, columns, levels = pair
    saliency, reference = np.random.default_rng(seed).integers(1, levels, (2, rows, columns)) / levels
    reference[:2] = 0  # what is zero is no truth to a metric that parts pixels
    return saliency, reference


@pytest.mark.parametrize("info", REFERRED, ids=[info.name for info in REFERRED])
@given(PAIRS)
@settings(deadline=None, max_examples=8)
def test_values_stay_in_their_bounds_whichever_way_the_picture_is_turned(info, pair):
    saliency, reference = maps_of(pair)
    value = info.function(saliency, reference)
    assert info.bounds[0] <= value <= info.bounds[1]
    for turn in (np.fliplr, np.flipud, np.transpose):
        assert info.function(turn(saliency), turn(reference)) == pytest.approx(value, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("info", REFERRED, ids=[info.name for info in REFERRED])
@given(PAIRS)
@settings(deadline=None, max_examples=8)
def test_a_map_and_its_reference_change_places_only_where_they_may(info, pair):
    saliency, reference = maps_of(pair)
    here, there = info.function(saliency, reference), info.function(reference, saliency)
    assert (here == pytest.approx(there, rel=1e-5, abs=1e-7)) == (info.name in MUTUAL)


@pytest.mark.parametrize("name", MUTUAL)
@given(PAIRS)
@settings(deadline=None, max_examples=8)
def test_no_map_agrees_better_than_the_reference_itself(name, pair):
    (info,) = [info for info in REFERRED if info.name == name]
    saliency, reference = maps_of(pair)
    itself = info.function(reference, reference)
    assert itself == pytest.approx(info.bounds[1], abs=1e-6)
    assert info.function(saliency, reference) < itself
