"""What the page of a run costs: making it, its size, and opening it in a browser.

Results are made by hand: every image has a verdict of its own, three places, and a noisy picture of 1024
pixels, which is harder to compress than a radiograph. `finish` reads the journal and writes `results.json`,
`results.csv` and `report.html` in a process of its own; its seconds are the processor's, its memory the most
that was resident. `opens` is the wall time in a fresh Chromium window until the first thumbnail is painted.

    python -m benchmarks.bench_report [--counts 1000,10000]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.tables import told, write_rows
from PIL import Image as Pillow

from xiqa.errors import Code
from xiqa.geometry import Box, Point
from xiqa.report.encoding import jpeg
from xiqa.report.journal import Entry
from xiqa.types import Assessment, Finding, Verdict

RESULTS = Path(__file__).parent / "results" / "report.csv"
SETTINGS = {"model_hash": "0" * 64, "method": "gradcam", "xiqa": "0"}
FINISH = """
import resource, sys, time
from pathlib import Path
from xiqa.report.folder import ResultsFolder
start = time.process_time()
with ResultsFolder.open(Path(sys.argv[1]), {}) as folder:
    folder.finish()
print(time.process_time() - start)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def results(count: int):
    """As many results as asked for, in a ward's mixture."""
    rng = np.random.default_rng(0)
    for number, probability in enumerate(rng.beta(0.3, 0.6, count)):
        places = tuple(
            Finding(Point(x, y), Box(x - 20, y - 20, x + 20, y + 20), score)
            for (x, y), score in zip(rng.uniform(100, 1900, (3, 2)).round(2), (1.0, 0.6, 0.3), strict=True)
        )
        poor, near = probability >= 0.4, 0.25 < probability < 0.6
        verdict = Verdict.REVIEW if near else Verdict.REACQUIRE if poor else Verdict.ACCEPT
        code = Code.REVIEW_BAND if near else Code.POOR if poor else Code.GOOD
        yield Assessment(
            f"/ward/study-{number // 4:05}/image-{number:06}.dcm",
            verdict,
            f"poor quality (foreign) is likely: {100 * probability:.2g} %, limit 40 %",
            code,
            probability=float(probability),
            threshold=0.4,
            findings=places,
            provenance={**SETTINGS, "model": "bench", "target": "foreign", "review_band": [0.25, 0.6]},
            image_size=(2048, 2048),
        )


def fill(folder: Path, count: int) -> None:
    """A folder as a run leaves it before it is finished; all images share a handful of pictures."""
    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(8):
        smooth = np.asarray(Pillow.effect_noise((64, 64), 60).resize((1024, 1024), Pillow.Resampling.BICUBIC))
        grain = rng.normal(0, 4, smooth.shape)
        picture = Pillow.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
        (folder / "pictures" / f"{number}.image.jpg").write_bytes(jpeg(picture))
        (folder / "pictures" / f"{number}.map.jpg").write_bytes(jpeg(picture.resize((192, 192)), 90))
    with (folder / "results.jsonl").open("w") as journal:
        for number, result in enumerate(results(count)):
            entry = Entry(result.file, result, str(number % 8))
            journal.write(json.dumps(entry.to_dict()) + "\n")


def finish(folder: Path) -> tuple[float, float]:
    """Processor seconds and the most megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", FINISH, str(folder)], check=True, capture_output=True, text=True
    )
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) / 1024


def opens(page: Path) -> float:
    """Wall seconds from the address to the first painted thumbnail."""
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        window = browser.new_page()
        window.goto("data:text/html,ready", timeout=120_000)  # the browser itself has started
        start = time.perf_counter()
        window.goto(page.as_uri(), timeout=120_000)
        window.wait_for_selector("canvas[data-ready]", timeout=120_000)
        taken = time.perf_counter() - start
        browser.close()
    return taken


def measure(counts: list[int]):
    """A row for each number of images."""
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "out"
            fill(folder, count)
            seconds, megabytes = finish(folder)
            page = folder / "report.html"
            yield {
                "images": count,
                "finish_seconds": round(seconds, 2),
                "finish_megabytes": round(megabytes),
                "page_megabytes": round(page.stat().st_size / 1e6, 1),
                "opens_seconds": round(opens(page), 2),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="10,1000,10000")
    counts = [int(count) for count in parser.parse_args().counts.split(",")]
    write_rows(RESULTS, list(told(measure(counts))))


if __name__ == "__main__":
    main()
