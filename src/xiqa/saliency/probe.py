"""A probe scores batches of images and shows nothing else of the network behind it.

Methods and metrics that perturb the input need no gradient and no layer: they see only a `Probe`, so they
run on PyTorch, ONNX Runtime or OpenVINO alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakSet

import numpy as np
from scipy.special import expit
from scipy.special import softmax as softmax_of

from xiqa.saliency.arrays import A, Array

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from xiqa.saliency.capture import LayerRecord

__all__ = ["Probe", "ProbeRecord", "TorchProbe", "class_score"]


CACHED = 2**18
"""Pixels that pass a network at once."""
_WEIGHTS_A_PIXEL = 256
"""The most weights of kernels for each pixel of a batch whose channels are put last: the weights follow."""

_as_given: WeakSet[Any] = WeakSet()
"""Networks that take no images whose channels come last in memory."""


class Probe(Protocol):
    """Anything that turns images ``(N, C, H, W)`` into logits ``(N, K)`` without gradients.

    Both are PyTorch's tensors or both are NumPy's arrays.
    """

    def __call__(self, images: Array) -> Array:
        """Logits ``(N, K)`` of images ``(N, C, H, W)``."""


@dataclass(frozen=True, eq=False)
class ProbeRecord:
    """One image for a method that scores altered copies of it; of an exported graph all are NumPy arrays.

    Attributes:
        image: ``(C, H, W)``.
        target: The explained class.
        probe: Copies ``(M, C, H, W)`` to logits ``(M, K)``.
        multilabel: Whether the classes do not exclude one another.
        layer: The layer of this image, N = 1, for methods that need its output.
        network: The network, for methods that need it.
        rest: What lies behind the layer, features ``(M, C, h, w)`` to logits ``(M, K)``, where it is known
            without the network: the second half of an exported graph.
    """

    image: Tensor
    target: int
    probe: Probe
    multilabel: bool = False
    layer: LayerRecord | None = None
    network: nn.Module | None = None
    rest: Callable[[Array], Array] | None = None

    def score(self, copies: A) -> A:
        """The class's probability ``(M,)`` for copies ``(M, C, H, W)``: softmax, or its own sigmoid."""
        output = "sigmoid" if self.multilabel else "probability"
        return cast("A", class_score(self.probe(copies), self.target, output=output))

    def logit(self, copies: A) -> A:
        """The class's logit ``(M,)``."""
        return cast("A", class_score(self.probe(copies), self.target, output="logit"))


