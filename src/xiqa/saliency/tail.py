r"""The part of a network behind one layer, as a function of that layer's output.

Methods that mask features (Ablation-CAM, Recipro-CAM) ask what the network says when one layer's output is
changed: :math:`z = t(A')`. The part before the layer does not depend on the mask, so it must run once an
image, not once a mask. Cutting a network in two is not possible in general (residual connections cross the
cut, the forward pass is arbitrary Python), so the cut is made by *replay*:

1. Record one forward pass of the image and keep, in the order of the calls, the output of every module call
   that ended before the layer was entered (only the outermost ones: a finished stage, not its children).
2. Replay: run the network's own Python code again, but let each of those calls return its kept output,
   repeated to the number of masks, and let the layer return the changed features. Everything behind runs for
   real. What depends on the layer cannot have ended before it began, so nothing kept can be stale.

Work between modules before the layer (adding a position embedding, say) is done again on the masked batch;
it is no module call and cheap. Tensors changed in place behind the recorder's back could break the replay, so
the unchanged features are replayed first: unless they give the recorded logits, the tail falls back to whole
forward passes in which only the layer's output is replaced, which is slower and always right.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from xiqa.errors import SaliencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

__all__ = ["Tail"]

_CHUNK_ELEMENTS = 2**24  # features that pass at once: 64 MiB of float32


class Tail:
    """Logits as a function of one layer's output, for one image.

    Args:
        network: Any module that maps ``(N, C, H, W)`` to logits ``(N, K)``, in evaluation mode.
        layer: Name of the layer for ``network.get_submodule``; of several calls the last one counts.
        image: ``(1, C, H, W)``.
        chunk: The most feature maps that pass at once; by default as many as 64 MiB of features hold.

    Attributes:
        features: The layer's output for the image, ``(1, ...)``.
        logits: The network's answer to the image, ``(1, K)``.
        replays: Whether the part before the layer is spared (True) or run again for each mask.

    Raises:
        SaliencyError: The layer was not called, or does not return one tensor.
    """

    def __init__(self, network: nn.Module, layer: str, image: Tensor, *, chunk: int | None = None) -> None:
        self.network, self.image, self.name = network, image, layer
        self.layer = network.get_submodule(layer)
        self._record()
        self.chunk = chunk or max(1, _CHUNK_ELEMENTS // max(1, self.features.numel()))
        self.replays = self._replay_is_right()

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        """Logits ``(M, K)`` of the network with the layer's output replaced by ``(M, ...)`` features."""
        run = self._replay if self.replays else self._run_again
        return torch.cat([run(part) for part in features.split(self.chunk)])

    @torch.no_grad()
    def _record(self) -> None:
        ended: list[tuple[nn.Module, Any]] = []  # outermost ended calls, in order
        before: list[tuple[nn.Module, Any]] | None = None  # the same when the layer was entered
        result: Any = None
        self._calls = 0  # of the layer

        def recorder(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
            def record(*args: Any, **kwargs: Any) -> Any:
                nonlocal before, result
                started = len(ended)
                if module is self.layer:
                    before = list(ended)
                    self._calls += 1
                output = forward(*args, **kwargs)
                if module is self.layer:
                    # what follows may change the tensor in place
                    result = output.clone() if isinstance(output, Tensor) else output
                ended[started:] = [(module, output)]
                return output

            return record

        with _patched(set(self.network.modules()) - {self.network}, recorder):
            logits = self.network(self.image)
        if before is None or not isinstance(result, Tensor):
            raise SaliencyError(
                f"layer {self.name!r} cannot be masked",
                expected="a module that the forward pass calls and that returns one tensor",
                got="no call" if before is None else type(result).__name__,
                todo="choose another layer",
            )
        self._before, self.features, self.logits = before, result, logits

    def _replay_is_right(self) -> bool:
        """Whether a replay of the unchanged features, twice, gives the recorded logits twice."""
        try:
            again = self._replay(self.features.expand(2, *self.features.shape[1:]).contiguous())
        except (RuntimeError, _OutOfStepError):
            return False
        error = (again - self.logits).abs().max()
        return bool(error <= 1e-3 * self.logits.abs().max())

    @torch.no_grad()
    def _replay(self, features: Tensor) -> Tensor:
        count, step = len(features), 0

        def player(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
            def play(*args: Any, **kwargs: Any) -> Any:
                nonlocal step
                if step > len(self._before):  # behind the layer
                    return forward(*args, **kwargs)
                step += 1
                if step > len(self._before):
                    if module is not self.layer:
                        raise _OutOfStepError
                    return features.clone()
                recorded, output = self._before[step - 1]
                if recorded is not module:
                    raise _OutOfStepError
                return tree_map_only(Tensor, lambda kept: _repeat(kept, count), output)

            return play

        modules = {module for module, _ in self._before} | {self.layer}
        with _patched(modules, player):
            logits: Tensor = self.network(_repeat(self.image, count))
        return logits

    @torch.no_grad()
    def _run_again(self, features: Tensor) -> Tensor:
        call = 0

        def replacer(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
            def replace(*args: Any, **kwargs: Any) -> Any:
                nonlocal call
                call += 1
                return features.clone() if call == self._calls else forward(*args, **kwargs)

            return replace

        with _patched({self.layer}, replacer):
            logits: Tensor = self.network(_repeat(self.image, len(features)).contiguous())
        return logits


class _OutOfStepError(Exception):
    """The forward pass took another way than the recorded one."""


def _repeat(kept: Tensor, count: int) -> Tensor:
    """A kept tensor of one image for ``count`` masks; a view, so that in-place changes raise."""
    if kept.dim() == 0 or kept.shape[0] != 1:
        return kept
    return kept.clone() if count == 1 else kept.expand(count, *kept.shape[1:])


@contextmanager
def _patched(
    modules: set[nn.Module], wrap: Callable[[nn.Module, Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Exchange the ``forward`` of some modules, and undo it whatever happens."""
    own = {module: vars(module)["forward"] for module in modules if "forward" in vars(module)}
    try:
        for module in modules:
            module.forward = wrap(module, module.forward)
        yield
    finally:
        for module in modules:
            if module in own:
                module.forward = own[module]
            else:
                vars(module).pop("forward", None)
