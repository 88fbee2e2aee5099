"""What a network takes and gives: one error for all methods, one way to make odd networks usable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xiqa.errors import ImagesNotTakenError, SaliencyError, XiqaError

__all__ = ["Adapter", "adapted", "checked_images", "checked_logits", "taking"]

_HALVES = (torch.float16, torch.bfloat16)
_TODO = "name one score an image: target=lambda output: output['logits'][:, 3]"


def checked_images(images: Tensor) -> None:
    """Raise unless these are floating-point images ``(N, C, H, W)`` or volumes ``(N, C, D, H, W)``, N > 0.

    Raises:
        SaliencyError: Another shape, or integers.
    """
    if images.dim() not in (4, 5) or not len(images):
        raise SaliencyError(
            "not a batch of images",
            expected="(N, C, H, W), or (N, C, D, H, W) of volumes, N > 0",
            got=str(tuple(images.shape)),
        )
    if not images.is_floating_point():
        raise SaliencyError(
            "images of whole numbers have no gradient",
            expected="floating-point images, normalised as the network takes them",
            got=str(images.dtype).removeprefix("torch."),
            todo="convert and normalise them",
        )


def checked_logits(output: Any, count: int) -> Any:
    """The output if it is logits ``(N, K)``.

    Raises:
        SaliencyError: Anything else.
    """
    if isinstance(output, (Tensor, np.ndarray)) and output.ndim == 2 and output.shape[0] == count:
        return output
    raise SaliencyError(
        "not a classifier's output", expected=f"logits (N, K), N = {count}", got=_told(output), todo=_TODO
    )


def _told(output: Any) -> str:
    if hasattr(output, "shape"):
        return str(tuple(output.shape))
    if isinstance(output, Mapping) or hasattr(output, "keys"):
        return f"{type(output).__name__} of {', '.join(map(str, output))}"
    length = f" of {len(output)}" if isinstance(output, (tuple, list)) else ""
    return f"{type(output).__name__}{length}"


@contextmanager
def taking(network: object, images: Any) -> Iterator[None]:
    """What a network cannot take becomes one typed error, whatever the network raises.

    Raises:
        ImagesNotTakenError: The network failed, with its own error as the cause.
    """
    try:
        yield
    except (XiqaError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        shape, dtype = tuple(images.shape), str(images.dtype).removeprefix("torch.")
        raise ImagesNotTakenError(
            f"{type(network).__name__} does not take the images",
            expected=_expected(network),
            got=f"{dtype} {shape}: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}",
            todo="give images of the network's type, size and number, or a module that takes images alone",
        ) from error


def _expected(network: object) -> str:
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    kind = next(
        (str(weight.dtype).removeprefix("torch.") for weight in weights if weight.is_floating_point()), "any"
    )
    return f"a network of images (N, C, H, W) alone, of its own type ({kind})"


class Adapter(nn.Module):
    """A network seen as one that maps float32 images to logits; its layers keep their names.

    Args:
        network: The network.
        dtype: What it takes, where that is less precise than float32.
        score: From its output, one score an image ``(N,)``; then the logits are ``(N, 1)``.
    """

    def __init__(
        self,
        network: nn.Module,
        dtype: torch.dtype | None = None,
        score: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.dtype, self.score = network, dtype, score

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, K)``, at least float32."""
        output = self.network(images if self.dtype is None else images.to(self.dtype))
        if self.score is not None:
            output = scores(self.score, output, len(images))[:, None]
        logits: Tensor = checked_logits(output, len(images))
        return logits if self.dtype is None else logits.float()

    def get_submodule(self, target: str) -> nn.Module:
        """A layer by its name in the network; the network itself by no name."""
        return self.network.get_submodule(target)

    def named_modules(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
        """The network's own modules; see `torch.nn.Module.named_modules`."""
        modules: Iterator[tuple[str, nn.Module]] = self.network.named_modules(*args, **options)
        return modules


def scores(score: Callable[[Any], Tensor], output: Any, count: int) -> Tensor:
    """What a callable target makes of an output: one score an image.

    Raises:
        SaliencyError: It fails, or gives something else.
    """
    try:
        value = score(output)
    except Exception as error:
        raise SaliencyError(
            "the target cannot be read from the output",
            expected="a function of the network's output",
            got=f"{_told(output)}: {type(error).__name__}: {error}",
            todo=_TODO,
        ) from error
    if not isinstance(value, Tensor) or value.shape != (count,):
        raise SaliencyError(
            "the target gives no score an image",
            expected=f"a tensor ({count},)",
            got=_told(value),
            todo=_TODO,
        )
    return value


def adapted(network: Any, images: Tensor, target: Any) -> tuple[Any, Tensor, Any]:
    """Network, images and target such that images are at least float32 and the target is a class.

    Args:
        network: A network or a probe.
        images: ``(N, C, H, W)``.
        target: A class, classes, ``"predicted"``, or a function of the output that gives ``(N,)`` scores.

    Raises:
        SaliencyError: Nothing is named, or a function for something else than a torch network.
    """
    if target is None:
        raise SaliencyError(
            "nothing to explain", expected="'predicted', a class, classes or a function", got="None"
        )
    score = target if callable(target) and not isinstance(target, (str, Tensor)) else None
    dtype = images.dtype if images.dtype in _HALVES else None
    if isinstance(network, nn.Module) and (score is not None or dtype is not None):
        return Adapter(network, dtype, score), images.float() if dtype else images, 1 if score else target
    if score is not None:
        raise SaliencyError(
            "a function as the target reads a network's output",
            expected="a torch network",
            got=type(network).__name__,
        )
    return network, images, target
