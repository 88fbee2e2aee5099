"""Every saliency method by name; writing a decorated function in any module of this package adds one.

Three kinds of method and what wraps them, each a plain function:

===========  ======================================================  ===============
decorator    the function                                            its result
===========  ======================================================  ===============
layer        ``f(layer: LayerRecord, **params)``                     ``(N, h, w)``
image        ``f(image: ImageRecord, **params)``                     ``(N, H, W)``
probe        ``f(sample: ProbeRecord, **params)``, one image         ``(h, w)``
composed     ``f(map, map, ..., **params)``, the maps of its parts   ``(N, H, W)``
wrapper      ``f(inner: Inner, images: Tensor, **params)``           ``(N, h, w)``
===========  ======================================================  ===============

Nothing here needs torch; `methods` imports the modules that do.
"""

from __future__ import annotations

import difflib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Flag, StrEnum, auto
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from xiqa.errors import SaliencyError
from xiqa.plugins import load_plugins
from xiqa.saliency.method import Method

__all__ = [
    "LAYER_PARAMS",
    "Bound",
    "Kind",
    "Method",
    "MethodInfo",
    "Needs",
    "bind",
    "check_dims",
    "composed_method",
    "image_method",
    "layer_method",
    "method_info",
    "methods",
    "portable_methods",
    "probe_method",
    "wrapper",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Needs(Flag):
    """What a method reads; what is cheap stays cheap."""

    NONE = 0
    OUTPUT = auto()  #: a layer's output: one forward pass
    GRAD = auto()  #: the gradient at a layer's output: a backward pass that is cut there
    INPUT = auto()  #: the image
    IMAGE_GRAD = auto()  #: the gradient at the image: a full backward pass
    NETWORK = auto()  #: the network itself, to run it again or to read its head; no exported model
    TRAINED = auto()  #: something trained for it: a bundle of generators, or a branch of the network


class Kind(StrEnum):
    """How a method is called."""

    LAYER = "layer"
    IMAGE = "image"
    PROBE = "probe"
    COMPOSED = "composed"
    WRAPPER = "wrapper"


#: Parameters that every method which reads layers has besides its own.
LAYER_PARAMS: Mapping[str, Any] = {
    "layers": "last",
    "combine": "geometric",
    "weights": None,
    "profile": "paper",
}


@dataclass(frozen=True)
class MethodInfo:
    """What the registry knows of a method.

    Attributes:
        name: The field's name for it, in lower case.
        kind: How it is called.
        needs: What it reads.
        cite: Key in the bibliography.
        summary: First line of its docstring.
        params: Its parameters with their defaults, those that all methods of the kind share included.
        function: The function itself.
        rule: Class of its backward rule, or None for the plain gradient; see `xiqa.saliency.capture.Rule`.
        parts: Texts of the methods that a composed one puts together, or of the one that a wrapper takes
            where none is named.
        portable: Whether it runs on NumPy's arrays too, so that an exported model needs no torch for it.
        dims: How many spatial dimensions it explains: 2 of images, 3 of volumes. What a method does not
            declare is refused, since a formula for images may run on volumes and be wrong.
    """

    name: str
    kind: Kind
    needs: Needs
    cite: str
    summary: str
    params: Mapping[str, Any]
    function: Callable[..., Any] = field(repr=False)
    rule: Callable[..., Any] | None = None
    parts: tuple[str, ...] = ()
    portable: bool = False
    dims: tuple[int, ...] = (2,)

    @property
    def own(self) -> frozenset[str]:
        """Names of the parameters that the function itself takes."""
        return frozenset(_parameters(self.function))


_registry: dict[str, MethodInfo] = {}


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword-only parameters of a function (or class) and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _register(
    name: str,
    kind: Kind,
    needs: Needs,
    cite: str,
    rule: Callable[..., Any] | None = None,
    parts: tuple[str, ...] = (),
    portable: bool = False,
    dims: tuple[int, ...] = (2,),
) -> Callable[[_Function], _Function]:
    def add(function: _Function) -> _Function:
        if name in _registry:
            old = _registry[name].function
            raise SaliencyError(
                f"two methods are called {name!r}",
                expected="one function a name",
                got=f"{old.__module__}.{old.__qualname__} and {function.__module__}.{function.__qualname__}",
            )
        reads_layers = kind in (Kind.LAYER, Kind.COMPOSED) or (kind is Kind.PROBE and Needs.OUTPUT in needs)
        shared = LAYER_PARAMS if reads_layers else {}
        _registry[name] = MethodInfo(
            name=name,
            kind=kind,
            needs=needs,
            cite=cite,
            summary=(inspect.getdoc(function) or "").partition("\n")[0],
            params={**shared, **(_parameters(rule) if rule else {}), **_parameters(function)},
            function=function,
            rule=rule,
            parts=parts,
            portable=portable,
            dims=dims,
        )
        return function

    return add


def layer_method(
    name: str,
    *,
    needs: Needs,
    cite: str,
    rule: Callable[..., Any] | None = None,
    dims: tuple[int, ...] = (2,),
) -> Callable[[_Function], _Function]:
    """Register a method that reads the output of a layer and the gradient there; ``(N, h, w)``."""
    return _register(name, Kind.LAYER, needs, cite, rule, dims=dims)


def image_method(
    name: str,
    *,
    cite: str,
    needs: Needs = Needs.INPUT | Needs.IMAGE_GRAD,
    rule: Callable[..., Any] | None = None,
    dims: tuple[int, ...] = (2,),
) -> Callable[[_Function], _Function]:
    """Register a method that reads the image and the gradient there, under a rule; ``(N, H, W)``."""
    return _register(name, Kind.IMAGE, needs, cite, rule, dims=dims)


def probe_method(
    name: str,
    *,
    cite: str,
    needs: Needs = Needs.INPUT,
    portable: bool = False,
    dims: tuple[int, ...] = (2,),
) -> Callable[[_Function], _Function]:
    """Register a method that scores altered copies of one image at a time; ``(h, w)``.

    With ``portable=True``, written so in its module, it takes NumPy's arrays too, and its module imports no
    torch.
    """
    return _register(name, Kind.PROBE, needs, cite, portable=portable, dims=dims)


def composed_method(
    name: str, *, cite: str, parts: tuple[str, ...], dims: tuple[int, ...] = (2,)
) -> Callable[[_Function], _Function]:
    """Register a function of the maps of other methods, which share their passes; ``(N, H, W)``."""
    return _register(name, Kind.COMPOSED, Needs.NONE, cite, parts=parts, dims=dims)


def wrapper(
    name: str, *, cite: str, of: str = "gradcam", dims: tuple[int, ...] = (2,)
) -> Callable[[_Function], _Function]:
    """Register a function that runs any other method, once or on altered images; ``(N, h, w)``."""
    return _register(name, Kind.WRAPPER, Needs.NONE, cite, parts=(of,), dims=dims)


@cache
def _load() -> None:
    package = import_module("xiqa.saliency")
    for module in pkgutil.walk_packages(package.__path__, "xiqa.saliency."):
        import_module(module.name)
    load_plugins("methods")


@cache
def portable_methods() -> tuple[str, ...]:
    """Names of the methods that need no torch, found without importing any module that does.

    Which modules have some is read from their text: importing all would import torch.
    """
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        if "portable=True" in path.read_text(encoding="utf-8") and path != Path(__file__):
            import_module(".".join(("xiqa.saliency", *path.relative_to(root).with_suffix("").parts)))
    return tuple(sorted(name for name, info in _registry.items() if info.portable))


def methods() -> list[MethodInfo]:
    """All methods, by name."""
    _load()
    return [_registry[name] for name in sorted(_registry)]


def method_info(name: str) -> MethodInfo:
    """What is known of one method.

    Raises:
        SaliencyError: There is none of this name.
    """
    if name not in _registry:  # what is known already needs no other module, and perhaps no torch
        _load()
    if name not in _registry:
        near = difflib.get_close_matches(name, _registry, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`xiqa methods` lists them"
        raise SaliencyError(
            "unknown saliency method", expected="a registered name", got=repr(name), todo=hint
        )
    return _registry[name]


@dataclass(frozen=True)
class Bound:
    """A method with all its parameters, ready to run."""

    method: Method
    info: MethodInfo
    params: Mapping[str, Any]
    inner: Bound | None = None

    @property
    def own(self) -> dict[str, Any]:
        """The parameters for the function itself."""
        return {key: value for key, value in self.params.items() if key in self.info.own}

    @property
    def foldable(self) -> bool:
        """Whether the map is the same on a network whose batch norms are folded.

        It is where the method looks at no more than the network's own last or multiple layers, at the image
        and at the outputs: those stay what they are, while layers in between, weights and modules do not.
        """
        if self.inner is not None and not self.inner.foldable:
            return False
        usual = self.params.get("layers", "last") in ("last", "multi")
        return usual and self.rule is None and Needs.NETWORK not in self.info.needs

    @property
    def rule(self) -> Any:
        """The backward rule with its parameters, or None."""
        if self.info.rule is None:
            return None
        return self.info.rule(**{key: self.params[key] for key in _parameters(self.info.rule)})


def bind(method: Method | str) -> Bound:
    """Look a method up and complete its parameters.

    Raises:
        SaliencyError: The name or a parameter is not known, or a method is wrapped that wraps none.
    """
    method = Method.parse(method)
    info = method_info(method.name)
    unknown = sorted(set(method.params) - set(info.params))
    if unknown:
        raise SaliencyError(
            f"{info.name} has no parameter {', '.join(unknown)}",
            expected=", ".join(info.params) or "no parameter",
            todo=f"see `xiqa methods {info.name}`",
        )
    if method.of is not None and info.kind is not Kind.WRAPPER:
        raise SaliencyError(f"{info.name} wraps no other method", got=str(method))
    inner = bind(method.of or info.parts[0]) if info.kind is Kind.WRAPPER else None
    return Bound(method, info, {**info.params, **method.params}, inner)


def check_dims(bound: Bound, dims: int) -> None:
    """Refuse a method, or one inside it, that does not declare so many spatial dimensions.

    Raises:
        SaliencyError: It does not.
    """
    inside = [bound.inner] if bound.inner is not None else []
    if bound.info.kind is Kind.COMPOSED:
        inside = [bind(part) for part in bound.info.parts]
    if dims not in bound.info.dims:
        able = ", ".join(info.name for info in methods() if dims in info.dims)
        raise SaliencyError(
            f"{bound.info.name} is not defined for {'volumes' if dims == 3 else 'images'}",
            expected=f"a method that declares {dims} spatial dimensions: {able}",
            got=f"images of {dims} spatial dimensions",
        )
    for part in inside:
        check_dims(part, dims)
