"""Tables of long rows: each cell with its interval by patient, compared with a reference where one is named.

Images that a measure is not defined on are left out of its mean. Several seeds of one cell are averaged image
by image first, so that an image counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xiqa.errors import ConfigError
from xiqa.experiments.measures import STATISTICS, bounds_of, direction_of
from xiqa.experiments.recipe import Experiment, TableSpec
from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.differences import FEWEST, exchange_p, holm, mean_intervals, paired_differences
from xiqa.scoring.intervals import Interval, independent_pairs, interval_of, statistic_interval

__all__ = ["SIGNIFICANT", "Cell", "Name", "ResultTable", "chosen_rows", "make_table"]

Floats = NDArray[np.float64]
Scored = tuple[Floats, Floats]  # values of images, and which of them are positive
Name = tuple[str, ...]

SIGNIFICANT = 0.05
SET_RESAMPLES = 2000  # of statistics that are not means


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table.

    Attributes:
        interval: The mean with its 95 % interval.
        difference: From the reference, on the same images; None without one.
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
        images: How many images it is about; a cell may rest on fewer.
        cells: By row and column; absent where nothing was measured.
        notes: What a reader must know.
    """

    name: str
    title: str
    keys: Name
    rows: list[Name]
    columns: list[Name]
    images: int
    cells: dict[tuple[Name, Name], Cell]
    notes: tuple[str, ...] = ()


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
    images = measured.groupby("image", sort=False)[["patient", "label", "group"]].first()
    order = images.index
    cells: dict[tuple[Name, Name, str], Floats] = {}
    keys = [*spec.rows, *(key for key in spec.columns if key != "metric"), "metric"]
    for names, group in measured.groupby(keys, sort=False, observed=True):
        named = dict(zip(keys, map(str, names), strict=True))
        row = tuple(named[key] for key in spec.rows)
        values = group.groupby("image", sort=False)["value"].mean().reindex(order).to_numpy(dtype=float)
        for label in (
            named["metric"],
            *(name for name, statistic in STATISTICS.items() if statistic.of == named["metric"]),
        ):
            if spec.metrics and label not in spec.metrics:
                continue
            column = tuple(label if key == "metric" else named[key] for key in spec.columns)
            cells[row, column, label] = values
    cells = {key: values for key, values in cells.items() if np.isfinite(values).any()}
    if not cells:
        raise ConfigError(
            f"nothing was measured for the table {spec.name}", todo="look at its metrics and where"
        )
    layout = _Layout(spec, experiment, images, cells)
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


