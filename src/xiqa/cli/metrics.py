"""`xiqa metrics`: every metric, its range and direction, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from xiqa.metrics.registry import MetricInfo


def command(
    name: str | None = typer.Argument(None, help="Only this metric, with its whole description."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for programs."),
) -> None:
    """List the metrics with their range, direction, parameters and sources.

    Example: xiqa metrics pointing_game
    """
    import json

    from xiqa.metrics.registry import get_metric, metrics

    chosen = [get_metric(name)] if name else metrics()
    if as_json:
        typer.echo(json.dumps([_plain(info) for info in chosen], indent=1))
    elif name:
        _describe(chosen[0])
    else:
        _table(chosen)


def _plain(info: MetricInfo) -> dict[str, Any]:
    """A metric in JSON's types; infinite bounds are null."""
    return {
        "name": info.name,
        "kind": info.kind,
        "scope": info.scope,
        "higher_is_better": info.higher_is_better,
        "bounds": [bound if abs(bound) < float("inf") else None for bound in info.bounds],
        "truth": info.truth,
        "params": {key: _value(value) for key, value in info.params.items()},
        "cases": info.answers,
        "curve": info.curve is not None,
        "cite": info.cite,
        "summary": info.summary,
    }


def _value(value: Any) -> Any:
    """A default as JSON knows it; the word required where there is none."""
    from inspect import Parameter

    if value is Parameter.empty:
        return "required"
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _better(info: MetricInfo) -> str:
    """The direction, in a word."""
    return {True: "higher", False: "lower", None: "neither"}[info.higher_is_better]


def _table(chosen: list[MetricInfo]) -> None:
    from xiqa.cli._parts.listing import print_listing

    rows = [
        (info.name, info.kind, "{:g} to {:g}".format(*info.bounds), _better(info), info.summary)
        for info in chosen
    ]
    print_listing(("metric", "kind", "range", "better", "what it is"), rows)
    typer.echo(f"\n{len(chosen)} metrics. `xiqa metrics NAME` tells all about one.")


def _describe(info: MetricInfo) -> None:
    import inspect

    low, high = info.bounds
    typer.secho(info.name, bold=True)
    source = info.cite or "-"
    typer.echo(f"kind: {info.kind}   range: {low:g} to {high:g}   better: {_better(info)}   source: {source}")
    edges = "; ".join(f"{case.replace('_', ' ')}: {answer}" for case, answer in info.answers.items())
    typer.echo(f"at the edges: {edges}")
    given = " ".join(f"{key}={_value(value)}" for key, value in info.params.items())
    typer.echo(f"parameters: {given or 'none'}")
    typer.echo(f"curve: {'kept by experiments with curve = true' if info.curve else 'none'}\n")
    typer.echo(inspect.getdoc(info.function) or info.summary)
