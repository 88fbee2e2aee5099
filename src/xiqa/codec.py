"""One JSON form for every value that travels: to plain types and back, unchanged.

=====================  ==========================================================
value                  in JSON
=====================  ==========================================================
dataclass              an object of its fields
named tuple, tuple     a list
enum                   its value
date and time          ISO 8601
mapping                an object
NumPy array            ``{"dtype": ..., "shape": ..., "base64": ...}``
number not finite      ``{"float": "inf"}``
text, number, None     itself; any file name survives ``json.dumps`` in ASCII
=====================  ==========================================================

Lists that come back are tuples, since a value that travels is frozen.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, singledispatch
from types import UnionType
from typing import Any, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from xiqa.errors import XiqaError

__all__ = ["Travels", "decode", "encode", "frozen"]

T = TypeVar("T")


class Travels:
    """A dataclass with one JSON form."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The value in JSON's types; see `xiqa.codec`."""
        return dict(encode(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` wrote.

        Raises:
            XiqaError: A field is unknown, missing, or of another type.
        """
        return decode(cls, data)


@singledispatch
def encode(value: Any) -> Any:
    """A value in JSON's types.

    Raises:
        XiqaError: It is of none of the kinds above.
    """
    if not is_dataclass(value):
        raise XiqaError("a value cannot be written as JSON", got=type(value).__name__)
    return {each.name: encode(getattr(value, each.name)) for each in fields(value)}


@encode.register(str)
@encode.register(int)
@encode.register(type(None))
def _(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


@encode.register(float)
@encode.register(np.floating)
def _(value: float) -> Any:
    return float(value) if math.isfinite(value) else {"float": str(float(value))}


@encode.register(datetime)
def _(value: datetime) -> Any:
    return value.isoformat()


@encode.register(np.integer)
def _(value: Any) -> Any:
    return int(value)


@encode.register(np.ndarray)
def _(value: Any) -> Any:
    content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
    return {"dtype": value.dtype.str, "shape": list(value.shape), "base64": content}


@encode.register(Mapping)
def _(value: Any) -> Any:
    return {str(key): encode(item) for key, item in value.items()}


@encode.register(Sequence)
def _(value: Any) -> Any:
    return [encode(item) for item in value]


def decode(kind: type[T], data: Any) -> T:
    """The value of a type that `encode` wrote.

    Raises:
        XiqaError: The data do not fit the type.
    """
    try:
        return _decode(kind, data)  # type: ignore[no-any-return]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise XiqaError(
            f"cannot read a {name}", expected="what its to_dict wrote", got=f"{type(error).__name__}: {error}"
        ) from error


def frozen(value: Any) -> Any:
    """The value with tuples for lists, at any depth, as it comes back from JSON."""
    if isinstance(value, Mapping):
        return {str(key): frozen(item) for key, item in value.items()}
    return tuple(frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def _decode(kind: Any, data: Any) -> Any:
    """A value of a declared type."""
    return _decoder(kind)(data)


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """What reads a declared type; made once for each."""
    if kind is Any:
        return _anything
    if get_origin(kind) is not None:
        return _generic(get_origin(kind), get_args(kind))
    if is_dataclass(kind):
        return _dataclass(kind)
    if hasattr(kind, "_fields"):  # a named tuple
        return _named(kind)
    return _scalar(kind)


def _generic(origin: Any, inner: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Reads what has parameters: optional, array, tuple or mapping."""
    if origin in (Union, UnionType):
        some = _decoder(next(part for part in inner if part is not type(None)))
        return lambda data: None if data is None else some(data)
    if origin is np.ndarray:
        return _array
    if origin is tuple:
        return _tuple(inner)
    item = _decoder(inner[1])
    return lambda data: {str(key): item(value) for key, value in data.items()}


def _dataclass(kind: Any) -> Callable[[Any], Any]:
    readers = {each.name: _decoder(_hints(kind)[each.name]) for each in fields(kind)}

    def read(data: Mapping[str, Any]) -> Any:
        unknown = sorted(set(data) - set(readers))
        if unknown:
            raise KeyError(f"no field {', '.join(unknown)}")
        return kind(**{name: readers[name](item) for name, item in data.items()})

    return read


def _named(kind: Any) -> Callable[[Any], Any]:
    readers = [_decoder(_hints(kind)[name]) for name in kind._fields]
    return lambda data: kind(*(read(item) for read, item in zip(readers, data, strict=True)))


def _tuple(inner: tuple[Any, ...]) -> Callable[[Any], Any]:
    many = len(inner) == 2 and inner[1] is Ellipsis
    readers = [_decoder(part) for part in inner if part is not Ellipsis]

    def read(data: Any) -> Any:
        if isinstance(data, (str, Mapping)):
            raise TypeError(f"a list, not {type(data).__name__}")
        if many:
            return tuple(map(readers[0], data))
        return tuple(part(item) for part, item in zip(readers, data, strict=True))

    return read


def _scalar(kind: Any) -> Callable[[Any], Any]:
    if kind is float:
        return _number
    if issubclass(kind, Enum):
        return cast("Callable[[Any], Any]", kind)
    if kind is datetime:
        return datetime.fromisoformat

    def read(data: Any) -> Any:
        if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
            raise TypeError(f"{kind.__name__}, not {type(data).__name__}")
        return data

    return read


def _number(data: Any) -> float:
    number = _anything(data)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"a number, not {type(data).__name__}")
    return float(number)


def _anything(data: Any) -> Any:
    """A value whose type is not declared."""
    if isinstance(data, Mapping):
        if set(data) == {"float"}:
            return float(data["float"])
        return {key: _anything(item) for key, item in data.items()}
    return tuple(_anything(item) for item in data) if isinstance(data, list) else data


def _array(data: Mapping[str, Any]) -> Any:
    dtype = np.dtype(data["dtype"])
    if dtype.hasobject:
        raise TypeError("an array of numbers, not of objects")
    values = np.frombuffer(base64.b64decode(data["base64"], validate=True), dtype=dtype)
    return values.reshape([int(side) for side in data["shape"]]).copy()


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
