"""Every method that is defined runs on the shipped model, on an image as the model sees it."""

import pytest
import torch

from xiqa.errors import SaliencyError
from xiqa.models.bundle import load_model
from xiqa.models.layers import TargetLayers
from xiqa.models.shelf import shipped_models
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import Needs, method_info
from xiqa.simulation.chest import Scenario, simulate_chest

#: Its evidence is pooled by a smooth maximum, not averaged into one linear layer.
UNDEFINED = {"cam"}


@pytest.fixture(scope="module", params=shipped_models())
def shipped(request):
    """The model, its layers and an image with objects that it finds, at half of the model's side."""
    model = load_model(request.param)
    scenario = Scenario("different", size="large")
    prepared, _ = model.prepare(simulate_chest(7, objects=scenario, size=(512, 512)).image)
    radiograph = torch.nn.functional.interpolate(
        torch.from_numpy(prepared)[None], size=(256, 256), mode="area"
    )
    card = model.card
    assert model.network(radiograph)[0, card.poor_class] > 1
    return (
        model.network,
        radiograph,
        card.poor_class,
        TargetLayers(card.layers.last, tuple(card.layers.multi)),
    )


def defined(params) -> bool:
    return params["method"] not in UNDEFINED and Needs.TRAINED not in method_info(params["method"]).needs


@pytest.mark.long
@pytest.mark.applies(to=lambda params: not defined(params))
def test_a_method_that_is_not_defined_there_says_so(shipped, method):
    network, radiograph, poor, layers = shipped
    with pytest.raises(SaliencyError) as error:
        attribute(network, radiograph, method, target=poor, layers=layers)
    assert len(str(error.value)) > 40


@pytest.mark.long
@pytest.mark.applies(to=defined)
def test_every_method_runs_on_the_shipped_model(shipped, method):
    network, radiograph, poor, layers = shipped
    (found,) = attribute(network, radiograph, method, target=poor, layers=layers).values()
    assert found.isfinite().all()
    assert found.amax() > found.amin(), f"a constant map of {method.name}"
