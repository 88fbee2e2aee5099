"""Metrics against Quantus, against their own bare forward passes, and the bootstrap against the clock.

    python -m benchmarks.bench_metrics [--rounds 1] [--scenes lenet:32,resnet18:8,...]
    python -m benchmarks.bench_metrics --single [--scenes resnet18,tf_efficientnet_lite0@224]

Same images, maps and steps for all; what is compared runs alternately in one process, and a figure is the
ratio of the medians of their process CPU-seconds, on one thread: several count their waiting too. A scene is
`network@side:images`. Quantus is given the images one at a time, and all at once: then it passes each step of
all together, and its work around a pass is shared. xiqa passes the steps of one image at once, whatever their
number. `lenet` is a network of the size of Quantus' own examples (28 x 28 grey pixels), where the work around
the passes shows; timm's networks and the shipped model take nearly all the time in their passes. There a
curve has 32 steps, but on small images, where every row of pixels and every region of 4 x 4 is one. `folded`
is the same network with folded batch norm and channels-last weights.

The bare passes are the network's own over the curves' copies as they are, in the same batches. A probe lays
the copies out with their channels last (`bench_passes.py`), and where a step changes no more than a window,
no whole copy passes (`bench_incremental.py`), so that a curve can take less.

`--single` flips pixels one by one, Quantus' default, on networks that take nearly all the time: 50,176 passes
of 224 x 224 pixels, which Quantus makes in half an hour, once. Elsewhere only small images have it.

Freed memory is kept for all, as the command line keeps it (`bench_process.py`). Writes
benchmarks/results/metrics.csv, the lines of other scenes left as they are.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import csv
import itertools
import statistics
import time
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from benchmarks.tables import told, write_rows
from torch import nn

import xiqa._torchvision  # noqa: F401  (before timm and the peers)

# isort: split
import quantus
import timm

from xiqa.assessment.runtimes.folding import folded
from xiqa.geometry import Box
from xiqa.metrics.faithfulness.aopc import aopc_curve
from xiqa.metrics.faithfulness.insertion_deletion import deletion_curve
from xiqa.metrics.faithfulness.road import road
from xiqa.metrics.localisation.pointing_game import pointing_game
from xiqa.metrics.perturbation import filler, pixel_turns, region_turns
from xiqa.models import load_model
from xiqa.process import keep_freed_memory
from xiqa.saliency.perturbation.copies import chunks
from xiqa.saliency.probe import TorchProbe, class_score
from xiqa.scoring.differences import mean_intervals, paired_differences, rank_stability
from xiqa.types import Annotation

RESULTS = Path(__file__).parent / "results" / "metrics.csv"
QUIET = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}
SCENES = "lenet:32,resnet18@32:8,resnet18:8,tf_efficientnet_lite0,shipped"
SINGLE_SCENES = "resnet18,tf_efficientnet_lite0@224"
LEAST_SECONDS = 3
LEAST_MEASURED = 0.2
LONG_SECONDS = 60
SMALL = 32
SIDES = {"lenet": 28, "resnet18": 224, "resnet34": 600, "tf_efficientnet_lite0": 512, "shipped": 512}
REMOVED = (10, 30, 50, 70, 90)


def compare(jobs, rounds):
    """Median CPU-seconds of each job and its last result; the jobs alternate, the first round warms up.

    Jobs of milliseconds run several times in a row, `LEAST_MEASURED` seconds, or each would begin with the
    caches full of the other's; and more rounds than asked for, until they have taken `LEAST_SECONDS`. Where
    one takes over `LONG_SECONDS`, the first round is the only one.
    """
    results, first = {}, {}
    for name, job in jobs.items():
        first[name] = once(lambda name=name, job=job: results.update({name: job()}))
    if max(first.values()) > LONG_SECONDS:
        return first, results
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


def calibrated(name, side):
    """A timm network whose batch norms have statistics: with those of a new one the logits would vanish."""
    network = timm.create_model(name, num_classes=2, in_chans=1)
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 1, side // 4, side // 4))
    return network


@dataclass(frozen=True)
class Scene:
    """A network, and how many random images of which side, with random maps, are explained for class 1."""

    name: str
    side: int
    count: int

    @classmethod
    def read(cls, text):
        """`network@side:images`, of which the side and the number may be missing."""
        rest, _, count = text.partition(":")
        name, _, side = rest.partition("@")
        return cls(name, int(side or SIDES[name]), int(count or 1))

    @property
    def small(self):
        return self.side <= SMALL

    @property
    def region(self):
        return 4 if self.small else 32

    @property
    def steps(self):
        return (self.side // self.region) ** 2 if self.small else 32

    @property
    def step(self):
        """Pixels a step."""
        return self.side if self.small else self.side**2 // self.steps

    @cached_property
    def network(self):
        torch.manual_seed(0)
        made = {"lenet": lenet, "shipped": lambda: load_model().network}
        network = made.get(self.name, lambda: calibrated(self.name, self.side))()
        return network.requires_grad_(False).eval()

    @cached_property
    def every(self):
        """(image, map) of each."""
        torch.manual_seed(1)
        images = torch.randn(self.count, 3 if self.name == "shipped" else 1, self.side, self.side)
        maps = np.random.default_rng(0).random((self.count, self.side, self.side))
        return list(zip(images, maps, strict=True))

    @cached_property
    def probe(self):
        return TorchProbe(self.network)

    @cached_property
    def folded_probe(self):
        return TorchProbe(folded(self.network, (), tuple(self.every[0][0].shape)) or self.network)

    def regions(self, probe):
        """Our region perturbation: how far the scores of each image fall."""
        settings = {"region": self.region, "steps": self.steps, "fill": 0.0}
        curves = [aopc_curve(probe, x, s, 1, **settings).score for x, s in self.every]
        return [scores[0] - scores[1:] for scores in curves]

    def flips(self, probe, step):
        """Our pixel flipping: the scores of each image."""
        return [deletion_curve(probe, x, s, 1, step=step).score[1:] for x, s in self.every]

    def removal(self):
        return [road(self.probe, x, s, 1, percentages=REMOVED, noise=0.0) for x, s in self.every]

    def theirs(self, metric, read=np.asarray, masks=None):
        """Quantus' jobs, by how it is given the images."""
        images, maps = (np.stack(some) for some in zip(*self.every, strict=True))

        def run(step):
            for start in range(0, self.count, step):
                few = slice(start, start + step)
                found = metric(
                    model=self.network,
                    x_batch=images[few],
                    y_batch=np.ones(len(images[few]), int),
                    a_batch=maps[few, None],
                    s_batch=None if masks is None else masks[few],
                    device="cpu",
                    softmax=True,
                )
                yield read(found)

        jobs = {"quantus": lambda: list(run(1))}
        if self.count > 1:
            jobs["quantus, all at once"] = lambda: list(run(self.count))
        return jobs

    def bare(self, turns, points):
        """The passes of our curves: over the very copies, which take longer than one image many times."""
        limits = torch.tensor(points)[:, None, None]
        altered = [filler(x, 0.0)((torch.from_numpy(turns(s)) < limits).to(x)) for x, s in self.every]
        batches = [
            batch
            for copies in altered
            for part in chunks(len(copies), (self.side, self.side))
            for batch in copies[part].split(self.probe.step(copies))
        ]

        def passes():
            with torch.inference_mode():
                for batch in batches:
                    class_score(self.network(batch), 1)

        return {"bare passes": passes}


