"""Simulated images keep within the statistics of real ones.

For each image: quantiles of its grey values, and the power of its spectrum in octaves of spatial frequency.
Of the real radiographs only the 5th, 50th and 95th percentile of each statistic are kept, in
``real_radiograph_bands.json``; ``python tests/simulation/test_chest_realism.py FOLDER`` computes them anew.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.simulation.chest import simulate_chest

BANDS = Path(__file__).with_name("real_radiograph_bands.json")
EDGE = 600
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
OCTAVES = 2.0 ** np.arange(-8, 0)  # cycles a pixel: from 256 to 2 pixels a period
NAMES = [f"grey quantile {q:g}" for q in QUANTILES]
NAMES += [f"log10 power, {1 / high:g} to {1 / low:g} px" for low, high in pairwise(OCTAVES)]
IMAGES = 60


def statistics(pixels):
    """Grey quantiles, and the logarithm of the Hann-windowed periodogram's mean in each octave."""
    window = np.hanning(EDGE)[:, None] * np.hanning(EDGE)[None, :]
    power = np.abs(np.fft.rfft2((pixels - pixels.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(EDGE)[:, None], np.fft.rfftfreq(EDGE)[None, :])
    octave = np.digitize(frequency, OCTAVES) - 1
    means = [power[octave == k].mean() for k in range(len(OCTAVES) - 1)]
    return np.concatenate([np.quantile(pixels, QUANTILES), np.log10(means)])


def real_statistics(folder):
    """Statistics of every second training image."""
    lines = (folder / "images.csv").read_text().splitlines()[1:]
    names = [line.split(",")[0] for line in lines if line.split(",")[2] == "train"][::2]
    radiographs = (Pillow.open(folder / "images" / name).convert("L").resize((EDGE, EDGE)) for name in names)
    return np.array([statistics(np.asarray(radiograph, np.float64) / 255) for radiograph in radiographs])


def percentiles(table):
    rows = np.percentile(table, (5, 50, 95), axis=0).T
    return {name: [round(float(value), 4) for value in row] for name, row in zip(NAMES, rows, strict=True)}


@pytest.fixture(scope="module")
def simulated():
    return np.array([statistics(simulate_chest(seed).image.pixels) for seed in range(9000, 9000 + IMAGES)])


@pytest.mark.long
def test_simulated_images_lie_in_the_bands_of_real_ones(simulated):
    """The middle half of the simulated images lies inside, for every statistic; and most images do."""
    bands = np.array([json.loads(BANDS.read_text())[name] for name in NAMES])
    low, high = np.quantile(simulated, (0.25, 0.75), axis=0)
    outside = [
        f"{name}: {a:.3g} to {b:.3g} not in {band[0]:.3g} to {band[2]:.3g}"
        for name, a, b, band in zip(NAMES, low, high, bands, strict=True)
        if a < band[0] or b > band[2]
    ]
    assert not outside
    inside = (simulated >= bands[:, 0]) & (simulated <= bands[:, 2])
    assert inside.mean() > 0.8


def test_noise_and_a_flat_image_are_told_apart():
    """The comparison can fail: white noise and a smooth disc leave the bands."""
    bands = np.array([json.loads(BANDS.read_text())[name] for name in NAMES])
    y, x = np.mgrid[-1 : 1 : EDGE * 1j, -1 : 1 : EDGE * 1j]
    for pixels in (np.random.default_rng(0).random((EDGE, EDGE)), np.exp(-(x**2) - y**2)):
        found = statistics(pixels)
        assert ((found < bands[:, 0]) | (found > bands[:, 2])).mean() > 0.3


@pytest.mark.realdata
@pytest.mark.long
def test_bands_are_those_of_the_real_images(real_images):
    bands = json.loads(BANDS.read_text())
    for name, values in percentiles(real_statistics(real_images)).items():
        assert values == pytest.approx(bands[name], abs=0.02), name


if __name__ == "__main__":
    BANDS.write_text(json.dumps(percentiles(real_statistics(Path(sys.argv[1]))), indent=1) + "\n")
