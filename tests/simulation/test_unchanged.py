"""A seed's image is what it was: means over blocks, boxes and labels, beside those that are kept in a file.

Studies and shipped models name the seeds that they were made with, so that an image which has changed has to
be meant. `python -m tests.simulation.test_unchanged` keeps the images as they are now.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xiqa.simulation.cardiac import simulate_cardiac
from xiqa.simulation.chest import OBJECTS, Scenario, simulate_chest
from xiqa.simulation.chest.implants import DEVICES, IMPLANTS
from xiqa.simulation.corrupt import CORRUPTIONS, corrupt
from xiqa.simulation.phantom import Phantom
from xiqa.types import Image

PLACE = Path(__file__).with_name("known_images.json")
SIZE = (112, 96)
BLOCK = 16


def phantoms() -> Iterator[tuple[str, Phantom]]:
    for seed in range(12):
        yield f"chest {seed}", simulate_chest(seed, size=SIZE)
        yield f"heart {seed}", simulate_cardiac(seed, size=SIZE)
    for kind in OBJECTS:
        for size in ("small", "large"):
            yield (
                f"{size} {kind}",
                simulate_chest(20, size=SIZE, objects=Scenario("one", size, kinds=(kind,))),
            )
    for device in (*IMPLANTS, *DEVICES):
        for seed in (21, 22):
            scenario = Scenario("none", implant=True, devices=(device,))
            yield f"{device} {seed}", simulate_chest(seed, size=SIZE, objects=scenario)
    for place in ("lung", "heart", "edge", "marker", "outside"):
        yield f"at {place}", simulate_chest(23, size=SIZE, objects=Scenario("different", place=place))


def corrupted() -> Iterator[tuple[str, Image]]:
    image = simulate_chest(3, size=SIZE).image
    for problem in CORRUPTIONS:
        for degree in (0.3, 1.0):
            yield f"{problem} {degree}", corrupt(image, problem, degree, seed=4)


def blocks(pixels: np.ndarray) -> list[float]:
    rows, columns = (side // BLOCK for side in SIZE)
    means = pixels.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3), dtype=np.float64)
    return [round(float(mean), 5) for mean in means.flat]


def now() -> dict[str, dict]:
    """What is kept of every image."""
    found: dict[str, dict] = {}
    for name, phantom in phantoms():
        annotations = sorted([a.kind, *map(int, a.box)] for a in phantom.annotations)
        found[name] = {
            "blocks": blocks(phantom.image.pixels),
            "spread": round(float(phantom.image.pixels.std()), 5),
            "label": phantom.label,
            "annotations": annotations,
            "spacing": [round(side, 4) for side in phantom.image.spacing or ()],
        }
    return found | {name: {"blocks": blocks(image.pixels)} for name, image in corrupted()}


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, dict], dict[str, dict]]:
    return now(), json.loads(PLACE.read_text())


def test_no_image_is_another(both):
    found, known = both
    assert found.keys() == known.keys()
    changed = [
        name
        for name, image in found.items()
        if not np.allclose(image["blocks"], known[name]["blocks"], rtol=0, atol=3e-5)
        or not np.isclose(image.get("spread", 0), known[name].get("spread", 0), rtol=0, atol=3e-5)
    ]
    assert not changed


def test_nothing_that_is_told_of_them_is_another(both):
    found, known = both
    for name, image in found.items():
        for part in ("label", "annotations", "spacing"):
            assert image.get(part) == known[name].get(part), (name, part)


def test_the_images_differ_from_each_other(both):
    found, _ = both
    assert len({tuple(image["blocks"]) for image in found.values()}) == len(found)


if __name__ == "__main__":
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(image)}" for name, image in now().items())
    PLACE.write_text("{\n" + lines + "\n}\n")
