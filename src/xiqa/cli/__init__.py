"""The command line: one file a command, found by its file name.

A module ``cli/NAME.py`` gives either a function ``command`` (then ``xiqa NAME``) or a Typer object
``app`` (then ``xiqa NAME SUBCOMMAND``). It imports what it needs inside the function, so that
``xiqa --help`` stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

__all__ = ["main"]

# What a plain install lacks, and the extra that brings it.
OPTIONAL = {
    **dict.fromkeys(("torch", "torchvision", "timm", "safetensors", "lightning", "torchmetrics"), "torch"),
    **dict.fromkeys(("pandas", "matplotlib"), "torch"),
    **dict.fromkeys(("pynetdicom", "sqlalchemy", "alembic", "fastapi", "uvicorn"), "service"),
    **dict.fromkeys(("prometheus_client", "multipart", "python_multipart", "argon2", "authlib"), "service"),
}


def main() -> None:
    """Run the command line; an expected error becomes one readable line and exit status 2."""
    from xiqa.cli._parts.streams import enduring_streams

    with enduring_streams():
        _run()


def _run() -> None:
    import typer

    from xiqa import __version__
    from xiqa.errors import XiqaError
    from xiqa.process import keep_freed_memory, stop_on_signals, wait_asleep

    keep_freed_memory()
    if "train" not in sys.argv[1:3]:  # `xiqa train`, `xiqa lungs train`
        wait_asleep()
        stop_on_signals()  # Lightning has its own way with them
    app = typer.Typer(
        name="xiqa",
        help="Explainable image quality assessment for medical images.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_show_locals=False,
    )

    @app.callback(invoke_without_command=True)
    def options(
        version: bool = typer.Option(False, "--version", help="Show the version and leave."),
        plugin: list[str] = typer.Option(
            [], help="A Python file with methods, metrics or layouts of your own; may be repeated."
        ),
    ) -> None:
        if version:
            typer.echo(f"xiqa {__version__}")
            raise typer.Exit
        for file in plugin:
            from xiqa.plugins import load_plugin_file

            load_plugin_file(file)

    for module_info in iter_modules(__path__):
        if module_info.name.startswith("_"):
            continue
        module = import_module(f"{__name__}.{module_info.name}")
        name = module_info.name.replace("_", "-")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.command)

    try:
        app()
    except XiqaError as error:
        typer.secho(f"xiqa: {_shown(str(error))}", fg="red", err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        todo = f'pip install "xiqa[{OPTIONAL[error.name]}]"'
        typer.secho(f"xiqa: this needs {error.name}; {todo}", fg="red", err=True)
        sys.exit(2)


def _shown(message: str) -> str:
    """An error with its line breaks, and everything else that would command the terminal escaped."""
    from xiqa.imaging.options import printable

    return "\n".join(printable(line) for line in message.split("\n"))
