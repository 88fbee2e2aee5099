"""The gradient's family against differences, on a network whose slope changes from place to place."""

import numpy as np
import pytest
import torch
from tests.reference.replicas import replica
from tests.saliency.small import Convolutional, build, images
from torch import nn

from xiqa.saliency.engine import attribute
from xiqa.saliency.gradients.paths import noisy_copies

NETWORK = build(Convolutional, activation=nn.Softplus)
X = images(2, (2, 4, 5))
CLASSES = (2, 0)


def score(image):
    """The logits of both classes are asked of one image at a time."""

    def run(values):
        return float(NETWORK(torch.from_numpy(values)[None])[0, CLASSES[image]].detach())

    return run


def compare(text, *arguments, name=None, **options):
    """Two images, a class each: what the engine gives is what the loop gives."""
    (found,) = attribute(NETWORK, X, text, target=torch.tensor(CLASSES)).values()
    for index in range(2):
        given = [argument[index] for argument in arguments]
        expected = replica(name or text.partition(":")[0])(score(index), X[index].numpy(), *given, **options)
        assert np.ptp(expected) > 0.3 * np.abs(expected).max()
        np.testing.assert_allclose(found[index].numpy(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("norm", ["signed", "l1", "l2", "max"])
@pytest.mark.parametrize("name", ["gradient", "inputxgradient"])
def test_gradient_and_product(name, norm):
    compare(f"{name}:norm={norm}", norm=norm)


@pytest.mark.parametrize("norm", ["signed", "max"])
def test_integrated_gradients(norm):
    hidden = np.broadcast_to(X.amin(dim=(2, 3), keepdim=True).numpy(), X.shape)
    text = f"integratedgradients:steps=3,path=midpoint,baseline=min,norm={norm},tolerance=9"
    compare(text, hidden, steps=3, norm=norm)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("norm", ["signed", "l2"])
def test_smoothgrad(norm, squared):
    noise = np.stack([(copies - X).numpy() for copies in noisy_copies(X, 0.2, 3, seed=5)], axis=1)
    text = f"smoothgrad:samples=3,spread=0.2,seed=5,norm={norm},squared={str(squared).lower()}"
    compare(text, noise, norm=norm, squared=squared)
