"""How often tests of paired differences reject a true null at 5 %, by the number of patients.

python -m studies.paired_tests            # writes studies/results/paired_tests.csv; some CPU minutes

Two methods that are interchangeable on every patient are compared on few patients with one to three images
each. A test holds its level where it rejects in 5 % of such data sets at the most. Beside the exchange of
signs that `xiqa.scoring.differences` makes: the bootstrap of patients (how often a resampled mean is as far
from the observed one as that is from zero) and Student's t-test of the patients' means. Power is the share of
rejections where the first method is better by one standard deviation of the patients' differences.
"""

from pathlib import Path

import numpy as np
from benchmarks.tables import write_rows
from scipy import stats

from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.differences import sign_flip_p

RESULTS = Path(__file__).parent / "results" / "paired_tests.csv"
PATIENTS = (6, 8, 10, 12, 15, 30)
SETS = 4000
LEVEL = 0.05
WITHIN = 0.3  # spread of a patient's images around the patient's difference


def differences(rng, noise, names, patients):
    """One data set under the null: ``(images,)``."""
    if noise == "hits":  # one method hits and the other does not, on few images
        return rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=len(names))
    own = rng.standard_t(3, patients) / 3**0.5 if noise == "heavy tails" else rng.normal(size=patients)
    if noise == "unequal spread":
        own *= np.linspace(0.2, 2.5, patients)
    return own[names] + WITHIN * rng.normal(size=len(names))


def bootstrap_p(table, patients):
    draws = bootstrap_means(table, patients, resamples=1000)
    observed = table.mean(axis=0)
    far = np.abs(draws - observed) >= np.abs(observed) - 1e-12
    return (1 + far.sum(axis=0)) / (1 + len(draws))


def t_p(table, names, patients):
    means = np.stack([table[names == patient].mean(axis=0) for patient in range(patients)])
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(stats.ttest_1samp(means, 0).pvalue, nan=1.0)


def rejections(table, names, patients):
    texts = [str(name) for name in names]
    return {
        "exchange of signs": np.mean(np.array(sign_flip_p(table, texts, resamples=2000)) < LEVEL),
        "bootstrap of patients": np.mean(bootstrap_p(table, texts) < LEVEL),
        "t-test of patients": np.mean(t_p(table, names, patients) < LEVEL),
    }


def main():
    rows = []
    for noise in ("normal", "heavy tails", "unequal spread", "hits"):
        for patients in PATIENTS:
            rng = np.random.default_rng([patients, len(noise)])
            names = np.repeat(np.arange(patients), 1 + np.arange(patients) % 3)
            table = np.stack([differences(rng, noise, names, patients) for _ in range(SETS)], axis=1)
            null, real = rejections(table, names, patients), rejections(table + 1.0, names, patients)
            rows += [
                {"noise": noise, "patients": patients, "test": test, "rejects a true null": f"{share:.3f}",
                 "power": f"{real[test]:.3f}"}
                for test, share in null.items()
            ]  # fmt: skip
            print(noise, patients, {test: round(float(share), 3) for test, share in null.items()}, flush=True)
    write_rows(RESULTS, rows)


if __name__ == "__main__":
    main()
