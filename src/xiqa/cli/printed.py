"""``xiqa printed``: the numbers that papers print, alone or beside a table of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xiqa.experiments.printed.numbers import Printed

__all__ = ["command"]


def command(
    name: Annotated[
        str | None, typer.Argument(help="KEY:TABLE, or KEY:TABLE:DATA; without it, a list of them.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="A table of a run (NAME.csv): print both with their differences.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the table of both, as .md, .tex, .html and .csv.")
    ] = None,
) -> None:
    """Show what the papers print, or write it beside what a run measured.

    Example: xiqa printed ozer2025consistent:2:object-cxr --beside docs/results/smoothing/pointing-game.csv
    """
    from rich.console import Console

    from xiqa.errors import ConfigError
    from xiqa.experiments.printed.numbers import beside as put_beside
    from xiqa.experiments.printed.numbers import find_printed, printed_numbers, read_table
    from xiqa.experiments.render import rich_table, write_formats

    console = Console()
    if name is None:
        if beside is not None or out is not None:
            raise ConfigError("no printed table is named", todo="xiqa printed KEY:TABLE --beside NAME.csv")
        return _list(printed_numbers())
    numbers = find_printed(name)
    if beside is None:
        return _show(name, numbers)
    table = put_beside(read_table(beside), numbers, name)
    console.print(rich_table(table))
    if out is not None:
        write_formats(table, out)
        console.print(f"Written to {out / table.name}.md and beside it", soft_wrap=True)
    return None


def _list(numbers: Sequence[Printed]) -> None:
    from xiqa.cli._parts.listing import print_listing

    tables: dict[str, list[Printed]] = {}
    for number in numbers:
        tables.setdefault(f"{number.paper}:{number.table}", []).append(number)
    rows = [
        (name, str(len(held)), ", ".join(dict.fromkeys(number.data for number in held)))
        for name, held in tables.items()
    ]
    print_listing(("printed table", "numbers", "data"), rows)


def _show(name: str, numbers: Sequence[Printed]) -> None:
    from math import isnan

    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"Printed in {name}", box=None, pad_edge=False)
    for head in ("method", "data", "network", "quantity", "value", "sd"):
        shown.add_column(head, overflow="fold")
    for number in numbers:
        sd = "" if isnan(number.sd) else f"{number.sd:.3f}"
        texts = (number.method, number.data, number.network, number.quantity)
        shown.add_row(*texts, f"{number.value:.3f}", sd)
    Console().print(shown)
