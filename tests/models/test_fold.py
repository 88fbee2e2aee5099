import pytest
import timm
import torch
from torch import nn

from xiqa.errors import ModelError
from xiqa.models.fold import fold_batch_norm


def calibrated(network, images):
    """Batch norm statistics of real activations, so that logits do not vanish."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


@pytest.mark.parametrize(
    "name", ["resnet18", "tf_efficientnet_lite0", pytest.param("vgg11_bn", marks=pytest.mark.long)]
)
def test_same_logits_fewer_batch_norms(name):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 64, 64)
    network = calibrated(timm.create_model(name, num_classes=2), images)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norm(network, images)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_gradients_agree():
    torch.manual_seed(0)
    network = calibrated(timm.create_model("resnet18", num_classes=2), torch.randn(4, 3, 64, 64))
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    folded = fold_batch_norm(network, images.detach())
    grads = [torch.autograd.grad(net(images)[:, 1].sum(), images)[0] for net in (network, folded)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-4 * float(grads[0].abs().max()))


class Shared(nn.Module):
    """A convolution whose output is read by a batch norm and by an addition."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

    def forward(self, x):
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


def test_a_convolution_that_is_read_elsewhere_is_refused():
    torch.manual_seed(0)
    network = Shared()
    network.norm.running_var.fill_(9.0)
    with pytest.raises(ModelError, match="cannot be folded"):
        fold_batch_norm(network.eval(), torch.randn(1, 1, 8, 8))


def test_a_reused_convolution_is_left_alone():
    conv, norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
    network = nn.Sequential(conv, norm, conv, nn.Flatten()).eval()
    folded = fold_batch_norm(network, torch.randn(1, 2, 4, 4))
    assert isinstance(folded[1], nn.BatchNorm2d)
