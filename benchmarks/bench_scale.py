"""What a run of any length costs beside the networks: listing, the journal, going on, and Ray's rows.

    python -m benchmarks.bench_scale            # listing, journal, store
    python -m benchmarks.bench_scale --ray DIR  # Ray's rows against a local run's on a folder of images

Writes ``benchmarks/results/scale.csv``; each job is measured in a process of its own. Files that are listed
are empty, results are made by hand: no network takes part but with ``--ray``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.tables import told, write_rows
from benchmarks.timing import resident

RESULTS = Path(__file__).parent / "results" / "scale.csv"
SETTINGS = {"model_hash": "0123abcd", "method": "gradcam", "xiqa": "0.1.0"}


def listing(folder: Path, count: int) -> dict[str, float]:
    """Seconds to the first file, processor seconds for all, megabytes over what the process had."""
    from xiqa.imaging import iter_image_files

    for number in range(count):
        (folder / f"{number:07}.png").touch()
    before, start, busy = resident("VmRSS"), time.perf_counter(), time.process_time()
    stream = iter_image_files([folder], refused=[], skipped=Counter())
    next(stream)
    first = time.perf_counter() - start
    found = 1 + sum(1 for _ in stream)
    assert found == count
    return {"first": first, "cpu": time.process_time() - busy, "megabytes": resident("VmHWM") - before}


def journal(folder: Path, count: int) -> dict[str, float]:
    """Rows a second that come to the disk, and processor seconds to write the tables and to open it again."""
    from benchmarks.bench_report import results

    from xiqa.report.folder import ResultsFolder

    before, start = resident("VmRSS"), time.perf_counter()
    with ResultsFolder.open(folder, {}, page=False) as run:
        for result in results(count):
            run.add(result, None)
        run.commit()
        rate, busy = count / (time.perf_counter() - start), time.process_time()
        run.finish()
        finish = time.process_time() - busy
    peak, busy = resident("VmHWM") - before, time.process_time()
    with ResultsFolder.open(folder, {}, page=False) as run:
        assert len(run.journal) == count
    opened = time.process_time() - busy
    return {"rows_a_second": rate, "finish": finish, "open": opened, "megabytes": peak}


def store(folder: Path, count: int) -> dict[str, float]:
    """Processor seconds to know that all is done, from the rows in Parquet and the listing alone."""
    from benchmarks.bench_report import results

    from xiqa.engines.sources import Item
    from xiqa.engines.store import Store

    rows, made = Store(folder, SETTINGS), []
    for result in results(count):
        made.append((Item(result.file, 1, "1"), result))
        if len(made) == 64:
            rows.write([item for item, _ in made], made)
            made = []
    rows.write([item for item, _ in made], made)
    items = [Item(result.file, 1, "1") for result in results(count)]
    busy = time.process_time()
    assert not list(Store(folder, SETTINGS).fresh(items))
    return {"resume": time.process_time() - busy}


def ray(images: Path, out: Path) -> dict[str, float]:
    """How many rows of a run on Ray are those of a local run with one thread, bit for bit."""
    from xiqa.assessment import assess
    from xiqa.assessment.loading import load_runtime
    from xiqa.engines.ray import assess_on_ray
    from xiqa.engines.sources import items_of
    from xiqa.engines.store import Store
    from xiqa.engines.work import Asked

    runtime = load_runtime("cxr-foreign-objects", threads=1)
    items = list(items_of([str(images)], refused=[], skipped=Counter()))[:400]
    busy = time.process_time()
    found = assess(runtime, [item.uri for item in items], keep_maps=False)
    plain = time.process_time() - busy
    seconds: list[float] = []
    asked = Asked(
        "cxr-foreign-objects", "auto", "cpu", 1, None, 8, "all", 0.0, False, {**SETTINGS}, os.fspath(out)
    )
    start = time.perf_counter()
    assess_on_ray(items, asked, workers=2, on_done=lambda done: seconds.append(done.seconds))
    wall = time.perf_counter() - start
    rows = dict(Store(out, SETTINGS).rows())
    same = sum(rows.get(row.file) == row.disclosed() for row in found)
    return {"images": len(found), "same": same, "cpu_ratio": sum(seconds) / plain, "wall": wall}


JOBS = {"listing": listing, "journal": journal, "store": store}


def measured(job: str, count: int):
    """Rows of one job, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_scale", "--job", job, "--count", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for name, value in json.loads(done.stdout.splitlines()[-1]).items():
        yield {"job": job, "count": count, "measure": name, "value": round(value, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", type=Path)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--count", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.ray:
            print(json.dumps(ray(given.ray, Path(name))))
        elif given.job:
            print(json.dumps(JOBS[given.job](Path(name), given.count)))
        else:
            counts = {
                "listing": (1000, 10_000, 100_000),
                "journal": (1000, 10_000, 100_000),
                "store": (100_000,),
            }
            rows = [row for job in JOBS for count in counts[job] for row in told(measured(job, count))]
            write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
