"""Tables of long rows: each cell with its interval by patient, compared with a reference where one is named.

Films that a measure is not defined on are left out of its mean. Several seeds of one cell are averaged film
by film first, so that a film counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xiqa.errors import ConfigError, MetricError
from xiqa.experiments.recipe import Experiment, TableSpec
from xiqa.experiments.stats import (
    Interval,
    bootstrap_means,
    holm,
    mean_intervals,
    p_value,
    paired_differences,
    statistic_draws,
)
from xiqa.metrics import get_metric

__all__ = ["SIGNIFICANT", "STATISTICS", "VERDICTS", "Cell", "ResultTable", "chosen_rows", "make_table"]

Floats = NDArray[np.float64]
Scored = tuple[Floats, Floats]  # values of films, and which of them are positive
Name = tuple[str, ...]

SIGNIFICANT = 0.05
FEWEST = 6  # patients of a test: with fewer, no choice of signs has a chance below 0.05
SET_RESAMPLES = 2000  # of statistics that are not means

VERDICTS: Mapping[str, bool] = {
    "probability": True,
    "accuracy": True,
    "sensitivity": True,
    "specificity": True,
}
"""Measures of a network's verdict, and whether higher is better."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table.

    Attributes:
        interval: The mean with its 95 % interval.
        difference: From the reference, on the same films; None without one.
        p: Two-sided p-value of no difference, Holm-corrected within the column.
        better: Whether the difference is to the better; None where the measure has no direction.
    """

    interval: Interval
    difference: Interval | None = None
    p: float = nan
    better: bool | None = None

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return not isnan(self.p) and self.p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table ready to be written.

    Attributes:
        name: File name.
        title: What it shows.
        keys: What the row names are.
        rows: Names of the rows.
        columns: Names of the columns.
        cells: By row and column; absent where nothing was measured.
        notes: What a reader must know.
    """

    name: str
    title: str
    keys: Name
    rows: list[Name]
    columns: list[Name]
    cells: dict[tuple[Name, Name], Cell]
    notes: tuple[str, ...] = ()


def auc(scores: Floats, labels: Floats) -> float:
    """Probability that a poor film scores above a good one, ties counted half."""
    positive, negative = scores[labels == 1], np.sort(scores[labels != 1])
    if not len(positive) or not len(negative):
        return nan
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def precision(called: Floats, labels: Floats) -> float:
    """Share of the films called so that are so; 0 where none is called so."""
    return float((called * labels).sum() / max(called.sum(), 1))


def recall(called: Floats, labels: Floats) -> float:
    """Share of the films that are so that are called so."""
    return float((called * labels).sum() / labels.sum()) if labels.any() else nan


def f1(called: Floats, labels: Floats) -> float:
    """Harmonic mean of precision and recall."""
    return float(2 * (called * labels).sum() / (called.sum() + labels.sum())) if labels.any() else nan


STATISTICS: Mapping[str, tuple[str, Callable[[Floats, Floats], float]]] = {
    "AUC": ("probability", auc),
    "precision": ("called", precision),
    "recall": ("called", recall),
    "F1": ("called", f1),
}
"""Measures of a whole set: the films' measure that each is made from, and the function of it and of labels:
1 for the films of the class that the rows are about, or else for the poor ones."""


def make_table(rows: pd.DataFrame, spec: TableSpec, experiment: Experiment) -> ResultTable:
    """Lay rows out as a table.

    Args:
        rows: Long rows.
        spec: The table.
        experiment: For directions, the seed and the number of resamples.

    Raises:
        ConfigError: Nothing was measured of what the table shows.
    """
    measured = chosen_rows(with_scenarios(rows), spec.where)
    about_classes = "class" in (*spec.rows, *spec.columns)
    measured = measured[measured["x"].isna() & ((measured["class"] != "") == about_classes)]
    films = measured.groupby("image", sort=False)[["patient", "label", "group"]].first()
    order = films.index
    found: dict[tuple[Name, Name, str], Floats] = {}
    keys = [*spec.rows, *(key for key in spec.columns if key != "metric"), "metric"]
    for names, group in measured.groupby(keys, sort=False, observed=True):
        named = dict(zip(keys, map(str, names), strict=True))
        row = tuple(named[key] for key in spec.rows)
        values = group.groupby("image", sort=False)["value"].mean().reindex(order).to_numpy(dtype=float)
        for label in (named["metric"], *(n for n, (of, _) in STATISTICS.items() if of == named["metric"])):
            if spec.metrics and label not in spec.metrics:
                continue
            column = tuple(label if key == "metric" else named[key] for key in spec.columns)
            found[row, column, label] = values
    found = {key: values for key, values in found.items() if np.isfinite(values).any()}
    if not found:
        raise ConfigError(
            f"nothing was measured for the table {spec.name}", todo="look at its metrics and where"
        )
    layout = _Layout(spec, experiment, films, found)
    return layout.table()


