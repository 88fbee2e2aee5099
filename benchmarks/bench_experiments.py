"""Which share of a Pointing Game run with ten detectors is spent outside the network's passes?

    python -m benchmarks.bench_experiments [--data FOLDER] [--limit N]

CPU seconds of one run over images (the test split of a folder, or simulated ones); the network is loaded and
one chunk run before the clock starts. A pass is a forward pass of the whole network or one call of
``torch.autograd.grad``. Writes benchmarks/results/experiments.csv.
"""

from __future__ import annotations

import argparse
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from benchmarks.tables import write_lines

from xiqa.experiments import cases as case_room
from xiqa.experiments import measure, scored
from xiqa.experiments.measure import Evaluator
from xiqa.experiments.recipe import Experiment
from xiqa.experiments.run import plan
from xiqa.models.bundle import LoadedModel

RESULTS = Path(__file__).parent / "results" / "experiments.csv"
DETECTORS = [
    "normgrad_scaling", "normgrad_bias", "normgrad_conv1x1", "normgrad_conv3x3",
    "normgrad_conv1x1:layers=multi", "gradcam", "gradcampp", "layercam", "gradient", "inputxgradient",
]  # fmt: skip


class Clock:
    """CPU seconds by part; a part inside another is taken from the outer one."""

    def __init__(self):
        self.parts, self.stack = {}, []

    def start(self, name):
        self.stack.append([name, time.process_time(), 0.0])

    def stop(self):
        name, start, inner = self.stack.pop()
        spent = time.process_time() - start
        self.parts[name] = self.parts.get(name, 0.0) + spent - inner
        if self.stack:
            self.stack[-1][2] += spent

    def wrap(self, name, function):
        def timed(*arguments, **named):
            self.start(name)
            try:
                return function(*arguments, **named)
            finally:
                self.stop()

        return timed


@contextmanager
def timed_parts(clock, evaluator):
    """Passes by hooks, the rest by wrapped functions."""
    network = evaluator.network
    handles = [
        network.register_forward_pre_hook(lambda *_: clock.start("forward passes")),
        network.register_forward_hook(lambda *_: clock.stop()),
    ]
    try:
        with (
            mock.patch.object(torch.autograd, "grad", clock.wrap("backward passes", torch.autograd.grad)),
            mock.patch.object(measure, "explain", clock.wrap("maps from layers", measure.explain)),
            mock.patch.object(scored, "on_original", clock.wrap("placing", scored.on_original)),
            mock.patch.object(case_room, "_read", clock.wrap("reading", case_room._read)),
            mock.patch.object(LoadedModel, "prepare", clock.wrap("preparing", LoadedModel.prepare)),
        ):
            yield
    finally:
        for handle in handles:
            handle.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = {"source": "folder", "path": str(given.data), "split": given.split, "only": "poor"}
    experiment = Experiment(
        name="evaluator",
        title="Ten detectors",
        methods=DETECTORS,
        controls=False,
        data=(folder if given.data else {"source": "random", "count": 16}) | {"limit": given.limit},
        models=[{"name": "cxr-foreign-objects"}],
        measures=[{"metric": "pointing_game", "params": {"frame": "object-cxr", "shape": "box"}}],
    )
    planned = plan(experiment)
    network_state = planned.network_states[0]
    evaluator = Evaluator(experiment, network_state, network_state.load())
    lines = measured("folded network, as run", evaluator, experiment)
    evaluator.network = evaluator.model.network
    lines += measured("network as loaded", evaluator, experiment)
    write_lines(RESULTS, ["network", "part", "cpu_seconds", "share"], lines)
    for line in lines:
        print("{:24} {:40} {:>8} {:>7}".format(*line))


def measured(network, evaluator, experiment):
    """The parts of one run, and what lies outside the passes."""
    evaluator.rows(plan(experiment).chunks[0])  # loads what is loaded once
    clock = Clock()
    with timed_parts(clock, evaluator):
        planned = plan(experiment)  # after the patch, so that reading is seen
        clock.start("the rest")
        for chunk in planned.chunks:
            evaluator.rows(chunk)
        clock.stop()
    total = sum(clock.parts.values())
    passes = clock.parts["forward passes"] + clock.parts["backward passes"]
    parts = clock.parts | {
        f"all, {len(planned.cases)} images x {len(DETECTORS)} detectors": total,
        "outside the network's passes": total - passes,
    }
    return [[network, name, f"{spent:.2f}", f"{spent / total:.3f}"] for name, spent in parts.items()]


if __name__ == "__main__":
    main()
