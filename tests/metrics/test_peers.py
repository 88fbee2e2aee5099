"""grad-cam's and Quantus's metrics where they mislead, each beside the loop that decides and ours."""

import numpy as np
import pytest
import pytorch_grad_cam.metrics.cam_mult_image as grad_cam_drop
import pytorch_grad_cam.metrics.perturbation_confidence as grad_cam_road
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.metrics.networks import picture, small_network
from tests.metrics.truths import SIZE, random_map
from tests.reference.metrics import faithfulness as replica
from torch import nn

from xiqa.metrics.faithfulness.average_drop import average_drop
from xiqa.metrics.perturbation import pixel_turns
from xiqa.metrics.randomise import randomised
from xiqa.saliency.probe import TorchProbe

quantus = pytest.importorskip("quantus")

IMAGE = picture(size=SIZE)


def test_grad_cams_road_removes_the_whole_image_of_a_map_that_is_mostly_ties():
    """Asked for the highest fifth, it removes what is not below the percentile, and that is 0 everywhere."""
    saliency = np.zeros(SIZE)
    saliency[:3, :3] = random_map(0, (3, 3))
    kept = []
    remove = grad_cam_road.RemoveMostRelevantFirst(80, lambda image, mask: kept.append(mask) or image)
    remove(IMAGE, torch.as_tensor(saliency))
    assert not kept[0].any()
    # one pixel at a time: after a fifth of the turns a fifth is gone, and the nine that count are among it
    gone = pixel_turns(saliency) < saliency.size / 5
    assert gone.mean() == pytest.approx(0.2, abs=1 / saliency.size)
    assert gone[:3, :3].all()


@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_grad_cams_drop_is_a_difference_of_logits_and_has_no_bound(factor):
    network, saliency = small_network(), random_map(3)
    with torch.no_grad():
        network[-1].weight.mul_(factor)
    stretched = (saliency - saliency.min()) / (saliency.max() - saliency.min())
    drops = []
    for target in (0, 1):
        theirs = grad_cam_drop.DropInConfidence()(
            IMAGE[None], stretched[None].astype(np.float32), [ClassifierOutputTarget(target)], network
        )
        shown = replica.shown(IMAGE, saliency)
        fall = replica.logit(network, IMAGE, target) - replica.logit(network, shown, target)
        assert theirs[0] == pytest.approx(max(0.0, fall), rel=1e-4, abs=1e-5)
        before, after = (replica.probability(network, one, target) for one in (IMAGE, shown))
        ours = average_drop(TorchProbe(network), IMAGE, saliency, target)
        assert ours == pytest.approx(max(0.0, before - after) / before, abs=1e-4)
        assert 0 <= ours <= 1
        drops.append(float(theirs[0]))
    assert max(drops) > 1 or factor == 1


def test_quantus_draws_layers_of_one_shape_alike():
    network = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)), nn.Flatten())
    wrapped = quantus.helpers.model.pytorch_model.PyTorchModel(network, channel_first=True)
    with torch.random.fork_rng():
        for _name, drawn in wrapped.get_random_layer_generator("top_down"):
            last = drawn
        assert torch.equal(last[0].weight, last[1].weight)
    with randomised(network, ["0", "1"]):
        assert not torch.equal(network[0].weight, network[1].weight)
