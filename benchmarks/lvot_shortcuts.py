"""What tells and finds the outflow tract without looking at it: brightness, edges, the centre of the image.

xiqa simulate cardiac --count 300 --frames 2 --out lvot
python -m benchmarks.lvot_shortcuts lvot            # writes results/lvot_shortcuts.csv

Each row is a number of a slice (then the area under the ROC curve, 0.5: tells nothing; below 0.5: it tells in
the other direction) or a place in it (then the Pointing Game: within 15 of 224 pixels of the tract's box, and
on the tract itself), on the test split, with a 95 % interval by patient.
"""

import sys
from pathlib import Path

import numpy as np
from benchmarks.tables import write_lines
from scipy.ndimage import gaussian_filter, sobel

from xiqa.datasets.detect import read_dataset
from xiqa.datasets.sample import by_split
from xiqa.metrics.localisation.pointing_game import pointing_game
from xiqa.scoring.evaluation import auc_interval
from xiqa.scoring.intervals import statistic_interval

RESULTS = Path(__file__).parent / "results" / "lvot_shortcuts.csv"


def edges(pixels):
    return np.hypot(sobel(pixels, 0), sobel(pixels, 1))


def centre(pixels):
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    away = (rows - (pixels.shape[0] - 1) / 2) ** 2 + (columns - (pixels.shape[1] - 1) / 2) ** 2
    return -away


NUMBERS = {
    "mean intensity": np.mean,
    "contrast (standard deviation)": np.std,
    "mean intensity of the middle": lambda p: p[
        len(p) // 4 : -len(p) // 4, len(p) // 4 : -len(p) // 4
    ].mean(),
    "mean edge strength": lambda p: edges(p).mean(),
}
PLACES = {
    "centre of the image": centre,
    "brightest place (Gaussian, 4 px)": lambda p: gaussian_filter(p, 4),
    "strongest edges (Gaussian, 4 px)": lambda p: gaussian_filter(edges(p), 4),
}


def main():
    samples = by_split(read_dataset(Path(sys.argv[1])).samples, "test")
    images = [sample.read().pixels for sample in samples]
    labels = np.array([sample.label for sample in samples])
    patients = [sample.patient for sample in samples]
    rows = []
    for name, number in NUMBERS.items():
        values = np.array([number(pixels) for pixels in images])
        rows.append((name, "AUC", auc_interval(values, labels == 1, patients)))
    ways = {"PG box": {"tolerance": 15.0, "frame": "lvot", "shape": "box"}, "PG inside": {"tolerance": 0.0}}
    for name, place in PLACES.items():
        for label, options in ways.items():
            hits = np.array(
                [
                    pointing_game(place(pixels), sample.annotations, **options)
                    for pixels, sample in zip(images, samples, strict=True)
                ]
            )
            told = statistic_interval(lambda pick, v=hits: float(np.nanmean(v[pick])), patients)
            rows.append((name, label, told))
    lines = []
    for name, measure, interval in rows:
        count = len(samples) if measure == "AUC" else int(labels.sum())
        numbers = [f"{value:.3f}" for value in (interval.value, interval.low, interval.high)]
        lines.append([name, measure, *numbers, count, len(set(patients))])
    write_lines(RESULTS, ["shortcut", "measure", "value", "low", "high", "slices", "patients"], lines)
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
