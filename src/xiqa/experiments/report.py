"""Everything that a run shows, written into its folder: tables, figures, galleries and one page of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.errors import ConfigError
from xiqa.experiments.figures import draw_figure
from xiqa.experiments.gallery import draw_gallery
from xiqa.experiments.printed.numbers import beside, find_printed
from xiqa.experiments.render import to_markdown, write_formats
from xiqa.experiments.run import Plan
from xiqa.experiments.tables import ResultTable, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["write_results"]


def write_results(
    planned: Plan, rows: pd.DataFrame, out: Path, command: str, printed: Sequence[str] = ()
) -> dict[str, ResultTable]:
    """Write the tables in every format, the figures, and ``results.md`` with the command that made them.

    Args:
        planned: The experiment.
        rows: Its rows.
        out: Its folder.
        command: What to type for the same numbers.
        printed: Printed tables to show beside those that have the same methods; see `find_printed`.

    Returns:
        The tables by name.

    Raises:
        ConfigError: No table of the run has anything in common with a printed one.
    """
    experiment = planned.experiment
    tables = {spec.name: make_table(rows, spec, experiment) for spec in experiment.tables}
    tables |= _printed_tables(list(tables.values()), printed)
    for table in tables.values():
        write_formats(table, out)
    for figure in experiment.figures:
        draw_figure(rows, figure, experiment, tables, out / f"{figure.name}.png")
    drawn = {
        gallery.name: draw_gallery(planned, gallery, out / f"{gallery.name}.jpg")
        for gallery in experiment.galleries
    }
    page = _page(planned, rows, tables, drawn, command)
    (out / "results.md").write_text(page, encoding="utf-8")
    return tables


def _printed_tables(tables: Sequence[ResultTable], printed: Sequence[str]) -> dict[str, ResultTable]:
    """Each printed table beside every table of the run that has something in common with it."""
    made: dict[str, ResultTable] = {}
    for name in printed:
        numbers, before, problem = find_printed(name), len(made), None
        for table in tables:
            try:
                both = beside(table, numbers, name)
            except ConfigError as error:
                problem = error
            else:
                made[both.name] = both
        if problem is not None and len(made) == before:
            raise problem
    return made


def _page(
    planned: Plan, rows: pd.DataFrame, tables: dict[str, ResultTable], drawn: dict[str, bool], command: str
) -> str:
    """The page: what was asked, of which networks, and what came out."""
    experiment = planned.experiment
    parts = [f"# {experiment.title}", "", f"```text\n{command}\n```", ""]
    if experiment.source:
        parts += [f"After {{cite:t}}`{experiment.source}`.", ""]
    if len(rows):
        networks = rows[rows["state"] != "control"].groupby(["model", "state", "seed"], sort=False)
        lines = [
            f"`{model}` {state} {seed}: `{hashes.iloc[0]}`"
            for (model, state, seed), hashes in networks["model_hash"]
        ]
        parts += [f"Networks (hash of the weights): {'; '.join(lines)}.", ""]
    for table in tables.values():
        parts += [to_markdown(table), ""]
    for figure in experiment.figures:
        parts += [f"![{figure.title}]({figure.name}.png)", ""]
    for gallery in experiment.galleries:
        picture = f"![{gallery.title}]({gallery.name}.jpg)"
        none = f"None of {len(planned.cases)} images to show."
        parts += [f"**{gallery.title}**", "", picture if drawn[gallery.name] else none, ""]
    return "\n".join(parts).rstrip() + "\n"