class TorchProbe:
    """A probe on a PyTorch network, in evaluation mode, in bounded batches.

    Args:
        model: The network; left as it was found.
        batch_size: The most images that pass at once. By default as many as `CACHED` pixels hold on a CPU,
            where more take no less time an image, but more memory; 32 elsewhere.
    """

    def __init__(self, model: nn.Module, batch_size: int | None = None) -> None:
        self.model = model
        self.batch_size = batch_size

    def __call__(self, images: Tensor) -> Tensor:
        """Logits of all images; see `Probe`."""
        import torch  # noqa: PLC0415 - other probes need no torch

        from xiqa.saliency.capture import precise  # noqa: PLC0415
        from xiqa.saliency.outputs import taking  # noqa: PLC0415

        training = [module for module in self.model.modules() if module.training]
        try:
            for module in training:
                module.training = False
            with torch.inference_mode(), taking(self.model, images):
                parts = [self._pass(chunk) for chunk in images.split(self.step(images))]
        finally:
            for module in training:
                module.training = True
        return precise((torch.cat(parts) if len(parts) > 1 else parts[0]).clone())

    def _pass(self, images: Tensor) -> Tensor:
        """Logits of a batch, laid out as its network takes it."""
        from xiqa.saliency.outputs import checked_logits  # noqa: PLC0415 - other probes need no torch

        arranged = self.arranged(images)
        if arranged is images:
            return cast("Tensor", checked_logits(self.model(images), len(images)))
        try:
            return cast("Tensor", checked_logits(self.model(arranged), len(images)))
        except RuntimeError:  # it views maps as vectors, for one; what else is wrong the second pass tells
            logits: Tensor = checked_logits(self.model(images), len(images))
            _as_given.add(self.model)
            return logits

    def arranged(self, images: Tensor) -> Tensor:
        """The images with channels last in memory where a processor's layers are faster so.

        The numbers are the same and the logits agree up to rounding. Most convolutional networks take half to
        0.95 of the time for many pixels (`benchmarks/bench_passes.py`); for few they would take longer, since
        each pass lays out the weights anew.
        """
        import torch  # noqa: PLC0415 - other probes need no torch

        if len(images.shape) != 4:
            return images
        count, channels, rows, columns = images.shape
        few = count * rows * columns * _WEIGHTS_A_PIXEL < self._weights
        if few or images.device.type != "cpu" or self.model in _as_given or not _has_avx():
            return images
        if channels == 1 and images.is_contiguous():  # strides alone tell it, nothing has to move
            return images.view(count, rows, columns, 1).movedim(3, 1)
        return images.to(memory_format=torch.channels_last)

    @cached_property
    def _weights(self) -> int:
        """Weights of the kernels."""
        return sum(weight.numel() for weight in self.model.parameters() if weight.ndim == 4)

    def step(self, images: Tensor) -> int:
        """How many of these images pass at once."""
        if self.batch_size is not None:
            return self.batch_size
        if images.device.type != "cpu":
            return 32
        return max(1, min(64, CACHED // math.prod(images.shape[2:])))


@cache
def _has_avx() -> bool:
    """Whether the processor has the wide registers without which channels last are slower."""
    import torch  # noqa: PLC0415 - other probes need no torch

    return torch.backends.cpu.get_cpu_capability().startswith("AVX")


def class_score(logits: A, target: Array | int, *, output: str = "probability") -> A:
    r"""The score of one class a sample.

    ``output="probability"``: softmax over classes, :math:`p_c = e^{z_c} / \sum_k e^{z_k}`, or the
    sigmoid for a one-logit head; ``output="logit"``: :math:`z_c` itself.

    Args:
        logits: ``(N, K)``; with ``K = 1`` the target 1 is :math:`z` and the target 0 is :math:`-z`.
        target: A class for all samples, or ``(N,)`` classes.
        output: ``probability``, ``sigmoid`` (each class on its own: multi-label heads) or ``logit``.

    Returns:
        ``(N,)`` scores.

    >>> class_score(np.array([[0.0, 0.0]]), 1)
    array([0.5])
    """
    if isinstance(logits, np.ndarray):
        return cast("A", _class_score(logits, np.asarray(target), output))
    import torch  # noqa: PLC0415 - NumPy's arrays need no torch

    if logits.shape[1] == 1:
        positive = torch.as_tensor(target == 1, device=logits.device)
        signed = torch.where(positive, logits[:, 0], -logits[:, 0])
        return cast("A", signed if output == "logit" else signed.sigmoid())
    if output == "logit":
        scores = logits
    elif output == "sigmoid":
        scores = logits.sigmoid()
    else:
        scores = logits.softmax(dim=1)
    if isinstance(target, int):  # a column is found sooner than an index a row: small batches feel it
        return cast("A", scores[:, target])
    index = torch.as_tensor(target, device=logits.device).expand(len(logits))
    return cast("A", scores.gather(1, index[:, None])[:, 0])


def _class_score(logits: Array, target: Array, output: str) -> Array:
    """The same in NumPy."""
    index = np.broadcast_to(target, len(logits))
    if logits.shape[1] == 1:
        signed = np.where(index == 1, logits[:, 0], -logits[:, 0])
        return signed if output == "logit" else expit(signed)
    scores = {"logit": np.asarray, "sigmoid": expit}.get(output, lambda z: softmax_of(z, axis=1))(logits)
    return scores[np.arange(len(logits)), index]
