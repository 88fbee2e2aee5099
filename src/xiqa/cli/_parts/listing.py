"""Lists on the terminal: what a person will type next is never cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

__all__ = ["print_listing"]


def print_listing(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Collection[str] = ()
) -> None:
    """Print rows under their heads, as wide as the terminal.

    Args:
        heads: Names of the columns; the first one's entries are what is named in other commands.
        rows: Plain texts, without markup.
        whole: Other columns that are never cut. All others are folded where the terminal is narrow.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, head in enumerate(heads):
        kept = place == 0 or head in whole
        table.add_column(head, style="" if place else "bold", no_wrap=kept, overflow="fold")
    entries = [[escape(text) for text in row] for row in rows]
    for head, column in zip(heads, table.columns, strict=True):
        if column.no_wrap:
            place = heads.index(head)
            column.min_width = max((len(row[place]) for row in entries), default=0)
    for row in entries:
        table.add_row(*row)
    Console().print(table)
