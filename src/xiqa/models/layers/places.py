r"""Where the places of a layer's output are: found by how the output moves when the input moves.

Shapes do not tell it: ``(N, 14, 14, 384)`` may be 14 x 384 places of 14 channels or 14 x 14 of 384, tokens
may follow some prefix (class, registers), go by windows, or stand for no place at all. So the input is moved
a little by noise :math:`n`, and by the same noise under a slope that runs down or across the image,
:math:`r \circ n`. An output that hangs on some pixels alone moves in proportion to where they are:

.. math:: y_i = \frac{\langle \Delta_i(r \circ n), \Delta_i(n) \rangle}{\|\Delta_i(n)\|^2}
   \approx \frac{\sum_u r(u) \|J_i(u)\|^2}{\sum_u \|J_i(u)\|^2},

the centre of its influence. The arrangement of the output whose rows and columns follow these centres is
its layout; where none does, there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan, log, prod
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from xiqa.models.layers.orders import TURNS, Shape, candidates, same_ratio

__all__ = ["Layout", "itself", "layouts", "noise_step", "outputs_one_by_one"]

_DRAWS = 8
_STEPS = {
    torch.float64: 1e-5,
    torch.float32: 1e-3,
}  # small: what amplifies its input is straight nearby alone
_HALF_STEP = 0.1
_LEAST = 0.75  # correlation of rows and columns with the centres of influence
_CLEAR = 3.5  # standard deviations of what chance gives, where no windows make several orders alike
_SURE = 0.9  # from which no more noise is drawn
_FEW = 36  # places among which chance makes an order too
_FOLLOWS = 0.05  # how far their centres go from side to side, where 1 is all the way
_ALIKE = 0.1  # difference of fits that the grids' sides decide


@dataclass(frozen=True, eq=False)
class Layout:
    """How an output becomes feature maps ``(N, C, h, w)``.

    Attributes:
        shape: Of the output for one image, ``(blocks, ...)``: blocks are what the batch was multiplied by.
        channel: The axis of the channels in ``shape``.
        index: ``(h, w)`` places among the flattened other axes.
        fit: Correlation of rows and columns with what they were found by.
        windows: Whether the places go by windows.
    """

    shape: Shape
    channel: int
    index: Tensor
    fit: float = 1.0
    windows: bool = False

    @property
    def least(self) -> float:
        """The fit from which it counts: of windows, several orders fit a little."""
        return _LEAST if self.windows else min(_LEAST, _CLEAR / max(1, self.index.numel()) ** 0.5)

    @cached_property
    def plain(self) -> bool:
        """Whether the output is ``(N, C, h, w)`` already."""
        whole = len(self.shape) == 2 + self.index.dim() and self.shape[0] == 1 and self.channel == 1
        return whole and self.index.shape == self.shape[2:] and _rising(self.index)

    def arrange(self, output: Tensor) -> Tensor:
        """Feature maps ``(N, C, h, w)`` of an output."""
        if self.plain:
            return output
        flat = output.reshape(-1, *self.shape).movedim(1 + self.channel, 1).flatten(2)
        return flat[:, :, self.index.to(flat.device)]

    def restore(self, maps: Tensor, output: Tensor) -> Tensor:
        """An output like one image's, with other feature maps ``(M, C, h, w)``; what has no place is kept."""
        if self.plain:
            return maps
        moved = output.reshape(1, *self.shape).movedim(1 + self.channel, 1)
        flat = moved.flatten(2).repeat(len(maps), 1, 1)
        flat[:, :, self.index.flatten().to(flat.device)] = maps.flatten(2)
        back = flat.reshape(len(maps), *moved.shape[1:]).movedim(1, 1 + self.channel)
        return back.reshape(-1, *output.shape[1:])

    def resized(self, shape: Shape) -> Layout | None:
        """The same order for another size of the image, where the places are all of two axes."""
        sides = [side for axis, side in enumerate(self.shape) if axis != self.channel and axis > 0]
        if len(shape) != 4 or shape[0] != 1 or self.shape[0] != 1 or self.index.numel() != prod(sides):
            return None
        grids = [turn(torch.arange(prod(sides)).reshape(sides)) for turn in TURNS]
        number = next((n for n, grid in enumerate(grids) if torch.equal(grid, self.index)), None)
        other = [side for axis, side in enumerate(shape) if axis != self.channel and axis > 0]
        if number is None or min(*sides, *other) < 2 or shape[self.channel] != self.shape[self.channel]:
            return None
        return Layout(shape, self.channel, TURNS[number](torch.arange(prod(other)).reshape(other)), self.fit)


def _rising(index: Tensor) -> bool:
    flat = index.flatten()
    return bool(flat[0] == 0 and (flat.diff() == 1).all())


