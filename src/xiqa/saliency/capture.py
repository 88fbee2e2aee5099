"""One forward and at most one backward pass a rule; the outputs and gradients of all layers asked for.

What makes it cheap: the graph begins at the *earliest* layer that needs a gradient (everything before runs
without one), and `torch.autograd.grad` goes to just the tensors asked for, never to the weights. What makes
it safe: the network is given a clone of each captured output, so that a following operation may work in
place; hooks are removed whatever happens; ``.grad``, ``requires_grad`` and buffers are never touched; frozen
networks and callers under ``no_grad`` or ``inference_mode`` get the same result.

A layer that is called several times in one forward pass is recorded at its *last* call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor

from xiqa.errors import SaliencyError
from xiqa.saliency.outputs import checked_logits, taking
from xiqa.saliency.tokens import layouts_of

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Context", "ForwardPass", "ImageRecord", "LayerRecord", "Rule", "Watch", "usable"]


def _whole(features: Tensor) -> Tensor:
    """All features, in memory of their own."""
    return features.clone()


@dataclass(frozen=True)
class Watch:
    """What else is kept of the first pass on the images as they are, beside what methods read.

    Attributes:
        layers: Names for ``network.get_submodule``.
        pool: Makes a feature of a layer's output, at once, so that the output itself need not be kept.
    """

    layers: tuple[str, ...] = ()
    pool: Callable[[Tensor], Tensor] = _whole


@dataclass(frozen=True)
class Rule:
    """How scores flow back; the plain gradient unless a method overrides one of the two.

    Subclasses are hashable values (frozen dataclasses): methods of equal rules share their passes.
    """

    #: Whether `forward` changes the forward pass, so that it cannot be shared with the plain gradient.
    own_forward: ClassVar[bool] = False

    def forward(self, network: nn.Module) -> AbstractContextManager[Callable[[Tensor], Tensor]]:
        """What to call on the images, while the context lasts; modules are hooked on ``network``."""
        return nullcontext(network)

    def backward(
        self, logits: Tensor, network: nn.Module, images: Tensor
    ) -> AbstractContextManager[Callable[[Tensor], Tensor] | None]:
        """Change the graph behind the logits for the one backward pass made while the context lasts.

        What it gives instead, if anything, makes the image's gradient from that of the logits.
        """
        return nullcontext()


@dataclass(frozen=True, eq=False)
class Context:
    """What all records of one pass share.

    Attributes:
        network: The explained network.
        images: ``(N, C, H, W)``.
        logits: ``(N, K)``.
        target: ``(N,)`` explained classes.
        rule: The backward rule.
        run: What the rule's `Rule.forward` called on the images; it may have kept what it saw.
    """

    network: nn.Module
    images: Tensor
    logits: Tensor
    target: Tensor
    rule: Rule = field(default_factory=Rule)
    run: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer in one pass.

    Attributes:
        output: ``(N, C, h, w)``.
        grad: Gradient of each sample's explained score there, same shape.
        name: Name of the layer.
        context: The pass.
    """

    output: Tensor
    grad: Tensor = field(default_factory=lambda: torch.empty(0))
    name: str = ""
    context: Context | None = None

    def again(self, images: Tensor) -> LayerRecord:
        """The same layer, network and targets, on other images of the same number."""
        context = _given(self.context)
        passed = ForwardPass(context.network, images, [self.name], rule=context.rule)
        return passed.backward(context.target, rule=context.rule)[0][self.name]

    def sample(self, place: int) -> LayerRecord:
        """The record of one image alone, N = 1."""
        part = slice(place, place + 1)
        context = self.context
        if context is not None:
            alone = {key: getattr(context, key)[part] for key in ("images", "logits", "target")}
            context = replace(context, **alone)
        return LayerRecord(self.output[part], self.grad[part], self.name, context)

    @property
    def pass_(self) -> Context:
        """The pass, for methods that need the network."""
        return _given(self.context)


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """The input in one pass.

    Attributes:
        images: ``(N, C, H, W)``.
        grad: Gradient of each sample's explained score there, or what the rule makes of it.
        context: The pass.
    """

    images: Tensor
    grad: Tensor = field(default_factory=lambda: torch.empty(0))
    context: Context | None = None

    @property
    def pass_(self) -> Context:
        """The pass, for methods that run the network themselves."""
        return _given(self.context)