def flipping(scene, step, *names):
    """Pixel flipping against Quantus'."""
    peer = quantus.PixelFlipping(features_in_step=step, perturb_baseline=0.0, **QUIET)
    probes = zip(names, (scene.probe, scene.folded_probe), strict=False)
    return {name: partial(scene.flips, probe, step) for name, probe in probes}, scene.theirs(peer), 5


def comparisons(scene):
    """(our jobs, the jobs that they are compared with, the aim for theirs / ours or for ours / bare)."""
    single, by_pixel, by_region = "pixel flipping, single pixels", "pixel flipping", "region perturbation"
    pixels, step = scene.side**2, scene.step
    if scene.small:
        yield flipping(scene, 1, single, f"{single}, folded")
        bare = scene.bare(pixel_turns, range(pixels + 1))
        yield {single: partial(scene.flips, scene.probe, 1)}, bare, 1.15
    peer = quantus.RegionPerturbation(
        patch_size=scene.region, regions_evaluation=scene.steps, perturb_baseline=0.0, **QUIET
    )
    ours = {by_region: partial(scene.regions, scene.probe)}
    fast = {f"{by_region}, folded": partial(scene.regions, scene.folded_probe)}
    yield ours | fast, scene.theirs(peer), 2
    yield ours, scene.bare(partial(region_turns, region=scene.region), range(scene.steps + 1)), 1.15
    bare = scene.bare(pixel_turns, [*range(0, pixels, step), pixels])
    yield {by_pixel: partial(scene.flips, scene.probe, step)}, bare, 1.15
    if scene.name != "shipped":  # of a coloured image Quantus flips single channels of pixels
        yield flipping(scene, step, by_pixel, f"{by_pixel}, folded")
    if scene.side <= SIDES["resnet18"]:  # beyond, the imputation and not the network takes the time
        peer = quantus.ROAD(percentages=list(REMOVED), noise=0.0, **QUIET)
        yield {"ROAD": scene.removal}, scene.theirs(peer, lambda found: np.mean(list(found.values()))), None
    masks = np.zeros((scene.count, 1, scene.side, scene.side))
    masks[..., 5:20, 5:20] = 1
    truth = [Annotation(Box(5, 5, 19, 19))]
    ours = {"Pointing Game": lambda: [pointing_game(s, truth, tolerance=0) for _, s in scene.every]}
    yield ours, scene.theirs(quantus.PointingGame(**QUIET), masks=masks), None


