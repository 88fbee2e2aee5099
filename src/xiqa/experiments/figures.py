"""Figures of long rows and of tables, drawn without a screen; every point and curve has its interval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from xiqa.errors import ConfigError
from xiqa.experiments.measures import bounds_of
from xiqa.experiments.recipe import Experiment, FigureSpec, Key
from xiqa.experiments.tables import ResultTable, chosen_rows
from xiqa.report.classifier_files import draw_history
from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.classifier import ClassifierReport
from xiqa.scoring.differences import mean_intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_figure"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Okabe and Ito's colours, which all kinds of colour vision tell apart."""
STYLES = ("-", "--", ":", "-.")
CONTROL_COLOUR = "#7f7f7f"


def draw_figure(
    rows: pd.DataFrame, spec: FigureSpec, experiment: Experiment, tables: dict[str, ResultTable], path: Path
) -> None:
    """Draw a figure and write it; the suffix of ``path`` decides the format.

    Args:
        rows: Long rows.
        spec: The figure.
        experiment: For the seed and the number of resamples.
        tables: The experiment's tables by name.
        path: Where to.

    Raises:
        ConfigError: Nothing was measured of what the figure shows.
    """
    import matplotlib as mpl  # noqa: PLC0415 - takes a second

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
                         "svg.hashsalt": "xiqa"}):  # fmt: skip
        if spec.kind == "intervals":
            figure = _intervals(tables[spec.table], plt)
        elif spec.kind == "curves":
            figure = _curves(rows, spec, experiment, plt)
        elif spec.kind == "history":
            figure = _histories(experiment, plt)
        else:
            figure = _scatter(rows, spec, experiment, plt)
        figure.suptitle(spec.title, fontsize=10)
        figure.savefig(path, dpi=110, metadata=_undated(path))
        plt.close(figure)


def _undated(path: Path) -> dict[str, Any]:
    """No date in the file, so that the same rows give the same bytes."""
    return {"Software": None} if path.suffix == ".png" else {"Date": None}


def _intervals(table: ResultTable, plt: Any) -> Figure:
    """A panel a column, a line a row: point and interval; filled where it differs from the reference."""
    names = [" ".join(part for part in row if part) for row in table.rows]
    shown = table.columns[:6]
    figure, axes = plt.subplots(
        1,
        len(shown),
        sharey=True,
        squeeze=False,
        figsize=(2.2 + 2.2 * len(shown), 0.9 + 0.22 * len(names)),
        layout="constrained",
    )
    for axis, column in zip(axes[0], shown, strict=True):
        for place, row in enumerate(table.rows):
            cell = table.cells.get((row, column))
            if cell is None or np.isnan(cell.interval.value):
                continue
            interval = cell.interval
            colour = COLOURS[0] if "control" not in row else CONTROL_COLOUR
            axis.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.5)
            axis.plot(interval.value, place, "o", color=colour, markersize=5,
                      markerfacecolor=colour if cell.significant else "white")  # fmt: skip
        axis.set_title(", ".join(column), fontsize=9)
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    return figure  # type: ignore[no-any-return]


def _histories(experiment: Experiment, plt: Any) -> Figure:
    """A panel a training: recall of every class, epoch by epoch.

    Raises:
        ConfigError: A bundle has no report of its training beside it.
    """
    named = [(model.name, bundle) for model in experiment.models for bundle in model.bundles]
    figure, axes = plt.subplots(
        1, len(named), sharey=True, squeeze=False, figsize=(4.6 * len(named), 3.4), layout="constrained"
    )
    for axis, (name, bundle) in zip(axes[0], named, strict=True):
        path = Path(bundle).parent / "report" / "classifier.json"
        if not path.is_file():
            raise ConfigError(
                f"no history of {name}", expected=str(path), todo="name the bundle in its training's folder"
            )
        report = ClassifierReport.model_validate_json(path.read_text(encoding="utf-8"))
        draw_history(axis, report)
        axis.set_title(name, fontsize=9)
    return figure  # type: ignore[no-any-return]


def _grouped(rows: pd.DataFrame, keys: tuple[Key, ...]) -> Iterator[tuple[str, pd.DataFrame]]:
    for names, group in rows.groupby(list(keys), sort=False):
        yield " ".join(str(name) for name in names if str(name) not in ("", "none")), group


