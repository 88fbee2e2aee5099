"""What became of images, for eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.report.contact_sheet import contact_sheet
from xiqa.types import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from xiqa.models.explainers.generators import Generators
    from xiqa.training.data import EpochLoader
    from xiqa.training.generators.classifier import Classifier

__all__ = ["write_pictures"]


def write_pictures(
    generators: Generators, classifier: Classifier, radiographs: EpochLoader, count: int, path: Path
) -> None:
    """Show what became of some images, those called poor first: image, similar, adversarial, difference.

    Below each generated image stands the classifier's margin; the difference is drawn four times as strong.

    Args:
        generators: In evaluation mode.
        classifier: What they explain.
        radiographs: Where to take images from, in [0, 1].
        count: How many.
        path: The picture.
    """
    rows: list[tuple[list[float], NDArray[np.float32]]] = []
    with torch.inference_mode():
        for batch in radiographs:
            similar, adversarial = generators(batch.images)
            start = batch.images if similar is None else similar
            drawn = [batch.images, start, adversarial]
            margins = torch.stack([classifier.margin(images) for images in drawn], dim=1)
            pictures = torch.cat([*drawn, 4 * (start - adversarial).abs().clamp(max=0.25)], dim=1)
            rows += list(zip(margins.tolist(), pictures.numpy(), strict=True))
            if sum(margin[0] >= 0 for margin, _ in rows) >= count:
                break
    rows.sort(key=lambda row: row[0][0] < 0)  # a stable order: poor ones first
    tiles, captions = [], []
    for values, shown in rows[:count]:
        tiles += [Image(np.ascontiguousarray(tile)) for tile in shown]
        names = ("radiograph", "similar", "adversarial")
        captions += [f"{name}: margin {value:.2f}" for name, value in zip(names, values, strict=True)]
        captions.append("difference x 4")
    contact_sheet(tiles, captions=captions, columns=4, cell=320).save(path)
