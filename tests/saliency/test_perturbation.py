"""Perturbation cores on one image: linear models in closed form, loops, and captum as a witness."""

import itertools

import captum.attr
import numpy as np
import pytest
import torch
from tests.reference import perturbation as reference
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.cams.scorecam import integrated_scores, kept_scores, smoothed_scores, weighted_channels
from xiqa.saliency.masking.meaningful import deletion_mask, mask_loss
from xiqa.saliency.perturbation import copies
from xiqa.saliency.perturbation.copies import baseline
from xiqa.saliency.perturbation.occlusion import occlude, starts
from xiqa.saliency.perturbation.rise import RiseMasks, weighted_masks
from xiqa.saliency.perturbation.superpixels import grid_regions, regions, slic_regions
from xiqa.saliency.perturbation.surrogate import (
    coalitions,
    lime_weights,
    region_scores,
    ridge,
    shapley_weights,
)


@pytest.fixture
def image():
    return torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def linear(image):
    """A linear score: every attribution has a closed form, (x - b) times the weight."""
    weight = torch.randn(image.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    score = lambda copies: (copies * weight).sum(dim=(1, 2, 3)) + 3  # noqa: E731
    score.weight = weight
    return score


@pytest.fixture
def smooth(image):
    """A score that is not linear."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1)
    )
    network = network.double().requires_grad_(False)
    return lambda copies: network(copies)[:, 0]


class TestOcclusion:
    def test_is_the_contribution_of_each_pixel_of_a_linear_model(self, image, linear):
        hidden = baseline(image, "mean")
        found = occlude(linear, image, hidden, window=(1, 1), stride=(1, 1))
        torch.testing.assert_close(found, ((image - hidden) * linear.weight).sum(dim=0))

    @pytest.mark.parametrize(("window", "stride"), [((3, 4), (2, 3)), ((1, 9), (1, 1)), ((5, 5), (5, 5))])
    def test_agrees_with_the_loop(self, image, smooth, window, stride):
        corners = list(itertools.product(starts(6, window[0], stride[0]), starts(9, window[1], stride[1])))
        hidden = baseline(image, 0.5)
        found = occlude(smooth, image, hidden, window=window, stride=stride)
        np.testing.assert_allclose(
            found.numpy(), reference.occlusion(smooth, image, hidden, corners, window), atol=1e-12
        )

    def test_agrees_with_captum_where_windows_do_not_overlap(self, image, smooth):
        witness = captum.attr.Occlusion(smooth).attribute(
            image[None], sliding_window_shapes=(2, 2, 3), strides=(2, 2, 3), baselines=0.0
        )
        found = occlude(smooth, image, torch.zeros_like(image), window=(2, 3), stride=(2, 3))
        torch.testing.assert_close(found, witness[0, 0].double(), rtol=1e-5, atol=1e-6)

    def test_hides_every_pixel_even_where_windows_do_not_fit(self):
        assert starts(10, 4, 3) == [0, 3, 6]
        assert starts(11, 4, 3) == [0, 3, 6, 7]
        assert starts(3, 4, 2) == [0]


class TestRise:
    def test_all_masks_of_a_tiny_grid_give_the_conditional_expectation(self, image, smooth):
        cells = [torch.tensor(bits, dtype=torch.float64) for bits in itertools.product((0.0, 1.0), repeat=6)]
        masks = torch.stack([c.reshape(2, 3).repeat_interleave(3, 0).repeat_interleave(3, 1) for c in cells])
        hidden = torch.zeros_like(image)
        found = weighted_masks(smooth, image, hidden, lambda part: masks[part], 64, keep=0.5)
        scores = smooth(masks[:, None] * image)
        for y, x in itertools.product(range(6), range(9)):
            shown = masks[:, y, x] == 1
            assert found[y, x] == pytest.approx(float(scores[shown].mean()), abs=1e-12)

    def test_all_masks_rank_the_cells_of_a_linear_model_by_their_contribution(self, image, linear):
        masks = torch.stack(
            [
                torch.tensor(bits, dtype=torch.float64)
                .reshape(2, 3)
                .repeat_interleave(3, 0)
                .repeat_interleave(3, 1)
                for bits in itertools.product((0.0, 1.0), repeat=6)
            ]
        )
        found = weighted_masks(linear, image, torch.zeros_like(image), lambda p: masks[p], 64, keep=0.5)
        contribution = (image * linear.weight).sum(dim=0).reshape(2, 3, 3, 3).sum(dim=(1, 3))
        # E[f | cell shown] = f(x)/2 + b/2 + contribution/2, b the score with everything hidden
        whole = (contribution.sum() + 3 + 3) / 2
        torch.testing.assert_close(found[::3, ::3], whole + contribution / 2)

    def test_agrees_with_the_loop(self, image, smooth):
        masks = RiseMasks(20, (6, 9), grid=3, keep=0.4, seed=5)
        hidden = baseline(image, 0.3)
        found = weighted_masks(smooth, image, hidden, masks, 20, keep=0.4)
        whole = torch.from_numpy(masks(slice(0, 20)))
        np.testing.assert_allclose(found, reference.rise(smooth, image, hidden, whole, 0.4), atol=1e-12)

    def test_masks_have_the_right_mean_size_and_range(self):
        masks = RiseMasks(3000, (11, 7), grid=4, keep=0.3, seed=1)(slice(0, 3000))
        assert masks.shape == (3000, 11, 7)
        assert masks.min() >= 0
        assert masks.max() <= 1
        assert masks.mean() == pytest.approx(0.3, abs=0.01)

    def test_does_not_depend_on_how_the_masks_are_cut_into_chunks(self, image, smooth, monkeypatch):
        def run():
            masks = RiseMasks(37, (6, 9), grid=3, keep=0.5, seed=0)
            return weighted_masks(smooth, image, torch.zeros_like(image), masks, 37, keep=0.5)

        whole = run()
        monkeypatch.setattr(copies, "_CHUNK_PIXELS", 54 * 5)
        torch.testing.assert_close(run(), whole, rtol=0, atol=1e-12)


class TestSurrogates:
    def test_lime_is_exact_on_a_linear_model(self, image, linear):
        labels = grid_regions((6, 9), 6)
        count = int(labels.max()) + 1
        shown = (torch.rand(40, count, generator=copies.generator(0)) < 0.5).float()
        scores = region_scores(linear, image, torch.zeros_like(image), labels, shown)
        found = ridge(shown, scores, lime_weights(shown, 0.25), 0.0)
        pixels = (image * linear.weight).sum(dim=0)
        torch.testing.assert_close(found, torch.stack([pixels[labels == s].sum() for s in range(count)]))

    def test_ridge_agrees_with_the_normal_equations(self):
        source = copies.generator(3)
        shown = (torch.rand(30, 5, generator=source) < 0.5).double()
        scores, weights = torch.rand(30, generator=source).double(), torch.rand(30, generator=source).double()
        expected = reference.ridge(shown.numpy(), scores.numpy(), weights.numpy(), 0.7)
        np.testing.assert_allclose(ridge(shown, scores, weights, 0.7), expected, rtol=1e-8)

    def test_all_coalitions_give_the_shapley_values_of_the_definition(self, image, smooth):
        labels = grid_regions((6, 9), 6)
        players = int(labels.max()) + 1
        hidden = baseline(image, "mean")

        def value(present):
            mask = torch.isin(labels, torch.tensor(sorted(present), dtype=torch.long)).double()
            return float(smooth((mask * image + (1 - mask) * hidden)[None]))

        shown, weights = coalitions(players, 100, copies.generator(0))
        assert len(shown) == 2**players - 2
        empty, whole = value(set()), value(set(range(players)))
        gains = region_scores(smooth, image, hidden, labels, shown) - empty
        found = shapley_weights(shown, gains, weights, whole - empty)
        np.testing.assert_allclose(found, reference.shapley(value, players), atol=1e-10)

    def test_drawn_coalitions_approach_the_shapley_values_and_keep_their_sum(self, image, smooth):
        labels = grid_regions((6, 9), 8)
        players, hidden = int(labels.max()) + 1, torch.zeros_like(image)

        def estimate(shown, weights):
            ends = region_scores(
                smooth, image, hidden, labels, torch.tensor([[0.0] * players, [1.0] * players])
            )
            gains = region_scores(smooth, image, hidden, labels, shown) - ends[0]
            return shapley_weights(shown, gains, weights, float(ends[1] - ends[0])), ends[1] - ends[0]

        exact, total = estimate(*coalitions(players, 2**players, copies.generator(0)))
        drawn, _ = estimate(*coalitions(players, 2**players - 4, copies.generator(0)))
        assert float(drawn.sum()) == pytest.approx(float(total))
        assert float((drawn - exact).norm() / exact.norm()) < 0.2

    def test_shapley_lime_and_occlusion_agree_on_a_linear_model_with_captum(self, image, linear):
        labels = grid_regions((6, 9), 4)
        players = int(labels.max()) + 1
        shown, weights = coalitions(players, 100, copies.generator(0))
        gains = region_scores(linear, image, torch.zeros_like(image), labels, shown) - 3
        found = shapley_weights(shown, gains, weights, float(linear(image[None])) - 3)
        witness = captum.attr.ShapleyValues(linear).attribute(image[None], feature_mask=labels[None, None])
        corners = torch.stack([witness[0, 0][labels == s][0] for s in range(players)])
        torch.testing.assert_close(found, corners.double(), rtol=1e-5, atol=1e-5)

    def test_regions_are_numbered_without_gaps_whatever_the_image(self):
        for picture in (
            torch.randn(3, 40, 30),
            torch.zeros(1, 20, 20),
            torch.randn(1, 1, 1),
            torch.rand(3, 5, 1),
        ):
            labels = slic_regions(picture, 12)
            assert labels.shape == picture.shape[1:]
            assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
        with pytest.raises(SaliencyError, match="slic"):
            regions(torch.zeros(1, 4, 4), "voronoi", 3)


class TestScoreCam:
    @pytest.fixture
    def channels(self):
        values = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        values[2] = 0.7  # constant: no mask
        return values

    @pytest.mark.parametrize("softmax", [True, False])
    def test_agrees_with_the_loop(self, image, smooth, channels, softmax):
        found = weighted_channels(channels, kept_scores(smooth, image, channels), softmax=softmax)
        np.testing.assert_allclose(
            found, reference.scorecam(smooth, image, channels, softmax=softmax), atol=1e-12
        )

    @pytest.mark.parametrize("where", ["features", "input"])
    def test_smoothing_without_noise_and_a_path_of_one_step_are_score_cam(
        self, image, smooth, channels, where
    ):
        plain = kept_scores(smooth, image, channels)
        quiet = smoothed_scores(smooth, image, channels, samples=2, std=0.0, where=where, seed=0)
        torch.testing.assert_close(quiet, plain)
        torch.testing.assert_close(integrated_scores(smooth, image, channels, steps=1), plain)

    def test_a_path_over_a_linear_model_has_a_closed_form(self, image, linear, channels):
        kept = kept_scores(linear, image, channels) - 3
        found = integrated_scores(linear, image, channels, steps=4)
        torch.testing.assert_close(found, 3 + kept * (1 + 2 + 3 + 4) / 16)

    @pytest.mark.parametrize("where", ["features", "input"])
    def test_noise_does_not_depend_on_the_chunks(self, image, smooth, channels, where, monkeypatch):
        run = lambda: smoothed_scores(smooth, image, channels, samples=3, std=1.0, where=where, seed=4)  # noqa: E731
        whole = run()
        monkeypatch.setattr(copies, "_CHUNK_PIXELS", 54 * 2)
        torch.testing.assert_close(run(), whole, rtol=0, atol=1e-12)

    def test_only_constant_channels_give_an_empty_map(self, image, smooth):
        flat = torch.ones(3, 2, 2, dtype=torch.float64)
        assert weighted_channels(flat, kept_scores(smooth, image, flat)).abs().sum() == 0


class TestMeaningfulPerturbation:
    def test_the_price_of_a_mask(self):
        mask = torch.tensor([[[[1.0, 0.5], [0.0, 0.5]]]])
        # hidden: 0.5 + 1 + 0.5; steps down: 1, 0; right: 0.5, 0.5
        found = mask_loss(mask, area=2.0, variation=3.0, power=2.0)
        assert found.item() == pytest.approx(2 * 2.0 + 3 * (1 + 0.25 + 0.25))

    def test_finds_the_part_that_a_class_depends_on(self):
        image = torch.ones(1, 16, 16)
        score = lambda copies: copies[:, 0, 2:6, 9:13].mean(dim=(1, 2))  # noqa: E731
        mask = deletion_mask(
            score, image, torch.zeros_like(image), grid=8, iterations=80, rate=0.1, area=0.01,
            variation=0.01, power=3.0, jitter=0, noise=0.0, seed=0,
        )  # fmt: skip
        assert mask[1:3, 5:6].min() > 0.9
        assert mask[5:, :3].max() < 0.1


def test_baselines():
    image = torch.arange(8.0).reshape(2, 2, 2)
    assert baseline(image, "min")[:, 0, 0].tolist() == [0, 4]
    assert baseline(image, 2)[1, 1, 1] == 2
    assert baseline(image, "blur").std() < image.std()
    with pytest.raises(SaliencyError, match="blur"):
        baseline(image, "grey")
