"""`xiqa.explain` and `xiqa.assess` take any network and images of any kind."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

import xiqa
from xiqa.errors import ConfigError, ImageReadError, SaliencyError
from xiqa.models.layers import TargetLayers
from xiqa.models.preprocess import Preprocessing
from xiqa.saliency.engine import attribute
from xiqa.simulation.chest import simulate_chest

METHODS = ["gradcam", "normgrad_conv1x1", "inputxgradient"]


@pytest.fixture
def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 7, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 4),
    ).eval()  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(11, 3, 16, 24, generator=torch.Generator().manual_seed(5))


def test_a_plain_network_and_its_input(network, images):
    maps = xiqa.explain(network, images, METHODS, target=2)
    expected = attribute(network, images, METHODS, target=2).maps
    for method in METHODS:
        assert len(maps[method]) == 11  # more than one batch
        assert {saliency.target for saliency in maps[method]} == {2}
        for saliency, values in zip(maps[method], expected[method], strict=True):
            np.testing.assert_allclose(saliency.values, values.numpy(), rtol=1e-4, atol=1e-6)


def test_the_predicted_class_unless_told(network, images):
    (saliency,) = xiqa.explain(network, images[:1], "gradcam")["gradcam"]
    assert saliency.target == int(network(images[:1]).argmax())


def test_each_image_may_have_its_own_class(network, images):
    classes = torch.arange(11) % 4
    found = xiqa.explain(network, images, "gradcam", target=classes)["gradcam"]
    assert [saliency.target for saliency in found] == classes.tolist()
    expected = attribute(network, images, "gradcam", target=classes)["gradcam"]
    np.testing.assert_allclose(found[10].values, expected[10].numpy(), rtol=1e-4, atol=1e-6)


def test_layers_by_name(network, images):
    first = xiqa.explain(network, images[:2], "gradcam", target=1, layers="1")["gradcam"]
    expected = attribute(network, images[:2], ["gradcam"], target=1, layers=TargetLayers("1", ("1",)))
    np.testing.assert_allclose(first[1].values, expected.maps["gradcam"][1].numpy(), rtol=1e-4, atol=1e-6)
    assert first[0].values.shape == (16, 24)
    with pytest.raises(SaliencyError, match="nosuch"):
        xiqa.explain(network, images[:1], "gradcam", layers="nosuch")
    with pytest.raises(SaliencyError, match="no layer"):
        xiqa.explain(network, images[:1], "gradcam", layers=())


def test_pictures_need_to_be_prepared_and_come_back_with_their_frames(network):
    picture = Pillow.fromarray((np.arange(30 * 50).reshape(30, 50) % 251).astype(np.uint8))
    with pytest.raises(ConfigError, match="preprocessing"):
        xiqa.explain(network, picture, "gradcam")
    preprocessing = Preprocessing(size=(16, 24), mean=(0.5,) * 3, std=(0.25,) * 3)
    for given in (picture, [picture], np.asarray(picture), iter([picture])):
        (saliency,) = xiqa.explain(network, given, "gradcam", preprocessing=preprocessing)["gradcam"]
        assert saliency.frame.original_size == (30, 50)
    several = xiqa.explain(network, [picture] * 9, "gradcam", preprocessing=preprocessing)["gradcam"]
    np.testing.assert_allclose(several[8].values, saliency.values, atol=1e-6)
    with pytest.raises(ImageReadError):
        xiqa.explain(network, [picture, object()], "gradcam", preprocessing=preprocessing)


def test_what_is_no_model_is_told(images):
    with pytest.raises(SaliencyError, match="Module"):
        xiqa.explain(object(), images, "gradcam", preprocessing=Preprocessing(size=(16, 24)))


def test_a_model_by_its_name_with_images_of_every_kind():
    image = simulate_chest(4).image
    grey = np.round(image.pixels * 255).astype(np.uint8)
    kinds = [Pillow.fromarray(grey), grey, torch.from_numpy(grey), grey / np.float64(255)]
    results = xiqa.assess("cxr-foreign-objects", kinds)
    for result in results[1:]:
        assert result.verdict == results[0].verdict
        assert result.probability == pytest.approx(results[0].probability, abs=1e-5)
        np.testing.assert_allclose(
            [finding.box for finding in result.findings],
            [finding.box for finding in results[0].findings],
            atol=1,
        )
    (alone,) = xiqa.assess("cxr-foreign-objects", kinds[1])
    assert alone.probability == pytest.approx(results[0].probability, abs=1e-5)
    mixed = xiqa.assess("cxr-foreign-objects", [kinds[0], object()])
    assert [result.verdict.value == "not_assessed" for result in mixed] == [False, True]
    maps = xiqa.explain("cxr-foreign-objects", kinds[0], "normgrad_conv3x3", target=0)
    assert maps["normgrad_conv3x3"][0].target == 0
