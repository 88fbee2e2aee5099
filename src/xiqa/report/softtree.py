"""Pictures of a soft decision tree, and of one image's way through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa.report.overlay import picture_of
from xiqa.saliency.placing import on_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from xiqa.models.explainers.softtree import SoftTree, TreeCard
    from xiqa.types import Image, SaliencyMap

__all__ = ["draw_tree", "draw_way"]

GOOD, POOR = "#0072b2", "#d55e00"
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}


def _plot() -> Any:
    import matplotlib as mpl  # noqa: PLC0415 - takes a second

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    return plt


def draw_tree(path: Path, tree: SoftTree, card: TreeCard) -> None:
    """Draw every node with its filter and every leaf with its distribution.

    Pixel filters are pictures, orange where brightness sends right; filters on features are bars, one a
    channel; both in units of the images' spread. Left and right branches are drawn as wide as the share of
    training images on them.

    Args:
        path: Picture to write.
        tree: The tree.
        card: Its card.
    """
    plt = _plot()
    leaves = 2**tree.depth
    flow = [np.asarray(card.reached, dtype=float)]
    while len(flow[0]) > 1:
        flow.insert(0, flow[0].reshape(-1, 2).sum(axis=1))
    # in units of the images' spread: a pixel that never varies may have any weight
    filters = tree.split.weight.detach().cpu().numpy()
    spread = np.abs(filters).max() or 1.0
    distributions = tree.log_distributions().detach().exp().cpu().numpy()
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(max(6.5, 1.25 * leaves), 1.7 * (tree.depth + 1) + 0.6))
        ground = figure.add_axes((0, 0, 1, 1))
        ground.axis("off")
        ground.set(xlim=(0, 1), ylim=(0, 1))
        high = 0.93 / (tree.depth + 1)
        places = {
            (level, column): ((column + 0.5) / 2**level, 0.93 - (level + 0.5) * high)
            for level in range(tree.depth + 1)
            for column in range(2**level)
        }
        for (level, column), (x, y) in places.items():
            if level == 0:
                continue
            above_x, above_y = places[level - 1, column // 2]
            share = flow[level][column]
            ground.plot(
                (above_x, x), (above_y, y), color="0.75", linewidth=0.5 + 8 * share, solid_capstyle="round"
            )
        for (level, column), (x, y) in places.items():
            wide = min(0.9 / 2**level, 0.9 / leaves * 1.0)
            box = (x - wide / 2, y - 0.3 * high, wide, 0.6 * high)
            axis = figure.add_axes(box)
            if level < tree.depth:
                _filter(axis, filters[2**level - 1 + column], card, spread)
                axis.set_title(f"node {2**level - 1 + column}", fontsize=7, pad=2)
            else:
                _leaf(axis, distributions[column], card, flow[level][column])
        told = card.fidelity
        figure.text(
            0.5,
            0.965,
            f"{card.name}, a tree that stands for {card.classifier}\n"
            f"on the classifier's side for {told.agreement.value:.0%} of {told.images} held-out images "
            f"(the frequent side: {told.majority:.0%})",
            ha="center",
            va="center",
            fontsize=8,
        )
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _filter(axis: Any, weights: NDArray[Any], card: TreeCard, spread: float) -> None:
    """A filter as a picture, or as bars."""
    axis.set(xticks=[], yticks=[])
    if card.look.kind == "pixels":
        axis.imshow(weights.reshape(card.look.size), cmap="PuOr_r", vmin=-spread, vmax=spread)
        return
    colours = np.where(weights > 0, POOR, GOOD)
    axis.bar(np.arange(len(weights)), weights, width=1.0, color=colours)
    axis.set_ylim(-spread, spread)
    axis.axhline(0, color="0.5", linewidth=0.5)


def _leaf(axis: Any, distribution: NDArray[Any], card: TreeCard, share: float) -> None:
    """A leaf's distribution as two bars."""
    axis.barh([1, 0], distribution, color=[GOOD, POOR], height=0.8)
    axis.set(xlim=(0, 1), ylim=(-0.6, 1.6), xticks=[])
    axis.set_yticks([1, 0], [f"{name} {p:.2f}" for name, p in zip(card.classes, distribution, strict=True)])
    axis.tick_params(axis="y", length=0, labelsize=6.5, pad=-2, direction="in")
    for label in axis.get_yticklabels():
        label.set_horizontalalignment("left")
    axis.set_title(f"{share:.0%} of images", fontsize=7, pad=2)


def draw_way(
    path: Path,
    image: Image,
    steps: Sequence[tuple[str, SaliencyMap]],
    distribution: Sequence[float],
    card: TreeCard,
) -> None:
    """Draw one image's way: at each node what its places add to the turn, and the leaf where it ends.

    Args:
        path: Picture to write.
        image: The image.
        steps: What to say of each node, and what each place adds (orange: to the right).
        distribution: Of the leaf.
        card: The tree's card.
    """
    plt = _plot()
    radiograph = picture_of(image, 400)
    size = radiograph.height, radiograph.width
    grey = np.asarray(radiograph.convert("L"), dtype=float)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(steps) + 2, figsize=(2.3 * (len(steps) + 2), 2.6), layout="constrained"
        )
        axes[0].imshow(grey, cmap="gray")
        axes[0].set_title("image")
        for axis, (title, contribution) in zip(axes[1:-1], steps, strict=True):
            placed = on_picture(contribution, image.size, size)
            spread = float(np.abs(placed).max()) or 1.0
            axis.imshow(grey, cmap="gray")
            strength = np.sqrt(np.abs(placed) / spread)
            axis.imshow(placed, cmap="PuOr_r", vmin=-spread, vmax=spread, alpha=0.8 * strength)
            axis.set_title(title)
        for axis in axes[:-1]:
            axis.axis("off")
        axes[-1].barh([1, 0], list(distribution), color=[GOOD, POOR])
        axes[-1].set_yticks([1, 0], card.classes)
        axes[-1].set(xlim=(0, 1), title="leaf")
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)
