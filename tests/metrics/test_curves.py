"""AOPC, insertion, deletion and ROAD against loops, closed forms and the paper's own code path."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tests.metrics.networks import Linear, picture, small_network
from tests.metrics.truths import random_map
from tests.reference.metrics import faithfulness as replica

from xiqa.errors import MetricError, SaliencyError
from xiqa.metrics.faithfulness.aopc import LAMPROU, SAMEK, aopc, aopc_curve
from xiqa.metrics.faithfulness.insertion_deletion import deletion, deletion_curve, insertion, insertion_curve
from xiqa.metrics.faithfulness.road import road, road_combined, road_curve
from xiqa.metrics.impute import impute
from xiqa.metrics.perturbation import filler, pixel_turns, region_turns
from xiqa.saliency.probe import TorchProbe

NETWORK = small_network()
PROBE = TorchProbe(NETWORK)
IMAGE = picture()
SALIENCY = random_map(3)
EVERYWHERE = torch.ones(1, *SALIENCY.shape)
PROBABILITY = partial(replica.probability, NETWORK, target=1)


class TestOrders:
    def test_pixels(self):
        turns = pixel_turns(SALIENCY)
        assert sorted(turns.ravel().tolist()) == list(range(SALIENCY.size))
        assert (np.diff(SALIENCY.ravel()[np.argsort(turns.ravel())]) <= 0).all()
        assert (pixel_turns(SALIENCY, "lerf") == SALIENCY.size - 1 - turns).all()

    def test_regions_cut_at_the_border_rank_by_their_mean(self):
        saliency = np.zeros((5, 7))
        saliency[4, 6] = 1.0  # a region of one pixel, mean 1
        saliency[0, 0] = 3.0  # a region of nine, mean 1/3
        turns = region_turns(saliency, 3)
        assert turns[4, 6] == 0
        assert turns[0, 0] == turns[2, 2] == 1
        assert turns.max() == 5

    def test_ties_go_at_random_and_a_constant_map_is_a_random_order(self):
        constant = np.ones((20, 20))
        assert (pixel_turns(constant, seed=1) == pixel_turns(SALIENCY[:20, :20], "random", seed=1)).all()
        assert (pixel_turns(constant, seed=1) != pixel_turns(constant, seed=2)).any()
        coarse = random_map(0, levels=2)
        turns = pixel_turns(coarse)
        assert turns[coarse == 0.5].max() < turns[coarse == 0].min()
        # the first half of a tied map does not lie in its upper half
        first = pixel_turns(constant) < 200
        assert 60 < first[:10].sum() < 140

    @pytest.mark.parametrize("level", [0.3, 0.1, 1 / 3, -7e-9])
    def test_regions_of_a_constant_map_tie_whatever_rounding_says(self, level):
        constant = np.full((50, 41), level)
        assert (region_turns(constant, 9, seed=1) == region_turns(constant, 9, "random", seed=1)).all()
        assert (
            region_turns(constant, 9, "lerf", seed=1) == region_turns(constant, 9, "random", seed=1)
        ).all()

    def test_unknown_order(self):
        with pytest.raises(MetricError):
            pixel_turns(SALIENCY, "best")


@pytest.mark.parametrize("fill", ["uniform", "gaussian", "blur", "mean", 0.25, "shuffle"])
@pytest.mark.parametrize(("region", "steps"), [(8, None), (9, 7), (5, 100)])
@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation_equals_the_replica(fill, region, steps, order):
    altered = filler(IMAGE, fill, strength=0.5, seed=4)(EVERYWHERE)[0]
    settings = {"region": region, "steps": steps, "order": order, "fill": fill, "strength": 0.5, "seed": 4}
    scores = replica.region_curve(PROBABILITY, IMAGE, SALIENCY, region, steps, order == "morf", altered)
    ours = aopc_curve(PROBE, IMAGE, SALIENCY, 1, **settings)
    assert ours.score == pytest.approx(scores, abs=1e-6)
    assert aopc(PROBE, IMAGE, SALIENCY, 1, **settings) == pytest.approx(replica.aopc(scores), abs=1e-6)
    assert np.ptp(scores) > 1e-3


@pytest.mark.parametrize(("steps", "every"), [(None, 3), (7, 3), (6, 2)])
def test_a_coarser_curve_scores_every_so_many_regions(steps, every):
    settings = {"region": 8, "steps": steps, "fill": "uniform", "seed": 4}
    whole, coarse = (aopc_curve(PROBE, IMAGE, SALIENCY, 1, every=one, **settings) for one in (1, every))
    assert coarse.share == pytest.approx(whole.share[::every])
    assert coarse.score == pytest.approx(whole.score[::every], abs=1e-6)
    value = aopc(PROBE, IMAGE, SALIENCY, 1, every=every, **settings)
    assert value == pytest.approx(replica.aopc(list(whole.score[::every])), abs=1e-6)


class TestFillers:
    def test_what_they_put_there(self):
        fills = {
            kind: filler(IMAGE, kind, seed=3)(EVERYWHERE)[0] for kind in ("uniform", "gaussian", "shuffle")
        }
        assert IMAGE.min() <= fills["uniform"].min() < fills["uniform"].max() <= IMAGE.max()
        assert (fills["gaussian"] - IMAGE).std() == pytest.approx(0.1, rel=0.05)
        assert fills["shuffle"].sort().values.sum() == pytest.approx(IMAGE.sum().item(), abs=1e-2)
        blurred = gaussian_filter(IMAGE.numpy(), 5.0, axes=(1, 2), mode="reflect")
        assert filler(IMAGE, "blur")(EVERYWHERE)[0].numpy() == pytest.approx(blurred, abs=1e-5)

    def test_only_what_is_removed_changes(self):
        mask = torch.zeros_like(EVERYWHERE)
        mask[0, 3:9, 4:20] = 1
        gone = mask[0].bool()
        for kind in ("uniform", "gaussian", "blur", "mean", 0.0, "shuffle", "inpaint"):
            copy = filler(IMAGE, kind)(mask)[0]
            assert torch.equal(copy[:, ~gone], IMAGE[:, ~gone]), kind
            assert not torch.allclose(copy[:, gone], IMAGE[:, gone]), kind
        assert (filler(1e6 * IMAGE, 0.3)(mask)[0][:, gone] == 0.3).all()

    def test_unknown(self):
        with pytest.raises(SaliencyError):
            filler(IMAGE, "paint")


def test_closed_form_of_aopc_for_a_linear_score():
    weights = torch.zeros(1, 4, 4)
    weights[0, :2, :2], weights[0, :2, 2:] = 2.0, 1.0  # falls of 8 and 4, then nothing
    probe, image = TorchProbe(Linear(weights)), torch.ones(1, 4, 4)
    value = aopc(probe, image, weights[0].numpy(), 1, region=2, steps=None, fill=0.0, output="logit")
    assert value == pytest.approx((0 + 8 + 12 + 12 + 12) / 5)


def test_the_papers_settings():
    assert math.isfinite(aopc(PROBE, IMAGE, SALIENCY, 1, **SAMEK))
    outcomes = [aopc(PROBE, IMAGE, SALIENCY, target, **LAMPROU) for target in (0, 1)]
    assert [math.isnan(o) for o in outcomes].count(True) == 1  # one of the two targets is not predicted


def test_repeats_average_over_seeds():
    values = [aopc(PROBE, IMAGE, SALIENCY, 1, seed=s) for s in (5, 6)]
    assert aopc(PROBE, IMAGE, SALIENCY, 1, seed=5, repeats=2) == pytest.approx(np.mean(values))
    assert values[0] != values[1]


@pytest.mark.parametrize("step", [32, 100, 24 * 32])
@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_deletion_and_insertion_equal_the_replica(step, order):
    zero = torch.zeros_like(IMAGE)
    scores, shares = replica.pixel_curve(PROBABILITY, IMAGE, zero, SALIENCY, step, order == "morf")
    ours = deletion_curve(PROBE, IMAGE, SALIENCY, 1, step=step, order=order)
    assert ours.score == pytest.approx(scores, abs=1e-6)
    assert ours.share == pytest.approx(shares)
    expected = replica.area(scores, shares)
    assert deletion(PROBE, IMAGE, SALIENCY, 1, step=step, order=order) == pytest.approx(expected, abs=1e-6)
    hidden = torch.as_tensor(gaussian_filter(IMAGE.numpy(), 5.0, axes=(1, 2), mode="reflect"))
    scores, shares = replica.pixel_curve(PROBABILITY, hidden, IMAGE, SALIENCY, step, order == "morf")
    ours = insertion_curve(PROBE, IMAGE, SALIENCY, 1, step=step, order=order)
    assert ours.score == pytest.approx(scores, abs=1e-6)
    expected = replica.area(scores, shares)
    assert insertion(PROBE, IMAGE, SALIENCY, 1, step=step, order=order) == pytest.approx(expected, abs=1e-6)


def test_insertion_is_deletion_backwards():
    forward = insertion_curve(PROBE, IMAGE, SALIENCY, 1, step=64, start=0.0)
    backward = deletion_curve(PROBE, IMAGE, SALIENCY, 1, step=64, order="lerf")
    assert forward.score == pytest.approx(backward.score[::-1], abs=1e-6)


def test_a_map_of_what_counts_beats_noise():
    probe = TorchProbe(Linear(0.05 * torch.as_tensor(SALIENCY).float()[None]))
    image = torch.ones(1, *SALIENCY.shape)
    for metric, better in ((deletion, np.less), (insertion, np.greater), (aopc, np.greater)):
        fill = {"start": 0.0} if metric is insertion else {"fill": 0.0}
        good, bad = (metric(probe, image, s, 1, **fill) for s in (SALIENCY, random_map(99)))
        assert better(good, bad), metric.__name__


class TestImputation:
    @pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
    def test_equals_the_replica(self, share):
        rng = np.random.default_rng(0)
        image, removed = rng.random((2, 6, 8)), rng.random((6, 8)) < share
        ours = impute(image, removed, noise=0.0)
        assert ours == pytest.approx(replica.impute(image, removed), abs=1e-8)

    def test_linear_images_are_filled_exactly_inside(self):
        y, x = np.mgrid[:12, :12]
        image = (2.0 * y + 3.0 * x)[None]
        removed = np.zeros((12, 12), bool)
        removed[3:9, 4:8] = True
        assert impute(image, removed, noise=0.0) == pytest.approx(image)

    def test_noise(self):
        image, removed = np.zeros((1, 60, 60)), np.ones((60, 60), bool)
        removed[0] = False
        assert impute(image, removed, noise=0.3)[0][removed].std() == pytest.approx(0.3, rel=0.05)
        assert (impute(image, removed, noise=0.3)[0][0] == 0).all()

    def test_nothing_or_everything_removed(self):
        image = np.ones((1, 4, 4))
        assert impute(image, np.zeros((4, 4), bool)) is image
        with pytest.raises(MetricError):
            impute(image, np.ones((4, 4), bool))


class TestRoad:
    def test_removes_exactly_the_asked_share_of_a_map_that_is_mostly_ties(self):
        saliency = np.zeros(SALIENCY.shape)
        saliency[:3, :3] = random_map(0, (3, 3))
        changed = []

        def probe(images):
            changed.extend((images != IMAGE).any(dim=1).flatten(1).float().mean(dim=1).tolist())
            return NETWORK(images)

        with torch.no_grad():
            road(probe, IMAGE, saliency, 1, percentages=(10, 25, 50, 90))
        assert changed == pytest.approx([0, 0.1, 0.25, 0.5, 0.9], abs=1 / saliency.size)

    @pytest.mark.parametrize("order", ["morf", "lerf"])
    def test_equals_the_replica(self, order):
        image, saliency = picture(size=(6, 8)), random_map(5, (6, 8))
        places = np.argsort(saliency.ravel() * (-1 if order == "morf" else 1))
        expected, correct = [], []
        for percentage in (20, 50, 80):
            removed = np.zeros(saliency.size, bool)
            removed[places[: round(percentage / 100 * saliency.size)]] = True
            filled = replica.impute(image.numpy(), removed.reshape(saliency.shape))
            expected.append(PROBABILITY(torch.as_tensor(filled).float()))
            correct.append(float(expected[-1] > 0.5))
        settings = {"percentages": (20, 50, 80), "noise": 0.0, "order": order}
        curve = road_curve(PROBE, image, saliency, 1, **settings)
        assert curve.score[1:] == pytest.approx(expected, abs=1e-5)
        assert road(PROBE, image, saliency, 1, **settings) == np.mean(correct)
        assert road(PROBE, image, saliency, 0, **settings) == 1 - np.mean(correct)

    def test_combined_is_half_the_gap_between_the_orders(self):
        settings = {"percentages": (20, 40), "output": "probability"}
        least, most = (road(PROBE, IMAGE, SALIENCY, 1, order=o, **settings) for o in ("lerf", "morf"))
        assert road_combined(PROBE, IMAGE, SALIENCY, 1, percentages=(20, 40)) == (least - most) / 2
        assert road_combined(PROBE, IMAGE, np.ones_like(SALIENCY), 1) == 0

    def test_one_logit_heads(self):
        network = small_network(classes=1)
        values = [road(TorchProbe(network), IMAGE, SALIENCY, target) for target in (0, 1)]
        assert sum(values) == pytest.approx(1.0)

    def test_unusable_percentages(self):
        with pytest.raises(MetricError):
            road(PROBE, IMAGE, SALIENCY, 1, percentages=(50, 100))


def test_a_map_on_another_grid_is_an_error():
    for metric in (aopc, deletion, insertion, road, road_combined):
        with pytest.raises(MetricError, match="different grids"):
            metric(PROBE, IMAGE, SALIENCY[:-1], 1)


def test_batches_do_not_change_the_curve():
    curves = [
        deletion_curve(TorchProbe(NETWORK, batch_size=size), IMAGE, SALIENCY, 1).score for size in (1, 7, 64)
    ]
    assert curves[0] == pytest.approx(curves[1], abs=1e-6)
    assert curves[0] == pytest.approx(curves[2], abs=1e-6)
