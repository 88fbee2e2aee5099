"""Every operation as module, function, in place or reused: sums are kept, and spelling does not matter."""

import pytest
import torch
import torch.nn.functional as F
from tests.saliency.relevance.networks import noise
from torch import nn

from xiqa.errors import UnsupportedOperationError
from xiqa.saliency.relevance import DeepLift, Ledger, Lrp, propagate
from xiqa.saliency.relevance.lrprules import Epsilon

ZERO = Lrp(Epsilon(), Epsilon())


class Around(nn.Module):
    """An operation between a convolution and a linear head."""

    def __init__(self, operation, channels=4):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.operation = operation
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.operation(self.stem(x)).flatten(1))


def build(operation):
    network = Around(operation).double().eval()
    network(noise(1, 3, 6, 6))
    return network.requires_grad_(False)


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.squeeze(F.relu(x.mean((2, 3), keepdim=True))))


class Attend(nn.Module):
    """Self-attention over places."""

    def __init__(self, fused):
        super().__init__()
        self.fused = fused
        self.qkv = nn.Linear(4, 12)

    def forward(self, x):
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).chunk(3, dim=-1)
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v)
        return (q @ k.transpose(1, 2) / 2).softmax(dim=-1) @ v


def residual(inplace):
    def operation(x):
        branch = F.relu(x * 1.5 - 0.2)
        if inplace:
            branch += x
            return branch
        return branch + x

    return operation


