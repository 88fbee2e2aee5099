"""Where other libraries' DeepLIFT and LRP break on real networks, and what xiqa gives on the same ones.

    python -m benchmarks.relevance_failures

One network each, of torchvision's, in float64: seeded weights and biases, calibrated batch norm, one image.
Every line tells what the method promises and what came. The run takes seconds.
"""

import copy
import warnings

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import captum.attr
import torch
import torchvision
import zennit.composites
import zennit.rules
import zennit.types
from tests.saliency.relevance.networks import batch, calibrate
from torch import nn
from zennit.canonizers import SequentialMergeBatchNorm

from xiqa.saliency.relevance import DeepLift, Ledger, composite, propagate

TARGET = 1


def network(name):
    """A calibrated network of torchvision's with three classes."""
    torch.manual_seed(0)
    found = torchvision.models.get_model(name, weights=None, num_classes=3).double()
    if name.startswith("vgg"):
        found.classifier = nn.Sequential(nn.Flatten(1), nn.Linear(512 * 49, 3)).double()
    for number, (key, parameter) in enumerate(found.named_parameters()):
        if key.endswith("bias"):
            parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
    calibrate(found, name)
    return found.requires_grad_(False)


def attempt(job):
    """What a job gives, or the first words of its error."""
    try:
        return f"{float(job()):.4g}"
    except Exception as error:  # another library's, of any kind
        return f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"


def ours(model, images, reference=None):
    """The sum of DeepLIFT's contributions, or of LRP's relevance with what the ledger says of the rest."""
    if reference is not None:
        return f"{float(propagate(model, images, TARGET, DeepLift(), reference=reference).sum()):.4g}"
    ledger = Ledger()
    propagate(model, images, TARGET, composite("epsilon"), ledger=ledger)
    return f"{ledger.image:.4g} + {ledger.bias:.4g} (biases) = {ledger.image + ledger.bias:.4g}"


def zennit_lrp(model, images):
    """LRP-epsilon by zennit, batch norm merged by its canoniser; the network is left to the library."""
    rules = [
        (zennit.types.Activation, zennit.rules.Pass()),
        (zennit.types.AvgPool, zennit.rules.Norm()),
        (zennit.types.Linear, zennit.rules.Epsilon(1e-6)),
    ]
    composed = zennit.composites.LayerMapComposite(rules, canonizers=[SequentialMergeBatchNorm()])
    leaf = images.clone().requires_grad_()
    with composed.context(model) as modified:
        logits = modified(leaf)
        start = torch.zeros_like(logits)
        start[:, TARGET] = logits[:, TARGET].detach()
        return torch.autograd.grad(logits, leaf, start)[0].sum()


def captum_lrp(model, images):
    """LRP by captum with its default rules."""
    leaf = images.clone().requires_grad_()
    return captum.attr.LRP(copy.deepcopy(model)).attribute(leaf, target=TARGET).detach().sum()


def captum_deeplift(model, images, reference):
    """DeepLIFT by captum."""
    leaf = images.clone().requires_grad_()
    return captum.attr.DeepLift(copy.deepcopy(model)).attribute(leaf, reference, target=TARGET).detach().sum()


def rows():
    """(what, network, what the sum should be, peer and its sum, xiqa's sum)."""
    for name in ("vgg16_bn", "densenet121", "resnet34"):
        model, images, reference = network(name), batch(name, 1), batch(name, 1, seed=5)
        promised = float((model(images) - model(reference))[0, TARGET])
        peer = attempt(lambda: captum_deeplift(model, images, reference))  # noqa: B023
        yield "DeepLIFT", name, promised, f"captum {peer}", ours(model, images, reference)
    for name, peer_name, peer in (
        ("resnet34", "captum", captum_lrp),
        ("efficientnet_b0", "captum", captum_lrp),
        ("densenet121", "zennit", zennit_lrp),
    ):
        model, images = network(name), batch(name, 1)
        promised = float(model(images)[0, TARGET])
        own = ours(model, images)  # first: a peer may leave the network broken
        found = attempt(lambda: peer(model, images))  # noqa: B023
        yield "LRP-epsilon", name, promised, f"{peer_name} {found}", own
        if peer is zennit_lrp:
            yield "the network afterwards", name, promised, attempt(lambda: model(images)[0, TARGET]), ""  # noqa: B023


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    for what, name, promised, peer, own in rows():
        print(f"{what} on {name}: the sum should be {promised:.4g}\n    {peer}")
        if own:
            print(f"    xiqa {own}")


if __name__ == "__main__":
    main()
