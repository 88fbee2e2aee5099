"""Saliency methods compared on images in one call: what a recipe says, from Python, as a data frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from xiqa.errors import ConfigError
from xiqa.experiments.cases import choose_cases
from xiqa.experiments.measure import Evaluator
from xiqa.experiments.measures import direction_of
from xiqa.experiments.networks import NetworkState
from xiqa.experiments.recipe import Experiment, Images, Measure, Network, TableSpec
from xiqa.experiments.render import to_latex
from xiqa.experiments.rows import frame_of
from xiqa.experiments.run import Plan
from xiqa.experiments.tables import Cell, Name, ResultTable, make_table
from xiqa.metrics import get_metric
from xiqa.models.bundle import LoadedModel, load_model
from xiqa.saliency.method import Method

__all__ = ["Compared", "compare"]

Split = Literal["train", "val", "test", "all"]
COLUMNS = ("method", "metric", "value", "low", "high", "images", "patients", "difference", "difference_low",
           "difference_high", "p", "best")  # fmt: skip


class Compared(pd.DataFrame):
    """What `compare` gives: a row for each method and metric.

    Columns: ``method``; ``metric``; ``value`` and its 95 % interval ``low`` and ``high``, by patient;
    ``images`` and ``patients`` that it rests on; ``difference`` from the reference on the same images, with
    its interval; ``p``, two-sided and Holm-corrected over the metric's comparisons; ``best``, whether no
    method does better. What is cut from it is a plain data frame.
    """

    _metadata = ("table",)
    table: ResultTable

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def to_latex(self) -> str:  # type: ignore[override] # a table for a paper, not the frame's rows
        """As a LaTeX table: a row a method, a column a metric, the best of each column bold.

        Needs ``booktabs`` and ``amssymb``.
        """
        best = self[self["best"]]
        bold = {((method,), (metric,)) for method, metric in zip(best["method"], best["metric"], strict=True)}
        return to_latex(self.table, bold=bold)


def compare(
    model: str | Path | LoadedModel,
    data: str | Path | Images,
    methods: Sequence[Method | str],
    metrics: Sequence[Measure | str],
    *,
    reference: Method | str | None = None,
    split: Split = "all",
    limit: int | None = None,
    target: Literal["poor", "true", "predicted"] = "poor",
    controls: bool = False,
    seed: int = 0,
    resamples: int = 10_000,
    tick: Callable[[], object] = lambda: None,
) -> Compared:
    r"""Measure several saliency methods on the same images.

    The mean over the images that a metric is defined on, :math:`\bar s = \frac{1}{n}\sum_i s_i`, has a
    bootstrap interval by patient; the difference from the reference :math:`\frac{1}{n}\sum_i (s_i - r_i)`
    is tested by exchange of whole patients (`xiqa.scoring.differences.sign_flip_p`). One backward pass
    serves all methods that can share it. What is measured in a recipe, `xiqa benchmark`, is measured alike.

    Args:
        model: Name or folder of a bundle, or a loaded model.
        data: A folder, CSV or COCO file of any layout that ``xiqa data layouts`` lists; or simulated images,
            ``Images(source="random", count=8)``.
        methods: Methods, as ``xiqa methods`` writes them.
        metrics: Metrics by name, ``"pointing_game"`` or ``"aopc:steps=20"``; a `Measure` says more, such as
            which objects are the truth.
        reference: One of the methods, which all others are compared with; by default the first.
        split: Which split of the data.
        limit: At most so many images, drawn by the seed.
        target: The explained class: the poor one, the true one, or the predicted one.
        controls: Whether centre point, random map and edge detector stand beside the methods.
        seed: Of the choice, the controls and the resamples.
        resamples: Bootstrap resamples behind each interval.
        tick: Called after every chunk of images, for a progress bar.

    Returns:
        A row for each method and metric; ``to_latex()`` makes the table of a paper.

    Raises:
        ConfigError: No method or metric, one twice, a reference that is none of the methods, or no image.
        SaliencyError: An unknown method or parameter.
        MetricError: An unknown metric.
        DatasetError: Data that cannot be read.

    >>> table = compare("cxr-foreign-objects", Images(source="random", count=2, size=(128, 128)),
    ...                 ["gradcam", "normgrad_conv1x1"], ["gini"], resamples=100)
    >>> table[["method", "metric", "images"]].values.tolist()
    [['gradcam', 'gini', 2], ['normgrad_conv1x1', 'gini', 2]]
    """
    names = [str(Method.parse(method)) for method in methods]
    first = names[0] if reference is None and names else str(Method.parse(reference or "none"))
    if first not in names:
        raise ConfigError("nothing to compare with", expected=" or ".join(names) or "methods", got=first)
    loaded = model if isinstance(model, LoadedModel) else load_model(str(model))
    images = data if isinstance(data, Images) else Images(path=str(data), split=_split(split))
    spec = TableSpec(name="compared", title="Methods compared", rows=("method",), reference={"method": first})
    try:
        experiment = Experiment(
            name="compared",
            title=spec.title,
            seed=seed,
            target=target,
            controls=controls,
            resamples=resamples,
            data=images.model_copy(update={"limit": limit or images.limit}),
            models=(Network(name=loaded.card.name),),
            methods=tuple(names),
            measures=tuple(map(_measure, metrics)),
            tables=(spec,),
        )
    except ValueError as error:
        raise ConfigError("these cannot be compared", got=str(error)) from error
    state = NetworkState(loaded.card.name, "trained", 0, "", lambda: loaded)
    plan = Plan(experiment, choose_cases(experiment.data, seed), [state])
    evaluator = Evaluator(experiment, state, loaded)
    rows = []
    for chunk in plan.chunks:
        rows += evaluator.rows(chunk)
        tick()
    return _compared(make_table(frame_of(rows), spec, experiment), experiment)


def _split(name: str) -> Split:
    if name not in get_args(Split):
        raise ConfigError("unknown split", expected=" or ".join(get_args(Split)), got=repr(name))
    return name  # type: ignore[return-value] # one of them


def _measure(metric: Measure | str) -> Measure:
    """A metric as a recipe writes it; its label is the text."""
    if isinstance(metric, Measure):
        return metric
    read = Method.parse(metric)
    get_metric(read.name)
    return Measure(metric=read.name, label=str(read), params=dict(read.params))


def _compared(table: ResultTable, experiment: Experiment) -> Compared:
    """The cells of a table as rows of a frame, in the order of its metrics."""
    best = {column: _best(table, column, experiment) for column in table.columns}
    rows = [
        (row[0], column[0], *_numbers(table.cells[row, column]), row in best[column])
        for column in table.columns
        for row in table.rows
        if (row, column) in table.cells
    ]
    frame = Compared(rows, columns=list(COLUMNS))
    frame.table = replace(table, columns=list(table.columns))
    return frame


def _numbers(cell: Cell) -> tuple[Any, ...]:
    interval, difference = cell.interval, cell.difference
    apart = (nan, nan, nan) if difference is None else (difference.value, difference.low, difference.high)
    return (interval.value, interval.low, interval.high, interval.images, interval.patients, *apart, cell.p)


def _best(table: ResultTable, column: Name, experiment: Experiment) -> set[Name]:
    """The rows that no other beats; none where a metric has no direction."""
    higher = direction_of(column[0], experiment)
    values = {
        row: table.cells[row, column].interval.value for row in table.rows if (row, column) in table.cells
    }
    if higher is None or not values:
        return set()
    top = (max if higher else min)(values.values())
    return {row for row, value in values.items() if value == top}