def layouts(network: nn.Module, outputs: Mapping[str, Tensor], images: Tensor) -> dict[str, Layout | None]:
    """The layouts of some layers for images of one size; None where no arrangement has the image's places.

    Found once a layer and size, by four passes of one image each (more where they leave doubt).

    Args:
        network: In evaluation mode.
        outputs: What the layers gave for the images, by names for ``network.get_submodule``.
        images: ``(N, C, H, W)``.
    """
    if not outputs:
        return {}
    known = _known.setdefault(itself(network), {})
    if any(_is_symbolic(output) for output in outputs.values()):  # a graph is made: the order found before
        return {name: known.get(name) for name in outputs}
    size = (int(images.shape[-2]), int(images.shape[-1]))
    shapes = {name: _shape(output, len(images)) for name, output in outputs.items()}
    keys = {name: (name, shape, *images.shape[1:]) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        same = known.get(name) if keys[name] not in known and shape is not None else None
        resized = same.resized(shape) if same is not None and shape is not None else None
        if resized is not None and same_ratio(resized.index.shape[0], resized.index.shape[1], size):
            known[keys[name]] = resized
    missing = [name for name, shape in shapes.items() if shape is not None and keys[name] not in known]
    for name, layout in _found(network, missing, images).items() if missing else ():
        sure = layout is not None and layout.shape == shapes[name]
        by_kind = None if sure else _by_kind(network.get_submodule(name), shapes[name], size)
        known[keys[name]] = known[name] = layout if sure else by_kind
    return {name: known.get(key) for name, key in keys.items()}


def itself(network: nn.Module) -> nn.Module:
    """The network, or the one that an adapter stands for: what results are kept for."""
    return next(iter(network.modules()))


#: By network: layouts by name (of the latest size), and by name, shape and size.
_known: WeakKeyDictionary[nn.Module, dict[Any, Layout | None]] = WeakKeyDictionary()


def _is_symbolic(output: Tensor) -> bool:
    return any(not isinstance(side, int) for side in output.shape)


def _shape(output: Tensor, count: int) -> Shape | None:
    """Shape of the output for one image, ``(blocks, ...)``."""
    if output.dim() < 2 or len(output) % count or not output.is_floating_point():
        return None
    return (len(output) // count, *output.shape[1:])


def _found(network: nn.Module, names: Sequence[str], images: Tensor) -> dict[str, Layout | None]:
    """Draw noise until each layout is sure, or the noise is enough."""
    size = (int(images.shape[-2]), int(images.shape[-1]))
    source = torch.Generator().manual_seed(0)
    total: dict[str, _Moves] = {}
    known: dict[str, Layout | None] = {}
    for number in range(_DRAWS):
        open_names = [name for name in names if name not in known or _fit_of(known[name]) < _SURE]
        for name, moves in _moved(network, open_names, images, source, number > 0).items():
            total[name] = total[name] + moves if name in total else moves
            known[name] = _layout(total[name], size)
        if all(_fit_of(known.get(name)) >= _SURE for name in names):
            break
    return known


def _by_kind(module: nn.Module, shape: Shape | None, size: tuple[int, int]) -> Layout | None:
    """The order that two-dimensional convolutions and norms work in, where the centres tell nothing.

    Behind many layers a few places see all of a small image alike. It must be the only order of the image's
    ratio.
    """
    if shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    plane = any(isinstance(part, _PLANE) for part in module.modules())
    if not plane and any(True for _ in module.parameters()):
        return None  # what has weights of another kind may work in another order; an activation in any
    if same_ratio(shape[1], shape[2], size) or not same_ratio(shape[2], shape[3], size):
        return None
    return Layout(shape, 1, torch.arange(shape[2] * shape[3]).reshape(shape[2:]), 0.0)


_PLANE = (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d)


def _fit_of(layout: Layout | None) -> float:
    return 0.0 if layout is None else layout.fit


@dataclass(frozen=True, eq=False)
class _Moves:
    """Products of an output's moves, of its shape: along the rows, along the columns, and the square."""

    down: Tensor
    across: Tensor
    square: Tensor

    def __add__(self, other: _Moves) -> _Moves:
        return _Moves(self.down + other.down, self.across + other.across, self.square + other.square)


def _moved(
    network: nn.Module, names: Sequence[str], images: Tensor, source: torch.Generator, near: bool
) -> dict[str, _Moves]:
    """What the layers' outputs do when the input moves by noise, and by noise under either slope.

    The input is noise itself, or ``near`` an image, where noise may leave a layer dead.
    """
    base, noise = (torch.randn(images.shape[1:], generator=source).to(images) for _ in range(2))
    if near:
        image = images[0].nan_to_num(0, 0, 0)
        spread = image.double().std().to(image)
        base, noise = image + spread * base / 10, noise * torch.where(spread > 0, spread, 1)
    down = torch.linspace(-1, 1, int(images.shape[-2]))[:, None].to(images)
    across = torch.linspace(-1, 1, int(images.shape[-1]))[None, :].to(images)
    moved = [base + noise_step(network) * part * noise for part in (1, down, across)]
    copies = torch.stack([base, *moved])
    placed = {}
    for name, output in outputs_one_by_one(network, names, copies, len(images)).items():
        if len(output) % 4 == 0 and output.is_floating_point():
            still, *others = output.double().cpu().reshape(4, len(output) // 4, *output.shape[1:])
            plain, by_row, by_column = (other - still for other in others)
            placed[name] = _Moves(plain * by_row, plain * by_column, plain.square())
    return placed


def noise_step(network: nn.Module) -> float:
    """How far the input moves: little, but well above the rounding of the network's numbers."""
    kinds = [weight.dtype for weight in itself(network).parameters() if weight.is_floating_point()]
    return max((_STEPS.get(kind, _HALF_STEP) for kind in kinds), default=_STEPS[torch.float32])


def outputs_one_by_one(
    network: nn.Module, names: Sequence[str], copies: Tensor, count: int
) -> dict[str, Tensor]:
    """The layers' outputs for some copies, one after another so that memory stays that of one image.

    A network that takes batches of one size alone gets each copy as often as it wants images.
    """
    try:
        each = [_outputs(network, names, copy[None]) for copy in copies]
    except Exception:  # whatever a network raises that knows its batch
        full = [_outputs(network, names, copy.expand(count, *copy.shape)) for copy in copies]
        each = [{name: kept[: len(kept) // count] for name, kept in outputs.items()} for outputs in full]
    return {name: torch.cat([outputs[name] for outputs in each]) for name in each[0]}


def _outputs(network: nn.Module, names: Sequence[str], images: Tensor) -> dict[str, Tensor]:
    """The layers' outputs for some images, in one pass, or one by one where the network takes no batch."""
    kept: dict[str, Tensor] = {}
    here = threading.get_ident()

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() == here and isinstance(output, Tensor):
                kept[name] = output.detach().clone()

        return keep

    handles = [network.get_submodule(name).register_forward_hook(keeper(name)) for name in names]
    try:
        with torch.inference_mode(False), torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def _layout(moves: _Moves, size: tuple[int, int]) -> Layout | None:
    """The arrangement that follows the centres of influence best, if one does.

    Of those that follow them nearly alike (a row more or less) it is the one with the image's ratio.
    """
    shape = tuple(moves.square.shape)
    options = []
    for channel in range(1, len(shape)):
        centres = _centres(moves, channel)
        axes = tuple(side for axis, side in enumerate(shape) if axis != channel)
        for index, windows in candidates(axes, size):
            options.append(Layout(shape, channel, index, _fit(index, centres), windows))
    best = max((candidate.fit for candidate in options), default=0.0)
    likely = [candidate for candidate in options if candidate.fit >= max(candidate.least, best - _ALIKE)]
    return min(
        likely, key=lambda candidate: (_off_ratio(candidate.index, size), -candidate.fit), default=None
    )


def _off_ratio(index: Tensor, size: tuple[int, int]) -> float:
    return round(abs(log(index.shape[0] * size[1] / (index.shape[1] * size[0]))), 6)


def _centres(moves: _Moves, channel: int) -> Tensor:
    """Centres of influence ``(2, P)`` of all positions, in [-1, 1]; NaN where nothing moves."""
    total = moves.square.sum(channel).flatten()
    along = torch.stack([moves.down.sum(channel).flatten(), moves.across.sum(channel).flatten()])
    return (along / torch.where(total > 0, total, torch.nan)).clamp(
        -1, 1
    )  # where noise hardly moves it, far off


def _fit(index: Tensor, centres: Tensor) -> float:
    """How well rows and columns of places follow the centres: the smaller of the two correlations."""
    placed = centres[:, index.flatten()].reshape(2, *index.shape)
    fits = [_correlation(values, axis) for axis, values in enumerate(placed) if index.shape[axis] > 1]
    return min(fits, default=1.0)  # one place is where the image is


def _correlation(centres: Tensor, axis: int) -> float:
    """Correlation of centres ``(h, w)`` with their row (axis 0) or column."""
    known = centres.isfinite()
    if known.double().mean() < 0.5:
        return 0.0
    order = torch.arange(centres.shape[axis], dtype=centres.dtype)
    order = (order[:, None] if axis == 0 else order[None]).expand_as(centres)
    pair = torch.stack([centres[known], order[known]])
    correlation, moved = float(torch.corrcoef(pair)[0, 1]), torch.cov(pair)
    # of few places chance makes an order too, but not one that follows the image from side to side
    follows = float(moved[0, 1] / moved[1, 1]) * centres.shape[axis] / 2
    if isnan(correlation) or (centres.numel() < _FEW and follows < _FOLLOWS):
        return 0.0
    return correlation
