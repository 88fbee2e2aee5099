"""`xiqa serve`: a node that receives, forwards and assesses; `xiqa serve check` tries what it depends on."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xiqa.cli._parts import users

if TYPE_CHECKING:
    from xiqa.service.settings import Settings

app = typer.Typer(help="Run a node: images are pushed to it, forwarded, assessed, and results sent back.")
app.add_typer(users.app, name="user")

_CONFIG = typer.Option(None, "--config", "-c", help="The node's TOML file; without one, a node for a try.")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: Path | None = _CONFIG,
) -> None:
    """Run a node until it is told to stop (SIGTERM or Ctrl-C)."""
    if context.invoked_subcommand is not None:
        context.obj = config
        return
    from xiqa.service.api.app import WebServer, make_app
    from xiqa.service.logs import log_to
    from xiqa.service.node import Node
    from xiqa.service.page.routes import page_routes
    from xiqa.service.page.site import Site

    settings = _settings(config)
    log_to()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    node = Node(settings)
    site = Site(node) if settings.has_page() else None
    pages = [] if site is None else [page_routes(site)]
    web = WebServer(make_app(node, *pages), settings.api)
    try:
        node.start()
        web.start()
        dicom = (
            f"DICOM {settings.intake.title}@{settings.intake.host}:{node.server.port}"
            if node.server
            else "no DICOM"
        )
        typer.echo(f"{dicom}, HTTP {settings.api.host}:{web.port}, folder {settings.node.folder}")
        stop.wait()
    finally:
        node.stopping.set()
        web.stop()
        if site is not None:
            site.close()
        node.stop()


@app.command()
def check(context: typer.Context, config: Path | None = _CONFIG) -> None:
    """Try disk, database, certificates, peers and models; exit status 1 when something is wrong.

    Example: xiqa serve check --config node.toml
    """
    from xiqa.service.checks import check as checked

    findings = list(checked(_settings(config or context.obj)))
    for finding in findings:
        mark = "ok     " if finding.good else "PROBLEM"
        typer.echo(f"{mark} {finding.part}: {finding.detail}")
    raise typer.Exit(int(not all(finding.good for finding in findings)))


@app.command()
def export(
    context: typer.Context,
    out: Path = typer.Argument(
        help="A new folder; it will hold the images as they came, with patients' names."
    ),
    config: Path | None = _CONFIG,
) -> None:
    """Write what people decided as a data set, for `xiqa train` and `xiqa models evaluate`.

    Example: xiqa serve export decisions --config node.toml
    """
    from xiqa.service.node import open_store
    from xiqa.service.records.learning import export_decisions

    settings = _settings(config or context.obj)
    written, gone = export_decisions(open_store(settings), settings.node.folder / "spool", out)
    typer.echo(f"{written} images in {out}" + (f"; {gone} more have left this node" if gone else ""))


def _settings(config: Path | None) -> Settings:
    from xiqa.service.settings import Settings, read_settings

    return Settings() if config is None else read_settings(config)
