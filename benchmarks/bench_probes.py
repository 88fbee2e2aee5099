"""Perturbation and averaging methods against the passes that they are made of, and against peers.

    python -m benchmarks.bench_probes [--size 96] [--rounds 7] [--network resnet34]

Every job and what it is compared with run alternately in one process; a figure is the ratio of the medians of
their process CPU-seconds (all threads, passive OpenMP waiting), so that a busy neighbour does not tilt it.
The peers that need a pass a channel run twice. Writes benchmarks/results/probes.csv.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import io
import sys
from contextlib import redirect_stderr
from pathlib import Path

import torch

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import pytorch_grad_cam
import timm
import torchcam.methods
from benchmarks.tables import write_lines
from benchmarks.timing import alternate
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from xiqa.models.layers import target_layers
from xiqa.saliency.cams.reciprocam import place_masks
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import TorchProbe
from xiqa.saliency.tail import Tail

RESULTS = Path(__file__).parent / "results" / "probes.csv"
PASSES = 32  # altered copies in the jobs that need many


def pairs(network, images):
    """(what is measured, our job, what it is compared with, its job, the aim for ours / theirs)."""
    probe, layer = TorchProbe(network), target_layers(network, images).last
    module = network.get_submodule(layer)
    channels, rows, columns = Tail(network, layer, images).features.shape[1:]
    copies = torch.randn(PASSES, *images.shape[1:])
    step = max(1, min(64, 4 * 600 * 600 // (images.shape[-2] * images.shape[-1])))

    def ours(method):
        return lambda: attribute(network, images, method, target=1)

    def passes():
        probe(images)  # gives the layer's channels, or the number of classes
        for part in copies.split(step):
            probe(part)

    def gradients(count):
        def run():
            for _ in range(count):
                leaf = images.clone().requires_grad_()
                torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)

        return run

    def gradcam_ablation():
        with redirect_stderr(io.StringIO()), pytorch_grad_cam.AblationCAM(network, [module]) as cam:
            cam(images, [ClassifierOutputTarget(1)])

    def torchcam_scorecam():
        with torchcam.methods.ScoreCAM(network, layer) as cam, torch.no_grad():
            network(images)
            cam(1)

    def mosaic():
        """Recipro-CAM as its authors' code does it: all masked features pass in the same forward pass."""

        def place(m, i, output):
            masks = torch.from_numpy(place_masks((rows, columns), "1x1"))
            return torch.cat([output, output * masks[:, None]])

        handle = module.register_forward_hook(place)
        with torch.inference_mode():
            network(images).softmax(dim=1)
        handle.remove()

    def forward():
        with torch.inference_mode():
            network(images)

    yield "scorecam, 32 channels", ours(f"scorecam:channels={PASSES}"), "33 forward passes", passes, 1.05
    yield "rise, 32 masks", ours(f"rise:masks={PASSES}"), "33 forward passes", passes, 1.05
    yield (
        "smoothgrad, 25 samples",
        ours("smoothgrad:samples=25"),
        "25 forward + backward",
        gradients(25),
        1.05,
    )
    yield (
        "integratedgradients, 32 steps",
        ours("integratedgradients:steps=32,tolerance=1e9"),
        "32 forward + backward",
        gradients(32),
        1.05 + 2 / 64,  # completeness is measured too: two forward passes
    )
    yield "ablationcam", ours("ablationcam"), "grad-cam's", gradcam_ablation, 0.01
    yield (
        "ablationcam, no closed form",
        ours("ablationcam:closed_form=false"),
        "grad-cam's",
        gradcam_ablation,
        0.1,
    )
    yield "ablationcam", ours("ablationcam"), "one forward pass", forward, 1.1
    yield "reciprocam", ours("reciprocam"), "masked features in one forward pass", mosaic, 1.05
    yield "reciprocam", ours("reciprocam"), "one forward pass", forward, 1.1
    yield (
        f"scorecam, all {channels} channels",
        ours("scorecam"),
        "torchcam's",
        torchcam_scorecam,
        1.05,
    )


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network", default="resnet34")
    options.add_argument("--size", type=int, default=96)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--quick", action="store_true", help="without the peers' slow jobs")
    given = options.parse_args()

    torch.manual_seed(0)
    network = timm.create_model(given.network, num_classes=2).eval().requires_grad_(False)
    images = torch.randn(1, 3, given.size, given.size)
    rows = []
    for ours, job, theirs, other, aim in pairs(network, images):
        slow = "cam's" in theirs
        if slow and given.quick:
            continue
        seconds = alternate({"ours": job, "theirs": other}, 1 if slow else given.rounds)
        ratio = seconds["ours"] / seconds["theirs"]
        rows.append([given.network, given.size, ours, theirs, f"{seconds['ours']:.3f}",
                     f"{seconds['theirs']:.3f}", f"{ratio:.4f}", aim, ratio <= aim])  # fmt: skip
        print(f"{ours:32} / {theirs:36} {ratio:8.4f}   (aim {aim})", flush=True)
    header = ["network", "size", "ours", "theirs", "ours_cpu_s", "theirs_cpu_s", "ratio", "aim", "met"]
    write_lines(RESULTS, header, rows)
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
