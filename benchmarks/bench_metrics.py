"""Metrics against Quantus, against their own bare forward passes, and the bootstrap against the clock.

    python -m benchmarks.bench_metrics [--rounds 1] [--networks lenet,lenet:32,resnet18,resnet18:8,...]

Same images, maps and steps for both; every pair of jobs runs alternately in one process, and a figure is
the ratio of the medians of their process CPU-seconds, on one thread: several count their waiting too.
`lenet:32` are 32 images: of these Quantus passes each step at once, so that its work around a pass is shared
by all; xiqa passes the steps of one image at once, whatever their number. `lenet` is a network of the size
of Quantus' own examples (28 x 28 grey pixels), where the work around the passes shows; the others, a timm
network at 224 x 224 or 512 x 512 and the shipped model, take nearly all the time in their passes. There a
curve has 32 steps. `folded` is the same network with folded batch norm and channels-last weights. The bare
passes are those of whole images, which a curve whose steps change a window each does not need
(`bench_incremental.py`). Freed memory is kept for both, as the command line keeps it (`bench_process.py`).
Writes benchmarks/results/metrics.csv, the lines of other scenes left as they are.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import csv
import statistics
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmarks.timing import write_rows
from torch import nn

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import quantus
import timm

from xiqa.assessment.folding import folded
from xiqa.experiments.stats import mean_intervals, paired_differences, rank_stability
from xiqa.metrics.aopc import aopc_curve
from xiqa.metrics.insertion_deletion import deletion_curve
from xiqa.metrics.perturbation import filler, pixel_turns, region_turns
from xiqa.metrics.pointing_game import pointing_game
from xiqa.metrics.road import road
from xiqa.models import load_model
from xiqa.process import keep_freed_memory
from xiqa.saliency.perturb import chunks
from xiqa.saliency.probe import TorchProbe, class_score
from xiqa.types import Annotation, Box

RESULTS = Path(__file__).parent / "results" / "metrics.csv"
QUIET = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}
SCENES = "lenet,lenet:32,resnet18,resnet18:8,tf_efficientnet_lite0,shipped"
LEAST_SECONDS = 3
LEAST_MEASURED = 0.02
SIZES = {"resnet18": 224, "resnet34": 600, "tf_efficientnet_lite0": 512}
ORDER = ["lenet", *SIZES, "shipped", ""]


def compare(jobs, rounds):
    """Median CPU-seconds of each job and its last result; the jobs alternate, the first round warms up.

    Jobs of milliseconds run several times in a row, `LEAST_MEASURED` seconds, or each would begin with the
    caches full of the other's; and more rounds than asked for, until they have taken `LEAST_SECONDS`.
    """
    results = {name: job() for name, job in jobs.items()}
    times = {name: max(1, round(LEAST_MEASURED / once(job))) for name, job in jobs.items()}
    seconds = {name: [] for name in jobs}
    begun = time.process_time()
    while len(next(iter(seconds.values()))) < rounds or time.process_time() - begun < LEAST_SECONDS:
        for name, job in jobs.items():
            seconds[name].append(once(job, times[name]))
    return {name: statistics.median(taken) for name, taken in seconds.items()}, results


def once(job, times=1):
    """CPU-seconds of a job, the mean of so many runs."""
    start = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - start) / times


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 2),
    )


def calibrated(name, size):
    """A timm network whose batch norms have statistics: with those of a new one the logits would vanish."""
    network = timm.create_model(name, num_classes=2, in_chans=1)
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 1, size // 4, size // 4))
    return network


def scene(name, count=1):
    """(network, images, maps, targets, region side, steps of a curve)."""
    torch.manual_seed(0)
    if name == "lenet":
        network, shape, side = lenet(), (1, 28, 28), 4
    elif name == "shipped":
        model = load_model()
        network, shape, side = model.network, (3, *model.card.preprocessing.size), 32
    else:
        size = SIZES[name]
        network, shape, side = calibrated(name, size), (1, size, size), 32
    network.requires_grad_(False).eval()
    images = torch.randn(count, *shape)
    maps = np.random.default_rng(0).random((len(images), *shape[1:]))
    steps = (shape[1] // side) ** 2 if name == "lenet" else 32
    return network, images, maps, np.ones(len(images), int), side, steps


def pairs(name, count):
    """(what, our job, what it is compared with, its job, the aim for theirs / ours or ours / bare)."""
    network, images, maps, targets, side, steps = scene(name, count)
    probe, (rows, columns) = TorchProbe(network), images.shape[-2:]
    every = list(zip(images, maps, map(int, targets), strict=True))
    arguments = {"model": network, "x_batch": images.numpy(), "y_batch": targets, "device": "cpu"}
    arguments["a_batch"] = maps[:, None]
    masks = np.zeros((len(images), 1, rows, columns))
    masks[..., 5:20, 5:20] = 1
    truth = [Annotation(Box(5, 5, 19, 19))]
    percentages = (10, 30, 50, 70, 90)
    few = rows if name == "lenet" else rows * columns // steps

    def altered(turns, points):
        """The copies that the curves score: a pass takes longer over them than over one image many times."""
        limits = torch.tensor(points)[:, None, None]
        return [filler(x, 0.0)((torch.from_numpy(turns(s)) < limits).to(x)) for x, s, _ in every]

    def bare(curves):
        for copies in curves:
            for part in chunks(len(copies), (rows, columns)):
                class_score(probe(copies[part]), 1)

    by_region = altered(partial(region_turns, region=side), range(steps + 1))
    by_pixel = altered(pixel_turns, range(0, rows * columns + 1, few))
    region = quantus.RegionPerturbation(
        patch_size=side, regions_evaluation=steps, perturb_baseline=0.0, **QUIET
    )
    flipping = quantus.PixelFlipping(features_in_step=few, perturb_baseline=0.0, **QUIET)
    removal = quantus.ROAD(percentages=list(percentages), noise=0.0, **QUIET)
    pointing = quantus.PointingGame(**QUIET)

    def our_regions(probe=probe):
        curves = [aopc_curve(probe, x, s, t, region=side, steps=steps, fill=0.0).score for x, s, t in every]
        return np.stack([scores[0] - scores[1:] for scores in curves])

    def our_pixels(probe=probe, step=few):
        return np.stack([deletion_curve(probe, x, s, t, step=step).score[1:] for x, s, t in every])

    def our_removal():
        values = [road(probe, x, s, t, percentages=percentages, noise=0.0) for x, s, t in every]
        return np.mean(values)

    fast = TorchProbe(folded(network, (), tuple(images.shape[1:])) or network)
    single = []
    if name == "lenet":  # as Quantus does it unless told otherwise; a pass a pixel is too long for the others
        one = quantus.PixelFlipping(features_in_step=1, perturb_baseline=0.0, **QUIET)
        by_one = altered(pixel_turns, range(rows * columns + 1))
        ours = partial(our_pixels, step=1)
        single = [
            ("pixel flipping, single pixels", ours, "quantus", lambda: one(**arguments, softmax=True), 5),
            ("pixel flipping, single pixels", ours, "bare passes", lambda: bare(by_one), 1.15),
        ]
    flipped = []
    if len(images[0]) == 1:  # of a coloured image Quantus flips single channels of pixels
        flipped = [
            ("pixel flipping", our_pixels, "quantus", lambda: flipping(**arguments, softmax=True), 5),
            (
                "pixel flipping, folded",
                lambda: our_pixels(fast),
                "quantus",
                lambda: flipping(**arguments, softmax=True),
                5,
            ),
        ]
    return [
        *single,
        ("region perturbation", our_regions, "quantus", lambda: region(**arguments, softmax=True), 2),
        (
            "region perturbation, folded",
            lambda: our_regions(fast),
            "quantus",
            lambda: region(**arguments, softmax=True),
            2,
        ),
        ("region perturbation", our_regions, "bare passes", lambda: bare(by_region), 1.15),
        ("pixel flipping", our_pixels, "bare passes", lambda: bare(by_pixel), 1.15),
        *flipped,
        *(
            []  # the imputation and not the network takes the time there
            if rows > 224
            else [
                (
                    "ROAD",
                    our_removal,
                    "quantus",
                    lambda: np.mean(list(removal(**arguments, softmax=True).values())),
                    None,
                )
            ]
        ),
        (
            "Pointing Game",
            lambda: [pointing_game(s, truth, tolerance=0) for _, s, _ in every],
            "quantus",
            lambda: pointing(**arguments, s_batch=masks),
            None,
        ),
    ]


def row(what, network, images, other, ours, theirs, aim, difference):
    """One line of the results: a ratio is theirs / ours for a peer, ours / bare for the bare passes."""
    ratio = ours / theirs if other == "bare passes" else theirs / ours
    met = "" if aim is None else ratio <= aim if other == "bare passes" else ratio >= aim
    return {
        "metric": what,
        "network": network,
        "images": images,
        "against": other,
        "ours_cpu_s": f"{ours:.4f}",
        "other_cpu_s": f"{theirs:.4f}",
        "ratio": f"{ratio:.2f}",
        "aim": "" if aim is None else aim,
        "met": met,
        "largest_difference": "" if difference is None else f"{difference:.1e}",
    }


def bootstrap_rows():
    rng = np.random.default_rng(0)
    scores = {f"m{number}": rng.random(1000) for number in range(20)}
    patients = [str(number // 2) for number in range(1000)]
    for function in (mean_intervals, paired_differences, rank_stability):
        seconds, _ = compare({"ours": lambda f=function: f(scores, patients)}, 3)
        yield row(f"bootstrap: {function.__name__}", "", "", "2 s", seconds["ours"], 2.0, 1, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--networks", default=SCENES, help="each may end with :IMAGES")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    for network in options.networks.split(","):
        name, _, count = network.partition(":")
        for what, ours, other, theirs, aim in pairs(name, int(count or 1)):
            seconds, results = compare({"ours": ours, "theirs": theirs}, options.rounds)
            difference = None
            if other == "quantus":
                a, b = (np.asarray(results[key], float) for key in ("ours", "theirs"))
                difference = float(np.abs(a - b).max())
            rows.append(
                row(what, name, count or 1, other, seconds["ours"], seconds["theirs"], aim, difference)
            )
            print(*rows[-1].values(), sep="\t", flush=True)
    if "lenet" in options.networks:
        for line in bootstrap_rows():
            rows.append(line)
            print(*line.values(), sep="\t", flush=True)
    write(rows)


def write(rows):
    """Put lines in the place of those of the same scenes."""
    measured = {scene_of(line) for line in rows}
    with RESULTS.open(newline="") as file:
        kept = [line for line in csv.DictReader(file) if scene_of(line) not in measured]
    write_rows(RESULTS, sorted([*kept, *rows], key=scene_of))


def scene_of(line):
    """Where a line belongs: by its network, then by its number of images."""
    return ORDER.index(line["network"]), int(line["images"] or 0)


if __name__ == "__main__":
    main()