SHAPES = {
    "max pool": nn.MaxPool2d(3, 2, 1),
    "average pool": nn.AvgPool2d(2),
    "adaptive average": nn.AdaptiveAvgPool2d(2),
    "adaptive max": nn.AdaptiveMaxPool2d(2),
    "amax": lambda x: x.amax(dim=(2, 3)),
    "max over an axis": lambda x: x.max(dim=1).values,
    "min over an axis": lambda x: x.amin(dim=1),
    "interpolation": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "nearest": lambda x: F.interpolate(x, size=(9, 5)),
    "concatenation": lambda x: torch.cat([x, F.relu(x), x[:, :1]], dim=1),
    "stack and unbind": lambda x: torch.stack(x.unbind(1)[::-1], dim=1),
    "split": lambda x: x.split(1, dim=1)[2],
    "shuffle": nn.ChannelShuffle(2),
    "pixel shuffle": nn.PixelShuffle(2),
    "padding": nn.ReflectionPad2d(2),
    "constant padding": nn.ConstantPad2d(1, 0.7),
    "roll and flip": lambda x: x.roll(2, 3).flip(2),
    "dropout": nn.Dropout(0.5),
    "flatten": nn.Flatten(2),
    "layer norm": nn.LayerNorm([4, 6, 6]),
    "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "batch norm": nn.BatchNorm2d(4),
    "rms norm": nn.RMSNorm([6]),
    "layer scale": lambda x: x * torch.linspace(0.1, 1, 4, dtype=x.dtype)[:, None, None],
    "excitation": Excite(),
    "attention": Attend(fused=False),
    "residual": residual(inplace=False),
    "product of signals": lambda x: x * F.relu(x + 1),
    "square": lambda x: x * x,
    "maximum": lambda x: torch.maximum(x, F.relu(-x) * 0.5),
    "maximum with a constant": lambda x: torch.maximum(x, torch.full_like(x, 0.1)),
    "softmax over channels": nn.Softmax(dim=1),
    "softmax over rows": nn.Softmax(dim=2),
    "log softmax": nn.LogSoftmax(dim=1),
    "smooth maximum": lambda x: torch.logsumexp(2 * x, dim=(-2, -1)) / 2,
    "smooth maximum of channels": lambda x: x.logsumexp(1, keepdim=True),
    "quotient": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "difference": lambda x: F.relu(x) - 0.5 * x + 0.2,
    "transposed convolution": nn.ConvTranspose2d(4, 2, 2, stride=2),
    "patches": lambda x: F.unfold(x, 2, stride=2),
    "concatenation with a constant": lambda x: torch.cat([torch.zeros_like(x)[:, :2] + 0.5, x], dim=1),
}
ACTIVATIONS = {
    "relu": (nn.ReLU, F.relu),
    "relu6": (nn.ReLU6, F.relu6),
    "leaky relu": (nn.LeakyReLU, F.leaky_relu),
    "silu": (nn.SiLU, F.silu),
    "gelu": (nn.GELU, F.gelu),
    "gelu tanh": (lambda: nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
    "sigmoid": (nn.Sigmoid, torch.sigmoid),
    "tanh": (nn.Tanh, torch.tanh),
    "hard swish": (nn.Hardswish, F.hardswish),
    "hard sigmoid": (nn.Hardsigmoid, F.hardsigmoid),
    "elu": (nn.ELU, F.elu),
    "softplus": (nn.Softplus, F.softplus),
    "mish": (nn.Mish, F.mish),
    "prelu": (nn.PReLU, lambda x: F.prelu(x, torch.tensor([0.25], dtype=x.dtype))),
}
EVERY = {**SHAPES, **{name: made() for name, (made, _) in ACTIVATIONS.items()}}


@pytest.mark.parametrize("name", EVERY)
def test_lrp_zero_conserves(name):
    network, images = build(EVERY[name]), noise(1, 3, 6, 6, seed=3)
    ledger = Ledger()
    propagate(network, images, 1, ZERO, ledger=ledger)
    assert ledger.absorbed == 0
    assert ledger.gap < 1e-9


@pytest.mark.parametrize("rule", ["none", "all"])
@pytest.mark.parametrize("name", EVERY)
def test_deeplift_is_complete(name, rule):
    network, images, reference = build(EVERY[name]), noise(2, 3, 6, 6, seed=3), noise(1, 3, 6, 6, seed=4)
    found = propagate(network, images, 1, DeepLift(rule), reference=reference)
    change = (network(images) - network(reference))[:, 1]
    torch.testing.assert_close(found.flatten(1).sum(1), change, rtol=1e-8, atol=1e-12)


def test_a_mask_of_a_value_itself_is_a_part_of_its_activation():
    network, images = build(lambda x: torch.where(x > 0.3, 2 * x, x - 0.1)), noise(1, 3, 6, 6, seed=3)
    reference = noise(1, 3, 6, 6, seed=4)
    found = propagate(network, images, 1, DeepLift(), reference=reference)
    torch.testing.assert_close(found.sum(), (network(images) - network(reference))[0, 1])


def test_masks_of_pixels_are_constants_to_lrp_and_refused_by_deeplift():
    network = build(lambda x: torch.where(x > x.mean(dim=1, keepdim=True), 2 * x, x - 0.1))
    images = noise(1, 3, 6, 6, seed=3)
    ledger = Ledger()
    propagate(network, images, 1, ZERO, ledger=ledger)
    assert ledger.gap < 1e-9
    near = propagate(network, images, 1, DeepLift(), reference=images * (1 - 1e-9))
    assert bool(near.isfinite().all())
    with pytest.raises(
        UnsupportedOperationError, match=r"'where' in module '\(root\)' \(Around\) takes other"
    ):
        propagate(network, images, 1, DeepLift(), reference=noise(1, 3, 6, 6, seed=4))


@pytest.mark.parametrize("rules", [ZERO, DeepLift()], ids=["lrp", "deeplift"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_spelling_does_not_matter(name, rules):
    made, function = ACTIVATIONS[name]
    images, reference = noise(2, 3, 6, 6, seed=3), noise(1, 3, 6, 6, seed=4)
    reference = reference if isinstance(rules, DeepLift) else None
    module = made()
    spellings = [module, function]
    if hasattr(module, "inplace"):
        module_inplace = made()
        module_inplace.inplace = True
        spellings.append(module_inplace)
    maps = [propagate(build(one), images, 0, rules, reference=reference) for one in spellings]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=0, atol=0)


@pytest.mark.parametrize("rules", [ZERO, DeepLift()], ids=["lrp", "deeplift"])
def test_reused_modules_and_in_place_sums(rules):
    shared = nn.ReLU(inplace=True)
    images, reference = noise(2, 3, 6, 6, seed=3), noise(1, 3, 6, 6, seed=4)
    reference = reference if isinstance(rules, DeepLift) else None

    def reused(x):
        return shared(shared(x) * 1.5 - 0.3)

    def separate(x):
        return F.relu(F.relu(x) * 1.5 - 0.3)

    for one, other in ((reused, separate), (residual(inplace=True), residual(inplace=False))):
        a = propagate(build(one), images, 0, rules, reference=reference)
        b = propagate(build(other), images, 0, rules, reference=reference)
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_fused_attention_is_attention():
    images = noise(2, 3, 6, 6, seed=3)
    plain, fused = Attend(fused=False), Attend(fused=True)
    fused.load_state_dict(plain.state_dict())
    a, b = (propagate(build(one), images, 0, ZERO) for one in (plain, fused))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


def test_a_gate_takes_nothing_and_its_signal_all():
    network, images = build(Excite()), noise(1, 3, 6, 6, seed=3)
    gate = torch.sigmoid(network.operation.squeeze(F.relu(network.stem(images).mean((2, 3), keepdim=True))))
    frozen = build(lambda x: x * gate)
    frozen.load_state_dict(network.state_dict(), strict=False)
    a, b = propagate(network, images, 0, ZERO), propagate(frozen, images, 0, ZERO)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("rules", [ZERO, DeepLift()], ids=["lrp", "deeplift"])
def test_softmax_works_over_its_own_axis(rules):
    images, reference = noise(1, 3, 6, 6, seed=3), noise(1, 3, 6, 6, seed=4)
    reference = reference if isinstance(rules, DeepLift) else None
    over_channels = propagate(build(nn.Softmax(dim=1)), images, 0, rules, reference=reference)
    moved = propagate(
        build(lambda x: x.permute(0, 2, 3, 1).softmax(dim=-1).permute(0, 3, 1, 2)),
        images,
        0,
        rules,
        reference=reference,
    )
    over_rows = propagate(build(nn.Softmax(dim=2)), images, 0, rules, reference=reference)
    torch.testing.assert_close(over_channels, moved)
    assert not torch.allclose(over_channels, over_rows)


@pytest.mark.parametrize("rules", [ZERO, DeepLift()], ids=["lrp", "deeplift"])
@pytest.mark.parametrize(
    "operation", [torch.sin, lambda x: x.sort(dim=1).values, lambda x: torch.atan2(x, x + 5)]
)
def test_what_has_no_rule_raises_and_names_the_module(operation, rules):
    network, images = build(operation), noise(1, 3, 6, 6)
    reference = noise(1, 3, 6, 6, seed=4) if isinstance(rules, DeepLift) else None
    with pytest.raises(UnsupportedOperationError, match=r"no rule .* module '\(root\)' \(Around\)"):
        propagate(network, images, 0, rules, reference=reference)


def test_the_error_names_the_inner_module():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    network = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.Sequential(nn.ReLU(), Sine()), nn.Flatten(), nn.Linear(32, 2)
    )
    with pytest.raises(UnsupportedOperationError, match=r"'sin' in module '1.1' \(Sine\)"):
        propagate(network.double(), noise(1, 3, 6, 6), 0, ZERO)
