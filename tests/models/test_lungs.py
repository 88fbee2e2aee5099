"""The lung mask: what it leaves of an image, and the frame that leads back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xiqa.assessment import assess
from xiqa.errors import BundleError, ConfigError, GeometryError
from xiqa.geometry import Box
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model, save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.layers import target_layers
from xiqa.models.preprocess import Preprocessing
from xiqa.models.regions import lungs
from xiqa.models.regions.lungs import LungMask, LungNet, dice, doubt
from xiqa.models.regions.region import Region, box_around, cut_to_region
from xiqa.simulation.chest import simulate_chest
from xiqa.types import Image


def radiograph(size=(60, 80), seed=0):
    return Image(np.random.default_rng(seed).random(size, dtype=np.float32))


def rectangle(size, box):
    mask = np.zeros(size, dtype=bool)
    mask[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = True
    return mask


def test_dice_counts_pixels():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 9, 7)) < 0.4
    both = sum(bool(a[i, j] and b[i, j]) for i in range(9) for j in range(7))
    each = sum(int(a[i, j]) + int(b[i, j]) for i in range(9) for j in range(7))
    assert dice(a, b) == pytest.approx(2 * both / each)
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    assert dice(a & ~a, b & ~b) == 1


def test_region_is_tight_and_stays_inside():
    mask = rectangle((60, 80), Box(10, 20, 29, 59))
    assert box_around(mask, 0) == Box(10, 20, 29, 59)
    assert box_around(mask, 0.1) == Box(8, 16, 31, 59)
    with pytest.raises(GeometryError, match="empty mask"):
        box_around(mask & ~mask)


@given(
    x=st.tuples(st.integers(0, 79), st.integers(0, 79)).map(sorted),
    y=st.tuples(st.integers(0, 59), st.integers(0, 59)).map(sorted),
    margin=st.sampled_from([0.0, 0.05, 0.3]),
)
@settings(max_examples=40, deadline=None)
def test_a_crop_is_the_image_s_own_pixels_and_every_point_comes_back(x, y, margin):
    whole = radiograph()
    mask = rectangle(whole.size, Box(x[0], y[0], x[1], y[1]))
    cut, frame = cut_to_region(whole, mask, "crop", margin=margin)
    assert frame.original_size == whole.size
    assert frame.model_size == cut.size
    for row in range(0, cut.height, 7):
        for column in range(0, cut.width, 7):
            px, py = frame.points_to_original([column, row])
            assert (px, py) == (int(px), int(py))
            assert whole.pixels[int(py), int(px)] == cut.pixels[row, column]
    back = frame.map_to_original(cut.pixels)
    region = rectangle(whole.size, box_around(mask, margin))
    assert np.array_equal(back[region], whole.pixels[region])
    assert not back[~region].any()


def test_multiply_blackens_what_lies_outside_and_keeps_the_grid():
    whole, box = radiograph(), Box(20, 10, 39, 49)
    mask = rectangle(whole.size, box)
    shown, frame = cut_to_region(whole, mask, "multiply", margin=0)
    assert np.array_equal(shown.pixels, whole.pixels * mask)
    assert frame.points_to_original([3, 4]).tolist() == [3, 4]
    wider, _ = cut_to_region(whole, mask, "multiply", margin=0.2)
    rows, columns = np.nonzero(wider.pixels)
    assert (columns.min(), columns.max()) == (16, 43)
    assert (rows.min(), rows.max()) == (6, 53)
    assert "black outside" in shown.source.notes[-1]


def test_colour_and_valid_pixels_go_along():
    pixels = np.random.default_rng(0).random((30, 40, 3), dtype=np.float32)
    valid = np.ones((30, 40), dtype=bool)
    valid[:, :5] = False
    image = Image(pixels, mask=valid)
    mask = rectangle((30, 40), Box(3, 4, 20, 25))
    cut, _ = cut_to_region(image, mask, "crop", margin=0)
    assert np.array_equal(cut.pixels, pixels[4:26, 3:21])
    assert np.array_equal(cut.mask, valid[4:26, 3:21])
    shown, _ = cut_to_region(image, mask, "multiply", margin=0)
    assert np.array_equal(shown.pixels, pixels * mask[..., None])


def test_no_lungs_leave_the_image_whole_and_say_so():
    whole = radiograph()
    for how in ("crop", "multiply"):
        same, frame = cut_to_region(whole, np.zeros(whole.size, dtype=bool), how, name="lungs")
        assert np.array_equal(same.pixels, whole.pixels)
        assert frame.model_size == whole.size
        assert "no lungs found" in same.source.notes[-1]


def test_wrong_requests_are_told():
    with pytest.raises(GeometryError, match="another size"):
        cut_to_region(radiograph(), np.ones((3, 3), dtype=bool))
    with pytest.raises(ConfigError, match="crop or multiply"):
        cut_to_region(radiograph(), np.ones((60, 80), dtype=bool), "divide")


@pytest.mark.parametrize("fit", ["letterbox", "resize"])
@pytest.mark.parametrize("how", ["crop", "multiply"])
def test_preprocessing_sees_the_lungs_and_its_frame_leads_back_to_the_whole_image(monkeypatch, fit, how):
    whole, box = radiograph(), Box(20, 10, 49, 29)
    mask = rectangle(whole.size, box)
    monkeypatch.setattr(lungs, "loaded", lambda name: lambda image: mask)
    plan = Preprocessing(size=(32, 32), fit=fit, region=Region(how=how, margin=0))
    grey, frame = plan.grid(whole)
    assert grey.shape == (32, 32)
    assert frame.original_size == whole.size
    if how == "crop":
        own, there = plan.model_copy(update={"region": None}).grid(Image(whole.pixels[10:30, 20:50]))
        assert frame.region == box
        assert frame.points_to_model([20, 10]) == pytest.approx(there.points_to_model([0, 0]))
    else:
        own, there = plan.model_copy(update={"region": None}).grid(Image(whole.pixels * mask))
        assert frame == there
    assert np.array_equal(grey, own)
    inside = frame.map_to_original(np.ones((32, 32))) > 0
    assert inside.sum() == (600 if how == "crop" else whole.pixels.size)


def test_the_mask_keeps_two_large_pieces_without_holes():
    class Fixed(LungNet):
        def forward(self, radiographs):
            logits = torch.full((1, 1, 160, 160), -9.0)
            logits[..., 30:120, 20:60] = 9
            logits[..., 60:80, 30:50] = -9  # a hole
            logits[..., 40:110, 90:140] = 9
            logits[..., 130:145, 70:90] = 9  # a pocket of gas, smaller than either
            logits[..., 2:4, 2:4] = 9
            return logits

    mask = LungMask(Fixed())(radiograph((320, 320)))
    wanted = rectangle((320, 320), Box(40, 60, 119, 239)) | rectangle((320, 320), Box(180, 80, 279, 219))
    assert dice(mask, wanted) > 0.99
    assert mask[140, 80]


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ([Box(20, 30, 59, 129), Box(90, 30, 129, 119)], ""),
        ([Box(20, 30, 129, 129)], "one lung"),
        ([], "no lungs"),
        ([Box(20, 30, 59, 129), Box(90, 30, 129, 49)], "unequal"),
        ([Box(50, 60, 69, 89), Box(90, 60, 109, 89)], "too small"),
        ([Box(20, 10, 59, 69), Box(60, 90, 99, 149)], "side by side"),
        ([Box(20, 30, 59, 129), Box(90, 30, 129, 129), Box(130, 30, 155, 39)], "ragged"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
@pytest.mark.parametrize("scale", [1, 6])
def test_a_mask_that_can_hardly_be_lungs_is_doubted(boxes, why, scale):
    mask = np.zeros((160, 160), dtype=bool)
    for box in boxes:
        mask |= rectangle(mask.shape, box)
    told = doubt(np.kron(mask, np.ones((scale, scale), dtype=bool)))
    assert why in told
    assert bool(told) == bool(why)


def test_windowing_hardly_matters():
    torch.manual_seed(0)
    net = LungMask(LungNet())
    image = radiograph((160, 160))
    other = Image(image.pixels * np.float32(0.4) + np.float32(0.3))
    assert net.probability(image)[0] == pytest.approx(net.probability(other)[0], abs=1e-4)


def test_saved_and_loaded_is_the_same(tmp_path):
    torch.manual_seed(1)
    net = LungMask(LungNet(), {"images": "3"})
    net.save(tmp_path / "a.safetensors")
    back = LungMask.load(tmp_path / "a.safetensors")
    assert back.about == {"images": "3"}
    assert back.probability(radiograph())[0] == pytest.approx(net.probability(radiograph())[0], abs=2e-3)
    again = tmp_path / "b.safetensors"
    back.save(again)
    twice = LungMask.load(again)
    assert np.array_equal(twice.probability(radiograph())[0], back.probability(radiograph())[0])
    assert twice.about == back.about


def test_what_is_no_lung_network_is_told(tmp_path):
    with pytest.raises(BundleError, match="no lung network"):
        LungMask.load("livers-1")
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(BundleError, match="is no lung network"):
        LungMask.load(broken)


def test_the_shipped_network_finds_simulated_lungs_and_nothing_on_noise():
    shipped = LungMask.load()
    for seed in range(3):
        phantom = simulate_chest(seed, size=(256, 300))
        assert dice(shipped(phantom.image), phantom.lung_mask) > 0.93
    assert not shipped(Image(np.full((64, 64), 0.5, dtype=np.float32))).any()


@pytest.mark.long
def test_a_model_of_cropped_images_tells_places_in_the_whole_image(tmp_path):
    """Recipe entry to card, card to bundle, bundle to assessment: the peak lies in the region it saw."""
    architecture = Architecture(backbone="resnet18", classes=2)
    network = build_network(architecture)
    layers = target_layers(network)
    card = BundleCard(
        name="cropped",
        created="2025-01-31",
        architecture=architecture,
        preprocessing=Preprocessing(size=(64, 64), region=Region()),
        classes=("good", "poor"),
        poor_class=1,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.4, 0.6),
        layers=Layers(last=layers.last, multi=layers.stages),
        method="gradient",
        intended_use="tests",
        limits="all",
        not_for="anything",
        training_data="none",
        licence="none",
    )
    save_bundle(tmp_path / "bundle", network, card)
    phantom = simulate_chest(4, size=(300, 260))
    model = load_model(tmp_path / "bundle")
    (result,) = assess(model, [phantom.image])
    region = box_around(LungMask.load()(phantom.image), Region().margin)
    assert result.image_size == (300, 260)
    assert result.saliency.frame.region == region
    for finding in result.findings:
        assert region.x0 - 1 <= finding.peak.x <= region.x1 + 1
        assert region.y0 - 1 <= finding.peak.y <= region.y1 + 1
    assert result.findings
