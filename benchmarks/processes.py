"""Processor time and memory of this process and of the decoding processes it has started."""

import resource
import time
from pathlib import Path

__all__ = ["children", "cpu_seconds", "status"]


def children() -> list[str]:
    """Process ids of the living children."""
    return Path("/proc/thread-self/children").read_text().split()


def cpu_seconds() -> float:
    """Processor seconds of this process and its children, the dead ones too."""
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for child in children():
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / 100 + dead.ru_utime + dead.ru_stime


def status(process: str, field: str) -> float:
    """A line of /proc/PROCESS/status, in megabytes."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0]) / 1024