def measured(scene, comparison, rounds):
    """The lines of one comparison: a ratio is theirs / ours for a peer, ours / bare for the bare passes."""
    ours, theirs, aim = comparison
    seconds, results = compare(ours | theirs, rounds)
    for what, against in itertools.product(ours, theirs):
        is_bare = against == "bare passes"
        ratio = seconds[what] / seconds[against] if is_bare else seconds[against] / seconds[what]
        met = "" if aim is None else ratio <= aim if is_bare else ratio >= aim
        yield {
            "metric": what,
            "network": scene.name,
            "side": scene.side,
            "images": scene.count,
            "against": against,
            "ours_cpu_s": f"{seconds[what]:.4f}",
            "other_cpu_s": f"{seconds[against]:.4f}",
            "ratio": f"{ratio:.2f}",
            "aim": "" if aim is None else aim,
            "met": met,
            "largest_difference": "" if is_bare else f"{difference(results[what], results[against]):.1e}",
        }


def difference(ours, theirs):
    """The largest, of values of images that are a list a call of Quantus'; of ROAD it gives their mean."""
    ours = np.array(ours, float)
    if len(theirs) < len(ours):
        theirs = theirs[0]
    theirs = np.reshape(theirs, (-1, *ours.shape[1:]))
    return np.abs((ours if len(theirs) == len(ours) else ours.mean(axis=0)) - theirs).max()


def bootstrap_rows():
    rng = np.random.default_rng(0)
    scores = {f"m{number}": rng.random(1000) for number in range(20)}
    patients = [str(number // 2) for number in range(1000)]
    for function in (mean_intervals, paired_differences, rank_stability):
        seconds, _ = compare({"ours": lambda f=function: f(scores, patients)}, 3)
        yield {
            "metric": f"bootstrap: {function.__name__}",
            "against": "2 s",
            "ours_cpu_s": f"{seconds['ours']:.4f}",
            "other_cpu_s": "2.0000",
            "ratio": f"{2 / seconds['ours']:.2f}",
            "aim": 1,
            "met": seconds["ours"] <= 2,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--single", action="store_true", help="pixels one by one on larger networks, no more")
    parser.add_argument("--scenes", help=f"by default {SCENES}; with --single {SINGLE_SCENES}")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    keep_freed_memory()
    scenes = [
        Scene.read(text)
        for text in (options.scenes or (SINGLE_SCENES if options.single else SCENES)).split(",")
    ]
    for scene in scenes:
        name = "pixel flipping, single pixels"
        single = [flipping(scene, 1, name, f"{name}, folded")] if options.single else None
        for comparison in single or comparisons(scene):
            keep(measured(scene, comparison, options.rounds))
    if not options.single and any(scene.name == "lenet" for scene in scenes):
        keep(bootstrap_rows())


def keep(rows):
    """Measure lines, and put them in the place of those of the same names."""
    rows = list(told(rows))
    with RESULTS.open(newline="") as file:
        known = {name_of(row): row for row in csv.DictReader(file)}
    for row in rows:
        known[name_of(row)] = row
    write_rows(RESULTS, sorted(known.values(), key=place_of))


def name_of(row):
    return row["metric"], row["against"], *place_of(row)


def place_of(row):
    """Where a line belongs: by its network, its images' side, then their number; the bootstrap last."""
    names = [*SIDES, ""]
    return names.index(row.get("network", "")), int(row.get("side") or 0), int(row.get("images") or 0)


if __name__ == "__main__":
    main()
