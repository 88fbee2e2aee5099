"""Makes the picture of two generators at work, on simulated images.

    python docs/twogenerator.py runs/twogenerator/bundle

writes docs/images/twogenerator.jpg: parts of simulated images around a compact object, beside what two
generators made of them, and their difference. The generators saw the whole image; parts are enlarged.
Images are taken by their seeds, in order: those that the classifier calls poor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from xiqa.datasets.groups import members
from xiqa.models import load_model
from xiqa.models.explainers.generator_bundle import load_generators
from xiqa.report.contact_sheet import contact_sheet
from xiqa.saliency.trained.twogenerator import generate
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import PICTURES
from xiqa.training.generators import classifier_of
from xiqa.types import Image

PICTURE = Path(__file__).parent / "images" / "twogenerator.jpg"
ROWS, SIDE, TIMES = 4, 128, 2


def main(bundle: Path) -> None:
    """Write the picture."""
    model, generators = load_model(), load_generators(bundle)
    generators.require(model.network)
    classifier = classifier_of(model)
    tiles, captions, seed = [], [], PICTURES.first
    while len(tiles) < 4 * ROWS:
        phantom = simulate_chest(seed, size=(640, 640))
        seed += 1
        objects = members(phantom.annotations, "compact")
        prepared, frame = model.prepare(phantom.image)
        with torch.no_grad():
            grey, (similar, adversarial) = generate(torch.from_numpy(prepared)[None], generators)
            drawn = [grey, grey if similar is None else similar, adversarial]
            margins = [float(classifier.margin(images)) for images in drawn]
        if not objects or margins[0] < 0:
            continue
        centre = frame.box_to_model(objects[0].box).centre
        for name, images, margin in zip(
            ("radiograph", "similar", "adversarial"), drawn, margins, strict=True
        ):
            tiles.append(_part(images[0, 0].numpy(), centre.y, centre.x))
            captions.append(f"{name}: margin {margin:.2f}")
        change = 4 * (drawn[1] - drawn[2]).abs()[0, 0].clamp(max=0.25).numpy()
        tiles.append(_part(change, centre.y, centre.x))
        captions.append("difference x 4")
    contact_sheet(tiles, captions=captions, columns=4, cell=SIDE * TIMES).save(PICTURE, quality=85)


def _part(pixels: np.ndarray, y: float, x: float) -> Image:
    """A window around a place, enlarged."""
    top, left = (
        int(np.clip(at - SIDE / 2, 0, side - SIDE)) for at, side in zip((y, x), pixels.shape, strict=True)
    )
    window = pixels[top : top + SIDE, left : left + SIDE].astype(np.float32)
    return Image(np.ascontiguousarray(window.repeat(TIMES, 0).repeat(TIMES, 1)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
