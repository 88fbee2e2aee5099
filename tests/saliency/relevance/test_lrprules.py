"""Each LRP rule against a slow replica in loops, on one layer, and against zennit where it has the rule."""

import pytest
import torch
import zennit.rules
from tests.reference.relevance import layers as slow
from torch import nn

from xiqa.saliency.relevance import Ledger, Message
from xiqa.saliency.relevance.canonise import canonise
from xiqa.saliency.relevance.lrprules import AlphaBeta, Box, Epsilon, Flat, Gamma, WSquare, ZPlus
from xiqa.saliency.relevance.tape import record

CONVOLUTIONS = {
    "plain": {"kernel_size": 3},
    "strided": {"kernel_size": 3, "stride": 2, "padding": 1},
    "dilated": {"kernel_size": 2, "dilation": 2, "padding": 1},
    "grouped": {"kernel_size": 3, "groups": 2, "padding": 1},
    "pointwise": {"kernel_size": 1},
}
RULES = {
    "zero": (Epsilon(), lambda x, w, b, r, c: slow.epsilon(x, w, b, r, 0.0)),
    "epsilon": (Epsilon(0.3), lambda x, w, b, r, c: slow.epsilon(x, w, b, r, 0.3)),
    "epsilon unsigned": (
        Epsilon(0.3, signed=False),
        lambda x, w, b, r, c: slow.epsilon(x, w, b, r, 0.3, signed=False),
    ),
    "epsilon without bias": (
        Epsilon(0.3, bias=False),
        lambda x, w, b, r, c: slow.epsilon(x, w, b, r, 0.3, keep_bias=False),
    ),
    "zero without bias": (
        Epsilon(bias=False),
        lambda x, w, b, r, c: slow.epsilon(x, w, b, r, 0.0, keep_bias=False),
    ),
    "alpha2 beta1": (AlphaBeta(), lambda x, w, b, r, c: slow.alphabeta(x, w, b, r, 2, 1)),
    "alpha3 beta2 without bias": (
        AlphaBeta(3, 2, bias=False),
        lambda x, w, b, r, c: slow.alphabeta(x, w, b, r, 3, 2, keep_bias=False),
    ),
    "z plus": (ZPlus(), lambda x, w, b, r, c: slow.alphabeta(x, w, b, r, 1, 0, keep_bias=False)),
    "gamma": (Gamma(0.25), lambda x, w, b, r, c: slow.gamma(x, w, b, r, 0.25)),
    "w square": (WSquare(), lambda x, w, b, r, c: slow.wsquare(x, w, r)),
    "flat": (Flat(), lambda x, w, b, r, c: slow.flat(x, w, r, connected=c)),
    "box": (Box(-3.0, 4.0), lambda x, w, b, r, c: slow.box(x, w, r, [-3.0] * len(x), [4.0] * len(x))),
}


def numbers(*shape, seed=0, positive=False):
    found = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return found.abs() if positive else found


def filled(layer, seed=1):
    for number, parameter in enumerate(layer.parameters()):
        parameter.data = numbers(*parameter.shape, seed=seed + number)
        parameter.requires_grad_(False)
    return layer


def through(rule, layer, x, relevance):
    """What a rule gives for one layer, from relevance of the output."""
    node = canonise(record(layer, x)).nodes[-1]
    return rule(node.affine, x, node.output, Message(relevance=relevance)).total(x)


