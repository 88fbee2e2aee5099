"""The register of layouts: how a data set lies on the disk, told by its files, and how it is read.

``@layout(...)`` on a reader is all it takes: `layouts` imports every module of this folder, so recognition,
recipes and the command line find a new file by themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

from xiqa.datasets.collection import Collection
from xiqa.datasets.tables import header_of
from xiqa.errors import DatasetError
from xiqa.plugins import load_plugins

__all__ = ["Layout", "get_layout", "header", "layout", "layout_names", "layouts"]

Reader = TypeVar("Reader", bound=Callable[[Path], Collection])


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout and what is declared about it.

    Attributes:
        name: Its only spelling: in recipes, in `Collection.name` and on the command line.
        recognise: Whether a folder or file has this layout, by a look at the names of files and at headers.
        read: Gives the whole data set; leaks between splits are for the caller to refuse.
        rank: Layouts of a lower rank are tried first; those that less specific files tell rank higher.
    """

    name: str
    recognise: Callable[[Path], bool] = field(repr=False)
    read: Callable[[Path], Collection] = field(repr=False)
    rank: int = 0

    @property
    def summary(self) -> str:
        """First sentence of the reader's module."""
        module = inspect.getmodule(self.read)
        return (inspect.getdoc(module) or "").split("\n\n", 1)[0].replace("\n", " ")


_REGISTER: dict[str, Layout] = {}


def layout(name: str, *, recognise: Callable[[Path], bool], rank: int = 0) -> Callable[[Reader], Reader]:
    """Enter a reader in the register.

    Args:
        name: Of the layout, in words joined by underscores.
        recognise: Tells a path of this layout; must not read images.
        rank: See `Layout`.

    Returns:
        A decorator that leaves the reader as it is.

    Raises:
        DatasetError: The name is taken by another module.
    """

    def enter(read: Reader) -> Reader:
        known = _REGISTER.get(name)
        if known is not None and known.read.__module__ != read.__module__:
            raise DatasetError(
                f"two layouts are named {name!r}",
                got=f"{known.read.__module__} and {read.__module__}",
                todo="rename one of them",
            )
        _REGISTER[name] = Layout(name, recognise, read, rank)
        return read

    return enter


def layouts() -> list[Layout]:
    """Every layout, in the order in which they are tried."""
    package = import_module("xiqa.datasets")
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    load_plugins("datasets")
    return sorted(_REGISTER.values(), key=lambda known: (known.rank, known.name))


def layout_names() -> tuple[str, ...]:
    """The names of all layouts, in the order in which they are tried."""
    return tuple(known.name for known in layouts())


def get_layout(name: str) -> Layout:
    """The layout of this name.

    Raises:
        DatasetError: There is none.
    """
    known = {known.name: known for known in layouts()}
    if name not in known:
        raise DatasetError(
            f"no layout is named {name!r}",
            expected=f"one of {', '.join(known)}",
            todo="`xiqa data layouts` lists them",
        )
    return known[name]


def header(table: Path) -> set[str]:
    """The columns of a CSV file; none where there is no such file."""
    if not table.is_file():
        return set()
    try:
        return set(header_of(table))
    except DatasetError:
        return set()
