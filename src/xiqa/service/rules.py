"""Which model looks at which object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from xiqa.config import Section

__all__ = ["Model", "Rule", "first_fit"]


class Model(Section):
    """A model that rules name.

    Attributes:
        path: An exported ``.onnx`` file, a bundle's folder or a shipped bundle's name; or
        call: ``package.module:function``, a function of one file's path that gives an `Assessment`.
        engine: What runs it; see `xiqa.assessment.loading.load_runtime`.
        method: Saliency method; the model's own where none is told.
        threads: Threads of each assessing process.
        frames: Which frames of an object with several are assessed: all, first, middle or every:k. The
            object's verdict is that of the series, its results are those of the worst frame.
        tolerance: Share of poor frames that the verdict puts up with.
    """

    path: str = ""
    call: str = Field(default="", pattern=r"^([\w.]+:\w+)?$")
    engine: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    method: str | None = None
    threads: int = Field(default=1, ge=1)
    frames: str = Field(default="all", pattern=r"^(all|first|middle|every:[1-9][0-9]*)$")
    tolerance: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.path) == bool(self.call):
            raise ValueError("either path or call")
        return self


class Rule(Section):
    """Which objects a model is for; the first rule that fits decides. Empty lists fit everything.

    Attributes:
        name: How it is called.
        model: Name of a model.
        modality: Modalities, such as ``["CR", "DX"]``.
        body_part: Body parts; ``""`` for an object that does not say.
        view: View positions; likewise.
        source: Calling AE titles.
        called: Called AE titles.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    model: str
    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    called: tuple[str, ...] = ()

    @field_validator("modality", "body_part", "view")
    @classmethod
    def _upper(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(value.upper() for value in values)


def first_fit(rules: Iterable[Rule], row: dict[str, Any]) -> Rule | None:
    """The first rule that fits an instance's row."""
    return next((rule for rule in rules if _fits(rule, row)), None)


def _fits(rule: Rule, row: dict[str, Any]) -> bool:
    texts = {name: str(row[name]).upper() for name in ("modality", "body_part", "view")}
    exact = {name: str(row[name]) for name in ("source", "called")}
    return all(
        not getattr(rule, name) or value in getattr(rule, name) for name, value in (texts | exact).items()
    )