def with_scenarios(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the parts of their scenario's name (``one-small-lung``); empty where there is none."""
    named = rows["group"].str.extract(r"^(?P<count>[a-z]+)(?:-(?P<size>small|large)-(?P<place>[a-z]+.*))?$")
    return rows.assign(**{key: named[key].fillna("") for key in named.columns})


def chosen_rows(rows: pd.DataFrame, where: Mapping[Any, Sequence[str]]) -> pd.DataFrame:
    """The rows with one of the named values, by key; controls have no state and pass its choice."""
    for key, values in where.items():
        kept = rows[key].astype(str).isin(list(values))
        if key == "state":
            kept |= rows[key] == "control"
        rows = rows[kept]
    return rows


def direction(label: str, experiment: Experiment) -> bool | None:
    """Whether higher is better of a measure by its label."""
    if label in STATISTICS:
        return True
    if label in VERDICTS:
        return VERDICTS[label]
    for measure in experiment.measures:
        if measure.name == label:
            try:
                return get_metric(measure.metric).higher_is_better
            except MetricError:
                return None
    return None


@dataclass(eq=False)
class _Layout:
    """The parts of one table while it is made."""

    spec: TableSpec
    experiment: Experiment
    films: pd.DataFrame
    found: dict[tuple[Name, Name, str], Floats]

    @property
    def patients(self) -> list[str]:
        return [str(one) for one in self.films["patient"]]

    def table(self) -> ResultTable:
        labels = list(dict.fromkeys(label for _, _, label in self.found))
        wanted = [label for label in self.spec.metrics if label in labels] or labels
        cells: dict[tuple[Name, Name], Cell] = {}
        for label in wanted:
            cells |= self._cells(label)
            if self.spec.consistency:
                cells |= self._consistency(label)
        rows = list(dict.fromkeys(row for row, _, _ in self.found))
        rows = [one for one in rows if any((one, column) in cells for _, column in cells)]
        columns = list(dict.fromkeys(column for _, column in cells))
        place = self.spec.columns.index("metric") if "metric" in self.spec.columns else None
        if place is not None:
            columns.sort(key=lambda column: wanted.index(column[place].removesuffix(CONSISTENT)))
        return ResultTable(
            self.spec.name, self.spec.title, self.spec.rows, rows, columns, cells, tuple(self._notes())
        )

    def _notes(self) -> list[str]:
        patients = len(set(self.patients))
        notes = [
            f"{len(self.films)} films of {patients} patients; 95 % bootstrap intervals by patient"
            " (a cell may rest on fewer films: those its measure is defined on)."
        ]
        if self.spec.reference:
            told = ", ".join(f"{key} = {value}" for key, value in self.spec.reference.items())
            notes.append(
                f"No test below {FEWEST} patients."
                if patients < FEWEST
                else f"Compared on the same films with {told}: ▲ better, ▼ worse, ◆ different"
                " (p < 0.05 after Holm's correction over each measure's comparisons)."
            )
        return notes

    def _cells(self, label: str) -> dict[tuple[Name, Name], Cell]:
        mine = {(row, column): values for (row, column, one), values in self.found.items() if one == label}
        names = {"\x1f".join((*row, "\x1e", *column)): (row, column) for row, column in mine}
        scores = {name: mine[key] for name, key in names.items()}
        pairs = [(name, other) for name, key in names.items() if (other := self._counterpart(key, names))]
        truths = {name: self._truth(key) for name, key in names.items()}
        intervals = self._intervals(label, scores, truths)
        differences = self._differences(label, scores, truths, pairs)
        higher = direction(label, self.experiment)
        cells = {}
        others = dict(pairs)
        for name, key in names.items():
            interval, (difference, p) = intervals[name], differences.get(name, (None, nan))
            if self._shown(scores[name]) < 2:
                interval = replace(interval, low=nan, high=nan)
            if difference is not None and self._shown(scores[name] - scores[others[name]]) < FEWEST:
                p = nan
            better = None if difference is None or higher is None else (difference.value > 0) == higher
            cells[key] = Cell(interval, difference, p, better)
        return cells

    def _shown(self, values: Floats) -> int:
        """How many patients a value rests on."""
        return int(self.films["patient"][np.isfinite(values)].nunique())

    def _counterpart(self, key: tuple[Name, Name], names: Mapping[str, tuple[Name, Name]]) -> str | None:
        """The name of the cell that a cell is compared with."""
        if not self.spec.reference:
            return None
        row, column = (
            tuple(self.spec.reference.get(what, value) for what, value in zip(keys, values, strict=True))
            for keys, values in ((self.spec.rows, key[0]), (self.spec.columns, key[1]))
        )
        other = "\x1f".join((*row, "\x1e", *column))
        return other if (row, column) != key and other in names else None

    def _truth(self, key: tuple[Name, Name]) -> Floats:
        """1 for the films that a statistic of a cell counts as positive, 0 for the others."""
        named = dict(zip((*self.spec.rows, *self.spec.columns), (*key[0], *key[1]), strict=True))
        films = self.films
        positive = films["group"] == named["class"] if "class" in named else films["label"] == 1
        return np.asarray(positive, dtype=np.float64)

    def _intervals(
        self, label: str, scores: Mapping[str, Floats], truths: Mapping[str, Floats]
    ) -> dict[str, Interval]:
        if label not in STATISTICS:
            return mean_intervals(
                scores, self.patients, resamples=self.experiment.resamples, seed=self.experiment.seed
            )
        return {name: self._statistic(label, [(values, truths[name])]) for name, values in scores.items()}

    def _differences(
        self,
        label: str,
        scores: Mapping[str, Floats],
        truths: Mapping[str, Floats],
        pairs: list[tuple[str, str]],
    ) -> dict[str, tuple[Interval, float]]:
        if not pairs:
            return {}
        if label not in STATISTICS:
            found = paired_differences(
                scores,
                self.patients,
                pairs=pairs,
                resamples=self.experiment.resamples,
                seed=self.experiment.seed,
            )
            return {one.first: (one.mean, one.p_holm) for one in found}
        both = [[(scores[name], truths[name]) for name in pair] for pair in pairs]
        intervals = [self._statistic(label, columns) for columns in both]
        p = [
            p_value(interval.value, self._draws(label, columns))
            for columns, interval in zip(both, intervals, strict=True)
        ]
        return {
            first: (interval, corrected)
            for (first, _), interval, corrected in zip(pairs, intervals, holm(p), strict=True)
        }

    def _value(self, label: str, columns: list[Scored], pick: NDArray[np.intp]) -> float:
        """The statistic of one column, or of the first less that of the second."""
        values = []
        for scores, truth in columns:
            known = pick[np.isfinite(scores[pick])]
            values.append(STATISTICS[label][1](scores[known], truth[known]))
        return values[0] - values[1] if len(values) == 2 else values[0]

    def _draws(self, label: str, columns: list[Scored]) -> Floats:
        return statistic_draws(
            lambda pick: self._value(label, columns, pick),
            self.patients,
            resamples=min(SET_RESAMPLES, self.experiment.resamples),
            seed=self.experiment.seed,
        )

    def _statistic(self, label: str, columns: list[Scored]) -> Interval:
        whole = self._value(label, columns, np.arange(len(self.films)))
        low, high = np.nanquantile(self._draws(label, columns), [0.025, 0.975])
        return Interval(whole, float(low), float(high), int(np.isfinite(columns[0][0]).sum()))

    def _consistency(self, label: str) -> dict[tuple[Name, Name], Cell]:
        """The difference of means over the values of one key, with its interval by patient."""
        across = self.spec.consistency
        if across not in self.spec.columns or label in STATISTICS:
            raise ConfigError("consistency is over a key of the columns, of a mean", got=f"{across}, {label}")
        place = self.spec.columns.index(across)
        groups: dict[tuple[Name, Name], list[Floats]] = {}
        for (row, column, one), values in self.found.items():
            if one == label:
                rest = tuple(
                    f"{value}{CONSISTENT}" if key == "metric" else value
                    for number, (key, value) in enumerate(zip(self.spec.columns, column, strict=True))
                    if number != place
                )
                groups.setdefault((row, (*rest[:place], "DoM", *rest[place:])), []).append(values)
        cells = {}
        for key, columns in groups.items():
            if len(columns) > 1:
                table = np.stack(columns, axis=1)
                draws = bootstrap_means(
                    table, self.patients, resamples=self.experiment.resamples, seed=self.experiment.seed
                )
                low, high = np.nanquantile(_mean_gap(draws), [0.025, 0.975])
                whole = _mean_gap(np.nanmean(table, axis=0)[None])[0]
                cells[key] = Cell(Interval(float(whole), float(low), float(high), len(table)))
        return cells


CONSISTENT = " consistency"


def _mean_gap(means: Floats) -> Floats:
    """Mean absolute difference over all pairs of columns, of ``(draws, columns)``."""
    gaps = [
        np.abs(means[:, i] - means[:, j]) for i in range(means.shape[1]) for j in range(i + 1, means.shape[1])
    ]
    return np.asarray(np.mean(gaps, axis=0))


def bounds_of(table: ResultTable) -> tuple[float, float]:
    """Smallest and largest end of all intervals."""
    low = min((cell.interval.low for cell in table.cells.values()), default=inf)
    return low, max((cell.interval.high for cell in table.cells.values()), default=-inf)
