"""How many images a site needs to calibrate a bundle, and how often `xiqa models monitor` raises an alarm.

::

    python studies/site_images.py

Both simulated: images' true log-odds of being poor lie as the shipped model's do on validation images (normal
around -3.5 and 4), and the model's own are another site's (three quarters as steep, 0.8 too high). Takes
about two CPU minutes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from xiqa.scoring.drift import drift_from
from xiqa.scoring.site import fit_site

SLOPE, SHIFT = 4 / 3, -1.07  # what brings the site's log-odds back to the true ones
RUNS = 300


def draw(rng: np.random.Generator, images: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """True log-odds and outcomes: of a class's scores, so that the log-odds are what they say."""
    high = rng.random(images) < share
    true = np.where(high, rng.normal(4, 2, images), rng.normal(-3.5, 1.5, images))
    return true, rng.random(images) < expit(true)


def calibration(bad: int, fine: int, sensitivity: float = 0.9) -> list[float]:
    """Errors of the probabilities before and after, and sensitivity and specificity of the threshold."""
    rng, rows = np.random.default_rng(bad), []
    true_all, poor_all = draw(rng, 200_000, bad / (bad + fine))
    places = np.flatnonzero(poor_all), np.flatnonzero(~poor_all)
    for _ in range(RUNS):
        chosen = np.concatenate((rng.choice(places[0], bad), rng.choice(places[1], fine)))
        patients = [str(number) for number in range(bad + fine)]
        seen = (true_all - SHIFT) / SLOPE
        fit = fit_site(seen[chosen], poor_all[chosen], patients, sensitivity=sensitivity)
        called = fit.apply(seen) >= fit.threshold
        rows.append(
            (
                np.abs(expit(seen) - expit(true_all)).mean(),
                np.abs(expit(fit.apply(seen)) - expit(true_all)).mean(),
                called[poor_all].mean(),
                called[poor_all].mean() < sensitivity,
                (~called[~poor_all]).mean(),
            )
        )
    return np.mean(rows, axis=0).tolist()


def alarms(images: int, shift: float, reference: int = 100) -> float:
    """How often results are told to have moved by ``shift`` of the log-odds; 1 in 20 of them are poor."""
    count = 0
    for seed in range(RUNS):
        rng = np.random.default_rng((seed, images))
        good, poor = rng.normal(-3.5, 1.5, reference), rng.normal(4, 2, reference // 2)
        high = rng.random(images) < 0.05
        site = np.where(high, rng.normal(4, 2, images), rng.normal(-3.5, 1.5, images)) + shift
        count += drift_from(site, good, poor, "probability", level=0.01, draws=199, seed=seed).moved
    return count / RUNS


def main() -> None:
    """Print both tables."""
    print("poor good  error before  after  sensitivity  below 0.9  specificity")
    for bad, fine in ((29, 59), (60, 60), (120, 120), (240, 240)):
        print(f"{bad:4d} {fine:4d}  " + "  ".join(f"{value:.3f}" for value in calibration(bad, fine)))
    print("images  alarms at a shift of 0 / 0.5 / 1 / 2")
    for images in (30, 100, 300, 1000):
        print(f"{images:6d}  " + "  ".join(f"{alarms(images, shift):.3f}" for shift in (0, 0.5, 1, 2)))


if __name__ == "__main__":
    main()
