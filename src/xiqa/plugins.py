"""Methods, metrics, layouts and experiments of other packages, found without touching this one.

An installed package names its modules as entry points of the groups below; importing such a module registers
what is decorated in it. A single file serves as well: ``xiqa --plugin FILE COMMAND``.

.. code-block:: toml

    [project.entry-points."xiqa.methods"]
    mine = "my_package.saliency"
    [project.entry-points."xiqa.experiments"]
    mine = "my_package.recipes"  # a package with NAME.toml files beside its __init__.py
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Literal

from xiqa.errors import ConfigError

__all__ = ["Group", "PluginWarning", "load_plugin_file", "load_plugins"]

#: What a package can bring: the group of its entry points is ``xiqa.`` and this.
Group = Literal["methods", "metrics", "datasets", "experiments"]


class PluginWarning(UserWarning):
    """A package names a plugin that cannot be imported; all else goes on without it."""


@cache
def load_plugins(group: Group) -> tuple[ModuleType, ...]:
    """Import the modules that installed packages name in one group, once.

    One that fails is left out with a `PluginWarning` that says which package it belongs to and why.

    Returns:
        Those that were imported, by the names of their entry points.
    """
    found = sorted(entry_points(group=f"xiqa.{group}"), key=lambda entry: (entry.name, entry.value))
    return tuple(module for entry in found if (module := _imported(entry)) is not None)


def load_plugin_file(path: str | Path) -> ModuleType:
    """Import a file of methods, metrics or layouts; its decorators register them.

    Raises:
        ConfigError: There is no such file, or it fails while it is imported.
    """
    file = Path(path).resolve()
    if not file.is_file() or file.suffix != ".py":
        raise ConfigError(f"no plugin {str(path)!r}", expected="a Python file", got=str(file))
    name = f"xiqa_plugin_{file.stem}"
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"the plugin {file.name} cannot be imported", got=f"{type(error).__name__}: {error}"
        ) from error
    return module


def _imported(entry: EntryPoint) -> ModuleType | None:
    package = entry.dist.name if entry.dist is not None else "an unnamed package"
    try:
        module = entry.load()
    except Exception as error:  # anything can go wrong in other people's code
        why = f"{type(error).__name__}: {error}"
    else:
        if isinstance(module, ModuleType):
            return module
        why = f"{entry.value} is no module"
    message = f"the plugin {entry.name} of {package} is left out, it cannot be imported: {why}"
    warnings.warn(message, PluginWarning, stacklevel=4)
    return None
