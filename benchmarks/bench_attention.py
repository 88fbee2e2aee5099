"""LFI-CAM's classifier beside the plain one: the same films, seeds and recipe, with and without the branch.

    python benchmarks/bench_attention.py --seeds 2

trains ``recipes/lficam.toml --quick`` (simulated radiographs) with the attention branch and with the
backbone's own head, scores both on other simulated films, and writes benchmarks/results/attention.csv: AUC,
sensitivity and specificity at the threshold, and how often a map's peak lies on an object over the chest,
each with a 95 % interval by film; and the CPU seconds of the training.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from pathlib import Path

import xiqa._torchvision  # noqa: F401 - before Lightning
from xiqa.experiments.bundle_card import evaluate_bundle, simulated_samples
from xiqa.models import load_model
from xiqa.training.recipe import Recipe
from xiqa.training.train import train

ROOT = Path(__file__).resolve().parent.parent
HEADS = {
    "plain": ("pooled", ["gradcam", "normgrad_conv1x1"]),
    "lficam": ("lficam", ["lficam", "gradcam", "normgrad_conv1x1"]),
}
COLUMNS = ["network", "seed", "films", "measure", "value", "low", "high"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "attention.csv")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightning")
    rows = []
    for seed in range(options.seeds):
        for name, (head, methods) in HEADS.items():
            rows += scored(name, head, methods, seed, options.films)
            with options.out.open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([COLUMNS, *rows])
            print(*rows[-len(methods) - 4 :], sep="\n", flush=True)


def scored(name: str, head: str, methods: list[str], seed: int, films: int) -> list[list[object]]:
    """Train one network and score it."""
    changes = {"seed": seed, "architecture": {"head": head}, "method": methods[0]}
    recipe = Recipe.read(ROOT / "recipes" / "lficam.toml", quick=True, changes=changes)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        train(recipe, None, Path(folder), progress=False)
        seconds = time.process_time() - start
        model = load_model(Path(folder) / "bundle")
        found = evaluate_bundle(model, simulated_samples(films), "simulated", methods)
    measures = [
        ("AUC", found.auc),
        ("sensitivity", found.sensitivity),
        ("specificity", found.specificity),
        *((f"peak on an object: {place.method}", place.thorax) for place in found.localisation),
    ]
    rows: list[list[object]] = [
        [name, seed, found.images, measure, *(f"{x:.3f}" for x in (one.value, one.low, one.high))]
        for measure, one in measures
        if one is not None
    ]
    return [*rows, [name, seed, "", "training, CPU seconds", f"{seconds:.0f}", "", ""]]


if __name__ == "__main__":
    main()
