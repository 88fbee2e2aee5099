"""Images a second, cold start and peak memory of an assessment, against bare forward passes of its model.

Processor seconds, medians of alternated runs in one process: `bare` is the network as it was loaded, under
inference mode; `bare folded` the same with folded batch norm and channels-last weights, which is what an
assessment runs on. `assess` starts from images in memory and ends with findings, `files` starts from PNG
files, `report` also writes overlays and journal. Images are simulated. Freed memory is kept and waiting
threads sleep, as the command line has it (`bench_process.py`).

    python -m benchmarks.bench_assess [--runs 7] [--model NAME]
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmarks.tables import write_lines

import xiqa
from xiqa.assessment.runtimes.folding import folded
from xiqa.assessment.runtimes.torch import TorchRuntime
from xiqa.cli import assess as _command  # noqa: F401 - its imports belong to no measurement
from xiqa.process import keep_freed_memory
from xiqa.report.folder import ResultsFolder
from xiqa.report.overlay import picture_of
from xiqa.simulation.chest import simulate_chest

RESULTS = Path(__file__).parent / "results" / "assess.csv"
METHODS = {"last": "normgrad_conv1x1", "multi": "normgrad_conv1x1:layers=multi"}
IMAGES = 8

# Run in a fresh interpreter: memory in MB that is held with model and images loaded, and the most until the
# job's end. (Not ru_maxrss, which a child inherits from its parent.)
MEMORY = """
import sys
from xiqa.process import keep_freed_memory, wait_asleep
keep_freed_memory()
wait_asleep()
import xiqa, torch
from benchmarks.timing import resident
job, batch, model, *files = sys.argv[1:]
model = xiqa.load_model(model)
images = [xiqa.read_image(file) for file in files[: int(batch)]]
arrays = torch.stack([torch.from_numpy(model.prepare(image)[0]) for image in images])
before = resident('VmRSS')
if job == "bare":
    with torch.inference_mode():
        model.network(arrays)
else:
    xiqa.assess(model, images, method=job, batch_size=int(batch))
print(before, resident('VmHWM'))
"""


def seconds(job: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    job()
    return time.process_time() - processor, time.perf_counter() - wall


def jobs(model, files: list[Path], folder: Path, batch: int) -> dict[str, Callable[[], object]]:
    card = model.card
    images = [xiqa.read_image(file) for file in files]
    runtime = TorchRuntime(model)
    arrays = torch.from_numpy(np.stack([model.prepare(image)[0] for image in images]))
    names = dict.fromkeys((card.layers.last, *card.layers.multi, *card.guard_layers))
    fast = folded(model.network, tuple(names), card.preprocessing.shape) or model.network

    def bare(network, arrays):
        with torch.inference_mode():
            for part in arrays.split(batch):
                network(part)

    def report():
        with ResultsFolder.open(folder, {}) as results:
            xiqa.assess(runtime, files, batch_size=batch, on_result=results.add, keep_maps=False)

    last_channels = arrays.contiguous(memory_format=torch.channels_last)
    found = {"bare": lambda: bare(model.network, arrays), "bare folded": lambda: bare(fast, last_channels)}
    for name, method in METHODS.items():
        found[f"assess {name}"] = lambda method=method: xiqa.assess(
            runtime, images, method=method, batch_size=batch
        )
    found["files, model's method"] = lambda: xiqa.assess(runtime, files, batch_size=batch)
    found["report, model's method"] = report
    return found


def measure(found: dict[str, Callable[[], object]], runs: int) -> dict[str, tuple[float, float]]:
    """Median processor and wall seconds of each job, the jobs taking turns."""
    times = {name: [] for name in found}
    for run in range(runs + 1):
        for name, job in found.items():
            taken = seconds(job)
            if run:  # the first round warms up
                times[name].append(taken)
    return {name: tuple(map(statistics.median, zip(*taken, strict=True))) for name, taken in times.items()}


def cold_start(model: str, file: Path, folder: Path, runs: int) -> tuple[float, float]:
    """Processor and wall seconds of `xiqa assess` on one image, report included."""
    taken = []
    for run in range(runs):
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = ["assess", str(file), "--model", model, "--out", str(folder / f"cold{run}")]
        subprocess.run([sys.executable, "-m", "xiqa", *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        taken.append((processor, time.perf_counter() - wall))
    processor, wall = map(statistics.median, zip(*taken, strict=True))
    return processor, wall


def memory(model: str, job: str, batch: int, files: list[Path]) -> tuple[float, float]:
    """Memory in MB before a job and at its peak."""
    command = [sys.executable, "-c", MEMORY, job, str(batch), model, *map(str, files)]
    before, after = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(before), float(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--model", default="cxr-foreign-objects")
    arguments = parser.parse_args()
    keep_freed_memory()
    model = xiqa.load_model(arguments.model)
    rows: list[tuple] = []

    def tell(what: str, job: str, batch: int, value: float, over_bare: float | str = "") -> None:
        rows.append((what, job, batch, f"{value:.4g}", over_bare if over_bare == "" else f"{over_bare:.3g}"))
        print(*rows[-1], sep="  ", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for seed in range(IMAGES):
            files.append(folder / f"{seed}.png")
            picture_of(simulate_chest(seed=seed, size=(1024, 1024)).image, 1024).save(files[-1])
        for batch in (1, 8):
            times = measure(jobs(model, files, folder / f"report{batch}", batch), arguments.runs)
            bare = times["bare"][0]
            for job, (processor, wall) in times.items():
                tell("CPU seconds an image", job, batch, processor / IMAGES, processor / bare)
                tell("images a second", job, batch, IMAGES / wall)
        processor, wall = cold_start(arguments.model, files[0], folder, 3)
        tell("cold start, CPU seconds", "xiqa assess, one image", 1, processor)
        tell("cold start, seconds", "xiqa assess, one image", 1, wall)
        for batch in (1, 8):
            for job in ("bare", *METHODS.values()):
                before, after = memory(arguments.model, job, batch, files)
                tell("peak memory, MB", job, batch, after)
                tell("peak memory over the loaded model, MB", job, batch, after - before)
    write_lines(RESULTS, ("what", "job", "batch", "value", "over_bare"), rows)
    print(f"{os.cpu_count()} processors, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
