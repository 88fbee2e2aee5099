"""How quickly images become batches, from disk and from memory, and how long a training step waits for them.

python -m benchmarks.bench_data            # writes results/data.csv; about a CPU minute

Images are simulated, 640 x 640, 8-bit PNG, with boxes. A batch has 8 of them, randomly turned, resized,
shifted and changed in contrast, at 256 x 256, with the dense targets of the evidence head. The step trains
EfficientNet-Lite0 with that head. Jobs alternate, numbers are medians of rounds.

Processor time does not depend on what else runs: `cpu_ms_per_image` is what a batch costs all threads,
`step_ms_per_image` what the step costs, `asking_ms_per_image` what the training thread itself spends on
getting its batches. `waiting` is told from them for a machine with a free core a worker: the step waits for
what its own thread does, and for a worker that takes longer than the step.

    waiting = w / (w + step),    w = asking + max(0, (cpu - asking) / workers - step)

`images_per_second` and `waiting_now` are wall time as it was: the part of a training epoch's time, the first
batch apart (`start_seconds`), in which the step had no batch.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import tempfile
import time
from pathlib import Path

import torch
from benchmarks.tables import write_lines

from xiqa.datasets.detect import read_dataset
from xiqa.models.backbones import build_network
from xiqa.models.preprocess import Preprocessing
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.write import PhantomFolder
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.disk import ImagesOnDisk
from xiqa.training.module import QualityModule
from xiqa.training.recipe import Recipe

RESULTS = Path(__file__).parent / "results" / "data.csv"
IMAGES, SIZE, BATCH, ROUNDS = 24, 256, 8, 3
WORKERS = (0, 1, 2)
COLUMNS = (
    "images_from",
    "workers",
    "images_per_second",
    "start_seconds",
    "cpu_ms_per_image",
    "asking_ms_per_image",
    "step_ms_per_image",
    "waiting",
    "waiting_now",
)
TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a benchmark")
RECIPE = Recipe.model_validate(
    {
        "name": "evaluator",
        "batch_size": BATCH,
        "architecture": {"backbone": "tf_efficientnet_lite0", "head": "evidence", "width": 96},
        "preprocessing": {"size": (SIZE, SIZE)},
        "augmentation": {"flip": 0.5},
        "phases": [{"epochs": 1, "size": (SIZE, SIZE)}],
        "card": TEXT,
    }
)


def loader(images, workers):
    part = ImageSet(images, RECIPE, (SIZE, SIZE), training=True)
    return EpochLoader(part, BATCH, workers=workers)


def feed(images, workers):
    """Images a second of wall time after the first batch, seconds to the first batch; CPU ms an image."""
    start, used = time.perf_counter(), time.process_time()
    batches = iter(loader(images, workers))
    next(batches)
    first = time.perf_counter()
    for _ in batches:
        pass
    rate = (len(images) - BATCH) / (time.perf_counter() - first)
    return rate, first - start, 1e3 * (time.process_time() - used) / len(images)


def train(images, workers, step):
    """CPU ms an image of the training thread while it asks and while it steps; part of the time it waits."""
    batches, waited = iter(loader(images, workers)), 0.0
    step(next(batches))
    asking = stepping = 0.0
    begun = time.perf_counter()
    while True:
        asked, used = time.perf_counter(), time.thread_time()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        asking += time.thread_time() - used
        if batch is None:
            scale = 1e3 / (len(images) - BATCH)
            return scale * asking, scale * stepping, waited / (time.perf_counter() - begun)
        used = time.thread_time()
        step(batch)
        stepping += time.thread_time() - used


def waiting(used, asking, step, workers):
    """Part of the time that a step waits, from processor times an image; see above."""
    late = max(0.0, (used - asking) / workers - step) if workers else 0.0
    return (asking + late) / (asking + late + step)


def make_step():
    network = build_network(RECIPE.architecture, weights="none")
    module = QualityModule(network, RECIPE, RECIPE.phases[0], 1000).train()
    optimiser = torch.optim.AdamW(network.parameters())

    def step(batch):
        parts = module._loss(batch, *module._outputs(batch))
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        with PhantomFolder(Path(folder) / "images") as out:
            for seed in range(IMAGES):
                out.add(simulate_chest(seed, size=(640, 640)))
        samples = read_dataset(Path(folder) / "images").samples
        larger = Preprocessing(size=(round(1.25 * SIZE), round(1.25 * SIZE)))
        kept = {"disk": ImagesOnDisk(samples, larger), "memory": load_images(samples, larger)}
        jobs = [(name, workers) for name in kept for workers in WORKERS]
        step = make_step()
        fed, trained = ({job: [] for job in jobs} for _ in range(2))
        step(next(iter(loader(kept["memory"], 0))))  # warms up
        for _ in range(rounds):
            for job in jobs:
                fed[job].append(feed(kept[job[0]], job[1]))
                trained[job].append(train(kept[job[0]], job[1], step))
    lines = []
    for job in jobs:
        rate, start, used = map(statistics.median, zip(*fed[job], strict=True))
        asking, stepping, now = map(statistics.median, zip(*trained[job], strict=True))
        share = waiting(used, asking, stepping, job[1])
        times = [f"{value:.1f}" for value in (used, asking, stepping)]
        lines.append([*job, f"{rate:.1f}", f"{start:.2f}", *times, f"{share:.3f}", f"{now:.3f}"])
    write_lines(RESULTS, COLUMNS, lines)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
