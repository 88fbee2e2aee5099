"""Numbers that papers print, beside those that a run measures.

`tables.csv` has one printed number a row: the paper (a key of docs/references.bib), its own table,
the data and network, the method in our text form (their "(M)" is ``layers=multi``), the quantity, the value
and the standard deviation over trainings where one is printed.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import product
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.errors import ConfigError
from xiqa.experiments.tables import Cell, Name, ResultTable
from xiqa.scoring.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Printed", "beside", "find_printed", "printed_numbers", "read_table"]

# What the papers' words say of a cell of ours, and which names exclude each other.
WORDS = {
    "unsmoothed": "0.0",
    "smoothed": "1.0",
    "semi-randomised": "semi",
    "fully randomised": "full",
    "trained": "trained",
    "mean of trainings": "trained",
}
# How a measure's label begins that shows a quantity.
LABELS = {"pointing_game": "PG", "aopc": "AOPC"}
MEAN_DIFFERENCE = "difference of means"
ALTERNATIVES = (
    frozenset({"0.0", "1.0"}),
    frozenset({"trained", "imagenet", "semi", "full", "control"}),
)
NOTE = (
    "Printed numbers are of other images and another network. They count as exact in the differences, whose"
    " intervals are those of our images alone."
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A printed number.

    Attributes:
        paper: Key of the paper in docs/references.bib.
        table: The paper's own number of the table; ``text``, ``summary`` or figures where it is not in one.
        data: What it was measured on.
        network: Of which network; two joined by ``and`` for a difference.
        method: Text of the detector; empty for what is about the classifier.
        quantity: What was measured and how, parts joined by commas.
        value: The number.
        sd: Printed standard deviation over trainings; NaN without one.
    """

    paper: str
    table: str
    data: str
    network: str
    method: str
    quantity: str
    value: float
    sd: float

    @property
    def condition(self) -> str:
        """What is said of the quantity after its name: ``smoothed``, ``test``, ...; empty without it."""
        return ", ".join(self.quantity.split(", ")[1:])

    @property
    def group(self) -> Name:
        """What its column is about: data, network and condition."""
        return tuple(part for part in (self.data, self.network, self.condition) if part)

    @property
    def measure(self) -> str:
        """The name of the quantity without its settings: ``pointing_game``."""
        name = self.quantity.split(", ")[0]
        return next((known for known in LABELS if name.startswith(known)), name)

    def fits(self, column: Name, row: Name = ()) -> bool:
        """Whether a cell shows the same thing, as far as the names of its row and column tell.

        The column begins with the measure's label: ``PG thorax`` for the Pointing Game, or the metric's name.

        A name that excludes what the paper's words ask for does not fit: a network with random weights is not
        one that was trained, and a map that was not smoothed is not a smoothed one.
        """
        if (self.quantity == MEAN_DIFFERENCE) != ("DoM" in column):
            return False
        labels = (self.measure, LABELS.get(self.measure, self.measure))
        if self.quantity != MEAN_DIFFERENCE and not column[0].startswith(labels):
            return False
        wanted = {WORDS[word] for word in self.condition.split(", ") if word in WORDS} | {""}
        wanted |= set() if wanted & ALTERNATIVES[1] else {"trained"}
        others = {name for group in ALTERNATIVES if wanted & group for name in group - wanted}
        return not others & {*row, *column}


@cache
def printed_numbers() -> tuple[Printed, ...]:
    """Every printed number, in the papers' order."""
    text = files("xiqa.experiments.printed").joinpath("tables.csv").read_text(encoding="utf-8")
    return tuple(
        Printed(**{**row, "value": float(row["value"]), "sd": float(row["sd"] or nan)})  # type: ignore[arg-type]
        for row in csv.DictReader(text.splitlines())
    )


def find_printed(name: str) -> tuple[Printed, ...]:
    """The numbers of one printed table.

    Args:
        name: ``KEY:TABLE``, or ``KEY:TABLE:DATA`` for those of one data set: ``ozer2025consistent:2:lvot``.

    Raises:
        ConfigError: There is none; the message names those that there are.

    >>> [number.value for number in find_printed("ozer2025consistent:5:lvot") if number.method == "gradcam"]
    [0.547, 0.569, 0.022]
    """
    paper, _, rest = name.partition(":")
    table, _, data = rest.partition(":")
    chosen = tuple(
        number
        for number in printed_numbers()
        if (number.paper, number.table) == (paper, table) and data in ("", number.data)
    )
    if not chosen:
        known = dict.fromkeys(f"{number.paper}:{number.table}" for number in printed_numbers())
        raise ConfigError("no such printed table", expected=f"one of {', '.join(known)}", got=name)
    return chosen


