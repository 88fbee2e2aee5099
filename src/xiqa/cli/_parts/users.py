"""`xiqa serve user`: the accounts of the people who use the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xiqa.service.records.people import People

app = typer.Typer(help="Accounts of the people who use the page.", no_args_is_help=True)

_CONFIG = typer.Option(None, "--config", "-c", help="The node's TOML file.")
_NAME = typer.Argument(help="Name to log in with: small letters, digits and . _ -")
_ROLE = typer.Option("viewer", help="viewer (looks), technologist (decides), lead (undoes others') or admin.")
_STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input.")


@app.command()
def add(
    name: str = _NAME,
    full_name: str = typer.Option("", "--full-name", help="As decisions show it; the name unless told."),
    role: str = _ROLE,
    config: Path | None = _CONFIG,
    password_stdin: bool = _STDIN,
) -> None:
    """Make an account.

    Example: xiqa serve user add ada --full-name "Ada Lovelace" --role technologist --config node.toml
    """
    from xiqa.service.records.people import Role

    chosen, people = Role.named(role), _people(config)
    people.add(name, full_name or name, chosen, _password(password_stdin))
    typer.echo(f"{name} is a {chosen.word}")


@app.command("list")
def listed(config: Path | None = _CONFIG) -> None:
    """Show all accounts.

    Example: xiqa serve user list --config node.toml
    """
    for row in _people(config).listed():
        state = "" if row["active"] else ", not active"
        typer.echo(f"{row['name']}: {row['full_name']}, {row['role']}{state}")


@app.command()
def role(
    name: str = _NAME, role: str = typer.Argument(help="The new role."), config: Path | None = _CONFIG
) -> None:
    """Change what a person may do; ends the person's sessions.

    Example: xiqa serve user role ada lead --config node.toml
    """
    from xiqa.service.records.people import Role

    _people(config).change(name, role=Role.named(role).word)
    typer.echo(f"{name} is a {role}")


@app.command()
def password(name: str = _NAME, config: Path | None = _CONFIG, password_stdin: bool = _STDIN) -> None:
    """Set a new password; ends the person's sessions and unlocks the account.

    Example: xiqa serve user password ada --config node.toml
    """
    _people(config).change(name, password=_password(password_stdin))
    typer.echo(f"{name} has a new password")


@app.command()
def unlock(name: str = _NAME, config: Path | None = _CONFIG) -> None:
    """Let an account that was locked, or is not active, log in again.

    Example: xiqa serve user unlock ada --config node.toml
    """
    _people(config).change(name, active=True)
    typer.echo(f"{name} can log in")


@app.command()
def disable(name: str = _NAME, config: Path | None = _CONFIG) -> None:
    """Keep a person out from now on; what the person decided stays.

    Example: xiqa serve user disable ada --config node.toml
    """
    _people(config).change(name, active=False)
    typer.echo(f"{name} cannot log in any more")


def _password(stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _people(config: Path | None) -> People:
    from xiqa.service.node import open_store
    from xiqa.service.records.people import People
    from xiqa.service.settings import Settings, read_settings

    return People(open_store(Settings() if config is None else read_settings(config)))
