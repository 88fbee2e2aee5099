"""What `xiqa assess` prints of its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from xiqa.report.folder import Results
    from xiqa.types import Assessment

__all__ = ["show_results"]

SHOWN = 20
COLOURS = {"reacquire": "bold red", "review": "bold yellow", "accept": "bold green", "not_assessed": "bold"}


def show_results(console: Console, results: Results, out: Path, *, page: bool) -> None:
    """The worst images and series, and where to find the rest."""
    from rich.markup import escape
    from rich.table import Table

    from xiqa.imaging.options import printable
    from xiqa.report.words import WORDS

    worst, counts = results.first(SHOWN), results.counts()
    total = sum(counts.values())
    table = Table(box=None, pad_edge=False)
    fragile = any(result.fragility for result in worst)
    for column in ("verdict", "poor", *(("flips at",) if fragile else ()), "place", "file"):
        right = column in ("poor", "flips at")
        table.add_column(column, overflow="fold", justify="right" if right else "left")
    for result in worst:
        first = next(iter(result.findings), None)
        # the reason where the numbers do not tell it
        why = "" if result.verdict in ("accept", "reacquire") else f"\n[dim]{escape(_short(result))}[/]"
        table.add_row(
            f"[{COLOURS[result.verdict]}]{WORDS[result.verdict]}[/]",
            _rounded(result.probability),
            *((_step(result),) if fragile else ()),
            "" if first is None else f"({first.peak.x:.0f}, {first.peak.y:.0f})",
            escape(printable(result.file) + _part(result)) + why,
        )
    console.print(table)
    if total > SHOWN:
        console.print(f"... and {total - SHOWN} more in {escape(str(out / 'results.csv'))}")
    words = ", ".join(f"{number} {WORDS[verdict].lower()}" for verdict, number in counts.items() if number)
    held = f" and series ({results.images} images)" if results.series else ""
    console.print(f"\n{total} images{held}: {words or 'none'}")
    name, file = ("Report", "report.html") if page else ("Results", "results.json")
    console.print(f"{name}: {escape(str(out / file))}", soft_wrap=True)


def _part(result: Assessment) -> str:
    """How much of a series is poor, behind its first file's name."""
    summary = result.series
    if summary is None:
        return ""
    return f" ({len(summary.poor)} of {len(summary.places)} poor, worst {summary.worst + 1})"


def _rounded(probability: float | None) -> str:
    """Two digits; what is not certain is not rounded to certainty."""
    if probability is None:
        return ""
    if 0 < probability < 0.01 or 0.99 < probability < 1:
        return "<0.01" if probability < 0.5 else ">0.99"
    return f"{probability:.2f}"


def _step(result: Assessment) -> str:
    """The smallest change of any pixel that flips a verdict, in grey levels of eight bits."""
    if result.fragility is None:
        return ""
    return "nothing" if result.fragility.linf is None else f"{255 * result.fragility.linf:.2g}/255"


def _short(result: Assessment) -> str:
    """The reason without the file's name, which stands above it, and without advice."""
    from xiqa.imaging.options import printable

    reason = printable(result.reason.replace(f"cannot read {result.file}: ", ""))
    return reason.partition(": expected")[0].partition("; no place")[0]
