"""Which class is explained, for every kind of head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from xiqa.errors import SaliencyError

__all__ = ["FromLogits", "Target", "predicted", "resolve_target"]


@dataclass(frozen=True)
class FromLogits:
    """Classes that follow from what the network says of the images as they are.

    Attributes:
        choose: From logits ``(N, K)`` to ``(N,)`` classes.
    """

    choose: Callable[[Tensor], Tensor]


#: ``"predicted"``, one class for the batch, one a sample, what follows from the logits, or of any
#: other output a function that gives one score an image.
Target = Literal["predicted"] | int | Tensor | FromLogits | Callable[[Any], Tensor]


def predicted(logits: Tensor) -> Tensor:
    """The predicted class of each sample: the largest logit; for a one-logit head 1 where it is positive.

    For a multi-label head this is the most probable label; name the labels one by one to explain several.

    >>> predicted(torch.tensor([[0.5], [-0.5]]))
    tensor([1, 0])
    """
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).long()
    return logits.argmax(dim=1)


def resolve_target(target: Target, logits: Tensor) -> Tensor:
    """One class a sample.

    Args:
        target: ``"predicted"``, a class for all samples, ``(N,)`` classes (the true ones, say), or how
            they follow from the logits.
        logits: ``(N, K)``; ``K = 1`` has the classes 0 and 1.

    Returns:
        ``(N,)`` int64 on the logits' device.

    Raises:
        SaliencyError: A class that the head does not have, or a number of targets that is not N.

    >>> resolve_target(1, torch.zeros(2, 3))
    tensor([1, 1])
    """
    count, classes = logits.shape[0], max(2, logits.shape[1])
    if isinstance(target, str):
        if target != "predicted":
            raise SaliencyError(
                "unknown target", expected="'predicted', a class or classes", got=repr(target)
            )
        return predicted(logits)
    if isinstance(target, FromLogits):
        target = target.choose(logits)
    if target is None or callable(target):
        raise SaliencyError("no class", expected="'predicted', a class or classes", got=repr(target))
    given = torch.as_tensor(target, device=logits.device)
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise SaliencyError("targets are class indices", expected="integers", got=str(given.dtype))
    if given.dim() > 1 or (given.dim() == 1 and len(given) != count):
        raise SaliencyError(
            "targets do not fit the batch",
            expected=f"one class, or {count} classes",
            got=f"shape {tuple(given.shape)}",
        )
    wrong = given[(given < 0) | (given >= classes)]
    if wrong.numel():
        raise SaliencyError("no such class", expected=f"0 to {classes - 1}", got=str(int(wrong.flatten()[0])))
    return given.long().expand(count)
