"""The register of metrics: a metric is one pure function in one file, with what is declared about it.

``@metric(...)`` on a function is all it takes: `metrics` imports every module of this folder, so the command
line, the documentation and the contract tests find a new file by themselves.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from math import inf, isnan, nan
from pkgutil import walk_packages
from typing import Any, Literal, TypeVar, cast

from xiqa.errors import MetricError
from xiqa.metrics.arguments import checked
from xiqa.plugins import load_plugins

__all__ = ["CALLS", "Case", "Cases", "CurveOf", "Kind", "MetricInfo", "get_metric", "metric", "metrics"]

Kind = Literal[
    "localisation",
    "faithfulness",
    "agreement",
    "complexity",
    "robustness",
    "randomisation",
    "consistency",
    "cost",
]
#: The calling convention of each kind, in the order in which the kinds are told.
CALLS: Mapping[Kind, str] = {
    "localisation": "f(saliency, truth)",
    "faithfulness": "f(probe, image, saliency, target)",
    "agreement": "f(a, b)",
    "complexity": "f(saliency)",
    "robustness": "f(explain, image)",
    "randomisation": "f(network, explain, image)",
    "consistency": "f(scores)",
    "cost": "f(network, explain, image)",
}

#: A degenerate input that a metric declares its answer to.
Case = Literal["no_truth", "full_truth", "constant", "ties", "non_finite"]
Cases = Mapping[Case, float | str]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class CurveOf:
    """The curve of scores that a metric is a number of.

    Attributes:
        function: Gives the curve (`xiqa.metrics.perturbation.Curve`) for the metric's own arguments.
        number: What the metric reads from it.
    """

    function: Callable[..., Any]
    number: Callable[[Any], float]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric and what is declared about it.

    Attributes:
        name: Name in the registry.
        kind: What it measures; decides how it is called.
        function: The metric itself.
        higher_is_better: Direction; None where neither is better.
        bounds: Smallest and largest possible value.
        truth: What it is compared with: ``objects``, ``map`` or nothing.
        cite: Key of the source in ``docs/references.bib``.
        cases: The answer to each degenerate input: a number (NaN: not defined here), or words where the
            answer depends on the input. A case that cannot arise is left out.
        scope: ``image``: one value an image; ``set``: one value a data set.
        curve: The curve behind it, where it is a number of one.
    """

    name: str
    kind: Kind
    function: Callable[..., Any] = field(repr=False)
    higher_is_better: bool | None
    bounds: tuple[float, float]
    truth: Literal["objects", "map", ""]
    cite: str
    cases: Cases
    scope: Literal["image", "set"]
    curve: CurveOf | None = None

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        text = inspect.getdoc(self.function) or ""
        return re.split(r"(?<=\.)\s", text.split("\n\n")[0].replace("\n", " "))[0]

    @property
    def call(self) -> str:
        """How it is called, keyword parameters apart."""
        names = [
            name
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        return f"{self.name}({', '.join(names)})"

    @property
    def answers(self) -> dict[str, str]:
        """What it answers to degenerate inputs, in words."""
        return {case: _told(answer) for case, answer in self.cases.items()}

    @property
    def params(self) -> dict[str, Any]:
        """The keyword parameters and their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def trace(self, *args: Any, **params: Any) -> tuple[Any, float]:
        """The curve that the metric is a number of, by the metric's own defaults, and that number.

        Raises:
            MetricError: It has no curve, or the curve takes no such parameter.
        """
        if self.curve is None:
            known = " or ".join(info.name for info in metrics() if info.curve)
            raise MetricError(f"{self.name} has no curve", expected=known)
        taken = inspect.signature(self.curve.function).parameters
        unknown = set(params) - set(taken)
        if unknown:
            raise MetricError(f"a curve of {self.name} takes no {', '.join(sorted(unknown))}")
        defaults = {name: default for name, default in self.params.items() if name in taken}
        curve = self.curve.function(*args, **(defaults | params))
        return curve, float(self.curve.number(curve))


def _told(answer: float | str) -> str:
    if isinstance(answer, str):
        return answer
    return "not defined (NaN)" if isnan(answer) else f"{answer:g}"


_REGISTER: dict[str, MetricInfo] = {}


def metric(
    name: str,
    kind: Kind,
    *,
    higher_is_better: bool | None,
    bounds: tuple[float, float] = (-inf, inf),
    truth: Literal["objects", "map", ""] = "",
    cite: str = "",
    cases: Cases | None = None,
    scope: Literal["image", "set"] = "image",
    curve: CurveOf | None = None,
) -> Callable[[F], F]:
    """Enter a function in the register, its arguments checked; see `MetricInfo` for what is declared.

    Raises:
        MetricError: The name is taken by another function.
    """

    def enter(function: F) -> F:
        known = _REGISTER.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise MetricError(
                f"two metrics are named {name!r}",
                got=f"{known.function.__module__} and {function.__module__}",
                todo="rename one of them",
            )
        declared: Cases = {"non_finite": nan, **(cases or {})}
        guarded = cast("F", checked(function))
        _REGISTER[name] = MetricInfo(
            name, kind, guarded, higher_is_better, bounds, truth, cite, declared, scope, curve
        )
        return guarded

    return enter


def metrics() -> list[MetricInfo]:
    """Every metric, by kind and name."""
    package = import_module("xiqa.metrics")
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    load_plugins("metrics")
    kinds = list(CALLS)
    return sorted(_REGISTER.values(), key=lambda info: (kinds.index(info.kind), info.name))


def get_metric(name: str) -> MetricInfo:
    """The metric of this name.

    Raises:
        MetricError: There is none.
    """
    for info in metrics():
        if info.name == name:
            return info
    raise MetricError(
        f"no metric is named {name!r}",
        expected="one of " + ", ".join(info.name for info in _REGISTER.values()),
        todo="`xiqa metrics` lists them",
    )
