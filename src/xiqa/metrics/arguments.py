"""What a metric's arguments may be, said by their types and checked in one place before anything is computed.

A parameter's type says what it may be: ``steps: Count | None``, ``level: Share``, ``order: Order`` (a
``Literal``). `checked` reads the types of a function and refuses what does not fit with one `MetricError`;
``@metric`` applies it to every metric, so that a new one is guarded by its types alone.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from math import inf, isfinite
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from xiqa.errors import MetricError
from xiqa.saliency.maps import is_constant

__all__ = [
    "ClassIndex",
    "Count",
    "Explain",
    "Fill",
    "Levels",
    "Map",
    "NotNegative",
    "Number",
    "Output",
    "Percentages",
    "Picture",
    "Positive",
    "Rule",
    "Seed",
    "Share",
    "Shares",
    "checked",
    "refuse",
]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Rule:
    """What an argument may be.

    Attributes:
        words: In words, as an error tells it.
        read: Gives the argument as the function takes it; raises ValueError or TypeError where it is none.
    """

    words: str
    read: Callable[[Any], Any]


def refuse(function: str, name: str, expected: str, value: object) -> MetricError:
    """The error of an argument without meaning."""
    if isinstance(value, (np.ndarray, Tensor)):
        description = f"{type(value).__name__} of {value.dtype}, shape {tuple(value.shape)}"
    else:
        description = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}..."
    return MetricError(f"{function}: {name} has no meaning", expected=expected, got=description)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        _require(not isinstance(value, (bool, np.bool_)))
        number = operator.index(value)
        _require(number >= least)
        return number

    return read


def _real(holds: Callable[[float], bool]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        _require(isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool))
        _require(isfinite(value) and holds(float(value)))
        return value

    return read


def _each(holds: Callable[[float], bool]) -> Callable[[Any], tuple[Any, ...]]:
    check = _real(holds)

    def read(values: Any) -> tuple[Any, ...]:
        _require(not isinstance(values, str) and len(values) > 0)
        return tuple(check(value) for value in values)

    return read


def _map(values: Any) -> NDArray[Any]:
    """A map as numbers that can be subtracted; what differs by rounding only is made constant."""
    _require(isinstance(values, np.ndarray) and values.ndim == 2 and values.size > 0)
    _require(values.dtype.kind in "biuf")
    numbers: NDArray[Any] = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
    if is_constant(numbers) and np.ptp(numbers) > 0:
        return np.full_like(numbers, numbers.flat[0])
    return numbers


def _picture(image: Any) -> Tensor:
    _require(isinstance(image, Tensor) and image.ndim == 3 and image.numel() > 0)
    _require(image.is_floating_point())
    picture: Tensor = image
    return picture


def _fill(kind: Any) -> str | float:
    number: str | float = kind if isinstance(kind, str) else _real(lambda number: True)(kind)
    return number


Map = Annotated[NDArray[np.floating], Rule("an array (H, W) of real numbers", _map)]
Picture = Annotated[Tensor, Rule("a tensor (C, H, W) of floating point numbers", _picture)]
ClassIndex = Annotated[int, Rule("the index of a class, 0 or more", _whole(0))]
Count = Annotated[int, Rule("a whole number of 1 or more", _whole(1))]
Seed = Annotated[int, Rule("a whole number of 0 or more", _whole(0))]
Number = Annotated[float, Rule("a finite number", _real(lambda number: True))]
Positive = Annotated[float, Rule("a number above 0", _real(lambda number: number > 0))]
NotNegative = Annotated[float, Rule("a number of 0 or more", _real(lambda number: number >= 0))]
Share = Annotated[float, Rule("a share in [0, 1]", _real(lambda number: 0 <= number <= 1))]
Shares = Annotated[Sequence[float], Rule("shares in (0, 1], one at least", _each(lambda n: 0 < n <= 1))]
Percentages = Annotated[
    Sequence[float], Rule("numbers in [0, 100), one at least", _each(lambda n: 0 <= n < 100))
]
Levels = Annotated[Sequence[float], Rule("numbers of 0 or more, one at least", _each(lambda n: 0 <= n < inf))]
Output = Literal["probability", "sigmoid", "logit"]

#: Maps ``(N, h, w)`` of images ``(N, C, H, W)``, for the class that is explained.
Explain = Callable[[Tensor], Tensor]

Fill = Annotated[str | float, Rule("the name of a fill or a finite number", _fill)]


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which refuses arguments that its parameters' types rule out.

    Raises:
        MetricError: (The function does.) An argument has no meaning.

    >>> @checked
    ... def half(steps: Count) -> float:
    ...     return steps / 2
    >>> half(3)
    1.5
    >>> half(-3)
    Traceback (most recent call last):
    xiqa.errors.MetricError: half: steps has no meaning: expected a whole number of 1 or more, got -3
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        rules = _rules(function)
        for name, value in given.arguments.items():
            if name in rules:
                given.arguments[name] = _read(rules[name], value, function.__name__, name)
        return function(*given.args, **given.kwargs)

    return call


def _read(rule: Rule, value: Any, function: str, name: str) -> Any:
    try:
        return rule.read(value)
    except (TypeError, ValueError, LookupError):
        raise refuse(function, name, rule.words, value) from None


@cache
def _rules(function: Callable[..., Any]) -> dict[str, Rule]:
    """The rule of each parameter whose type is one."""
    hints = get_type_hints(function, include_extras=True)
    rules = {name: _rule(hint) for name, hint in hints.items() if name != "return"}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _rule(hint: Any) -> Rule | None:
    """The rule that a type stands for; None where it says nothing that can be checked."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = [part for part in parts[1:] if isinstance(part, Rule)]
        return own[0] if own else _rule(parts[0])
    if origin is Literal:
        return _one_of(parts)
    if origin in (Union, UnionType):
        return _any_of([part for part in parts if part is not type(None)], type(None) in parts)
    if origin is Callable or _is_protocol(hint):
        return Rule("something that can be called", _callable)
    return _KINDS.get(hint) if isinstance(hint, type) else None


def _is_protocol(hint: Any) -> bool:
    return isinstance(hint, type) and getattr(hint, "_is_protocol", False)


def _callable(value: Any) -> Any:
    _require(callable(value))
    return value


def _kind(words: str, *kinds: type) -> Rule:
    def read(value: Any) -> Any:
        _require(isinstance(value, kinds))
        return value

    return Rule(words, read)


_KINDS = {bool: _kind("True or False", bool, np.bool_), nn.Module: _kind("a network", nn.Module)}


def _one_of(values: tuple[Any, ...]) -> Rule:
    def read(value: Any) -> Any:
        _require(isinstance(value, str) and value in values)
        return value

    return Rule(" or ".join(repr(value) for value in values), read)


def _any_of(arms: Sequence[Any], none: bool) -> Rule | None:
    """The rule of a union: one of its arms' rules, or None where that may be given."""
    rules = [_rule(arm) for arm in arms]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None

    def read(value: Any) -> Any:
        if none and value is None:
            return None
        for rule in known:
            try:
                return rule.read(value)
            except (TypeError, ValueError, LookupError):
                continue
        raise ValueError

    return Rule(" or ".join([rule.words for rule in known] + ["None"] * none), read)
