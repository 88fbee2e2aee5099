"""`xiqa dicom`: results as DICOM objects."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="DICOM results; `xiqa assess --dicom-results` makes them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make `read` a subcommand although it is alone."""


@app.command()
def read(file: Path = typer.Argument(help="A structured report that xiqa made.")) -> None:
    """Show a structured report as text, without the patient.

    Example: xiqa dicom read today/dicom/1.2.3.sr.dcm
    """
    from xiqa.dicom.read import read_report

    typer.echo(str(read_report(file)))
