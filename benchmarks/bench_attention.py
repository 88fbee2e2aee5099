"""LFI-CAM's classifier beside the plain one: with and without the branch, on the same features and images.

    python -m benchmarks.bench_attention [--train 300] [--test 200] [--seeds 5]

The body (EfficientNet-Lite0 with ImageNet weights, sixteenth of the resolution) is frozen and its features of
simulated radiographs of 256 x 256 pixels are computed once; a linear head behind average pooling, with and
without the attention branch, is then trained on them from several seeds. Writes results/attention.csv: AUC
and accuracy on other images, with 95 % intervals by image, and their paired difference.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.tables import write_lines
from torch import nn

from xiqa.metrics.roc import roc_auc
from xiqa.models.backbones import Architecture, build_network
from xiqa.models.heads.attention import AttentionNet, StageNet
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import TRAINING

RESULTS = Path(__file__).parent / "results" / "attention.csv"
SIDE, DRAWS = 256, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    body = build_network(Architecture(head="lficam", stages=(3,)), weights="imagenet")
    train = radiographs(TRAINING.take(options.train), body)
    test = radiographs(range(options.test), body)
    scores = {
        name: np.mean(
            [fitted(kind, train, test, seed, options.epochs) for seed in range(options.seeds)], axis=0
        )
        for name, kind in (("plain", StageNet), ("lficam", AttentionNet))
    }
    labels = test[2].numpy()
    rows = [["measure", "network", "images", "seeds", "value", "low", "high"]]
    picks = np.random.default_rng(0).integers(len(labels), size=(DRAWS, len(labels)))
    for name, measure in (("AUC", roc_auc), ("accuracy", accuracy)):
        values = {key: measure(one, labels) for key, one in scores.items()}
        drawn = {key: [measure(one[pick], labels[pick]) for pick in picks] for key, one in scores.items()}
        values["lficam - plain"] = values["lficam"] - values["plain"]
        drawn["lficam - plain"] = np.subtract(drawn["lficam"], drawn["plain"])
        for key, value in values.items():
            low, high = np.nanquantile(drawn[key], (0.025, 0.975))
            numbers = (f"{x:.3f}" for x in (value, low, high))
            rows.append([name, key, len(labels), options.seeds, *numbers])
    write_lines(RESULTS, rows[0], rows[1:])
    for row in rows:
        print(*row)


def radiographs(seeds, network):
    """Small images, frozen features and labels of simulated radiographs."""
    images, features, labels = [], [], []
    for seed in seeds:
        phantom = simulate_chest(seed, size=(SIDE, SIDE))
        image = torch.from_numpy(phantom.image.pixels)[None, None].expand(-1, 3, -1, -1) * 2 - 1
        with torch.inference_mode():
            features.append(network.features(image).clone())
        images.append(F.interpolate(image[:, :1], size=features[0].shape[-2:], mode="area"))
        labels.append(phantom.label)
    return torch.cat(images), torch.cat(features), torch.tensor(labels)


def fitted(kind, train, test, seed, epochs):
    """The test images' margins of one training."""
    torch.manual_seed(seed)
    images, features, labels = train
    network = kind(nn.Identity(), (features.shape[1],))
    steps = epochs * -(-len(labels) // 32)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=5e-3, total_steps=steps)
    for _ in range(epochs):
        for part in torch.randperm(len(labels)).split(32):
            optimiser.zero_grad()
            F.cross_entropy(logits(network, images[part], features[part]), labels[part]).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        found = logits(network, test[0], test[1])
    return (found[:, 1] - found[:, 0]).numpy()


def logits(network, images, features):
    if isinstance(network, AttentionNet):
        return network.classify(features, network.attention(features, images))
    return network(features)


def accuracy(scores, labels):
    return float(np.mean((scores > 0) == labels))


if __name__ == "__main__":
    main()
