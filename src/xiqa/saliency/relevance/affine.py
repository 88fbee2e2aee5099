"""Weighted layers as affine maps, with batch norm merged into the layer before it.

Every propagation rule of a weighted layer is a few products with the layer's weights, or with some part
of them. An `Affine` offers just these two products, so that a rule is written once for convolutions (of any
stride, dilation, grouping or direction), linear layers and batch norm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["Affine", "Convolution", "Dense", "Diagonal"]


@dataclass(frozen=True)
class Affine(ABC):
    r"""A layer :math:`z = \operatorname{diag}(s) W x + b`.

    Attributes:
        raw: The layer's own weights :math:`W`.
        bias: One value an output channel, or None.
        scale: :math:`s`, one factor an output channel, of a batch norm that `canonise` has merged; or None.
    """

    raw: Tensor
    bias: Tensor | None
    scale: Tensor | None = field(default=None, kw_only=True)

    @abstractmethod
    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """The product of a weight, shaped as the layer's, with an input."""

    @abstractmethod
    def transpose(self, h: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """The product of the transposed weight with an output ``h``; ``x`` tells the input's shape."""

    @abstractmethod
    def spread(self, channels: Tensor) -> Tensor:
        """One value an output channel, shaped to broadcast against an output."""

    @abstractmethod
    def rows(self, scale: Tensor) -> Tensor:
        """One factor an output channel, shaped to broadcast against the weight."""

    @cached_property
    def weight(self) -> Tensor:
        """The weights, scale included."""
        return self.raw if self.scale is None else self.raw * self.rows(self.scale)

    def back(self, h: Tensor, x: Tensor) -> Tensor:
        """The product of the layer's transposed weight with an output; scales ``h``, not the weight."""
        return self.transpose(h if self.scale is None else h * self.spread(self.scale), self.raw, x)

    def merged(self, scale: Tensor, bias: Tensor) -> Affine:
        """The layer with its output channels scaled once more, and another bias."""
        return replace(self, bias=bias, scale=scale if self.scale is None else self.scale * scale)

    def offset(self) -> Tensor | None:
        """The bias, shaped to broadcast against an output."""
        return None if self.bias is None else self.spread(self.bias)


@dataclass(frozen=True)
class Convolution(Affine):
    """A convolution or transposed convolution of one, two or three dimensions."""

    stride: list[int] = field(default_factory=list)
    padding: list[int] = field(default_factory=list)
    dilation: list[int] = field(default_factory=list)
    transposed: bool = False
    output_padding: list[int] = field(default_factory=list)
    groups: int = 1

    def _geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Affine.apply`."""
        result: Tensor = torch.ops.aten.convolution(x, weight, None, *self._geometry())
        return result

    def transpose(self, h: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """See `Affine.transpose`."""
        wanted = [True, False, False]
        grads = torch.ops.aten.convolution_backward(h, x, weight, None, *self._geometry(), wanted)
        return cast("Tensor", grads[0])

    def spread(self, channels: Tensor) -> Tensor:
        """See `Affine.spread`."""
        return channels.view(-1, *[1] * (self.raw.dim() - 2))

    def rows(self, scale: Tensor) -> Tensor:
        """See `Affine.rows`."""
        ones = [1] * (self.raw.dim() - 2)
        if not self.transposed:
            return scale.view(-1, 1, *ones)
        # a transposed convolution's weight is (in, out / groups, ...), and its inputs are grouped alike
        by_group = scale.view(self.groups, 1, -1).expand(-1, len(self.raw) // self.groups, -1)
        return by_group.reshape(len(self.raw), -1, *ones)


@dataclass(frozen=True)
class Dense(Affine):
    """A linear layer; the weight is ``(in, out)``, as matrix products take it."""

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Affine.apply`."""
        return x @ weight

    def transpose(self, h: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """See `Affine.transpose`."""
        return h @ weight.transpose(-1, -2)

    def spread(self, channels: Tensor) -> Tensor:
        """See `Affine.spread`."""
        return channels

    def rows(self, scale: Tensor) -> Tensor:
        """See `Affine.rows`."""
        return scale


@dataclass(frozen=True)
class Diagonal(Affine):
    """A batch norm in evaluation mode that follows no weighted layer: one weight and one bias a channel."""

    dims: int = 2

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Affine.apply`."""
        return x * self.spread(weight)

    def transpose(self, h: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """See `Affine.transpose`."""
        return h * self.spread(weight)

    def spread(self, channels: Tensor) -> Tensor:
        """See `Affine.spread`."""
        return channels.view(-1, *[1] * (self.dims - 2))

    def rows(self, scale: Tensor) -> Tensor:
        """See `Affine.rows`."""
        return scale