@dataclass(eq=False)
class _Layout:
    """The parts of one table while it is made."""

    spec: TableSpec
    experiment: Experiment
    images: pd.DataFrame
    found: dict[tuple[Name, Name, str], Floats]

    @property
    def patients(self) -> list[str]:
        return [str(patient) for patient in self.images["patient"]]

    def table(self) -> ResultTable:
        labels = list(dict.fromkeys(label for _, _, label in self.found))
        wanted = [label for label in self.spec.metrics if label in labels] or labels
        cells: dict[tuple[Name, Name], Cell] = {}
        for label in wanted:
            cells |= self._cells(label)
            if self.spec.consistency:
                cells |= self._consistency(label)
        rows = list(dict.fromkeys(row for row, _, _ in self.found))
        rows = [row for row in rows if any((row, column) in cells for _, column in cells)]
        columns = list(dict.fromkeys(column for _, column in cells))
        place = self.spec.columns.index("metric") if "metric" in self.spec.columns else None
        if place is not None:
            columns.sort(key=lambda column: wanted.index(column[place].removesuffix(CONSISTENT)))
        return ResultTable(
            name=self.spec.name,
            title=self.spec.title,
            keys=self.spec.rows,
            rows=rows,
            columns=columns,
            images=len(self.images),
            cells=cells,
            notes=tuple(self._notes()),
        )

    def _notes(self) -> list[str]:
        patients = len(set(self.patients))
        notes = [
            f"n = {len(self.images)} images of {patients} patients; a cell that rests on fewer, those its"
            " measure is defined on, tells its own n. 95 % intervals by patient: bootstrap; exact where all"
            " images stand at one end of the range; none of a single patient."
        ]
        if self.spec.reference:
            reference = ", ".join(f"{key} = {value}" for key, value in self.spec.reference.items())
            notes.append(
                f"No test below {FEWEST} patients."
                if patients < FEWEST
                else f"Compared on the same images with {reference}: ▲ better, ▼ worse, ◆ different"
                " (p < 0.05 by exchange of whole patients, after Holm's correction over each measure's"
                " comparisons)."
            )
        return notes

    def _cells(self, label: str) -> dict[tuple[Name, Name], Cell]:
        mine = {
            (row, column): values for (row, column, value), values in self.found.items() if value == label
        }
        names = {"\x1f".join((*row, "\x1e", *column)): (row, column) for row, column in mine}
        scores = {name: mine[key] for name, key in names.items()}
        pairs = [(name, other) for name, key in names.items() if (other := self._counterpart(key, names))]
        truths = {name: self._truth(key) for name, key in names.items()}
        intervals = self._intervals(label, scores, truths)
        differences = self._differences(label, scores, truths, pairs)
        higher = direction_of(label, self.experiment)
        cells = {}
        for name, key in names.items():
            difference, p = differences.get(name, (None, nan))
            better = None if difference is None or higher is None else (difference.value > 0) == higher
            cells[key] = Cell(intervals[name], difference, p, better)
        return cells

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
        """1 for the images that a statistic of a cell counts as positive, 0 for the others."""
        named = dict(zip((*self.spec.rows, *self.spec.columns), (*key[0], *key[1]), strict=True))
        images = self.images
        positive = images["group"] == named["class"] if "class" in named else images["label"] == 1
        return np.asarray(positive, dtype=np.float64)

    def _intervals(
        self, label: str, scores: Mapping[str, Floats], truths: Mapping[str, Floats]
    ) -> dict[str, Interval]:
        if label not in STATISTICS:
            return mean_intervals(
                scores,
                self.patients,
                bounds=bounds_of(label, self.experiment),
                resamples=self.experiment.resamples,
                seed=self.experiment.seed,
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
            differences = paired_differences(
                scores,
                self.patients,
                pairs=pairs,
                bounds=bounds_of(label, self.experiment),
                resamples=self.experiment.resamples,
                seed=self.experiment.seed,
            )
            return {difference.first: (difference.mean, difference.p_holm) for difference in differences}
        both = [[(scores[name], truths[name]) for name in pair] for pair in pairs]
        p = holm([self._exchange(label, *columns) for columns in both])
        return {
            first: (self._statistic(label, columns), corrected)
            for (first, _), columns, corrected in zip(pairs, both, p, strict=True)
        }

    def _statistic(self, label: str, columns: list[Scored]) -> Interval:
        """The statistic of one column, or of the first less that of the second, on images that all have."""
        known = np.logical_and.reduce([np.isfinite(scores) for scores, _ in columns])
        function = STATISTICS[label].value

        def value(pick: NDArray[np.intp]) -> float:
            values = [function(scores[known][pick], truth[known][pick]) for scores, truth in columns]
            return values[0] - values[1] if len(values) == 2 else values[0]

        patients = [patient for patient, here in zip(self.patients, known, strict=True) if here]
        return statistic_interval(
            value,
            patients,
            resamples=min(SET_RESAMPLES, self.experiment.resamples),
            seed=self.experiment.seed,
            bounds=(-1.0, 1.0) if len(columns) == 2 else (0.0, 1.0),
            trials=independent_pairs(columns[0][1][known] == 1, patients),
        )

    def _exchange(self, label: str, first: Scored, second: Scored) -> float:
        """The p-value of no difference of a statistic."""
        (scores, truth), (others, _) = first, second
        statistic = STATISTICS[label]
        if statistic.by_rank:
            known = np.isfinite(scores) & np.isfinite(others)
            scores, others = (_ranked(np.where(known, column, nan)) for column in (scores, others))
        return exchange_p(
            lambda values, images: statistic.value(values, truth[images]),
            scores,
            others,
            self.patients,
            resamples=min(SET_RESAMPLES, self.experiment.resamples),
            seed=self.experiment.seed,
        )

    def _consistency(self, label: str) -> dict[tuple[Name, Name], Cell]:
        """The difference of means over the values of one key, with its interval by patient."""
        across = self.spec.consistency
        if across not in self.spec.columns or label in STATISTICS:
            raise ConfigError("consistency is over a key of the columns, of a mean", got=f"{across}, {label}")
        place = self.spec.columns.index(across)
        groups: dict[tuple[Name, Name], list[Floats]] = {}
        for (row, column, value), values in self.found.items():
            if value == label:
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
                shown = np.logical_or.reduce(np.isfinite(table), axis=1)
                cells[key] = Cell(
                    interval_of(
                        float(_mean_gap(np.nanmean(table, axis=0)[None])[0]),
                        _mean_gap(draws),
                        images=int(shown.sum()),
                        patients=len(set(self.images["patient"].to_numpy()[shown])),
                        bounds=(-inf, inf),
                    )
                )
        return cells


CONSISTENT = " consistency"


def _mean_gap(means: Floats) -> Floats:
    """Mean absolute difference over all pairs of columns, of ``(draws, columns)``."""
    gaps = [
        np.abs(means[:, i] - means[:, j]) for i in range(means.shape[1]) for j in range(i + 1, means.shape[1])
    ]
    return np.asarray(np.mean(gaps, axis=0))


def _ranked(scores: Floats) -> Floats:
    """Ranks of the scores, ties sharing their mean; NaN stays."""
    from scipy.stats import rankdata  # noqa: PLC0415 - the module is imported by commands that need no ranks

    return np.asarray(rankdata(scores, nan_policy="omit"), float)
