"""Random parameters: every one is drawn, each from its own seed, and every one comes back."""

import math

import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.test_robustness import gradient_map
from torch import nn

from xiqa.errors import MetricError
from xiqa.metrics.randomisation import parameter_randomisation, randomisation_curve
from xiqa.metrics.randomise import parametrised, randomised

IMAGE = picture()
LAYERS = ["0", "1", "3", "4", "8"]


class Twins(nn.Module):
    """Two layers of one shape, called in the other order than they are defined, and a loose parameter."""

    def __init__(self):
        super().__init__()
        self.second, self.first = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.arange(1.0, 4.0).view(3, 1, 1))

    def forward(self, images):
        return (self.second(self.first(images)) * self.scale).mean(dim=(2, 3))


def test_modules_in_the_order_of_their_calls():
    assert parametrised(small_network(), IMAGE) == LAYERS
    assert parametrised(Twins(), IMAGE) == ["", "first", "second"]


@pytest.mark.parametrize("how", ["reset", "shuffle"])
def test_everything_is_drawn_batch_norm_included_and_comes_back(how):
    network = small_network(classes=5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    places = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    with randomised(network, LAYERS, how=how):
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                assert not torch.equal(tensor, before[name]), name
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
        assert tensor.data_ptr() == places[name]


def test_comes_back_when_the_work_raises():
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(RuntimeError), randomised(network, LAYERS):
        raise RuntimeError
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("how", ["reset", "shuffle"])
def test_layers_of_one_shape_draw_from_seeds_of_their_own(how):
    network = Twins()
    network.first.load_state_dict(network.second.state_dict())
    with randomised(network, ["first", "second"], how=how):
        assert not torch.equal(network.first.weight, network.second.weight)
        both = network.first.weight.clone()
    with randomised(network, ["first"], how=how):
        assert torch.equal(network.first.weight, both)  # whatever else is drawn
    with randomised(network, ["first"], how=how, seed=1):
        assert not torch.equal(network.first.weight, both)


def test_a_module_without_an_initialisation_is_shuffled():
    network = Twins()
    with randomised(network, [""], seed=3):
        assert network.scale.flatten().tolist() != [1, 2, 3]
        assert sorted(network.scale.flatten().tolist()) == [1, 2, 3]


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with randomised(small_network(), LAYERS):
        pass
    assert torch.equal(torch.rand(3), expected)


def test_what_each_mode_makes_random():
    network = small_network()
    trained = {name: network.get_submodule(name).weight.clone() for name in LAYERS}
    seen = []

    def explain(images):
        seen.append(
            [name for name in LAYERS if not torch.equal(network.get_submodule(name).weight, trained[name])]
        )
        return images.sum(dim=1)

    expected = {
        "cascading": [LAYERS[4 - i :] for i in range(5)],
        "independent": [[name] for name in LAYERS[::-1]],
        "semi": [["8"]],
        "full": [LAYERS],
    }
    for mode, sets in expected.items():
        seen.clear()
        curve = randomisation_curve(network, explain, IMAGE, mode=mode)
        assert seen == [[], *sets], mode
        assert len(curve) == len(sets)


def test_a_map_that_ignores_the_network_scores_one_and_a_gradient_less():
    network = small_network()
    assert parameter_randomisation(network, lambda images: images.sum(dim=1), IMAGE) == pytest.approx(1.0)
    for mode in ("cascading", "full"):
        assert parameter_randomisation(network, gradient_map(network), IMAGE, mode=mode) < 0.8


def test_the_mean_is_over_the_agreements_that_are_defined():
    network = small_network()
    calls = []

    def explain(images):
        calls.append(None)
        return images.sum(dim=1) if len(calls) in (1, 3) else torch.zeros(len(images), 24, 32)

    assert parameter_randomisation(network, explain, IMAGE) == pytest.approx(1.0)

    def dead(images):
        return torch.zeros(len(images), 24, 32)

    assert math.isnan(parameter_randomisation(network, dead, IMAGE))


def test_magnitudes():
    network = small_network()
    calls = []

    def flipped(images):
        calls.append(None)
        return images.sum(dim=1) * (1 if len(calls) == 1 else -1)

    assert parameter_randomisation(network, flipped, IMAGE, mode="full") == pytest.approx(-1.0)
    calls.clear()
    assert parameter_randomisation(network, flipped, IMAGE, mode="full", absolute=True) == pytest.approx(1.0)


def test_unknown_names():
    network = small_network()
    with pytest.raises(MetricError), randomised(network, LAYERS, how="melt"):
        pass
    with pytest.raises(MetricError):
        parameter_randomisation(network, gradient_map(network), IMAGE, mode="sideways")
    with pytest.raises(MetricError):
        parameter_randomisation(network, gradient_map(network), IMAGE, layers=[])
