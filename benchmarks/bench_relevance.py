"""LRP-epsilon and DeepLIFT on ResNet-34 at 600 x 600, against zennit, captum and the bare passes.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.bench_relevance [--runs 7] [--size 600] [--out results.csv]

Jobs alternate within one run; the numbers are medians of processor seconds of this process and their ratios
to the bare passes. zennit runs with its canoniser for ResNets, without which its result is not LRP.
captum's LRP runs in full although its result is wrong where residuals are added; its DeepLIFT raises on a
ResNet, whose ReLUs are reused, so that comparison is on a VGG-16 with batch norm at 224 x 224.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import captum.attr
import torch
import torchvision
import zennit.composites
import zennit.layer
import zennit.rules
import zennit.types
from benchmarks.tables import write_lines
from benchmarks.timing import alternate
from zennit.torchvision import ResNetCanonizer

from xiqa.saliency.engine import attribute
from xiqa.saliency.relevance import DeepLift, Lrp, composite, propagate
from xiqa.saliency.relevance.lrprules import Epsilon

RESULTS = Path(__file__).resolve().parent / "results" / "relevance.csv"


def network(name):
    torch.manual_seed(0)
    return torchvision.models.get_model(name, weights=None, num_classes=2).eval().requires_grad_(False)


def forward(model, images):
    with torch.no_grad():
        return model(images)


def forward_and_cut_backward(model, images):
    """A forward pass, and a backward pass to the output of the last stage."""
    kept = {}

    def keep(module, args, out):
        kept["out"] = out.requires_grad_()
        return out.clone()

    handle = model.layer4.register_forward_hook(keep)
    logits = model(images)
    handle.remove()
    return torch.autograd.grad(logits[:, 0].sum(), kept["out"])


def forward_and_backward(model, images):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)


def zennit_lrp(model, images):
    rules = [
        (zennit.types.Activation, zennit.rules.Pass()),
        (zennit.layer.Sum, zennit.rules.Norm()),
        (zennit.types.AvgPool, zennit.rules.Norm()),
        (zennit.types.Linear, zennit.rules.Epsilon(1e-6)),
    ]
    composed = zennit.composites.LayerMapComposite(rules, canonizers=[ResNetCanonizer()])
    leaf = images.clone().requires_grad_()
    with composed.context(model) as modified:
        logits = modified(leaf)
        start = torch.zeros_like(logits)
        start[:, 0] = logits[:, 0].detach()
        return torch.autograd.grad(logits, leaf, start)


def captum_lrp(model, images):
    return captum.attr.LRP(model).attribute(images.clone().requires_grad_(), target=0)


def captum_deeplift(model, images):
    leaf = images.clone().requires_grad_()
    return captum.attr.DeepLift(model).attribute(leaf, torch.zeros_like(images), target=0)


RESNET = {
    "forward": forward,
    "forward + backward cut at the last stage": forward_and_cut_backward,
    "forward + backward to the image": forward_and_backward,
    "xiqa LRP-epsilon": lambda m, x: propagate(m, x, 0, composite("epsilon")),
    "xiqa LRP-epsilon (engine)": lambda m, x: attribute(m, x, "lrp_epsilon", target=0),
    "xiqa LRP-0": lambda m, x: propagate(m, x, 0, Lrp(Epsilon(), Epsilon())),
    "xiqa DeepLIFT": lambda m, x: propagate(m, x, 0, DeepLift(), reference=torch.zeros_like(x)),
    "zennit LRP-epsilon": zennit_lrp,
    "captum LRP-epsilon": captum_lrp,
}
VGG = {
    "forward": forward,
    "xiqa DeepLIFT": lambda m, x: propagate(m, x, 0, DeepLift(), reference=torch.zeros_like(x)),
    "captum DeepLIFT": captum_deeplift,
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--size", type=int, default=600)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name, jobs, size, base in (
        ("resnet34", RESNET, options.size, "forward + backward cut at the last stage"),
        ("vgg16_bn", VGG, min(224, options.size), "forward"),
    ):
        images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        model = network(name)
        found = alternate({job: partial(run, model, images) for job, run in jobs.items()}, options.runs)
        for job, seconds in found.items():
            rows.append((name, size, job, f"{seconds:.3f}", f"{seconds / found[base]:.2f}", base))
            print(f"{name:10s} {size:4d} {job:45s} {seconds:7.3f} s  {seconds / found[base]:6.2f} x ({base})")
    write_lines(options.out, ["network", "size", "job", "cpu_seconds", "ratio", "ratio_to"], rows)


if __name__ == "__main__":
    main()
