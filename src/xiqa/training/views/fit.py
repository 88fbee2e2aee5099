"""The fit of the view check."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pillow

from xiqa.imaging.values import to_grey
from xiqa.models.views.check import VIEWS, ViewCheck
from xiqa.models.views.network import ViewNet
from xiqa.training.loop import require_finite
from xiqa.training.views.pictures import SHARES, draw_view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from xiqa.datasets import Sample
    from xiqa.types import FloatArray

__all__ = ["fit_views", "frontal_pictures", "photographs", "small"]

SIDE = 256  # of the pictures that the views are drawn from
BATCH = 64

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "cell", "clock", "coffee", "coins", "colorwheel", "grass",
    "gravel", "horse", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket",
    "text",
)  # fmt: skip


def small(pixels: FloatArray) -> FloatArray:
    """A picture in grey, its longer side 256 pixels."""
    grey = to_grey(pixels)
    factor = SIDE / max(grey.shape)
    size = [max(2, round(side * factor)) for side in grey.shape[::-1]]
    return np.asarray(Pillow.fromarray(grey).resize(size, Pillow.Resampling.BOX), dtype=np.float32)


def photographs(every: int = 1, first: int = 0) -> list[FloatArray]:
    """Scikit-image's own pictures, small and in grey, each ``every``-th from the ``first`` on."""
    from skimage import data  # noqa: PLC0415 - slow

    pictures = [np.asarray(getattr(data, name)(), dtype=np.float32) for name in PHOTOGRAPHS[first::every]]
    return [small(np.ascontiguousarray(p[..., :3] if p.ndim == 3 else p) / max(p.max(), 1)) for p in pictures]


def frontal_pictures(samples: Sequence[Sample]) -> tuple[list[FloatArray], list[float]]:
    """The samples in small and how often each is drawn.

    Each image of a hospital of ``n`` has the weight ``n ** -0.5``, so that small hospitals are seen more
    often than by their size, but not so often that their few images are learned by heart.
    """
    count = Counter(sample.site for sample in samples)
    pictures = [small(sample.read().pixels) for sample in samples]
    return pictures, [count[sample.site] ** -0.5 for sample in samples]


def fit_views(
    frontals: Sequence[FloatArray],
    others: Sequence[FloatArray],
    *,
    weights: Sequence[float] | None = None,
    check: ViewCheck | None = None,
    pictures: int = 12_000,
    epochs: int = 12,
    seed: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> ViewNet:
    """Train a view check on pictures drawn from frontal images.

    Args:
        frontals: Upright frontal images in grey, as `small` makes them.
        others: Photographs; see `photographs`.
        weights: How often each frontal image is drawn, relative to the others.
        check: Its sizes and views.
        pictures: How many are drawn.
        epochs: How often each is seen.
        seed: Of the drawings, the weights and the order.
        tick: Called after every picture and every epoch, for a progress bar.

    Returns:
        The network, in evaluation mode.
    """
    check = check or ViewCheck()
    images, views = _drawn(frontals, others, weights, check.side, pictures, seed, tick)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ViewNet(check).train()
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
        steps = epochs * (pictures // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
        for epoch in range(epochs):
            for batch in torch.randperm(pictures).split(BATCH)[: pictures // BATCH]:
                loss = F.cross_entropy(network(images[batch]), views[batch], label_smoothing=0.02)
                require_finite(loss, f"epoch {epoch + 1} of the view check")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            tick()
    return network.eval().requires_grad_(True)


def _drawn(
    frontals: Sequence[FloatArray],
    others: Sequence[FloatArray],
    weights: Sequence[float] | None,
    side: int,
    count: int,
    seed: int,
    tick: Callable[[], object],
) -> tuple[Tensor, Tensor]:
    """Thumbnails ``(N, 1, side, side)`` and their views ``(N,)``."""
    rng = np.random.default_rng((seed, 4099))
    share = None if weights is None else np.asarray(weights) / np.sum(weights)
    views = rng.choice(len(VIEWS), count, p=SHARES)
    images = np.empty((count, 1, side, side), dtype=np.float32)
    for place, view in enumerate(views):
        chosen = [frontals[rng.choice(len(frontals), p=share)]]
        images[place, 0] = draw_view(VIEWS[view], chosen, others, side, rng)
        tick()
    return torch.from_numpy(images), torch.from_numpy(views)
