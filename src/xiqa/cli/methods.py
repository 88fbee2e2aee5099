"""`xiqa methods`: every saliency method, what it needs and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from xiqa.saliency.registry import MethodInfo


def command(
    name: str | None = typer.Argument(None, help="Only this method, with its whole description."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON for programs."),
) -> None:
    """List the saliency methods with their parameters and sources.

    Example: xiqa methods gradcam
    """
    import json

    from xiqa.saliency.registry import method_info, methods

    chosen = [method_info(name)] if name else methods()
    if as_json:
        typer.echo(json.dumps([_plain(info) for info in chosen], indent=1))
    elif name:
        _describe(chosen[0])
    else:
        _table(chosen)


def _plain(info: MethodInfo) -> dict[str, Any]:
    """A method in JSON's types."""
    return {
        "name": info.name,
        "kind": info.kind.value,
        "needs": _needs(info),
        "params": {key: _value(value) for key, value in info.params.items()},
        "cite": info.cite,
        "summary": info.summary,
    }


def _needs(info: MethodInfo) -> list[str]:
    """What it reads, in words."""
    return [(need.name or "").lower() for need in info.needs]


def _value(value: Any) -> Any:
    """A default as JSON knows it."""
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _written(info: MethodInfo, own: bool = False) -> str:
    """Parameters with their defaults, all of them or only those that the method has for itself."""
    params = {key: value for key, value in info.params.items() if not own or key in info.own}
    return " ".join(f"{key}={_value(value)}" for key, value in params.items())


def _table(chosen: list[MethodInfo]) -> None:
    from rich.console import Console

    from xiqa.cli._parts.listing import print_listing

    rows = [
        (info.name, info.kind.value, " ".join(_needs(info)), info.cite, _written(info, own=True))
        for info in chosen
    ]
    print_listing(("method", "kind", "needs", "source", "own parameters"), rows, whole=("source",))
    Console().print(
        f"\n{len(chosen)} methods. Write one as [bold]NAME:key=value,key=value[/]. What reads layers also "
        "takes layers=last, multi or names joined by +, and combine=geometric. `xiqa methods NAME` tells all."
    )


def _describe(info: MethodInfo) -> None:
    import inspect

    typer.secho(info.name, bold=True)
    typer.echo(
        f"kind: {info.kind.value}   needs: {' '.join(_needs(info)) or 'nothing'}   source: {info.cite}"
    )
    typer.echo(f"parameters: {_written(info) or 'none'}\n")
    typer.echo(inspect.getdoc(info.function) or info.summary)
