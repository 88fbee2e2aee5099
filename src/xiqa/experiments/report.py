"""Everything that a run shows, written into its folder: tables, figures, galleries and one page of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.experiments.figures import draw_figure
from xiqa.experiments.gallery import draw_gallery
from xiqa.experiments.render import FORMATS, to_markdown
from xiqa.experiments.run import Plan
from xiqa.experiments.tables import ResultTable, make_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_results"]


def write_results(planned: Plan, rows: pd.DataFrame, out: Path, command: str) -> dict[str, ResultTable]:
    """Write the tables in every format, the figures, and ``results.md`` with the command that made them.

    Args:
        planned: The experiment.
        rows: Its rows.
        out: Its folder.
        command: What to type for the same numbers.

    Returns:
        The tables by name.
    """
    experiment = planned.experiment
    tables = {spec.name: make_table(rows, spec, experiment) for spec in experiment.tables}
    for table in tables.values():
        for suffix, write in FORMATS.items():
            (out / f"{table.name}.{suffix}").write_text(write(table), encoding="utf-8")
    for figure in experiment.figures:
        draw_figure(rows, figure, experiment, tables, out / f"{figure.name}.png")
    drawn = {
        gallery.name: draw_gallery(planned, gallery, out / f"{gallery.name}.jpg")
        for gallery in experiment.galleries
    }
    page = _page(planned, rows, tables, drawn, command)
    (out / "results.md").write_text(page, encoding="utf-8")
    return tables


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
