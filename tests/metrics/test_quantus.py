"""Quantus as a second witness: equal where it is right, and where it is not the loops decide."""

import warnings

import numpy as np
import pytest
import torch

quantus = pytest.importorskip("quantus")

from quantus.functions.perturb_func import noisy_linear_imputation  # noqa: E402
from tests.metrics.networks import Linear, picture, small_network  # noqa: E402
from tests.metrics.truths import random_map  # noqa: E402
from tests.reference.metrics import pointing as pointing_replica  # noqa: E402

from xiqa.geometry import Box  # noqa: E402
from xiqa.metrics.faithfulness.aopc import aopc_curve  # noqa: E402
from xiqa.metrics.faithfulness.insertion_deletion import deletion_curve  # noqa: E402
from xiqa.metrics.faithfulness.road import road  # noqa: E402
from xiqa.metrics.faithfulness.sensitivity_n import sensitivity_n  # noqa: E402
from xiqa.metrics.impute import impute  # noqa: E402
from xiqa.metrics.localisation.pointing_game import pointing_game  # noqa: E402
from xiqa.saliency.probe import TorchProbe  # noqa: E402
from xiqa.types import Annotation  # noqa: E402

SIZE = (24, 24)
NETWORK = small_network(channels=1)
PROBE = TorchProbe(NETWORK)
IMAGES = torch.stack([picture(channels=1, size=SIZE, seed=seed) for seed in range(3)])
MAPS = np.stack([random_map(seed, SIZE) for seed in range(3)])
TARGETS = np.array([1, 0, 1])
QUIET = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}
BOX = Annotation(Box(5, 5, 8, 8))


def theirs(metric, network=NETWORK, images=IMAGES, maps=MAPS, targets=TARGETS, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=network,
            x_batch=images.numpy(),
            y_batch=targets[: len(images)],
            a_batch=maps[:, None],
            device="cpu",
            **more,
        )


def test_region_perturbation_is_equal():
    found = theirs(
        quantus.RegionPerturbation(patch_size=8, regions_evaluation=9, perturb_baseline=0.0, **QUIET)
    )
    for image, saliency, target, drops in zip(IMAGES, MAPS, TARGETS, found, strict=True):
        ours = aopc_curve(PROBE, image, saliency, int(target), region=8, steps=None, fill=0.0).score
        assert ours[0] - ours[1:] == pytest.approx(np.asarray(drops), abs=1e-6)


def test_pixel_flipping_is_equal():
    found = theirs(quantus.PixelFlipping(features_in_step=48, perturb_baseline=0.0, **QUIET))
    for image, saliency, target, scores in zip(IMAGES, MAPS, TARGETS, found, strict=True):
        ours = deletion_curve(PROBE, image, saliency, int(target), step=48)
        assert ours.score[1:] == pytest.approx(np.asarray(scores), abs=1e-6)


def test_imputation_and_road_are_equal_for_one_channel():
    image, removed = IMAGES[0].double().numpy(), np.random.default_rng(0).random(SIZE) < 0.5
    filled = noisy_linear_imputation(image, np.flatnonzero(removed), noise=0.0)
    assert impute(image, removed, 0.0) == pytest.approx(filled, abs=1e-12)
    percentages = [25, 50, 75]
    found = theirs(quantus.ROAD(percentages=percentages, noise=0.0, **QUIET))
    ours = [
        road(PROBE, image, saliency, int(target), percentages=percentages, noise=0.0)
        for image, saliency, target in zip(IMAGES, MAPS, TARGETS, strict=True)
    ]
    assert np.mean(ours) == pytest.approx(np.mean(list(found.values())))


def test_pointing_game_is_equal_for_a_single_peak_inside_or_outside():
    masks = np.zeros((3, 1, *SIZE))
    masks[:, :, 5:9, 5:9] = 1
    maps = MAPS.copy()
    maps[0, 6, 7] = 2.0
    found = theirs(quantus.PointingGame(**QUIET), maps=maps, s_batch=masks)
    assert [bool(hit) for hit in found] == [True, False, False]
    assert [pointing_game(saliency, [BOX], tolerance=0) for saliency in maps] == [1, 0, 0]


def test_any_tied_pixel_makes_their_hit_and_an_empty_mask_too():
    constant, mask = np.ones((1, 1, *SIZE)), np.zeros((1, 1, *SIZE))
    mask[0, 0, 20, 20] = 1
    game = quantus.PointingGame(**QUIET)
    assert bool(game.evaluate_batch(a_batch=constant, s_batch=mask)[0])
    assert bool(game.evaluate_batch(a_batch=MAPS[:1], s_batch=np.zeros_like(mask))[0])
    # the loop takes the first maximum, which lies elsewhere; ours says that there is no peak
    assert pointing_replica.hit(constant[0, 0].tolist(), mask[0, 0].tolist(), 0, True) == 0.0
    assert pointing_game(constant[0, 0], [Annotation(Box(20, 20, 20, 20))], tolerance=0) == 0.0
    assert np.isnan(pointing_game(MAPS[0], [], tolerance=0))


def test_their_road_cannot_take_colour():
    network, images = small_network(), torch.stack([picture(size=SIZE), picture(size=SIZE, seed=1)])
    with pytest.raises(IndexError):
        theirs(quantus.ROAD(percentages=[50], noise=0.0, **QUIET), network, images, MAPS[:2])
    assert 0 <= road(TorchProbe(network), images[0], MAPS[0], 1, percentages=(50,)) <= 1


def test_their_sensitivity_n_is_not_one_for_an_exact_linear_attribution():
    weights = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(2))
    network = Linear(weights).eval()
    maps = (weights * IMAGES)[:, 0].detach().numpy()
    metric = quantus.SensitivityN(n_max_percentage=0.8, features_in_step=48, perturb_baseline=0.0, **QUIET)
    found = theirs(metric, network, maps=maps, targets=np.ones(3, int), softmax=False)
    assert np.nanmean(np.asarray(found, float)) < 0.9995
    for image, saliency in zip(IMAGES, maps, strict=True):
        assert sensitivity_n(TorchProbe(network), image, saliency, 1) == pytest.approx(1.0, abs=1e-5)
