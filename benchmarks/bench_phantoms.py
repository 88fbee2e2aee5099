"""Milliseconds of processor time a simulated image, by part, and against a plain yardstick in the same run.

python -m benchmarks.bench_phantoms            # writes results/phantoms.csv

One image is 600 x 600. The yardstick is a forward and an inverse real FFT of the same size, so that runs on
different or busy machines can be compared; jobs alternate and medians are told.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import time
from pathlib import Path

import numpy as np
from benchmarks.tables import write_lines
from scipy import fft

from xiqa.simulation.chest import Scenario, insert_objects, simulate_chest

RESULTS = Path(__file__).parent / "results" / "phantoms.csv"
ROUNDS = 25
NOISE = np.random.default_rng(0).standard_normal((600, 600), dtype=np.float32)
CLEAN = Scenario(count="none", implant=False)
FILM = simulate_chest(0, objects=CLEAN).image

JOBS = {
    "yardstick: rfft2 and irfft2": lambda seed: fft.irfft2(fft.rfft2(NOISE)),
    "simulate_chest, as on a ward": simulate_chest,
    "simulate_chest, no objects": lambda seed: simulate_chest(seed, objects=CLEAN),
    "simulate_chest, 384 x 384": lambda seed: simulate_chest(seed, size=(384, 384)),
    "insert_objects": lambda seed: insert_objects(FILM, seed),
}


def main():
    seconds = {name: [] for name in JOBS}
    for job in JOBS.values():
        job(0)  # caches
    for seed in range(1, ROUNDS + 1):
        for name, job in JOBS.items():
            start = time.process_time()
            job(seed)
            seconds[name].append(time.process_time() - start)
    yardstick = statistics.median(seconds["yardstick: rfft2 and irfft2"])
    lines = []
    for name, values in seconds.items():
        middle = statistics.median(values)
        lines.append([name, f"{1e3 * middle:.1f}", f"{1e3 * min(values):.1f}", f"{middle / yardstick:.1f}"])
        print("{:32} {:>8} ms  fastest {:>7} ms  {:>6} x".format(*lines[-1]))
    write_lines(RESULTS, ["job", "median_ms", "fastest_ms", "ratio_to_yardstick"], lines)


if __name__ == "__main__":
    main()
