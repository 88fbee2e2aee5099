"""Comparing jobs fairly on a machine that others use too: processor seconds, alternated, medians."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["alternate", "peak_megabytes", "resident"]


def alternate(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU-seconds (all threads) of each job; they take turns, and a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_megabytes(module: str, job: str, size: int) -> float:
    """Memory that a job takes at its peak over what its process had before, in a process of its own.

    ``python -m module --memory job --size size`` prints ``MB`` and a number, when all is loaded and after it.
    """
    command = [sys.executable, "-m", module, "--memory", job, "--size", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = (float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("MB"))
    return after - before


def resident(field: str) -> float:
    """A line of /proc/self/status in megabytes: ``VmRSS`` is what is held now, ``VmHWM`` the most so far."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0]) / 1024
