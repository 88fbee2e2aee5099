"""Every command says in its help how it is typed."""

import inspect
from importlib import import_module
from pkgutil import iter_modules

import pytest

import xiqa.cli


def commands():
    """Every command with what is typed before its arguments."""
    for module in iter_modules(xiqa.cli.__path__):
        if module.name.startswith("_"):
            continue
        loaded, name = import_module(f"xiqa.cli.{module.name}"), module.name.replace("_", "-")
        if hasattr(loaded, "app"):
            yield from of_app(loaded.app, name)
        else:
            yield name, loaded.command


def of_app(app, name):
    for command in app.registered_commands:
        own = command.name or command.callback.__name__.replace("_", "-")
        yield f"{name} {own}", command.callback
    for group in app.registered_groups:
        yield from of_app(group.typer_instance, f"{name} {group.name}")


@pytest.mark.parametrize(("name", "function"), [pytest.param(*pair, id=pair[0]) for pair in commands()])
def test_there_is_an_example(name, function):
    assert f"Example: xiqa {name}" in inspect.getdoc(function)
