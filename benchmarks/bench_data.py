"""How quickly films become batches, from disk and from memory, and how long a training step waits for them.

python -m benchmarks.bench_data            # writes results/data.csv; about two CPU minutes

Films are simulated, 640 x 640, 8-bit PNG, with boxes. A batch has 8 of them, randomly turned, resized,
shifted and changed in contrast, at 256 x 256, with the dense targets of the evidence head. The step trains
EfficientNet-Lite0 with that head. Jobs alternate. `images_per_second` is wall time (medians of rounds, so it
depends on what else runs); `cpu_ms_per_image` is processor time of this process and its workers, which does
not. `waiting` is the part of a training epoch's wall time, the first batch apart (the start of the workers is
told as `start_seconds`), in which the step had no batch.
"""

import argparse
import csv
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch

from xiqa.datasets.detect import read_dataset
from xiqa.datasets.phantoms.chest import simulate_chest
from xiqa.datasets.phantoms.write import PhantomFolder
from xiqa.models.backbones import build_network
from xiqa.models.preprocess import Preprocessing
from xiqa.training.data import EpochLoader, FilmSet, load_films
from xiqa.training.disk import FilmsOnDisk
from xiqa.training.module import QualityModule
from xiqa.training.recipe import Recipe

RESULTS = Path(__file__).parent / "results" / "data.csv"
FILMS, SIZE, BATCH, ROUNDS = 48, 256, 8, 3
WORKERS = (0, 1, 2)
TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a benchmark")
RECIPE = Recipe.model_validate(
    {
        "name": "bench",
        "batch_size": BATCH,
        "architecture": {"backbone": "tf_efficientnet_lite0", "head": "evidence", "width": 96},
        "preprocessing": {"size": (SIZE, SIZE)},
        "augmentation": {"flip": 0.5},
        "phases": [{"epochs": 1, "size": (SIZE, SIZE)}],
        "card": TEXT,
    }
)


def cpu():
    """Processor seconds of this process and of the workers that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def loader(films, workers):
    part = FilmSet(films, RECIPE, (SIZE, SIZE), training=True)
    return EpochLoader(part, BATCH, workers=workers)


def feed(films, workers):
    """Images a second of wall time after the first batch, CPU ms an image, seconds to the first batch."""
    batches, start, used = iter(loader(films, workers)), time.perf_counter(), cpu()
    next(batches)
    first = time.perf_counter()
    for _ in batches:
        pass
    rate = (len(films) - BATCH) / (time.perf_counter() - first)
    return rate, 1e3 * (cpu() - used) / len(films), first - start


def train(films, workers, step):
    """Part of the time after the first batch in which the step waits."""
    batches, waited = iter(loader(films, workers)), 0.0
    step(next(batches))
    begun = time.perf_counter()
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return waited / (time.perf_counter() - begun)
        step(batch)


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
    warnings.filterwarnings("ignore", module="torch.utils.data")
    with tempfile.TemporaryDirectory() as folder:
        with PhantomFolder(Path(folder) / "films") as out:
            for seed in range(FILMS):
                out.add(simulate_chest(seed, size=(640, 640)))
        samples = read_dataset(Path(folder) / "films").samples
        larger = Preprocessing(size=(round(1.25 * SIZE), round(1.25 * SIZE)))
        kept = {"disk": FilmsOnDisk(samples, larger), "memory": load_films(samples, larger)}
        jobs = [(name, workers) for name in kept for workers in WORKERS]
        step = make_step()
        fed, waits = ({job: [] for job in jobs} for _ in range(2))
        for number in range(rounds + 1):
            for job in jobs:
                told = feed(kept[job[0]], job[1]), train(kept[job[0]], job[1], step) if number else 0
                if number:
                    fed[job].append(told[0])
                    waits[job].append(told[1])
    with RESULTS.open("w", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(
            ["films_from", "workers", "images_per_second", "cpu_ms_per_image", "start_seconds", "waiting"]
        )
        for job in jobs:
            rate, used, start = (statistics.median(values) for values in zip(*fed[job], strict=True))
            waiting = statistics.median(waits[job])
            table.writerow([*job, f"{rate:.1f}", f"{used:.1f}", f"{start:.2f}", f"{waiting:.3f}"])
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
