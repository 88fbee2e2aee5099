"""One batch of images, the passes that were made for it, and the maps read from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from xiqa.errors import SaliencyError, SaliencyWarning
from xiqa.models.layers import TargetLayers, target_layers
from xiqa.saliency.arrays import Array, places
from xiqa.saliency.capture import Context, ForwardPass, ImageRecord, LayerRecord, Rule, Watch, usable
from xiqa.saliency.combine import combine_layers
from xiqa.saliency.outputs import adapted, checked_images, checked_logits, taking
from xiqa.saliency.probe import Probe, ProbeRecord, TorchProbe
from xiqa.saliency.registry import LAYER_PARAMS, Bound, Kind, Needs, bind, check_dims
from xiqa.saliency.targets import FromLogits, Target, resolve_target

__all__ = ["Inner", "ProbeRecord", "Session"]


@dataclass(frozen=True, eq=False)
class Inner:
    """The method inside a wrapper, with its target fixed.

    Attributes:
        bound: The method and its parameters.
        target: ``(N,)`` explained classes.
        network: The network or probe that the wrapper was given.
        layers: What ``layers="last"`` and ``"multi"`` mean.
        multilabel: Whether the classes do not exclude one another.
    """

    bound: Bound
    target: Tensor
    network: nn.Module | Probe
    layers: TargetLayers | None = None
    multilabel: bool = False

    def __call__(self, images: Tensor, network: nn.Module | None = None) -> Tensor:
        """Maps ``(N, h, w)`` of as many images ``(N, C, H, W)`` as there are targets.

        Args:
            images: The images, or altered copies of them.
            network: Another network of the same layers, to ask instead.
        """
        asked = self.network if network is None else network  # a module may be false: some have a length
        session = Session(asked, images, self.target, self.layers, self.multilabel)
        session.capture([self.bound])
        return session.read(self.bound)


@dataclass(frozen=True)
class _Group:
    """Methods that share one backward pass."""

    rule: Rule
    predicted: bool


@dataclass(eq=False)
class _Records:
    """What one backward pass gave."""

    layers: dict[str, LayerRecord]
    image: ImageRecord
    context: Context


class Session:
    """One batch, its passes, and the maps read from them.

    Attributes:
        logits: ``(N, K)`` of the images as they are; None where no method needed them and nobody watched.
        features: Of the watched layers, by name.
    """

    def __init__(
        self,
        network: nn.Module | Probe,
        images: Tensor,
        target: Target,
        layers: TargetLayers | None,
        multilabel: bool,
    ) -> None:
        checked_images(images)
        self.network, images, target = adapted(network, images, target)
        # An image that is not finite gets a map of NaN; a black one runs instead, to spoil no neighbour.
        self._broken = ~images.detach().sum(dim=places(images, 1), dtype=torch.float64).isfinite()
        self.images = usable(images)
        if self._broken.any():
            self.images = self.images.masked_fill(over_places(self._broken, images), 0)
        self.target = usable(target) if isinstance(target, Tensor) else target
        self.multilabel, self._named_layers = multilabel, layers
        self._records: dict[_Group, _Records] = {}
        self._silent: dict[_Group, dict[str, Tensor]] = {}
        self._classes: Tensor | None = None
        self.logits: Tensor | None = None
        self.features: dict[str, Tensor] = {}

    # --- what is needed

    @property
    def module(self) -> nn.Module:
        """The network, where it is one that can be looked into."""
        if not isinstance(self.network, nn.Module):
            raise SaliencyError(
                "this method looks inside the network",
                expected="a torch network",
                got=type(self.network).__name__,
                todo="choose a method that only scores images: occlusion, rise, lime",
            )
        return self.network

    def layer_names(self, method: Bound) -> tuple[str, ...]:
        """The layers that a method reads, by name."""
        named = method.params.get("layers")
        if named is None:
            return ()
        if named in ("last", "multi"):
            known = self._named_layers or target_layers(self.module, self.images)
            return (known.last,) if named == "last" else known.stages
        return tuple(map(str, named)) if isinstance(named, tuple) else (str(named),)

    def named(self, method: Bound) -> dict[str, Any]:
        """A method's parameters with the layers' names in them, and those of the wrapped one."""
        params = dict(method.params)
        if "layers" in params:
            params["layers"] = self.layer_names(method)
        return {**params, "of": str(method.inner.method)} if method.inner else params

    def _group(self, method: Bound) -> _Group:
        return _Group(method.rule or Rule(), method.params.get("profile") == "reference")

    # --- passes

    def capture(self, methods: Sequence[Bound], watch: Watch | None = None) -> None:
        """One forward pass for all methods (but for rules that change it), one backward pass a group.

        Args:
            methods: What the records are for.
            watch: What is kept of the pass on the images as they are, which is then made in any case.
        """
        for method in methods:
            check_dims(method, len(places(self.images)))
        groups: dict[_Group, list[Bound]] = {}
        for method in _passes(methods):
            groups.setdefault(self._group(method), []).append(method)
        plain = {group: members for group, members in groups.items() if not group.rule.own_forward}
        if plain:
            self._run(plain, watch)
        elif watch is not None or isinstance(self.target, FromLogits):
            self._look(watch)
        for group, members in groups.items():
            if group.rule.own_forward:
                self._run({group: members})

    def _look(self, watch: Watch | None) -> None:
        """A pass without gradients, for methods that make none on the images as they are."""
        if isinstance(self.network, nn.Module):
            self._seen(ForwardPass(self.network, self.images, grad=False, watch=watch))
        else:
            self.logits = self._probe()(self.images)

    def _seen(self, passed: ForwardPass) -> None:
        """Keep what the network says of the images as they are; what is explained may follow from it."""
        self.logits, self.features = passed.logits, passed.features
        if isinstance(self.target, FromLogits):
            self.target = self.target.choose(passed.logits)

    def _run(self, groups: dict[_Group, list[Bound]], watch: Watch | None = None) -> None:
        every = [method for members in groups.values() for method in members]
        names = self._layers_with(every, Needs.OUTPUT | Needs.GRAD)
        passed = ForwardPass(
            self.module,
            self.images,
            names,
            grad=self._layers_with(every, Needs.GRAD),
            image_grad=any(Needs.IMAGE_GRAD in method.info.needs for method in every),
            rule=(rule := next(iter(groups)).rule),
            watch=watch,
        )
        if not rule.own_forward:
            self._seen(passed)
        for number, (group, members) in enumerate(groups.items(), start=1):
            classes = resolve_target("predicted" if group.predicted else self.target, passed.logits)
            layers, image = passed.backward(
                classes,
                rule=group.rule,
                layers=self._layers_with(members, Needs.GRAD),
                image_grad=any(Needs.IMAGE_GRAD in method.info.needs for method in members),
                keep_graph=number < len(groups),
            )
            self._silent[group] = _silent(layers, image)
            context = Context(self.module, self.images, passed.logits, classes, group.rule)
            self._records[group] = _Records(layers, image, context)

    def _layers_with(self, methods: Sequence[Bound], needs: Needs) -> list[str]:
        names = [name for method in methods if method.info.needs & needs for name in self.layer_names(method)]
        return list(dict.fromkeys(names))

    def steps(self, method: Bound, place: int) -> tuple[str, ...]:
        """What is to be known of one image's map: that the gradient it rests on is zero everywhere."""
        names = self.layer_names(method) if Needs.GRAD in method.info.needs else ()
        names += ("the image",) if Needs.IMAGE_GRAD in method.info.needs else ()
        silent = self._silent.get(self._group(method), {})
        return tuple(
            f"zero gradient at {name}" for name in names if name in silent and bool(silent[name][place])
        )

    def classes(self, method: Bound) -> Tensor:
        """The class of each sample that a method explains."""
        group = self._group(method)
        if group in self._records:
            return self._records[group].context.target
        if self._classes is None:
            logits = self.logits
            if logits is None and self._records:
                logits = next(iter(self._records.values())).context.logits
            if logits is None:
                logits = self._probe()(self.images)
            self._classes = resolve_target(self.target, logits)
        return self._classes

    def _probe(self) -> Probe:
        return TorchProbe(self.network) if isinstance(self.network, nn.Module) else _Checked(self.network)

    # --- maps

    def read(self, method: Bound) -> Tensor:
        """The maps of one method, ``(N, h, w)``."""
        maps = self._reader(method.info.kind)(method)
        if maps.dim() != self.images.dim() - 1 or len(maps) != len(self.images):
            raise SaliencyError(
                f"{method.info.name} gave no map a sample",
                expected=f"shape ({len(self.images)}, {'h, w' if self.images.dim() == 4 else 'd, h, w'})",
                got=str(tuple(maps.shape)),
            )
        return maps.detach().masked_fill(over_places(self._broken, maps), torch.nan)

    def _reader(self, kind: Kind) -> Callable[[Bound], Tensor]:
        return {
            Kind.LAYER: self._read_layers,
            Kind.IMAGE: self._read_image,
            Kind.PROBE: self._read_probe,
            Kind.COMPOSED: self._read_composed,
            Kind.WRAPPER: self._read_wrapper,
        }[kind]

    def _read_layers(self, method: Bound) -> Tensor:
        records = self._records[self._group(method)].layers
        return self._combined(
            method, [method.info.function(records[name], **method.own) for name in self.layer_names(method)]
        )

    def _combined(self, method: Bound, maps: list[Tensor]) -> Tensor:
        if len(maps) == 1:
            return maps[0]
        return combine_layers(
            maps,
            "reference" if method.params["profile"] == "reference" else str(method.params["combine"]),
            weights=method.params["weights"],
            image_size=tuple(self.images.shape[2:]),
        )

    def _read_image(self, method: Bound) -> Tensor:
        maps: Tensor = method.info.function(self._records[self._group(method)].image, **method.own)
        return maps

    def _read_composed(self, method: Bound) -> Tensor:
        maps: Tensor = method.info.function(*(self.read(part) for part in _parts(method)), **method.own)
        return maps

    def _read_probe(self, method: Bound) -> Tensor:
        names = self.layer_names(method) if Needs.OUTPUT in method.info.needs else (None,)
        return self._combined(method, [self._probe_maps(method, name) for name in names])

    def _probe_maps(self, method: Bound, layer: str | None) -> Tensor:
        network = self.module if Needs.NETWORK in method.info.needs else None
        classes = self.classes(method)
        maps = []
        for place, image in enumerate(self.images):
            record = self._records[self._group(method)].layers[layer] if layer else None
            sample = ProbeRecord(
                image=image,
                target=int(classes[place]),
                probe=self._probe(),
                multilabel=self.multilabel,
                layer=None if record is None else record.sample(place),
                network=network,
            )
            maps.append(method.info.function(sample, **method.own))
        return torch.stack(maps)

    def _read_wrapper(self, method: Bound) -> Tensor:
        assert method.inner is not None
        inner = Inner(method.inner, self.classes(method), self.network, self._named_layers, self.multilabel)
        maps: Tensor = method.info.function(inner, self.images, **method.own)
        return maps