@pytest.mark.parametrize("positive", [True, False], ids=["positive inputs", "mixed inputs"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("name", RULES)
def test_convolutions(name, kind, positive):
    rule, replica = RULES[name]
    settings = CONVOLUTIONS[kind]
    layer = filled(nn.Conv2d(2, 4, **settings).double())
    x = numbers(1, 2, 4, 5, seed=5, positive=positive)
    z = layer(x)
    relevance = numbers(*z.shape, seed=6)
    geometry = {key: value for key, value in settings.items() if key != "kernel_size"}
    matrix, shape = slow.unrolled(layer.weight.tolist(), 4, 5, **geometry)
    links, _ = slow.unrolled(torch.ones_like(layer.weight).tolist(), 4, 5, **geometry)
    assert shape == tuple(z.shape[1:])
    bias = layer.bias.repeat_interleave(shape[1] * shape[2]).tolist()
    want = replica(
        x.flatten().tolist(), matrix, bias, relevance.flatten().tolist(), lambda i, j: links[i][j] > 0
    )
    got = through(rule, layer, x, relevance)
    torch.testing.assert_close(got.flatten(), torch.tensor(want, dtype=torch.double), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_linear_layers(name):
    rule, replica = RULES[name]
    layer = filled(nn.Linear(5, 3).double())
    x, relevance = numbers(1, 5, seed=5), numbers(1, 3, seed=6)
    want = replica(
        x[0].tolist(), layer.weight.T.tolist(), layer.bias.tolist(), relevance[0].tolist(), lambda i, j: True
    )
    got = through(rule, layer, x, relevance)
    torch.testing.assert_close(got[0], torch.tensor(want, dtype=torch.double), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_a_multiplier_is_relevance_by_the_value(name):
    rule = RULES[name][0]
    layer = filled(nn.Conv2d(2, 4, 3).double())
    x = numbers(1, 2, 5, 5, seed=5)
    node = canonise(record(layer, x)).nodes[-1]
    multiplier = numbers(*node.output.shape, seed=6)
    a = rule(node.affine, x, node.output, Message(multiplier)).total(x)
    b = rule(node.affine, x, node.output, Message(relevance=multiplier * node.output)).total(x)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_the_ledger_accounts_for_all(name):
    rule = RULES[name][0]
    layer = filled(nn.Conv2d(2, 4, 3).double())
    x = numbers(1, 2, 5, 5, seed=5)
    node = canonise(record(layer, x)).nodes[-1]
    message = Message(numbers(*node.output.shape, seed=6))
    ledger = Ledger(output=float(message.total(node.output).sum()))
    ledger.image = float(rule(node.affine, x, node.output, message, ledger).total(x).sum())
    assert ledger.gap < 1e-12
    if name in ("zero", "alpha2 beta1", "gamma", "z plus", "w square", "flat", "box"):
        assert abs(ledger.absorbed) < 1e-9  # all of it has gone to inputs and biases


@pytest.mark.parametrize("settings", [{"stride": 2}, {"stride": 2, "groups": 2, "output_padding": 1}])
def test_transposed_convolutions_and_their_batch_norm(settings):
    network = nn.Sequential(nn.ConvTranspose2d(2, 4, 3, **settings), nn.BatchNorm2d(4)).double().eval()
    filled(network[0])
    network[1].running_mean, network[1].running_var = numbers(4, seed=7), numbers(4, seed=8, positive=True)
    x = numbers(1, 2, 4, 4, seed=5)
    node = canonise(record(network, x)).nodes[-1]
    again = node.affine.apply(x, node.affine.weight) + node.affine.offset()
    torch.testing.assert_close(again, network(x))
    h = numbers(*node.output.shape, seed=6)
    x.requires_grad_()
    (want,) = torch.autograd.grad(network(x), x, h)
    torch.testing.assert_close(node.affine.transpose(h, node.affine.weight, x), want)


ZENNIT = {
    "epsilon": (Epsilon(0.3), lambda: zennit.rules.Epsilon(epsilon=0.3)),
    "epsilon without bias": (
        Epsilon(0.3, bias=False),
        lambda: zennit.rules.Epsilon(epsilon=0.3, zero_params="bias"),
    ),
    "z plus": (ZPlus(), lambda: zennit.rules.ZPlus(stabilizer=1e-15, zero_params="bias")),
    "alpha2 beta1": (AlphaBeta(), lambda: zennit.rules.AlphaBeta(2, 1, stabilizer=1e-15)),
    "gamma": (Gamma(0.25), lambda: zennit.rules.Gamma(0.25, stabilizer=1e-15)),
    "w square": (WSquare(), lambda: zennit.rules.WSquare(stabilizer=1e-15, zero_params="bias")),
    "flat": (Flat(), lambda: zennit.rules.Flat(stabilizer=1e-15)),
    "box": (Box(-3.0, 4.0), lambda: zennit.rules.ZBox(-3.0, 4.0, stabilizer=1e-15)),
}


@pytest.mark.parametrize("name", ZENNIT)
@pytest.mark.parametrize("positive", [True, False], ids=["positive inputs", "mixed inputs"])
def test_zennit_agrees(name, positive):
    rule, theirs = ZENNIT[name]
    layer = filled(nn.Conv2d(2, 4, 3, padding=1).double())
    if name == "box":  # zennit keeps the bias in its denominator
        layer.bias.data.zero_()
    x = numbers(2, 2, 5, 5, seed=5, positive=positive)
    relevance = numbers(2, 4, 5, 5, seed=6)
    if name == "gamma" and not positive:
        relevance = relevance * (layer(x) > 0)
    ours = through(rule, layer, x, relevance)
    handles = theirs().register(layer)
    leaf = x.clone().requires_grad_()
    (want,) = torch.autograd.grad(layer(leaf), leaf, relevance)
    handles.remove()
    torch.testing.assert_close(ours, want, rtol=1e-6, atol=1e-9)
