"""Objects put into images that exist."""

import csv

import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.errors import ConfigError
from xiqa.simulation.chest import Scenario, find_chest, insert_objects, simulate_chest
from xiqa.types import Image

CLEAN = Scenario(count="none", implant=False)
CASES = [simulate_chest(seed, size=(256, 256), objects=CLEAN) for seed in range(10)]


def test_same_seed_same_image():
    radiograph = CASES[0].image
    first, same, other = (insert_objects(radiograph, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.image.pixels, same.image.pixels)
    assert not np.array_equal(first.image.pixels, other.image.pixels)


@pytest.mark.parametrize("case", range(4))
def test_image_changes_where_the_objects_are_and_nowhere_else(case):
    radiograph = CASES[case].image
    result = insert_objects(radiograph, case)
    covered = np.logical_or.reduce([a.mask for a in result.annotations])
    change = result.image.pixels - radiograph.pixels
    assert result.label == 1
    assert np.median(change[covered]) > 0.01
    from scipy.ndimage import binary_dilation

    far = ~binary_dilation(covered, iterations=16)
    assert np.array_equal(result.image.pixels[far], radiograph.pixels[far])
    assert result.image.pixels.min() >= 0
    assert result.image.pixels.max() <= 1


def test_image_below_shows_through_thin_objects():
    """Attenuation adds: what is bright below an object stays brighter than what is dark."""
    ramp = np.tile(np.linspace(0.2, 0.7, 256, dtype=np.float32), (256, 1))
    result = insert_objects(Image(ramp), 3, objects=Scenario("same", kinds=("hairclip",), implant=False))
    covered = np.logical_or.reduce([a.mask for a in result.annotations])
    below, above = ramp[covered], result.image.pixels[covered]
    assert np.corrcoef(below, above)[0, 1] > 0.4


def test_same_object_is_fainter_on_a_bright_ground():
    scenario = Scenario("one", place="lung", kinds=("coin",), implant=False)
    change = []
    for ground in (0.35, 0.85):
        radiograph = Image(np.full((256, 256), ground, np.float32))
        result = insert_objects(radiograph, 4, objects=scenario)
        change.append((result.image.pixels - radiograph.pixels)[result.annotations[0].mask].mean())
    assert 0 < change[1] < change[0]


def test_chest_is_found_on_simulated_images():
    overlap = []
    for case in CASES:
        found = find_chest(case.image).lungs
        overlap.append((found & case.lung_mask).sum() / (found | case.lung_mask).sum())
    assert np.median(overlap) > 0.5
    assert min(overlap) > 0.25


def test_wrong_images_are_refused():
    with pytest.raises(ConfigError, match="grey"):
        insert_objects(Image(np.zeros((64, 64, 3), np.float32)), 0)


def test_a_constant_image_is_survived():
    for grey in (0.0, 1.0):
        result = insert_objects(Image(np.full((128, 128), grey, np.float32)), 0)
        assert np.isfinite(result.image.pixels).all()


@pytest.mark.realdata
@pytest.mark.long
def test_chest_is_found_on_real_images(real_images):
    """Most compact objects that readers saw over the thorax lie in the chest found, few others do."""
    with (real_images / "objects.csv").open() as lines:
        rows = [
            row for row in csv.DictReader(lines) if row["kind"] in ("electrode", "button", "clip", "hook")
        ]
    found = {}
    inside = {"thorax": [], "outside": []}
    for row in rows[:400]:
        if row["image"] not in found:
            pixels = (
                np.asarray(Pillow.open(real_images / "images" / row["image"]).convert("L"), np.float32) / 255
            )
            found[row["image"]] = find_chest(Image(pixels)).chest
        chest = found[row["image"]]
        x = int((float(row["x0"]) + float(row["x1"])) / 2)
        y = int((float(row["y0"]) + float(row["y1"])) / 2)
        inside[row["zone"]].append(chest[min(y, chest.shape[0] - 1), min(x, chest.shape[1] - 1)])
    assert np.mean(inside["thorax"]) > 0.7
    assert np.mean(inside["outside"]) < 0.12
