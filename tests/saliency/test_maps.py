"""Enlarging, smoothing, normalising, finding places, and combining layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label

from xiqa.errors import SaliencyError
from xiqa.geometry import Box, Point
from xiqa.saliency.combine import COMBINATIONS, combine_layers, concentration, enlarge, stretch
from xiqa.saliency.maps import normalise, smooth, upsample
from xiqa.saliency.peaks import find
from xiqa.types import SaliencyMap


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("old", [(1, 1), (2, 3), (7, 5), (19, 19)])
@pytest.mark.parametrize("new", [(1, 1), (5, 4), (40, 64), (600, 37)])
def test_upsample_is_torchs(old, new):
    values = noise(*old)
    exact = torch.from_numpy(values)[None, None].double()
    expected = F.interpolate(exact, new, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(upsample(values, new), expected[0, 0].numpy(), atol=2e-6)


@pytest.mark.parametrize("size", [(40, 31), (4, 9), (1, 1), (1, 20)])
@pytest.mark.parametrize(("sigma", "window"), [(1.0, 11), (2.5, 11), (0.7, 3)])
def test_smooth_is_scipys(size, sigma, window):
    values = noise(*size)
    # scipy calls "mirror" what repeats no edge pixel
    expected = gaussian_filter(values.astype(np.float64), sigma, mode="mirror", radius=window // 2)
    np.testing.assert_allclose(smooth(values, sigma, window), expected, atol=2e-6)


def test_smooth_is_torchvisions_blur():
    from torchvision.transforms.functional import gaussian_blur

    values = noise(30, 22)
    expected = gaussian_blur(torch.from_numpy(values)[None], [11, 11], [1.0, 1.0])[0]
    np.testing.assert_allclose(smooth(values), expected.numpy(), atol=2e-6)


def test_smooth_with_no_width_changes_nothing():
    assert np.array_equal(smooth(noise(4, 4), 0.0), noise(4, 4))


@given(arrays(np.float32, (3, 4), elements=st.floats(-1000, 1000, width=32)))
def test_normalise(values):
    unit = normalise(values)
    assert unit.min() == 0
    assert unit.max() in (0, 1)
    assert np.abs(normalise(values, "max")).max() in (0, 1)
    assert normalise(values, "sum").sum() == pytest.approx(1, abs=1e-5) or (values <= 0).all()


def test_a_nan_stays_visible():
    values = noise(3, 3)
    values[1, 1] = np.nan
    assert np.isnan(normalise(values)).any()


def test_steps_are_recorded():
    raw = SaliencyMap(noise(3, 4), "gradcam", 1, input_size=(30, 40))
    done = normalise(smooth(upsample(raw)))
    assert done.values.shape == (30, 40)
    assert done.steps == ("upsample(size=30x40)", "smooth(sigma=1.0, size=11)", "normalise(minmax)")
    assert raw.steps == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda: upsample(noise(3, 3)),
        lambda: upsample(noise(3, 3), (0, 3)),
        lambda: upsample(noise(3, 3, 3), (4, 4)),
        lambda: smooth(noise(3, 3), 1.0, 4),
        lambda: normalise(noise(3, 3), "z"),
        lambda: find(noise(3, 3), fraction=0),
        lambda: find(np.zeros((0, 3), np.float32)),
    ],
)
def test_wrong_calls_are_told(call):
    with pytest.raises(SaliencyError):
        call()


def bump(x, y, height=1.0, width=4.0, size=(60, 80)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))).astype(np.float32)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 4)),
        np.full((4, 4), -3.0),
        np.full((4, 4), np.nan),
        np.array([[1, np.inf]]),
        np.ones((1, 1)),
    ],
    ids=["zero", "constant", "nan", "inf", "one pixel"],
)
def test_a_map_that_says_nothing_has_no_place(values):
    assert find(values.astype(np.float32), count=5) == ()


def test_an_enlarged_constant_map_has_no_place():
    assert find(upsample(np.full((3, 3), 0.1234567, np.float32), (600, 601))) == ()


def test_the_place_of_one_bump():
    (found,) = find(bump(50, 20), count=3)
    assert found.peak == Point(50, 20)
    assert (found.score, found.ties) == (1, 1)
    half = 4 * np.sqrt(2 * np.log(2))  # half height of a Gaussian
    assert found.box == Box(50 - int(half), 20 - int(half), 50 + int(half), 20 + int(half))


def test_an_all_negative_map_has_its_place_too():
    (found,) = find(bump(50, 20) - 7)
    assert found.peak == Point(50, 20)
    assert found.box == find(bump(50, 20))[0].box


def test_several_places_highest_first():
    values = bump(15, 15) + bump(60, 40, 0.8) + bump(15, 45, 0.3)
    first, second = find(values, count=5)
    assert (first.peak, second.peak) == (Point(15, 15), Point(60, 40))
    assert second.score == pytest.approx(0.8, abs=1e-3)
    assert [one.peak for one in find(values, count=5, least=0.2)] == [
        Point(15, 15),
        Point(60, 40),
        Point(15, 45),
    ]
    assert len(find(values, count=1)) == 1
    assert len(find(values, count=5, separation=60)) == 1


def test_a_shoulder_is_no_place_of_its_own():
    assert len(find(bump(40, 30) + bump(47, 30, 0.7), count=5)) == 1


def test_haze_around_a_higher_peak_is_no_place_of_its_own():
    haze = 0.3 * np.exp(-(((np.arange(80) - 55) / 30) ** 2))
    assert len(find((bump(20, 40) + haze).astype(np.float32), count=5, least=0.1)) == 1
    assert len(find(bump(20, 40) + 0.3 * bump(60, 10), count=5, least=0.1)) == 2


def test_ties_are_counted_and_the_first_in_row_major_order_wins():
    values = np.zeros((6, 6), np.float32)
    values[1, 4] = values[4, 0] = values[4, 1] = 2.0
    first, second = find(values, count=9)
    assert first.peak == Point(4, 1)
    assert first.ties == 3
    assert (second.peak, second.box) == (Point(0, 4), Box(0, 4, 1, 4))


@given(arrays(np.float32, (5, 6), elements=st.integers(0, 4).map(float)))
def test_the_first_place_is_the_argmax_and_its_region_is_connected(values):
    places = find(values, count=1)
    if values.min() == values.max():
        assert places == ()
        return
    row, column = divmod(int(values.argmax()), 6)
    assert places[0].peak == Point(column, row)
    assert places[0].ties == (values == values.max()).sum()
    level = values.min() + 0.5 * (values.max() - values.min())
    regions, _ = label(values >= level, structure=np.ones((3, 3)))
    rows, columns = np.nonzero(regions == regions[row, column])
    assert places[0].box == Box(columns.min(), rows.min(), columns.max(), rows.max())


# --- several layers


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return [torch.rand(2, size, size + 1, dtype=torch.float64) for size in (12, 6, 3)]


def test_the_geometric_mean_is_the_root_of_the_product(layers):
    up = [enlarge(one, (12, 13)) for one in layers]
    product = up[0] * up[1] * up[2]
    assert torch.allclose(combine_layers(layers), product ** (1 / 3))
    assert torch.allclose(combine_layers(layers, "product"), product)
    weighted = combine_layers(layers, "weighted", weights=(1, 2, 1))
    assert torch.allclose(weighted, (up[0] * up[1] ** 2 * up[2]) ** 0.25)
    assert torch.allclose(combine_layers(layers, "weighted", weights=(5, 5, 5)), product ** (1 / 3))


def test_a_layers_scale_is_a_factor_of_the_result(layers):
    scaled = [layers[0] * 1e-20, layers[1], layers[2] * 1e9]
    ratio = combine_layers(scaled) / combine_layers(layers)
    assert torch.allclose(ratio, torch.full_like(ratio, 1e-11 ** (1 / 3)))
    assert torch.allclose(combine_layers(scaled, "mean"), combine_layers(layers, "mean"))


def test_a_product_of_tiny_single_precision_maps_keeps_its_peak():
    tiny = [torch.rand(1, 8, 8).clamp_min(0.1) * 1e-30 for _ in range(4)]
    found = combine_layers(tiny)
    assert len(found.unique()) > 60  # a plain product would be zero everywhere


def test_nothing_at_a_place_in_one_layer_is_nothing_in_the_product(layers):
    layers[0][:, 3, 4] = 0
    layers[1][:] = -layers[1]
    assert (combine_layers(layers[:1] + layers[2:])[:, 3, 4] == 0).all()
    assert (combine_layers(layers) == 0).all()  # the positive part of a negative map


def test_layers_weigh_by_their_concentration():
    spread, point = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    point[0, 1, 2] = 5
    assert concentration(spread).item() == pytest.approx(0, abs=1e-6)
    assert concentration(point).item() == pytest.approx(1)
    assert torch.allclose(combine_layers([spread, point], "weighted"), point)


def test_the_reference_profile_is_its_loop(layers):
    found = combine_layers(layers, "reference", image_size=(24, 26))
    for sample in range(2):
        product = None
        for one in layers:
            up = F.interpolate(one[sample][None, None], (24, 26), mode="bilinear", align_corners=False)[0, 0]
            up = (up - up.min()) / (up.max() - up.min())
            product = up if product is None else product * up
        expected = (product - product.min()) / (product.max() - product.min())
        assert torch.allclose(found[sample], expected)


def test_a_constant_layer_forgets_those_before_it_in_the_reference_profile(layers):
    constant = torch.ones_like(layers[1])
    found = combine_layers([layers[0], constant, layers[2]], "reference", image_size=(24, 26))
    assert torch.allclose(found, stretch(enlarge(layers[2], (24, 26))))


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_samples_are_combined_on_their_own(combine, layers):
    together = combine_layers(layers, combine)
    alone = torch.cat([combine_layers([one[k : k + 1] for one in layers], combine) for k in range(2)])
    assert torch.allclose(together, alone)


def test_wrong_combinations_are_told(layers):
    with pytest.raises(SaliencyError, match="unknown combination"):
        combine_layers(layers, "median")
    with pytest.raises(SaliencyError, match="weights do not fit"):
        combine_layers(layers, "weighted", weights=(1, 2))
    with pytest.raises(SaliencyError, match="weights do not fit"):
        combine_layers(layers, "mean", weights=(1, 2, 3))
