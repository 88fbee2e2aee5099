"""Methods that read one capture against the bare passes that they need, and against peers.

    python -m benchmarks.bench_saliency [--size 600] [--rounds 5] [--batch 1]

ResNet-34. All jobs take turns in one process; a figure is the ratio of the medians of their CPU-seconds
(passive OpenMP waiting). Memory is that of a batch of 8, each job in a process of its own. Writes
benchmarks/results/saliency.csv.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
from pathlib import Path

import torch

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import timm
from benchmarks.tables import write_lines
from benchmarks.timing import alternate, peak_megabytes, resident
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM as PytorchGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchcamGradCAM

from xiqa.saliency.engine import attribute

RESULTS = Path(__file__).parent / "results" / "saliency.csv"
LAST = "layer4.2"
CLOSED_FORM = [
    "gradcam", "gradcampp", "xgradcam", "hirescam", "layercam", "eigencam", "fem", "cam",
    "normgrad_bias", "normgrad_scaling", "normgrad_conv1x1", "normgrad_conv3x3",
]  # fmt: skip
NORMGRAD = ["normgrad_scaling", "normgrad_conv1x1", "normgrad_conv3x3"]
TEN = [
    "inputxgradient", "guidedbackprop", "guidedgradcam", "gradcam", *NORMGRAD,
    *(f"{name}:layers=multi" for name in NORMGRAD),
]  # fmt: skip


def network_and_images(batch, size):
    torch.manual_seed(0)
    network = timm.create_model("resnet34", num_classes=2).eval()
    return network, torch.randn(batch, 3, size, size)


def bare(network, images):
    """The passes themselves, on frozen parameters."""

    def forward():
        with torch.no_grad():
            network(images)

    def cut():
        with torch.no_grad():
            features = network.forward_features(images)
        features.requires_grad_()
        torch.autograd.grad(network.forward_head(features)[:, 1].sum(), [features])

    def full():
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(network(leaf)[:, 1].sum(), [leaf])

    def full_twice():
        """One forward and two full backward passes: the gradient's and the guided one."""
        leaf = images.clone().requires_grad_()
        score = network(leaf)[:, 1].sum()
        torch.autograd.grad(score, [leaf], retain_graph=True)
        torch.autograd.grad(score, [leaf])

    def with_parameters():
        """What is usually done for one map: all gradients, the parameters' too."""
        for weight in network.parameters():
            weight.requires_grad_()
        leaf = images.clone().requires_grad_()
        network(leaf)[:, 1].sum().backward()
        network.zero_grad()
        network.requires_grad_(False)

    return {
        "forward": forward,
        "forward + backward cut at the layer": cut,
        "forward + full backward": full,
        "forward + full + guided backward": full_twice,
        "forward + backward with parameters": with_parameters,
    }


def peers(network, images):
    module = network.get_submodule(LAST)
    targets = [ClassifierOutputTarget(1)] * len(images)

    def gradcam():
        with PytorchGradCAM(network, [module]) as cam:
            cam(images, targets)

    def torchcam():
        with TorchcamGradCAM(network, LAST) as cam:
            leaf = images.clone().requires_grad_()  # it needs a graph, also of a frozen network
            cam([1] * len(images), network(leaf))

    def captum():
        LayerGradCam(network, module).attribute(images, target=1)

    return {"grad-cam": gradcam, "torchcam": torchcam, "captum": captum}


def thawed(network, job):
    """The peers as their documentation shows them: on a network whose parameters have gradients."""

    def run():
        network.requires_grad_(True)
        job()
        network.zero_grad()
        network.requires_grad_(False)

    return run


def ours(network, images, *methods):
    return lambda: attribute(network, images, methods, target=1)


def speed(size, rounds, batch):
    """Rows (what, ours in seconds, compared with, its seconds, ratio, aim)."""
    network, images = network_and_images(batch, size)
    network.requires_grad_(False)
    passes, others = bare(network, images), peers(network, images)
    jobs = {
        **passes,
        **{name: thawed(network, job) for name, job in others.items()},
        **{name: ours(network, images, name) for name in CLOSED_FORM},
        "four layers": ours(network, images, *(f"{name}:layers=multi" for name in NORMGRAD)),
        "the ten together": ours(network, images, *TEN),
    }
    seconds = alternate(jobs, rounds)
    rows = [(name, seconds[name], "forward", seconds["forward"], None) for name in [*passes, *others]]
    cut = "forward + backward cut at the layer"
    for name in CLOSED_FORM:
        reads_forward_only = name in ("fem", "cam")
        base = "forward" if reads_forward_only else cut
        rows.append((name, seconds[name], base, seconds[base], 1.05))
    rows.append(("gradcam", seconds["gradcam"], "grad-cam", seconds["grad-cam"], 0.4))
    rows.append(("gradcam", seconds["gradcam"], "torchcam", seconds["torchcam"], 1.0))
    rows.append(("gradcam", seconds["gradcam"], "captum", seconds["captum"], 1.0))
    together = seconds["the ten together"]
    rows.append(("four layers", seconds["four layers"], "forward", seconds["forward"], None))
    three = "forward + full + guided backward"
    rows.append(("the ten together", together, three, seconds[three], 1.05))
    alone = 11 * seconds["forward + backward with parameters"]  # guided Grad-CAM counts as two
    rows.append(("the ten together", together, "one at a time with parameters", alone, 0.1))
    return rows


MEMORY = {
    "gradcam": (("gradcam",), 450),
    "normgrad_conv3x3": (("normgrad_conv3x3",), 450),
    "three at four layers": (tuple(f"{name}:layers=multi" for name in NORMGRAD), 1100),
}


def use_memory(job, size):
    network, images = network_and_images(8, size)
    small = images[:1, :, :64, :64]
    jobs = {name: ours(network, images, *names) for name, (names, _) in MEMORY.items()}
    ours(network, small, "gradcam")()  # loads what is loaded once
    print("MB", resident("VmRSS"), flush=True)
    (jobs | peers(network, images) | {"forward": bare(network, images)["forward"]})[job]()
    print("MB", resident("VmHWM"), flush=True)


def memory(size):
    names = ["forward", *MEMORY, "grad-cam", "torchcam", "captum"]
    return [
        (name, peak_megabytes("benchmarks.bench_saliency", name, size), MEMORY.get(name, (None, None))[1])
        for name in names
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        return use_memory(given.memory, given.size)
    lines = []
    for what, seconds, base, base_seconds, aim in speed(given.size, given.rounds, given.batch):
        ratio = seconds / base_seconds
        lines.append([what, f"{seconds:.3f}", base, f"{base_seconds:.3f}", f"{ratio:.3f}", aim or ""])
    for what, megabytes, aim in memory(given.size):
        lines.append([f"memory of 8: {what}", f"{megabytes:.0f}", "MB", "", "", aim or ""])
    write_lines(RESULTS, ["what", "cpu_seconds", "compared_with", "its_cpu_seconds", "ratio", "aim"], lines)
    for line in lines:
        print("{:28} {:>8}  {:36} {:>8} {:>7}  {}".format(*line))
    return None


if __name__ == "__main__":
    sys.exit(main())
