"""A classifier's report as Markdown (and so on the terminal), as a figure and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xiqa.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from xiqa.scoring.classifier import ClassifierReport

__all__ = ["draw_history", "draw_report", "report_page", "write_report"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
MARKERS = "os^Dv*Px"
LAST_EPOCHS = 12  # a longer history is told by the figure


def write_report(report: ClassifierReport, folder: Path) -> None:
    """Write ``classifier.md``, ``classifier.json`` and ``classifier.png`` to a folder.

    Raises:
        OutputError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "classifier.md").write_text(report_page(report), encoding="utf-8")
        content = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (folder / "classifier.json").write_text(f"{content}\n", encoding="utf-8")
        draw_report(report, folder / "classifier.png")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}", got=error.strerror or str(error)) from error


def report_page(report: ClassifierReport) -> str:
    """The report as Markdown tables; every number comes from it."""
    rows = [
        (
            row.name,
            _digits(row.precision),
            _digits(row.recall),
            _digits(row.f1),
            str(row.support),
            _digits(row.auc),
            _digits(row.calibration_error),
        )
        for row in report.classes
    ]
    for name, mean in (("mean of the classes", report.macro), ("mean by support", report.weighted)):
        rows.append((name, _digits(mean.precision), _digits(mean.recall), _digits(mean.f1), "", "", ""))
    head = ("Class", "Precision", "Recall", "F1", "Support", "AUC", "Calibration error")
    right = "images called right" if report.exclusive else "answers right"
    parts = [
        f"# {report.name}: {report.split}",
        f"{report.images} images; {report.accuracy:.1%} of the {right}.",
        _table(head, rows),
        "## Confusion",
        _confusion(report),
    ]
    if report.degrees:
        degrees = [
            (
                row.name,
                _digits(row.mean_absolute_error),
                _digits(row.root_mean_square_error),
                _digits(row.rank_correlation),
            )
            for row in report.degrees
        ]
        names = ("Problem", "Mean absolute error", "Root mean square error", "Rank correlation")
        parts += ["## Degrees", _table(names, degrees)]
    if report.history:
        parts += ["## Recall by epoch", _history(report)]
    return "\n\n".join(parts) + "\n"


def draw_report(report: ClassifierReport, path: Path) -> None:
    """Draw the confusion, the reliability of each class, its scores, and its recall epoch by epoch."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes half a second

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    axes = figure.subplots(2, 2)
    _draw_confusion(axes[0, 0], report)
    _draw_reliability(axes[0, 1], report)
    _draw_scores(axes[1, 0], report)
    draw_history(axes[1, 1], report)
    figure.suptitle(f"{report.name}: {report.split}, {report.images} images")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_confusion(axis: Axes, report: ClassifierReport) -> None:
    """A table whose shade is the share of the row."""
    names = [row.name for row in report.classes]
    lines = [name for name in names for _ in range(1 if report.exclusive else 2)]
    if not report.exclusive:
        lines = [f"{name}: {side}" for name in names for side in ("no", "yes")]
        names = ["no", "yes"]
    counts = report.confusion
    shares = [[value / (sum(row) or 1) for value in row] for row in counts]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(counts):
        for x, value in enumerate(row):
            axis.text(
                x, y, str(value), ha="center", va="center", color="white" if shares[y][x] > 0.6 else "black"
            )
    _name_columns(axis, names, turned=len(names) > 2)
    axis.set_yticks(range(len(lines)), lines)
    axis.set(xlabel="called", ylabel="truth", title="Confusion (shade: share of the row)")


def _draw_reliability(axis: Axes, report: ClassifierReport) -> None:
    """Predicted probability and what came true, one line a class."""
    axis.plot((0, 1), (0, 1), color="#7f7f7f", linewidth=1, linestyle="--")
    for place, row in enumerate(report.classes):
        x = [item.predicted for item in row.reliability]
        y = [item.observed for item in row.reliability]
        told = f"{row.name} (error {row.calibration_error:.3f})"
        axis.plot(x, y, label=told, **_style(place))
    axis.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        xlabel="mean predicted probability",
        ylabel="share that was so",
        title="Reliability",
    )
    axis.legend(fontsize=8)


def _draw_scores(axis: Axes, report: ClassifierReport) -> None:
    """Precision, recall, F1 and AUC side by side."""
    entries = ("precision", "recall", "f1", "auc")
    width = 0.8 / len(entries)
    for place, entry in enumerate(entries):
        values = [getattr(row, entry) or 0.0 for row in report.classes]
        at = [c + (place - 1.5) * width for c in range(len(values))]
        axis.bar(
            at, values, width, label=entry.upper() if entry in ("f1", "auc") else entry, color=COLOURS[place]
        )
    many = len(report.classes) > 4
    names = [f"{row.name}{' ' if many else chr(10)}({row.support})" for row in report.classes]
    _name_columns(axis, names, turned=many)
    axis.set(ylim=(0, 1.02), title="Scores (images that show the class)")
    axis.legend(fontsize=8, ncols=4, loc="lower center")


def draw_history(axis: Axes, report: ClassifierReport) -> None:
    """Recall of each class after every epoch."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axis.set(
        ylim=(-0.02, 1.02), xlabel="epoch", ylabel="recall", title="Recall on validation images, by epoch"
    )
    if not report.history:
        axis.text(0.5, 0.5, "not recorded", ha="center", transform=axis.transAxes)
        return
    epochs = [row.epoch for row in report.history]
    for place, name in enumerate(report.history[0].recall):
        axis.plot(epochs, [row.recall[name] for row in report.history], label=name, **_style(place))
    for row in report.history:
        if row.kept:
            axis.axvline(row.epoch, color="#7f7f7f", linewidth=1, linestyle=":")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8, title="dotted: weights kept", title_fontsize=8)


def _name_columns(axis: Axes, names: Sequence[str], *, turned: bool) -> None:
    """Names under columns, turned where they would run into one another."""
    axis.set_xticks(
        range(len(names)), names, fontsize=8, rotation=20 if turned else 0, ha="right" if turned else "center"
    )


def _style(place: int) -> dict[str, Any]:
    """Colour and marker of the n-th class."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 4}


def _confusion(report: ClassifierReport) -> str:
    """Counts; rows are the truth."""
    names = [row.name for row in report.classes]
    if report.exclusive:
        rows = [(f"**{name}**", *map(str, row)) for name, row in zip(names, report.confusion, strict=True)]
        return _table(("Truth \\ called", *names), rows)
    pairs = zip(names, report.confusion[::2], report.confusion[1::2], strict=True)
    cells = [(name, *map(str, (*absent, *present))) for name, absent, present in pairs]
    return _table(("Problem", "rightly not called", "wrongly called", "missed", "found"), cells)


def _history(report: ClassifierReport) -> str:
    """The last epochs, and the kept ones."""
    names = list(report.history[0].recall)
    shown: Sequence[Any] = [
        row for row in report.history if row.kept or row.epoch > len(report.history) - LAST_EPOCHS
    ]
    rows = [
        (
            f"{row.epoch}{' (kept)' if row.kept else ''}",
            _digits(row.loss),
            _digits(row.accuracy),
            *(_digits(row.recall[name]) for name in names),
        )
        for row in shown
    ]
    return _table(("Epoch", "Loss", "Accuracy", *names), rows)


def _digits(value: float | None) -> str:
    """Three digits, or a dash where there is no value."""
    return "–" if value is None else f"{value:.3f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
