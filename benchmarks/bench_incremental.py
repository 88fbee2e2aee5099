"""What passing only what changes spares: a chain of small changes, and occlusion, against whole images.

    python -m benchmarks.bench_incremental [--rounds 1] [--networks resnet18,tf_efficientnet_lite0,shipped]

A chain is 32 images of which each differs from the one before it in a window, as the next region of a
perturbation curve does: 34 x 34 pixels (Lamprou), 9 x 9 (Samek) or one. Occlusion hides windows of an
eighth of the side at random places. Both are passed by the same network, whole and in windows, and then by
its copy with folded batch norm and channels-last weights; they take turns, and a figure is the ratio of the
medians of their process CPU-seconds. Freed memory is kept, as the command line keeps it (`bench_process.py`).
Writes benchmarks/results/incremental.csv, the lines of other networks left as they are.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from benchmarks.tables import told, write_rows
from benchmarks.timing import alternate

import xiqa._torchvision  # noqa: F401  (before timm)

# isort: split
import timm

from xiqa.assessment.runtimes.folding import folded
from xiqa.models import load_model
from xiqa.process import keep_freed_memory
from xiqa.saliency.incremental import incremental
from xiqa.saliency.probe import TorchProbe

RESULTS = Path(__file__).parent / "results" / "incremental.csv"
SIZES = {"resnet18": 224, "resnet34": 600, "tf_efficientnet_lite0": 512, "shipped": 512}
IMAGES = 32


def network_of(name):
    if name == "shipped":
        return load_model().network.eval().requires_grad_(False)
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=2)
    with torch.no_grad():
        for _ in range(10):  # statistics for its batch norms
            network(torch.randn(4, 3, SIZES[name] // 4, SIZES[name] // 4))
    return network.eval().requires_grad_(False)


def changed(size, region, *, cumulative):
    """An image and copies with a changed square, each after the one before it or all after the first."""
    rng, image = (
        np.random.default_rng(0),
        torch.randn(3, size, size, generator=torch.Generator().manual_seed(0)),
    )
    if cumulative:
        cells = [(y, x) for y in range(size // region) for x in range(size // region)]
        places = [(region * y, region * x) for y, x in rng.permutation(cells)[: IMAGES - 1]]
    else:
        places = rng.integers(0, size - region, (IMAGES - 1, 2))
    images = [image]
    for y, x in places:
        copy = images[-1 if cumulative else 0].clone()
        copy[:, y : y + region, x : x + region] = 0
        images.append(copy)
    return torch.stack(images)


def lines(name, rounds):
    network, size = network_of(name), SIZES[name]
    for label, one in (("", network), ("folded", folded(network, (), (3, size, size)))):
        probe = TorchProbe(one)
        for what, region, cumulative in (
            ("curve, 34 x 34 regions", 34, True),
            ("curve, 9 x 9 regions", 9, True),
            ("curve, single pixels", 1, True),
            ("occlusion", size // 8, False),
        ):
            images = changed(size, region, cumulative=cumulative)
            first = None if cumulative else images[0]

            def near(probe=probe, images=images, first=first):  # anew, as each curve does
                return incremental(probe, first)(images)

            difference = (near().softmax(1) - probe(images).softmax(1)).abs().max()
            seconds = alternate({"whole": lambda p=probe, x=images: p(x), "windows": near}, rounds)
            yield {
                "what": what,
                "network": name,
                "weights": label,
                "pixels": size,
                "whole_ms": f"{1000 * seconds['whole'] / IMAGES:.1f}",
                "windows_ms": f"{1000 * seconds['windows'] / IMAGES:.1f}",
                "ratio": f"{seconds['whole'] / seconds['windows']:.2f}",
                "largest_probability_change": f"{float(difference):.1e}",
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--networks", default="resnet18,tf_efficientnet_lite0,shipped")
    options = parser.parse_args()
    keep_freed_memory()
    names = options.networks.split(",")
    with RESULTS.open(newline="") as file:
        others = [row for row in csv.DictReader(file) if row["network"] not in names]
    rows = (row for name in names for row in lines(name, options.rounds))
    write_rows(RESULTS, [*others, *told(rows)])


if __name__ == "__main__":
    main()
