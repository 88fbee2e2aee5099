"""`xiqa queue`: what waits, what needs a person, and what becomes of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xiqa.service.records.store import Store

app = typer.Typer(help="Look at a node's jobs, try them again, or drop them.", no_args_is_help=True)

_CONFIG = typer.Option(None, "--config", "-c", help="The node's TOML file.")
_IDS = typer.Argument(None, help="Numbers of jobs, as `xiqa queue list` shows them.")


@app.command("list")
def listed(
    config: Path | None = _CONFIG,
    state: str = typer.Option("dead", help="waiting, leased, done, dead or dropped."),
    most: int = typer.Option(100, min=1, help="How many at most."),
) -> None:
    """Show jobs, the longest unchanged first, and how many there are of each kind.

    Example: xiqa queue list --config node.toml
    """
    store = _store(config)
    for row in store.queue.listed([state], most):
        status = row["status"] and f" [{row['status']}]"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["updated"]))
        peer = f" {row['peer']}" if row["peer"] else ""
        typer.echo(
            f"{row['id']:>8} {since} {row['kind']}{peer} {row['uid']}{status} {row['problem']}".rstrip()
        )
    counts = store.queue.counts()
    status = ", ".join(f"{number} {kind} {state}" for (kind, state), number in sorted(counts.items()))
    typer.echo(f"Jobs: {status or 'none'}")


@app.command()
def retry(
    ids: list[int] = _IDS,
    config: Path | None = _CONFIG,
    every: bool = typer.Option(False, "--all", help="All dead jobs."),
) -> None:
    """Try jobs again now.

    Example: xiqa queue retry 17 18 --config node.toml
    """
    _require(ids, every)
    store = _store(config)
    number = store.queue.revive(None if every else ids)
    store.note("activity", "queue", actor="command line", detail=f"retry of {number} jobs")
    typer.echo(f"{number} jobs are tried again")


@app.command()
def drop(ids: list[int] = _IDS, config: Path | None = _CONFIG) -> None:
    """Never do jobs that wait or are dead.

    Example: xiqa queue drop 17 --config node.toml
    """
    _require(ids, False)
    store = _store(config)
    number = store.queue.drop(ids)
    store.note("activity", "queue", actor="command line", detail=f"drop of {number} jobs")
    typer.echo(f"{number} jobs are dropped")


def _require(ids: list[int] | None, every: bool) -> None:
    from xiqa.errors import ConfigError

    if bool(ids) == every:
        raise ConfigError("no jobs are named", todo="give the numbers that `xiqa queue list` shows, or --all")


def _store(config: Path | None) -> Store:
    from xiqa.service.node import open_store
    from xiqa.service.settings import Settings, read_settings

    return open_store(Settings() if config is None else read_settings(config))
