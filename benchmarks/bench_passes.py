"""A probe's passes, channels last where that pays, against its network's own over the same images.

    python -m benchmarks.bench_passes [--rounds 15] [--scenes small@28:1,small@28:64,...]

A scene is `network@side:images`; `small` are three convolutions of 16 to 64 channels, the others timm's, with
weights as they come. The images are copies of one, ever more of it hidden, as perturbation methods pass
them. Both run alternately in one process on one thread; a figure is the ratio of the medians of their
process CPU-seconds. Freed memory is kept for both (`bench_process.py`). Writes benchmarks/results/passes.csv.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from pathlib import Path

import torch
from benchmarks.tables import told, write_rows
from benchmarks.timing import alternate
from torch import nn

import xiqa._torchvision  # noqa: F401  (before timm)

# isort: split
import timm

from xiqa.process import keep_freed_memory
from xiqa.saliency.probe import TorchProbe

RESULTS = Path(__file__).parent / "results" / "passes.csv"
SCENES = (
    "small@28:1,small@28:16,small@28:64,resnet18@28:1,resnet18@28:64,resnet18@224:1,resnet18@224:5,"
    "resnet18@512:1,resnet50@28:64,resnet50@224:5,tf_efficientnet_lite0@28:64,tf_efficientnet_lite0@224:5,"
    "tf_efficientnet_lite0@512:1,densenet121@224:5,mobilenetv3_small_100@224:5,vgg11@224:5,"
    "convnext_atto@224:5,vit_tiny_patch16_224@224:5"
)
LEAST_SECONDS = 0.02


def small():
    layers = []
    for channels, wider in ((3, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(channels, wider, 3, padding=1),
            nn.BatchNorm2d(wider),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2))


def row(scene, rounds):
    rest, count = scene.split(":")
    name, side = rest.split("@")
    torch.manual_seed(0)
    network = small() if name == "small" else timm.create_model(name, num_classes=2)
    network.requires_grad_(False).eval()
    seen = torch.rand(int(side), int(side)) >= torch.linspace(0, 1, int(count))[:, None, None]
    images = torch.randn(1, 3, int(side), int(side)) * seen[:, None]
    probe = TorchProbe(network)

    def bare():
        with torch.inference_mode():
            return network(images)

    seconds = {}
    for _ in range(2):  # short jobs several times in a row, or each would begin with the other's caches
        times = max(1, round(LEAST_SECONDS / seconds["bare"])) if seconds else 1
        jobs = {"probe": lambda: probe(images), "bare": bare}
        jobs = {key: lambda job=job, times=times: [job() for _ in range(times)] for key, job in jobs.items()}
        seconds = alternate(jobs, rounds if seconds else 1)
    return {
        "network": name,
        "side": side,
        "images": count,
        "channels_last": probe.arranged(images) is not images,
        "probe_cpu_s": f"{seconds['probe'] / times:.5f}",
        "bare_cpu_s": f"{seconds['bare'] / times:.5f}",
        "ratio": f"{seconds['probe'] / seconds['bare']:.2f}",
        "largest_difference": f"{(probe(images) - bare()).abs().max() / bare().abs().max():.1e}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--scenes", default=SCENES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = (row(scene, options.rounds) for scene in options.scenes.split(","))
    write_rows(RESULTS, list(told(rows)))


if __name__ == "__main__":
    main()
