"""What keeping freed memory spares (`xiqa.process.keep_freed_memory`, which the command line does).

    python -m benchmarks.bench_memory [--rounds 3]

Each job runs in a process of its own, with glibc's defaults and with freed memory kept, in turns:
CPU-seconds, seconds, pages that the system had to give, and the most memory held. A first run in each process
warms up. `train`: steps on the shipped model's backbone, batches of 8; `passes`: the shipped network as
loaded, a batch of 8; `folded`: the same with folded batch norm; `curve`: 48 regions of a perturbation curve.
All at 512 x 512 pixels. Writes benchmarks/results/memory.csv.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "memory.csv"
JOBS = ("train", "passes", "folded", "curve")
SIZE = 512


def train():
    import torch

    import xiqa._torchvision  # noqa: F401  (before timm)

    # isort: split
    import timm

    network = timm.create_model("tf_efficientnet_lite0", num_classes=2).train()
    optimiser = torch.optim.AdamW(network.parameters())
    images, classes = torch.randn(8, 3, SIZE, SIZE), torch.arange(8) % 2

    def step():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), classes).backward()
        optimiser.step()

    return step


def passes(*, fold=False):
    import torch

    from xiqa.assessment.folding import folded
    from xiqa.models import load_model

    network = load_model().network.eval().requires_grad_(False)
    if fold:
        network = folded(network, (), (3, SIZE, SIZE))
    images = torch.randn(8, 3, SIZE, SIZE)

    def job():
        with torch.inference_mode():
            network(images)

    return job


def curve():
    import numpy as np
    import torch

    from xiqa.assessment.folding import folded
    from xiqa.metrics.aopc import aopc_curve
    from xiqa.models import load_model
    from xiqa.saliency.probe import TorchProbe

    probe = TorchProbe(folded(load_model().network.eval().requires_grad_(False), (), (3, SIZE, SIZE)))
    image, saliency = torch.randn(3, SIZE, SIZE), np.random.default_rng(0).random((SIZE, SIZE))
    return lambda: aopc_curve(probe, image, saliency, 1, region=32, steps=48)


def measure(name, keep):
    """Run one job in this process and print what it took."""
    import torch

    from xiqa.process import keep_freed_memory

    torch.manual_seed(0)
    if keep and not keep_freed_memory():
        sys.exit("this system's C library keeps memory in another way")
    job = {"train": train, "passes": passes, "folded": lambda: passes(fold=True), "curve": curve}[name]()
    job()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(3):
        job()
    taken = (time.process_time() - processor) / 3, (time.perf_counter() - wall) / 3
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([*taken, (usage.ru_minflt - before) // 3, usage.ru_maxrss / 1024]))


def compare(name, rounds):
    """Medians over fresh processes, with the defaults and with memory kept: two rows."""
    found = {False: [], True: []}
    for _ in range(rounds):
        for keep, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.bench_memory", "--job", name, *["--keep"] * keep]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    for keep, runs in found.items():
        cpu, wall, pages, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        yield {
            "job": name,
            "memory": "kept" if keep else "default",
            "cpu_s": f"{cpu:.3f}",
            "seconds": f"{wall:.3f}",
            "pages": int(pages),
            "peak_mb": int(peak),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        measure(options.job, options.keep)
        return
    rows = []
    for name in JOBS:
        for line in compare(name, options.rounds):
            rows.append(line)
            print(*line.values(), sep="\t", flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
