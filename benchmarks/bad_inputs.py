"""What each bad input gives, its time and its memory: a CSV and the table of the documentation.

python -m benchmarks.bad_inputs            # writes results/bad_inputs.csv and docs/bad_inputs.md
python -m benchmarks.bad_inputs --json     # prints one JSON object a line, writes nothing
"""

import json
import logging
import resource
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.processes import children, cpu_seconds, status
from benchmarks.tables import write_rows
from tests.imaging.bad_inputs import BAD_INPUTS, BadInput
from tests.imaging.dicom_files import compress, dataset, radiograph, save, write

from xiqa.errors import ImageReadError
from xiqa.imaging import image_files, read_image

ROOT = Path(__file__).resolve().parent.parent

INTRODUCTION = """\
# Bad inputs

What reading each of these files gives: a typed error with a stable `code`, or the image where the file can be
read all the same. Time is processor time, memory the peak over what was there before, both of the reading and
the decoding process together, in a process that has read good files already. Regenerate the table with
`python -m benchmarks.bad_inputs`.

| input | gives | seconds | MB |
|---|---|---:|---:|
"""


@dataclass
class Row:
    key: str
    what: str
    expected: str
    code: str
    message: str
    seconds: float
    wall_seconds: float
    megabytes: float


def measure(case: BadInput, path: Path) -> Row:
    """Read one bad input."""
    before = {}
    for process in ["self", *children()]:
        Path(f"/proc/{process}/clear_refs").write_text("5")  # forget the peak so far
        before[process] = status(process, "VmRSS")
    reaped = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start, start_wall = cpu_seconds(), time.perf_counter()
    code, message = "read", ""
    try:
        for file in image_files(path):
            image = read_image(file)
            message = "; ".join((f"{image.height} x {image.width}", *image.source.notes))
    except ImageReadError as error:
        code, message = error.code, str(error).partition(f"{path.name}: ")[2] or "refused"
    seconds, wall = cpu_seconds() - start, time.perf_counter() - start_wall
    megabytes = sum(status(p, "VmHWM") - before.get(p, 0) for p in ["self", *children()])
    dead = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if dead > reaped:
        megabytes += dead / 1024
    return Row(
        case.key, case.what, case.code, code, message, round(seconds, 2), round(wall, 2), round(megabytes, 1)
    )


def measure_all() -> list[Row]:
    """All bad inputs, after some good files that load every library."""
    warnings.simplefilter("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        read_image(write(root / "good.dcm", radiograph(), BitsStored=12))
        for syntax in ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"):
            read_image(save(compress(dataset(radiograph(), BitsStored=12), syntax), root / "good.dcm"))
        np.save(root / "good.npy", radiograph(bits=8))
        read_image(root / "good.npy")
        cases = [(case, case.build(root / case.key)) for case in BAD_INPUTS]
        return [measure(case, path) for case, path in cases]


def main() -> None:
    rows = measure_all()
    if "--json" in sys.argv:
        for row in rows:
            print(json.dumps(asdict(row)))
        return
    write_rows(ROOT / "benchmarks" / "results" / "bad_inputs.csv", [asdict(row) for row in rows])
    lines = []
    for row in rows:
        gives = "the image" if row.code == "read" else f"`{row.code}`"
        message = row.message.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
        lines.append(f"| {row.what} | {gives}: {message} | {row.seconds:.2f} | {row.megabytes:.0f} |")
    (ROOT / "docs" / "bad_inputs.md").write_text(INTRODUCTION + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
