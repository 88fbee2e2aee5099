"""A table as text: for the terminal, Markdown, LaTeX, HTML, and CSV for whoever goes on with the numbers."""

from __future__ import annotations

import csv
import io
from html import escape
from math import isnan
from typing import TYPE_CHECKING, Any

from xiqa.experiments.tables import Cell, Name, ResultTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

__all__ = [
    "FORMATS",
    "cell_text",
    "rich_table",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "write_formats",
]

NOTHING = "–"


def mark(cell: Cell) -> str:
    """How a cell stands to its reference: better, worse, different, or nothing to tell."""
    if not cell.significant:
        return ""
    return {True: "▲", False: "▼", None: "◆"}[cell.better]


def cell_text(cell: Cell | None, images: int) -> str:
    """A cell in words: value, interval, n where it is not all the images of the table, mark."""
    if cell is None or isnan(cell.interval.value):
        return NOTHING
    interval = cell.interval
    parts = [_number(interval.value)]
    if not isnan(interval.low):
        parts.append(f"[{_number(interval.low)}, {_number(interval.high)}]")
    if interval.images != images:
        parts.append(f"(n = {interval.images})")
    return " ".join([*parts, mark(cell)]).rstrip()


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _heads(table: ResultTable) -> list[str]:
    return [*table.keys, *(", ".join(column) for column in table.columns)]


def _lines(table: ResultTable) -> list[list[str]]:
    return [
        [*row, *(cell_text(table.cells.get((row, column)), table.images) for column in table.columns)]
        for row in table.rows
    ]


def to_markdown(table: ResultTable) -> str:
    """As a pipe table with its title and notes."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    heads = _heads(table)
    named = len(table.keys)
    rule = "|" + "|".join(["---"] * named + ["---:"] * (len(heads) - named)) + "|"
    lines = [f"**{table.title}**", "", line(heads), rule, *(line(_code(row, named)) for row in _lines(table))]
    return "\n".join([*lines, "", *table.notes]) + "\n"


def _code(cells: list[str], named: int) -> list[str]:
    """Row names as code, since methods are written as they are typed."""
    return [f"`{cell}`" if place < named and cell else cell for place, cell in enumerate(cells)]


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "$": r"\$", "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "◆": r"$\blacklozenge$", "–": "--",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def to_latex(table: ResultTable, *, bold: Collection[tuple[Name, Name]] = ()) -> str:
    """As a ``table`` with ``booktabs`` rules (``amssymb`` for the marks).

    Args:
        table: The table.
        bold: Cells to be set in bold, by row and column.
    """
    heads = _heads(table)
    body = []
    for row, line in zip(table.rows, _lines(table), strict=True):
        texts = list(map(_latex, line))
        for place, column in enumerate(table.columns, start=len(table.keys)):
            if (row, column) in bold:
                texts[place] = rf"\textbf{{{texts[place]}}}"
        body.append(" & ".join(texts) + r" \\")
    columns = "l" * len(table.keys) + "r" * len(table.columns)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(table.title)}. {_latex(' '.join(table.notes))}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_latex, heads)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def to_html(table: ResultTable) -> str:
    """As a ``<table>``; each cell's title tells its difference from the reference and the p-value."""
    heads = "".join(f"<th>{escape(head)}</th>" for head in _heads(table))
    body = []
    for row in table.rows:
        names = "".join(f'<th scope="row">{escape(name)}</th>' for name in row)
        cells = "".join(_html_cell(table.cells.get((row, column)), table.images) for column in table.columns)
        body.append(f"<tr>{names}{cells}</tr>")
    notes = " ".join(map(escape, table.notes))
    return (
        f"<table>\n<caption>{escape(table.title)}. {notes}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody>\n</table>\n"
    )


def _html_cell(cell: Cell | None, images: int) -> str:
    title = ""
    if cell is not None and cell.difference is not None:
        p = "not tested" if isnan(cell.p) else f"p = {cell.p:.3g}"
        title = f' title="difference {cell.difference}, {p}"'
    return f"<td{title}>{escape(cell_text(cell, images))}</td>"


def to_csv(table: ResultTable) -> str:
    """One line a cell, with every number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*table.keys, "column", "value", "low", "high", "images", "patients", "difference", "difference_low",
         "difference_high", "p_holm"]
    )  # fmt: skip
    for (row, column), cell in table.cells.items():
        interval, other = cell.interval, cell.difference
        numbers = [interval.value, interval.low, interval.high]
        numbers += [other.value, other.low, other.high] if other else []
        texts = [f"{number:.6g}" for number in numbers]
        texts += [""] * (6 - len(texts))
        p = "" if isnan(cell.p) else f"{cell.p:.4g}"
        writer.writerow(
            [*row, ", ".join(column), *texts[:3], interval.images, interval.patients, *texts[3:], p]
        )
    return text.getvalue()


FORMATS: Mapping[str, Callable[[ResultTable], str]] = {
    "md": to_markdown,
    "tex": to_latex,
    "html": to_html,
    "csv": to_csv,
}
"""What is written of each table, by the file's suffix."""


def write_formats(table: ResultTable, folder: Path) -> None:
    """Write a table in every format, named by the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in FORMATS.items():
        (folder / f"{table.name}.{suffix}").write_text(write(table), encoding="utf-8")


def rich_table(table: ResultTable) -> Any:
    """For the terminal."""
    from rich.table import Table  # noqa: PLC0415 - only where there is a terminal

    shown = Table(title=table.title, caption=" ".join(table.notes), box=None, pad_edge=False)
    for place, head in enumerate(_heads(table)):
        name = place < len(table.keys)
        shown.add_column(head, justify="left" if name else "right", no_wrap=name)
    for line in _lines(table):
        shown.add_row(*line)
    return shown