def beside(table: ResultTable, numbers: Sequence[Printed], name: str) -> ResultTable:
    """A measured table with the printed columns beside its own and the differences, ours less theirs.

    A printed number stands beside each cell of the same method that its words do not exclude (see
    `Printed.fits`), in the columns of the table's first measure.

    Args:
        table: What was measured; one of its keys is the method.
        numbers: What is printed, as `find_printed` gives.
        name: For the title and the file: ``KEY:TABLE`` or ``KEY:TABLE:DATA``.

    Returns:
        The table of the methods and columns that both have.

    Raises:
        ConfigError: They have nothing in common, or the table has no methods.
    """
    if "method" not in table.keys:
        raise ConfigError(
            f"table {table.name} has no methods to compare", expected="a table with a row a method"
        )
    at = table.keys.index("method")
    groups: dict[Name, dict[str, Printed]] = {}
    for entry in numbers:
        groups.setdefault(entry.group, {})[entry.method] = entry
    cells: dict[tuple[Name, Name], Cell] = {}
    columns: dict[Name, None] = {}
    labels: dict[Name, str] = {}
    for column, group in product(table.columns, groups):
        for row in table.rows:
            number, cell = groups[group].get(row[at]), table.cells.get((row, column))
            if not (number and cell and number.fits(column, row)):
                continue
            if labels.setdefault(group, column[0]) != column[0]:
                continue
            theirs, gap = ("printed", *group), (*column, "less printed", *group)
            columns |= dict.fromkeys((column, theirs, gap))
            cells[row, column] = replace(cell, difference=None, p=nan)
            cells[row, theirs] = Cell(Interval(number.value, nan, nan, table.images, 0))
            cells[row, gap] = Cell(_less(cell.interval, number.value))
    if not cells:
        raise ConfigError(
            f"table {table.name} and the printed {name} have nothing in common",
            expected="the same methods under the same conditions",
            todo="`xiqa printed` lists what is printed",
        )
    rows = [row for row in table.rows if any((row, column) in cells for column in columns)]
    return ResultTable(
        name=f"{table.name}-printed-{name.split(':', 1)[1].replace(':', '-').replace(', ', '-')}",
        title=f"{table.title}; beside table {name.split(':')[1]} of {name.split(':', maxsplit=1)[0]}",
        keys=table.keys,
        rows=rows,
        columns=list(columns),
        images=table.images,
        cells=cells,
        notes=(*table.notes, _about(numbers), NOTE, *_deviations(numbers)),
    )


def read_table(path: Path) -> ResultTable:
    """A table that a run left as CSV.

    Args:
        path: ``NAME.csv`` as `xiqa.experiments.render.to_csv` writes it.

    Raises:
        ConfigError: It is no such file.
    """
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    if not lines or not {"column", "value", "low", "high", "images"} <= set(lines[0]):
        raise ConfigError(f"{path.name} is no table of a run", expected="NAME.csv as a run writes it")
    keys = tuple(list(lines[0])[: list(lines[0]).index("column")])
    cells = {
        (tuple(line[key] for key in keys), tuple(line["column"].split(", "))): Cell(
            Interval(
                value=float(line["value"]),
                low=float(line["low"]),
                high=float(line["high"]),
                images=int(line["images"]),
                patients=int(line.get("patients") or 0),
            )
        )
        for line in lines
    }
    return ResultTable(
        name=path.stem,
        title=path.stem,
        keys=keys,
        rows=list(dict.fromkeys(row for row, _ in cells)),
        columns=list(dict.fromkeys(column for _, column in cells)),
        images=max(cell.interval.images for cell in cells.values()),
        cells=cells,
    )


def _less(interval: Interval, value: float) -> Interval:
    return replace(
        interval, value=interval.value - value, low=interval.low - value, high=interval.high - value
    )


def _about(numbers: Sequence[Printed]) -> str:
    quantities = dict.fromkeys(number.quantity.split(", ")[0] for number in numbers)
    return f"Printed quantities: {'; '.join(quantities)}."


def _deviations(numbers: Sequence[Printed]) -> tuple[str, ...]:
    """How far the printed standard deviations go, which have no column."""
    known = [number.sd for number in numbers if not isnan(number.sd)]
    return (
        (f"Printed standard deviations over trainings: {min(known):.3f} to {max(known):.3f}.",)
        if known
        else ()
    )
