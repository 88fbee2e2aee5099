"""What the DICOM results of an image cost beside its assessment, and how large they are.

Processor seconds, medians of alternated runs in one process, files in memory: one object alone, and the four
that `xiqa assess --dicom-results sc,sr,pr,ko` makes together, of a simulated radiograph with findings. The
source is read already, as it is after an assessment; encoding is part of the work. `assess` is the
assessment of the same image, from pixels to findings, with the shipped model. `megabytes` are of the object
as a file.

    python -m benchmarks.bench_dicom_results [--rounds 9] [--sizes 512,1024,2500]
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import io
import tempfile
from pathlib import Path

from benchmarks.tables import told, write_rows
from benchmarks.timing import alternate
from pydicom import dcmread, dcmwrite

import xiqa
from xiqa.dicom import results
from xiqa.dicom.kinds import DEFAULT
from xiqa.process import keep_freed_memory
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.dx import write_dx

RESULTS = Path(__file__).parent / "results" / "dicom_results.csv"
KINDS = (*DEFAULT, "seg")


def encoded(objects) -> list[bytes]:
    """The objects as files."""
    files = []
    for ds in objects.values():
        buffer = io.BytesIO()
        dcmwrite(buffer, ds, enforce_file_format=True)
        files.append(buffer.getvalue())
    return files


def measure(model, side: int, rounds: int, folder: Path):
    """Rows of one size."""
    path = folder / f"{side}.dcm"
    write_dx(simulate_chest(seed=101, size=(side, side)), path)
    image, ds = xiqa.read_image(path), dcmread(path)
    (assessment,) = xiqa.assess(model, image)

    def make(*kinds):
        return encoded(results(assessment, ds, kinds=kinds, image=image))

    jobs = {kind: lambda kind=kind: make(kind) for kind in KINDS}
    jobs |= {",".join(DEFAULT): lambda: make(*DEFAULT), "assess": lambda: xiqa.assess(model, image)}
    seconds = alternate(jobs, rounds)
    for name in jobs:
        sizes = [len(file) for file in make(*name.split(","))] if name != "assess" else []
        yield {
            "pixels": f"{side}x{side}",
            "verdict": assessment.verdict.value,
            "findings": len(assessment.findings),
            "job": name,
            "cpu_seconds": f"{seconds[name]:.4f}",
            "over_assess": f"{seconds[name] / seconds['assess']:.3f}",
            "megabytes": f"{sum(sizes) / 1e6:.4f}" if sizes else "",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", default="512,1024,2500")
    arguments = parser.parse_args()
    keep_freed_memory()
    model = xiqa.load_model()
    with tempfile.TemporaryDirectory() as name:
        rows = [
            row
            for side in map(int, arguments.sizes.split(","))
            for row in told(measure(model, side, arguments.rounds, Path(name)))
        ]
    write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
