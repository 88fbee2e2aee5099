import numpy as np
import pytest
from matplotlib import colormaps

from xiqa.geometry import Box, Frame, Point
from xiqa.report.overlay import (
    for_display,
    heat_picture,
    overlay_picture,
    palette,
    picture_of,
)
from xiqa.saliency.placing import on_picture
from xiqa.types import Finding, Image, SaliencyMap


def spot(frame, layer, at):
    """A map at layer size whose only bright cell covers the original point ``at``."""
    values = np.zeros(layer, dtype=np.float32)
    x, y = (frame.points_to_model(at) + 0.5) * (
        layer[1] / frame.model_size[1],
        layer[0] / frame.model_size[0],
    )
    values[int(y), int(x)] = 2.0
    return SaliencyMap(values, "gradcam", 1, input_size=frame.model_size, frame=frame)


FRAMES = {
    "resize": Frame.resize((300, 200), (64, 64)),
    "letterbox": Frame.letterbox((300, 200), (64, 64)),
    "crop": Frame.crop((300, 200), Box(20, 50, 179, 209), (64, 64)),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("size", [(300, 200), (150, 100), (75, 50)])
def test_heat_lies_where_the_map_says(frame, size):
    saliency = spot(frame, (32, 32), (120, 90))
    placed = on_picture(saliency, (300, 200), size)
    assert placed.shape == size
    y, x = np.unravel_index(placed.argmax(), size)
    cell = 2 * 300 / 32
    assert abs((x + 0.5) * 200 / size[1] - 120.5) <= cell
    assert abs((y + 0.5) * 300 / size[0] - 90.5) <= cell


def test_at_full_size_the_placed_map_is_the_frames_own():
    frame = FRAMES["letterbox"]
    rng = np.random.default_rng(1)
    values = rng.random(frame.model_size).astype(np.float32)
    saliency = SaliencyMap(values, "m", 0, input_size=frame.model_size, frame=frame)
    placed = on_picture(saliency, (300, 200), (300, 200))
    np.testing.assert_allclose(placed, frame.map_to_original(values), atol=1e-5)


def test_no_heat_where_the_model_saw_nothing():
    frame = FRAMES["crop"]
    values = np.ones((8, 8), dtype=np.float32)
    heat = np.asarray(heat_picture(SaliencyMap(values, "m", 0, frame=frame), (300, 200), 300))
    assert (heat[:50, :, 3] == 0).all()
    assert (heat[60:200, 30:170, 3] > 0).all()


@pytest.mark.parametrize("values", [np.zeros((4, 4)), -np.ones((4, 4)), np.full((4, 4), np.nan)])
def test_a_map_without_a_peak_shows_nothing(values):
    assert (for_display(values.astype(np.float32)) == 0).all()


def test_colours_rise_in_lightness_and_opacity():
    colours = palette().astype(float)
    lightness = colours[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1).all()
    assert (np.diff(colours[:, 3]) >= 0).all()
    assert colours[0, 3] == 0


def test_the_colours_are_inferno():
    inferno = colormaps["inferno"](np.linspace(0, 1, 256))[:, :3] * 255
    np.testing.assert_allclose(palette()[:, :3], inferno, atol=8)


@pytest.mark.parametrize("ground", [0.0, 0.5, 1.0])
def test_marks_show_on_dark_and_on_bright_ground(ground):
    image = Image(np.full((200, 160), ground, dtype=np.float32))
    finding = Finding(Point(80, 100), Box(60, 80, 99, 119), 1.0)
    drawn = np.asarray(overlay_picture(image, None, [finding])).astype(float)
    plain = np.asarray(picture_of(image, 1600).convert("RGB")).astype(float)
    differs = np.abs(drawn - plain).max(axis=2)
    assert differs[100, 80] > 60  # the peak
    assert differs[78:82, 60:100].max(axis=0).min() > 60  # the box's upper edge, just outside it
    assert differs[90:95, 65:70].max() == 0  # inside, the image itself
    assert differs[:70].max() == 0


def test_pictures_are_bounded_and_colour_stays():
    pixels = np.zeros((3000, 1500, 3), dtype=np.float32)
    pixels[..., 0] = 1.0
    picture = picture_of(Image(pixels), 1024)
    assert picture.size == (512, 1024)
    assert picture.getpixel((100, 100)) == (255, 0, 0)
