"""Makes the page of methods: every registered method on one simulated image, with its needs, cost and source.

    python docs/gallery.py

writes docs/methods.md and docs/images/methods.jpg. Passes are counted; times are CPU seconds over those of
one bare forward pass, one run each, so read them as orders of magnitude.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from xiqa.errors import XiqaError
from xiqa.metrics.cost import counting_passes
from xiqa.models import load_model
from xiqa.models.layers import TargetLayers
from xiqa.report.overlay import overlay_picture, picture_of
from xiqa.saliency.engine import attribute
from xiqa.saliency.registry import MethodInfo, methods
from xiqa.simulation.chest import simulate_chest
from xiqa.types import Image, SaliencyMap

DOCS = Path(__file__).parent
SEED, SIDE, TILE, COLUMNS = 12, 512, 220, 6

# Fewer samples than the defaults where a picture does not need them; the table says so.
QUICK = {
    "rise": "rise:masks=300",
    "kernelshap": "kernelshap:samples=100",
    "lime": "lime:samples=100",
    "meaningfulperturbation": "meaningfulperturbation:iterations=40",
    "integratedgradients": "integratedgradients:steps=16",
    "extremal": "extremal:iterations=40",
    "onepixel": "onepixel:population=16,iterations=6",
    "scorecam": "scorecam:channels=32",
    "sscam": "sscam:channels=16,samples=4",
    "iscam": "iscam:channels=16,steps=4",
    "deepfool": "deepfool:steps=10",
}

HEAD = """# The methods

Every method of `xiqa methods`, on one simulated image with the shipped model. The page and the picture are
made by `python docs/gallery.py`, on {side} x {side} pixels, with default parameters but for those named; a
map shows its positive part, scaled to its maximum. *Passes* are images through the whole network (forward +
backward); *time* is in CPU seconds over one bare forward pass, one run each: an order of magnitude.

![All methods on one simulated image](images/methods.jpg)

| method | kind | reads | passes | time | what it is | source |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Run every method, paint the sheet, write the page."""
    radiograph = simulate_chest(SEED, size=(SIDE, SIDE)).image
    model = load_model()
    images = torch.from_numpy(model.card.preprocessing.normalise(radiograph.pixels))[None]
    layers = TargetLayers(model.card.layers.last, model.card.layers.multi)
    bare = bare_forward(model.network, images)
    tiles, rows = [tile(picture_of(radiograph, TILE), "the image")], []
    for info in methods():
        start = time.process_time()
        try:
            with counting_passes(model.network) as passes:
                (values,) = attribute(
                    model.network,
                    images,
                    QUICK.get(info.name, info.name),
                    target=model.card.poor_class,
                    layers=layers,
                ).values()
        except XiqaError as error:
            rows.append(row(info, "-", "-", f"(not defined on this network: {error.problem})"))
            continue
        cost = (time.process_time() - start) / bare
        rows.append(row(info, f"{passes.forward} + {passes.backward}", f"{cost:.1f}"))
        tiles.append(tile(painted(radiograph, values[0], info), info.name))
        print(f"{info.name}: {cost:.1f}")
    (DOCS / "images").mkdir(exist_ok=True)
    sheet(tiles).save(DOCS / "images" / "methods.jpg", quality=85)
    text = HEAD.format(side=SIDE) + "\n".join(rows) + "\n"
    (DOCS / "methods.md").write_text(text)


def bare_forward(network: torch.nn.Module, images: torch.Tensor) -> float:
    """CPU seconds of one forward pass: the median of five."""
    seconds = []
    with torch.inference_mode():
        for _ in range(5):
            start = time.process_time()
            network(images)
            seconds.append(time.process_time() - start)
    return float(np.median(seconds))


def painted(radiograph: Image, values: torch.Tensor, info: MethodInfo) -> Picture.Image:
    """The map over the image."""
    saliency = SaliencyMap(values.numpy().astype(np.float32), info.name, 1, input_size=(SIDE, SIDE))
    return overlay_picture(radiograph, saliency, (), TILE)


def tile(picture: Picture.Image, name: str) -> Picture.Image:
    """A picture with its name below."""
    framed = Picture.new("RGB", (TILE, TILE + 26), "white")
    framed.paste(picture.convert("RGB").resize((TILE, TILE)), (0, 0))
    ImageDraw.Draw(framed).text((4, TILE + 4), name, "black", font=ImageFont.load_default(15))
    return framed


def sheet(tiles: list[Picture.Image]) -> Picture.Image:
    """All tiles in a grid."""
    rows = -(-len(tiles) // COLUMNS)
    whole = Picture.new("RGB", (COLUMNS * (TILE + 6), rows * (TILE + 32)), "white")
    for place, one in enumerate(tiles):
        whole.paste(one, (place % COLUMNS * (TILE + 6), place // COLUMNS * (TILE + 32)))
    return whole


def row(info: MethodInfo, passes: str, cost: str, note: str = "") -> str:
    """One line of the table."""
    needs = ", ".join((need.name or "").lower() for need in info.needs) or "its parts"
    formula = re.sub(r":math:`([^`]*)`", r"$\1$", info.summary).replace(r"\|", r"\Vert ")
    what = formula.replace("|", r"\vert ") + (f" {note}" if note else "")
    name = QUICK.get(info.name, info.name)
    return f"| `{name}` | {info.kind} | {needs} | {passes} | {cost} | {what} | {{cite}}`{info.cite}` |"


if __name__ == "__main__":
    main()