class ForwardPass:
    """One forward pass that keeps the outputs of some layers, with a graph from the earliest of them on.

    Args:
        network: In evaluation mode.
        images: ``(N, C, H, W)``.
        layers: Names for ``network.get_submodule``.
        grad: Which of them need a gradient: all, none, or those named.
        image_grad: Whether the gradient at the image will be asked for.
        rule: Backward rule whose forward pass to use.
        watch: Layers of which features are kept besides.

    Attributes:
        logits: ``(N, K)``, detached.
        features: Of the watched layers, by name.

    Raises:
        SaliencyError: A layer is unknown, is not called, or does not give one tensor; or the logits are no
            ``(N, K)`` tensor.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        layers: Sequence[str] = (),
        *,
        grad: bool | Collection[str] = True,
        image_grad: bool = False,
        rule: Rule | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.network = network
        self.features: dict[str, Tensor] = {}
        self._grads = tuple((layers if grad else ()) if isinstance(grad, bool) else grad)
        self._outputs: dict[str, Tensor] = {}
        self._thread = threading.get_ident()
        rule = rule or Rule()
        with torch.inference_mode(False), torch.set_grad_enabled(image_grad), ExitStack() as undo:
            self.images = usable(images)
            for name in watch.layers if watch else ():
                undo.callback(_layer(network, name).register_forward_hook(self._watcher(name, watch)).remove)
            for name in dict.fromkeys(layers):
                undo.callback(_layer(network, name).register_forward_hook(self._keeper(name)).remove)
            self._run = undo.enter_context(rule.forward(network))
            self._leaf = self.images.clone().requires_grad_() if image_grad else self.images
            with taking(network, self.images):
                self._logits = self._run(self._leaf)
        self._check([*layers, *(watch.layers if watch else ())])
        self.logits = self._logits.detach()

    def _watcher(self, name: str, watch: Watch | None) -> Callable[..., None]:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() == self._thread and watch is not None:
                self.features[name] = watch.pool(_tensor(name, module, output).detach())

        return keep

    def _keeper(self, name: str) -> Callable[..., Tensor | None]:
        def keep(module: nn.Module, args: Any, output: Any) -> Tensor | None:
            if threading.get_ident() != self._thread:
                return None  # another thread uses the same network
            output = _tensor(name, module, output)
            if name in self._grads and not output.requires_grad:
                torch.set_grad_enabled(True)  # until the pass ends: the graph begins here
                output = output.detach().requires_grad_()
            self._outputs[name] = output
            return cast("Tensor", output.clone())

        return keep

    def _check(self, layers: Iterable[str]) -> None:
        missing = [name for name in layers if name not in self._outputs and name not in self.features]
        if missing:
            raise SaliencyError(
                f"the forward pass does not call {', '.join(missing)}", todo="choose a layer that it calls"
            )
        checked_logits(self._logits, self.images.shape[0])

    def backward(
        self,
        target: Tensor,
        *,
        rule: Rule | None = None,
        layers: Sequence[str] | None = None,
        image_grad: bool = False,
        keep_graph: bool = False,
    ) -> tuple[dict[str, LayerRecord], ImageRecord]:
        """The records of this pass, by at most one backward pass to just the tensors named.

        The samples' scores are summed: in evaluation mode no sample's score depends on another's pixels, so
        the gradient of the sum at one sample is the gradient of its own score.

        Args:
            target: ``(N,)`` explained classes.
            rule: Backward rule.
            layers: Layers that need a gradient; by default all that the pass was made for.
            image_grad: Whether the image's is needed.
            keep_graph: Whether another backward pass follows.

        Returns:
            The layers' records by name, and the image's; without a gradient where none was asked for.
        """
        rule = rule or Rule()
        names = list(self._grads if layers is None else layers)
        wanted = [self._outputs[name] for name in names] + ([self._leaf] if image_grad else [])
        grads: Sequence[Tensor] = ()
        if wanted:
            with torch.inference_mode(False), torch.enable_grad():
                grads = self._gradients(target, wanted, names, rule, keep_graph)
        context = Context(self.network, self.images, self.logits, target, rule, self._run)
        records = {}
        for name, layout in layouts_of(self._outputs, self.images, self.network).items():
            grad = layout.arrange(grads[names.index(name)]) if name in names else torch.empty(0)
            spatial = layout.arrange(self._outputs[name].detach())
            records[name] = LayerRecord(precise(spatial), precise(grad), name, context)
        image = grads[-1] if image_grad else torch.empty(0)
        return records, ImageRecord(self.images, image, context)

    def _gradients(
        self, target: Tensor, wanted: list[Tensor], names: list[str], rule: Rule, keep_graph: bool
    ) -> Sequence[Tensor]:
        # a one-logit head explains class 1 by z and class 0 by -z
        if self._logits.shape[1] == 1:
            scores = torch.where(target == 1, self._logits[:, 0], -self._logits[:, 0])
        else:
            scores = self._logits.gather(1, target[:, None])[:, 0]
        if not scores.requires_grad:
            raise SaliencyError(
                "the logits do not depend on what is to be explained",
                expected="a differentiable path from the layers to the logits",
                todo="choose an earlier layer, or a method that needs no gradient",
            )
        with rule.backward(self._logits, self.network, self.images) as instead:
            if instead is not None:
                with taking(self.network, self.images):
                    (seed,) = torch.autograd.grad(scores.sum(), [self._logits], retain_graph=keep_graph)
                    return [instead(seed)]
            with taking(self.network, self.images):
                grads = torch.autograd.grad(scores.sum(), wanted, retain_graph=keep_graph, allow_unused=True)
        for name, grad in zip([*names, "the image"], grads, strict=False):
            if grad is None:
                raise SaliencyError(
                    f"the logits do not depend on {name}", todo="choose a layer on the way to the logits"
                )
        return grads


def precise(tensor: Tensor) -> Tensor:
    """The tensor in float32 where it has half precision, in which squares overflow and vanish."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def usable(tensor: Tensor) -> Tensor:
    """The tensor without its graph; copied if it was made under inference mode, which no graph may hold."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _tensor(name: str, module: nn.Module, output: Any) -> Tensor:
    """A layer's output, which must be one tensor."""
    if not isinstance(output, Tensor):
        raise SaliencyError(
            f"layer {name!r} ({type(module).__name__}) cannot be explained",
            expected="one tensor as its output",
            got=type(output).__name__,
            todo="choose a layer inside it or behind it",
        )
    return output


def _layer(network: nn.Module, name: str) -> nn.Module:
    try:
        module = network.get_submodule(name)
        if isinstance(module, torch.jit.ScriptModule):
            raise RuntimeError("a compiled module takes no hook")
        return module
    except (AttributeError, RuntimeError):  # compiled modules do not give their layers
        names = [known for known, _ in network.named_modules() if known]
        raise SaliencyError(
            f"the network has no layer {name!r}",
            expected="a name of `named_modules`, of a module that is not compiled",
            todo=f"the last ones are {', '.join(names[-4:])}",
        ) from None


def _given(context: Context | None) -> Context:
    if context is None:
        raise SaliencyError("this record was made by hand, without a pass")
    return context