def over_places(values: Tensor, like: Tensor) -> Tensor:
    """One value a sample ``(N,)`` with the axes of ``like``, to be spread over its places."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _silent(layers: dict[str, LayerRecord], image: ImageRecord) -> dict[str, Tensor]:
    """Where a gradient is zero everywhere, ``(N,)`` each: nothing is explained by it, which is told."""
    grads = {name: record.grad for name, record in layers.items()} | {"the image": image.grad}
    zeros = {name: ~grad.flatten(1).any(dim=1) for name, grad in grads.items() if grad.dim() > 1}
    zeros = {name: zero for name, zero in zeros.items() if zero.any()}
    for name, zero in zeros.items():
        warnings.warn(
            f"the gradient at {name} is exactly zero everywhere for {int(zero.sum())} of {len(zero)} images: "
            "their score does not depend on it there, and a map made of it is empty; choose an earlier layer",
            SaliencyWarning,
            stacklevel=2,
        )
    return zeros


@dataclass(frozen=True)
class _Checked:
    """A probe whose failures and outputs are told as a network's are."""

    probe: Probe

    def __call__(self, images: Array) -> Array:
        """Logits; see `Probe`."""
        with taking(self.probe, images):
            logits = self.probe(images)
        return checked_logits(logits, len(images))


def _parts(method: Bound) -> list[Bound]:
    """The methods that a composed one puts together; they share its choice of layers."""
    parts = []
    for part in map(bind, method.info.parts):
        shared = {key: method.params[key] for key in LAYER_PARAMS if key in part.params}
        parts.append(replace(part, params={**part.params, **shared}))
    return parts


def _passes(methods: Sequence[Bound]) -> Iterator[Bound]:
    """The methods that read a shared pass, those inside composed ones included."""
    for method in methods:
        if method.info.kind is Kind.COMPOSED:
            yield from _passes(_parts(method))
        elif method.info.kind in (Kind.LAYER, Kind.IMAGE) or Needs.OUTPUT in method.info.needs:
            yield method
