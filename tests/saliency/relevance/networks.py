"""Real architectures in float64 with batch norm calibrated and biases that are not zero."""

import functools

import torch
from torch import nn

import xiqa._torchvision  # noqa: F401

REAL = [
    "resnet34",
    "efficientnet_b0",
    "convnext_tiny",
]
MORE = [
    "resnet50",
    "vgg16_bn",
    "densenet121",
    "tf_efficientnet_lite0",
    "densenet201",
    "mobilenetv3_small_100",
    "regnety_002",
    "inception_v3",
    "mobilevit_xxs",
    "vit_tiny_patch16_224",
]


def size_of(name):
    return {"vit_tiny_patch16_224": 224, "inception_v3": 96}.get(name, 48)


def noise(*shape, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.double)


def batch(name, count=2, seed=0):
    """Smooth random images, so that deep networks tell them apart."""
    side = size_of(name)
    coarse = noise(count, 3, 8, 8, seed=seed)
    return 2 * nn.functional.interpolate(coarse, (side, side), mode="bilinear") + 0.2 * noise(
        count, 3, side, side, seed=seed + 1
    )


def calibrate(network, name):
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    network.train()
    with torch.no_grad():
        network(batch(name, 6, seed=10))
    network.eval()


@functools.cache
def real(name, *, bias=True):
    """A network of timm's with three classes."""
    import timm

    torch.manual_seed(0)
    # layer scale that lets its branch speak; a head of few neurons, unless the whole is asked for
    settings = {"convnext_tiny": {"ls_init_value": 0.5}, "vgg16_bn": {"mlp_ratio": 1 / 32}}.get(name, {})
    network = timm.create_model(name.partition(":")[0], num_classes=3, **settings).double()
    for number, (key, parameter) in enumerate(network.named_parameters()):
        if key.endswith("bias") and bias:
            parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
        parameter.requires_grad_(False)
    calibrate(network, name)
    if not bias:
        _without_biases(network)
    return network.requires_grad_(False)


def _without_biases(network):
    """Batch norms that only scale: their means and biases are dropped after calibration."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
        if getattr(module, "bias", None) is not None and isinstance(module.bias, nn.Parameter):
            module.bias.data.zero_()
