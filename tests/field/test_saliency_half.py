"""Half precision and bfloat16 in all methods: sums overflow, squares vanish, NumPy has no such type."""

import copy

import pytest
import torch

from tests.contracts.conftest import METHODS, TINY_LAYERS, tiny
from xiqa.metrics.faithfulness.average_drop import average_drop
from xiqa.metrics.faithfulness.insertion_deletion import deletion, insertion
from xiqa.metrics.faithfulness.road import road
from xiqa.metrics.faithfulness.sensitivity_n import sensitivity_n
from xiqa.saliency.cams.normgrad import normgrad_bias, normgrad_conv1x1, normgrad_scaling
from xiqa.saliency.capture import LayerRecord
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import TorchProbe

KINDS = [torch.float16, torch.bfloat16]
METRICS = [insertion, deletion, road, average_drop, sensitivity_n]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_the_map_is_that_of_full_precision(name, kind):
    method = METHODS[name]
    network = copy.deepcopy(tiny()).to(kind)
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1)).to(kind)
    found = attribute(network, images, method, target=1, layers=TINY_LAYERS)[str(method)]
    exact = attribute(network.double(), images.double(), method, target=1, layers=TINY_LAYERS)[str(method)]
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    if name == "normgrad_bias":  # constant there
        assert torch.allclose(found.double(), exact, rtol=0.05)
    else:
        assert torch.corrcoef(torch.stack([found.double().flatten(), exact.flatten()]))[0, 1] > 0.95


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_bright_image_is_finite(kind):
    """Its pixels' sum is beyond what half precision holds."""
    network = copy.deepcopy(tiny()).to(kind)
    images = torch.full((1, 3, 24, 24), 200.0).to(kind)
    assert not images.half().sum().isfinite() or kind is torch.bfloat16
    assert attribute(network, images, "gradcam", target=1, layers=TINY_LAYERS)["gradcam"].isfinite().all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_normgrad_of_small_and_large_gradients_keeps_its_digits(norm, scale):
    source = torch.Generator().manual_seed(0)
    output, grad = (torch.randn(2, 5, 3, 4, generator=source) for _ in range(2))
    for method, record in (
        (normgrad_bias, LayerRecord(output, grad * scale)),
        (normgrad_scaling, LayerRecord(output, grad * scale)),
        (normgrad_conv1x1, LayerRecord(output, grad * scale)),
    ):
        exact = method(LayerRecord(output.double(), grad.double()), norm=norm) * scale
        assert torch.allclose(method(record, norm=norm).double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
def test_a_metric_has_the_value_of_full_precision(metric, kind):
    network = copy.deepcopy(tiny()).to(kind)
    source = torch.Generator().manual_seed(1)
    image, saliency = torch.randn(3, 24, 24, generator=source).to(kind), torch.rand(24, 24, generator=source)
    found = metric(TorchProbe(network), image, saliency.numpy(), 1)
    exact = metric(TorchProbe(network.double()), image.double(), saliency.numpy(), 1)
    assert found == pytest.approx(exact, abs=0.01)
