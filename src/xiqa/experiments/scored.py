"""One map of one image, and every metric that may be asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xiqa.errors import ConfigError
from xiqa.experiments.cases import Case, Loaded, truth_of
from xiqa.experiments.recipe import Measure
from xiqa.geometry import Frame
from xiqa.metrics import MetricInfo
from xiqa.saliency.placing import on_input, on_original
from xiqa.saliency.probe import TorchProbe
from xiqa.types import FloatArray

__all__ = ["Maps", "Prepared", "Row", "ScoredMap"]

Row = dict[str, Any]
Maps = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image ready for the network.

    Attributes:
        case: Which.
        loaded: Its pixels and objects.
        array: The network's input ``(C, h, w)``.
        frame: From the image to that.
        row: What all its rows have in common.
    """

    case: Case
    loaded: Loaded
    array: Tensor
    frame: Frame
    row: Row


@dataclass(eq=False)
class ScoredMap:
    """One map and everything that a metric may ask about it; grids are made when first asked for.

    Attributes:
        network: The explained network.
        probe: Scores batches of images.
        case: The image.
        image: Its input ``(C, h, w)``, altered or not.
        values: The map, at layer or input size.
        clean: The map of the unaltered image.
        sigma: Width of the Gaussian that smooths the map, pixels of the input.
        target: The explained class.
        again: Maps of other images by the same method, at the images' size.
    """

    network: nn.Module
    probe: TorchProbe
    case: Prepared
    image: Tensor
    values: FloatArray
    clean: FloatArray
    sigma: float
    target: int
    again: Maps
    _original: FloatArray | None = None
    _input: FloatArray | None = None

    def original(self) -> FloatArray:
        """The map on the image's grid."""
        if self._original is None:
            self._original = on_original(self.values, self.case.frame, self.sigma)
        return self._original

    def input(self) -> FloatArray:
        """The map on the network's grid."""
        if self._input is None:
            self._input = on_input(self.values, self.case.frame, self.sigma)
        return self._input

    def explain(self, images: Tensor) -> Tensor:
        """Maps of other images, smoothed alike."""
        maps = self.again(images)
        if self.sigma == 0:
            return maps
        frame = self.case.frame
        return torch.stack(
            [torch.from_numpy(on_input(values.cpu().numpy(), frame, self.sigma)) for values in maps]
        )

    def rows(self, measure: Measure, info: MetricInfo) -> Iterator[Row]:
        """The value, and the curve where it is asked for."""
        if measure.curve:
            yield from self._curve(measure, info)
        else:
            yield {"metric": measure.name, "value": self._value(measure, info)}

    def _value(self, measure: Measure, info: MetricInfo) -> float:
        params = dict(measure.params)
        if info.kind == "localisation":
            return float(info.function(self.original(), truth_of(self.case.loaded, measure), **params))
        if info.kind == "agreement":
            before = on_input(self.clean, self.case.frame, self.sigma)
            return float(info.function(before, self.input(), **params))
        if info.kind == "complexity":
            return float(info.function(self.input(), **params))
        wanted = inspect.signature(info.function).parameters
        known = {"explain": self.explain, "network": self.network, "target": self.target}
        required = {
            name: known[name]
            for name, values in wanted.items()
            if values.kind is values.KEYWORD_ONLY and name in known and values.default is values.empty
        }
        if info.kind == "faithfulness":
            return float(
                info.function(self.probe, self.image, self.input(), self.target, **required, **params)
            )
        if info.kind == "robustness":
            return float(info.function(self.explain, self.image, **required, **params))
        if info.kind in ("randomisation", "cost"):
            return float(info.function(self.network, self.explain, self.image, **required, **params))
        raise ConfigError(
            f"{info.name} is no measure of one map", todo="`xiqa metrics` tells the kind of each metric"
        )

    def _curve(self, measure: Measure, info: MetricInfo) -> Iterator[Row]:
        """The curve's points, and the metric's value from the same passes."""
        curve, value = info.trace(self.probe, self.image, self.input(), self.target, **measure.params)
        for share, score in zip(curve.share, curve.score, strict=True):
            yield {"metric": measure.name, "x": float(share), "value": float(curve.score[0] - score)}
        yield {"metric": measure.name, "value": value}
