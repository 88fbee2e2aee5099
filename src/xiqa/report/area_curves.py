"""One figure of masks and of the score against their area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image as Pillow

from xiqa.report.overlay import picture_of
from xiqa.saliency.placing import on_picture
from xiqa.types import FloatArray, Image, SaliencyMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Curve", "draw_area_curves", "masked_picture"]

COLOURS = ("#0072b2", "#d55e00", "#009e73")
SHADE = 0.3


class Curve(Protocol):
    """What is drawn of a curve; see `xiqa.saliency.masking.extremal_curves.MaskCurve`."""

    @property
    def name(self) -> str:
        """In the legend."""
        ...

    @property
    def areas(self) -> tuple[float, ...]:
        """Shares of the image."""
        ...

    @property
    def scores(self) -> tuple[float, ...]:
        """One an area."""
        ...


def masked_picture(image: Image, mask: SaliencyMap, long_side: int = 360) -> Pillow.Image:
    """The image, darkened where a mask in [0, 1] does not show it, RGB."""
    picture = picture_of(image, long_side).convert("RGB")
    shown = on_picture(mask, image.size, (picture.height, picture.width))[..., None]
    pixels: NDArray[Any] = np.asarray(picture, dtype=np.float32)
    tint = np.array([90, 60, 140], dtype=np.float32) * SHADE
    mixed = shown * pixels + (1 - shown) * (SHADE * pixels + tint)
    return Pillow.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def draw_area_curves(
    path: Path,
    image: Image,
    rows: Mapping[str, Sequence[SaliencyMap]],
    curves: Sequence[Curve],
    *,
    whole: float,
    nothing: float,
    limit: float | None = None,
    label: str = "probability of poor quality",
) -> None:
    """Draw the masks of each game in a row and all curves below.

    Args:
        path: Picture to write.
        image: The original.
        rows: Masks by name, each on the model's grid with its frame, by rising area.
        curves: The scores against the area; those named in ``rows`` give the captions there.
        whole: Score of the image.
        nothing: Score with everything hidden.
        limit: A level to mark.
        label: What the score is.
    """
    import matplotlib as mpl  # noqa: PLC0415 - takes a second

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    known = {curve.name: curve for curve in curves}
    columns = 1 + max((len(masks) for masks in rows.values()), default=0)
    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        figure = plt.figure(figsize=(2.1 * columns, 2.3 * len(rows) + 3.2), layout="constrained")
        grid = figure.add_gridspec(len(rows) + 1, columns, height_ratios=[2.2] * len(rows) + [3.0])
        for line, (name, masks) in enumerate(rows.items()):
            _show(figure.add_subplot(grid[line, 0]), picture_of(image, 360), name)
            for place, mask in enumerate(masks):
                curve = known[name]
                told = f"area {100 * curve.areas[place]:.1f} %: {curve.scores[place]:.2f}"
                _show(figure.add_subplot(grid[line, place + 1]), masked_picture(image, mask), told)
        axis = figure.add_subplot(grid[len(rows), :])
        for colour, curve in zip(COLOURS, curves, strict=False):
            areas: FloatArray = np.asarray(curve.areas, dtype=np.float32)
            axis.plot(100 * areas, curve.scores, "o-", color=colour, label=curve.name, markersize=4)
        axis.axhline(whole, color="0.4", linestyle="-", linewidth=0.8, label=f"whole image: {whole:.2f}")
        axis.axhline(nothing, color="0.4", linestyle="--", linewidth=0.8, label=f"all hidden: {nothing:.2f}")
        if limit is not None:
            axis.axhline(limit, color="0.4", linestyle=":", linewidth=1.2, label=f"limit: {limit:.2f}")
        axis.set_xlabel("area of the mask, % of the image")
        axis.set_ylabel(label)
        axis.set_xlim(left=0)
        axis.legend(frameon=False, fontsize=8)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _show(axis: Any, picture: Pillow.Image, title: str) -> None:
    axis.imshow(np.asarray(picture), cmap="gray")
    axis.set_title(title, fontsize=8)
    axis.axis("off")
