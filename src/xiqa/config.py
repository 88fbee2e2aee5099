"""Recipes and cards as checked values: one base for their sections, one reader of TOML.

Start at `Section`, which every table of a recipe and every part of a card is; `RecipeFile` adds reading.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from xiqa.errors import ConfigError
from xiqa.files import regular_bytes
from xiqa.recipes import find_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["RecipeFile", "Section", "entries_of", "faults", "recipe_entries"]

MOST_RECIPE_BYTES = 1 << 20

# All controls but tab and line feed, directions that turn text around, and halves of characters.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Section(BaseModel):
    """A table of a recipe or a part of a card: frozen, and an unknown entry is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _plain(self) -> Self:
        """No text holds what would command a terminal or turn a line around."""
        for name in type(self).model_fields:
            for text in _texts(getattr(self, name)):
                if _COMMANDS.search(text):
                    raise ValueError(f"{name} holds control characters: {text!a}")
        return self


def _texts(value: object) -> Iterator[str]:
    """All texts in lists and tables; those of other sections were looked at there."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


class RecipeFile(Section):
    """A whole recipe, which can be read from a TOML file."""

    @classmethod
    def read(cls, path: Path, *, quick: bool = False, changes: Mapping[str, Any] | None = None) -> Self:
        """Read and check a recipe.

        A recipe may begin with ``extends = "other.toml"``, a file beside it or else a shipped recipe of that
        name, whose entries it replaces table by table; so one that differs from another in its backbone alone
        says no more than that. It may end in
        a table ``[quick]``: the same in small.

        Args:
            path: A TOML file.
            quick: The recipe in small, as its table ``[quick]`` says.
            changes: Further entries to replace, tables within tables.

        Returns:
            The recipe.

        Raises:
            ConfigError: The file is absent, is not TOML, or has wrong values; names every entry at fault.
        """
        entries = recipe_entries(path)
        small = entries.pop("quick", None)
        if quick and not isinstance(small, dict):
            raise ConfigError(f"{path} has no quick version", expected="a table [quick]")
        if quick:
            entries = _replaced(entries, {"name": f"{entries.get('name', '')}-quick"} | small)
        try:
            return cls.model_validate(_replaced(entries, changes or {}))
        except ValidationError as error:
            raise ConfigError(f"{path} is not such a recipe", got=faults(error, cls)) from error


def recipe_entries(path: Path, extended: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe's entries, unchecked, in place of those of the recipe that it extends.

    Args:
        path: A TOML file.
        extended: The files that led to this one.

    Raises:
        ConfigError: A file is absent, is not TOML, or extends itself.
    """
    try:
        entries = tomllib.loads(regular_bytes(path, MOST_RECIPE_BYTES).decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}", got=str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML", got=str(error)) from error
    other = entries.pop("extends", None)
    if other is None:
        return entries
    if path.resolve() in extended:
        raise ConfigError(f"{path} extends itself", todo="name another recipe in extends, or none")
    return _replaced(recipe_entries(_extended(path, str(other)), (*extended, path.resolve())), entries)


def _extended(path: Path, other: str) -> Path:
    """The recipe that a file extends: beside it, or else a shipped one for the training of that name."""
    beside = path.parent / other
    if beside.exists():
        return beside
    try:
        return find_recipe(other.removesuffix(".toml"), "train")
    except ConfigError:
        return beside


def faults(error: ValidationError, kind: type[BaseModel] | None = None) -> str:
    """Everything that a check found, in one line: unknown and missing entries, wrong ones with value.

    Args:
        error: Of the check.
        kind: What was checked; an unknown entry at its top then brings the name that was probably meant.

    Returns:
        For example ``unknown sed (did you mean seed?); missing card; size.0 = 0: Input should be ...``.
    """
    known = list(kind.model_fields) if kind is not None else []
    return "; ".join(_fault(detail, known) for detail in error.errors())


def _fault(detail: ErrorDetails, known: list[str]) -> str:
    entry = ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        return f"missing {entry}"
    if detail["type"] == "extra_forbidden":
        meant = get_close_matches(entry, known, n=1)
        return f"unknown {entry}" + (f" (did you mean {meant[0]}?)" if meant else "")
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], Mapping):  # a table that disagrees with itself: its entries would hide why
        return f"{entry}: {message}" if entry else message
    return f"{entry} = {detail['input']!r}: {message}"


def _replaced(entries: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Entries with others in their place; tables are changed entry by entry, everything else as a whole."""
    merged = dict(entries)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = (
            _replaced(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
        )
    return merged


def entries_of(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Every entry that a recipe of a kind may have, those of its tables below them.

    Args:
        kind: The recipe's model.
        prefix: Of the entries' names.

    Yields:
        Name, type, default (empty where the entry is a must) and meaning, as the model's docstring says it.
    """
    meanings = _meanings(kind)
    for name, field in kind.model_fields.items():
        entry, table = prefix + name, _table_of(field.annotation)
        default = (
            ""
            if field.is_required() or table is not None
            else repr(field.get_default(call_default_factory=True))
        )
        yield entry, _written(field.annotation, field.metadata), default, meanings.get(name, "")
        if table is not None:
            yield from entries_of(table, f"{entry}.")


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a table, or of a list of tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for part in get_args(annotation) if (table := _table_of(part))), None)


def _written(annotation: Any, limits: Sequence[Any] = ()) -> str:
    """A type as a reader of TOML knows it, with its limits: ``int >= 1``, ``list of str``, ``'a' | 'b'``."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if _table_of(annotation) is not None:
        text = "tables [[...]]" if kind in (tuple, list) else "table"
    elif kind is Annotated:
        text = _written(parts[0])
    elif kind is Literal:
        text = " | ".join(map(repr, parts))
    elif kind in (tuple, list):
        text = f"list of {_written(parts[0])}" if parts[-1] is ... else f"[{', '.join(map(_written, parts))}]"
    elif parts and kind is not dict:
        text = " | ".join(_written(part) for part in parts)
    else:
        text = getattr(annotation, "__name__", str(annotation)).replace("NoneType", "none")
    return " ".join([text, *filter(None, map(_limit, limits))])


def _limit(limit: Any) -> str:
    """A bound of a number as a sign and a value."""
    bounds = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >="}
    return " ".join(f"{sign} {getattr(limit, name)}" for name, sign in bounds.items() if hasattr(limit, name))


def _meanings(kind: type[BaseModel]) -> dict[str, str]:
    """What the docstring's section on attributes says of each."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
