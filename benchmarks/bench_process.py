"""What the command line spares by its dealings with memory and threads (`xiqa.process`).

    python -m benchmarks.bench_process [--rounds 3]

Each job runs in processes of its own, in turns, with glibc's and OpenMP's defaults and as the command line
does it: CPU-seconds, seconds, pages that the system had to give, and the most memory held. A first run in
each process warms up. Memory: `train`, steps on the shipped model's backbone, batches of 8; `passes`, the
shipped network as loaded, a batch of 8; `folded`, the same with folded batch norm; `curve`, 48 regions of a
perturbation curve; all at 512 x 512 pixels. Threads, memory kept in both: `images`, eight simulated images
assessed one after another, from images in memory to findings. Writes benchmarks/results/process.csv.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tables import told, write_rows

RESULTS = Path(__file__).parent / "results" / "process.csv"
MEMORY, THREADS = {"default": [], "kept": ["--keep"]}, {"awake": ["--keep"], "asleep": ["--keep", "--sleep"]}
JOBS = {"train": MEMORY, "passes": MEMORY, "folded": MEMORY, "curve": MEMORY, "images": THREADS}
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

    from xiqa.assessment.runtimes.folding import folded
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

    from xiqa.assessment.runtimes.folding import folded
    from xiqa.metrics.faithfulness.aopc import aopc_curve
    from xiqa.models import load_model
    from xiqa.saliency.probe import TorchProbe

    probe = TorchProbe(folded(load_model().network.eval().requires_grad_(False), (), (3, SIZE, SIZE)))
    image, saliency = torch.randn(3, SIZE, SIZE), np.random.default_rng(0).random((SIZE, SIZE))
    return lambda: aopc_curve(probe, image, saliency, 1, region=32, steps=48)


def radiographs():
    import xiqa
    from xiqa.simulation.chest import simulate_chest

    model, images = xiqa.load_model(), [simulate_chest(seed).image for seed in range(8)]
    return lambda: xiqa.assess(model, images, batch_size=1)


def measure(name, keep, sleep):
    """Run one job in this process and print what it took."""
    from xiqa.process import keep_freed_memory, wait_asleep

    if sleep:
        wait_asleep()
    import torch

    torch.manual_seed(0)
    if keep and not keep_freed_memory():
        sys.exit("this system's C library keeps memory in another way")
    makers = {"train": train, "passes": passes, "folded": lambda: passes(fold=True), "curve": curve}
    job = (makers | {"images": radiographs})[name]()
    job()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(3):
        job()
    taken = (time.process_time() - processor) / 3, (time.perf_counter() - wall) / 3
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([*taken, (usage.ru_minflt - before) // 3, usage.ru_maxrss / 1024]))


def compare(name, rounds):
    """Medians over fresh processes, a row for each setting."""
    found = {setting: [] for setting in JOBS[name]}
    for _ in range(rounds):
        for setting, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.bench_process", "--job", name, *JOBS[name][setting]]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    for setting, runs in found.items():
        cpu, wall, pages, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        yield {
            "job": name,
            "setting": setting,
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
    parser.add_argument("--sleep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        measure(options.job, options.keep, options.sleep)
        return
    rows = (row for name in JOBS for row in compare(name, options.rounds))
    write_rows(RESULTS, list(told(rows)))


if __name__ == "__main__":
    main()
