"""Images, maps and results show themselves."""

import io
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.errors import Code, ConfigError
from xiqa.geometry import Box, Frame, Point
from xiqa.types import Assessment, Finding, Image, SaliencyMap, Source, Verdict

mpl.use("Agg")
import matplotlib.pyplot as plt

SIZE = (60, 100)


@pytest.fixture
def image():
    return Image(np.linspace(0.2, 0.7, 6000, dtype=np.float32).reshape(SIZE))


@pytest.fixture
def saliency():
    values = np.zeros((4, 4), np.float32)
    values[1, 3] = 2.0
    return SaliencyMap(values, "gradcam", 1, frame=Frame.resize(original=SIZE, model=(32, 32)))


@pytest.fixture
def result(saliency):
    return Assessment(
        file="a<b>.png",
        verdict=Verdict.REACQUIRE,
        reason="an object lies over the lung & heart",
        code=Code.POOR,
        probability=0.83,
        threshold=0.4,
        findings=(Finding(peak=Point(80, 20), box=Box(70, 12, 92, 30), score=1.0, label="foreign"),),
        saliency=saliency,
        image_size=SIZE,
        source=Source(notes=("no window",)),
    )


def opened(data):
    return np.asarray(Pillow.open(io.BytesIO(data)))


def test_an_image_is_its_pixels(image):
    np.testing.assert_allclose(opened(image._repr_png_()) / 255, image.pixels, atol=0.5 / 255 + 1e-6)


def test_a_map_is_hot_where_it_is_high_in_the_shape_of_its_image(saliency):
    picture = opened(saliency._repr_png_())
    assert picture.shape == (*SIZE, 3)
    row, column = np.unravel_index(picture.sum(axis=-1).argmax(), SIZE)
    assert (row, column) == pytest.approx((22, 87), abs=8)
    assert picture[50, 10].sum() == 0
    deep = np.stack([np.zeros((4, 4), np.float32), saliency.values])
    np.testing.assert_array_equal(opened(replace(saliency, values=deep)._repr_png_()), picture)
    bare = replace(saliency, frame=None)
    assert opened(bare._repr_png_()).shape == (4, 4, 3)


def test_an_overlay_leaves_the_rest_of_the_image(image, saliency, result):
    for value in (saliency, result):
        picture = np.asarray(value.overlay(image)).astype(int)
        grey = np.round(image.pixels * 255)[..., None]
        assert np.abs(picture[45:, :50] - grey[45:, :50]).max() <= 1
        assert np.abs(picture[15:28, 75:90] - grey[15:28, 75:90]).max() > 30
    with pytest.raises(ConfigError, match="another image"):
        result.overlay(Image(np.zeros((100, 60), np.float32)))


def test_plots_come_back_on_the_axes_they_were_given(image, saliency, result):
    _, (left, middle, right) = plt.subplots(1, 3)
    assert image.plot(left) is left
    assert saliency.plot(middle, image=image) is middle
    assert result.plot(right, image=image) is right
    for axes in (left, middle, right):
        assert axes.images[0].get_extent() == [-0.5, 99.5, 59.5, -0.5]
    assert (middle.get_title(), right.get_title()) == ("gradcam", "repeat")
    assert saliency.plot() is plt.gca()
    with pytest.raises(ConfigError, match="its image"):
        result.plot(right)
    plt.close("all")


def test_a_result_is_told_in_words_and_markup_stays_text(result):
    text = result._repr_html_()
    assert "repeat (reacquire)" in text
    assert "83% likely; repeat from 40%" in text
    assert "foreign at column 80, row 20" in text
    assert "an object lies over the lung &amp; heart" in text
    assert "a&lt;b&gt;.png" in text
    assert "no window" in text
    assert "data:image/png;base64," in text
    bare = replace(result, saliency=None, probability=None, findings=(), source=Source())
    assert "<img" not in bare._repr_html_()
    assert "likely" not in bare._repr_html_()