def _told(rows: pd.DataFrame, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """The keys that tell anything apart; at least the last one."""
    return tuple(key for key in keys if rows[key].nunique() > 1) or keys[-1:]


def _curves(rows: pd.DataFrame, spec: FigureSpec, experiment: Experiment, plt: Any) -> Figure:
    """Mean curves over the share altered, with bands by patient."""
    points = chosen_rows(rows, spec.where)
    points = points[points["x"].notna()]
    if spec.y:
        points = points[points["metric"] == spec.y]
    if points.empty:
        raise ConfigError(f"no curve for the figure {spec.name}", todo="set curve = true on its measure")
    panels = list(_grouped(points, spec.panels))
    figure, axes = plt.subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        figsize=(1.6 + 3.4 * len(panels), 3.4),
        layout="constrained",
    )
    lines = list(dict.fromkeys(name for name, _ in _grouped(points, _told(points, spec.lines))))
    for axis, (title, panel) in zip(axes[0], panels, strict=True):
        for name, line in _grouped(panel, _told(points, spec.lines)):
            _band(axis, line, name, lines.index(name), experiment)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("share of the image altered")
        axis.locator_params(axis="x", nbins=5)
        axis.grid(color="#dddddd", linewidth=0.6)
    axes[0][0].set_ylabel("fall of the explained class's score")
    names = axes[0][0].get_legend_handles_labels()
    figure.legend(*names, frameon=False, fontsize=7, loc="outside lower center", ncols=4)
    return figure  # type: ignore[no-any-return]


def _band(axis: Axes, line: pd.DataFrame, name: str, number: int, experiment: Experiment) -> None:
    wide = line.pivot_table(index="image", columns="x", values="value", sort=True)
    patients = line.groupby("image")["patient"].first().reindex(wide.index)
    table = wide.to_numpy(dtype=float)
    draws = bootstrap_means(
        table,
        [str(patient) for patient in patients],
        resamples=min(1000, experiment.resamples),
        seed=experiment.seed,
    )
    low, high = np.nanquantile(draws, [0.025, 0.975], axis=0)
    share = wide.columns.to_numpy(dtype=float)
    colour = CONTROL_COLOUR if (line["state"] == "control").all() else COLOURS[number % len(COLOURS)]
    style = STYLES[number % len(STYLES)]
    axis.plot(share, np.nanmean(table, axis=0), style, color=colour, label=name, linewidth=1.5)
    axis.fill_between(share, low, high, color=colour, alpha=0.15, linewidth=0)


def _scatter(rows: pd.DataFrame, spec: FigureSpec, experiment: Experiment, plt: Any) -> Figure:
    """One measure against another, with both intervals."""
    points = chosen_rows(rows, spec.where)
    points = points[points["x"].isna()]
    across, up = (points[points["metric"] == label] for label in (spec.x, spec.y))
    if across.empty or up.empty:
        raise ConfigError(f"no points for the figure {spec.name}", expected=f"measures {spec.x} and {spec.y}")
    keys = _told(points, spec.lines)
    figure, axis = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    x, y = _means(across, keys, experiment, spec.x), _means(up, keys, experiment, spec.y)
    names = sorted((name for name in x if name in y), key=lambda name: (y[name][0], x[name][0]))
    for name in names:
        (here, left, right), (value, low, high) = x[name], y[name]
        control = name in ("centre", "random", "edges") or name.startswith("control")
        colour = CONTROL_COLOUR if control else COLOURS[0]
        axis.plot([here, here], [low, high], color=colour, linewidth=0.8, alpha=0.3)
        axis.plot([left, right], [value, value], color=colour, linewidth=0.8, alpha=0.3)
        axis.plot(here, value, "o", color=colour, markersize=4)
    if spec.log:
        axis.set_xscale("symlog", linthresh=0.1) if min(
            x[name][0] for name in names
        ) <= 0 else axis.set_xscale("log")
    _name_points(axis, [(name, x[name][0], y[name][0]) for name in reversed(names)])
    axis.set_xlabel(spec.x)
    axis.set_ylabel(spec.y)
    axis.grid(color="#dddddd", linewidth=0.6)
    return figure  # type: ignore[no-any-return]


def _name_points(axis: Axes, points: list[tuple[str, float, float]]) -> None:
    """Write each point's name beside it, moved down where another name stands; a thin line leads back."""
    axis.margins(x=0.12, y=0.15)
    axis.figure.canvas.draw()  # so that places in pixels are known
    taken: list[tuple[float, float]] = []
    for name, across, up in points:
        px, py = axis.transData.transform((across, up)).tolist()
        place = py
        while any(abs(px - other) < 150 and abs(place - line) < 10 for other, line in taken):
            place -= 2
        taken.append((px, place))
        axis.annotate(
            name,
            (across, up),
            xytext=(6, (place - py) * 72 / axis.figure.dpi - 2),
            textcoords="offset points",
            fontsize=6.5,
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "color": "#999999", "linewidth": 0.4},
        )


def _means(
    rows: pd.DataFrame, keys: tuple[Key, ...], experiment: Experiment, label: str
) -> dict[str, tuple[float, float, float]]:
    points = {}
    for name, group in _grouped(rows, keys):
        images = group.groupby("image", sort=False).agg({"patient": "first", "value": "mean"})
        interval = mean_intervals(
            {name: images["value"].to_numpy(dtype=float)},
            [str(patient) for patient in images["patient"]],
            bounds=bounds_of(label, experiment),
            resamples=min(2000, experiment.resamples),
            seed=experiment.seed,
        )[name]
        points[name] = (interval.value, interval.low, interval.high)
    return points
