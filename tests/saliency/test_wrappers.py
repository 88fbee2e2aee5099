"""Wrappers: what they average is what the loops average, and where a closed form is known it is met."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from tests.saliency.small import Convolutional, LinearModel, build, images
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import class_score
from xiqa.saliency.wrappers.transforms import INTENSITY

TARGET = torch.tensor([2, 0])


def one(network, x, method, target=TARGET, **more):
    (maps,) = attribute(network, x, method, target=target, **more).values()
    return maps


@pytest.fixture
def case():
    return build(Convolutional, seed=3, activation=nn.SiLU), images(2, (2, 20, 30))


class TestSmoothed:
    def test_is_a_gaussian_blur_at_the_images_size(self, case):
        network, x = case
        raw = one(network, x, "gradient").numpy()
        expected = gaussian_filter(raw, 1.5, axes=(1, 2), mode="mirror", truncate=16 / 3 - 0.01)
        found = one(network, x, "smoothed(gradient):sigma=1.5")
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_a_fraction_is_of_the_shorter_side(self, case):
        network, x = case
        found = one(network, x, "smoothed(gradient):fraction=0.1")
        torch.testing.assert_close(found, one(network, x, "smoothed(gradient):sigma=2.0"))

    def test_layer_maps_are_enlarged_first(self, case):
        network, x = case
        assert one(network, x, "smoothed(gradcam):fraction=0.05").shape == (2, 20, 30)


def test_the_mean_gradient_along_the_path_times_the_way_is_integrated_gradients():
    network, x = build(Convolutional, channels=1), images(2, (1, 6, 9))
    mean = one(network, x, "integrated(gradient:norm=signed):steps=7,path=gausslegendre,baseline=min")
    hidden = x.amin(dim=(2, 3), keepdim=True)
    expected = one(network, x, "integratedgradients:steps=7,baseline=min,tolerance=9")
    torch.testing.assert_close((x - hidden)[:, 0] * mean, expected)


def test_the_mean_gradient_under_noise_is_smoothgrad(case):
    network, x = case
    found = one(network, x, "noisy(gradient:norm=signed):samples=5,spread=0.2,seed=4")
    expected = one(network, x, "smoothgrad:norm=signed,samples=5,spread=0.2,seed=4")
    torch.testing.assert_close(found, expected)


class TestEvet:
    def test_averages_maps_that_are_put_back(self, case):
        network, x = case
        plain = one(network, x, "gradient")
        mirrored = one(network, x.flip(-1), "gradient").flip(-1)
        found = one(network, x, "evet(gradient):transforms=hflip+")
        torch.testing.assert_close(found, (plain + mirrored) / 2)
        flat = one(network, INTENSITY["equalise"].apply(x), "gradient")
        found = one(network, x, "evet(gradient):transforms=hflip+equalise")
        torch.testing.assert_close(found, (plain + mirrored + flat) / 3)

    @pytest.mark.parametrize("group", ["geometric", "intensity", "all"])
    def test_a_constant_map_stays_constant_up_to_the_border(self, group):
        network, x = build(LinearModel, size=(2, 12, 16)), images(2, (2, 12, 16))
        network.head.weight.data.fill_(0.5)
        found = one(network, x, f"evet(gradient):transforms={group}")
        torch.testing.assert_close(found, torch.full_like(found, 0.5))

    def test_stretched_maps_weigh_the_same(self, case):
        network, x = case
        stretch = lambda m: (m - m.amin((1, 2), True)) / (m.amax((1, 2), True) - m.amin((1, 2), True))  # noqa: E731
        plain, loud = one(network, x, "gradient"), INTENSITY["contrast_up"].apply(x)
        found = one(network, x, "evet(gradient):transforms=contrast_up,stretched=true")
        torch.testing.assert_close(found, (stretch(plain) + stretch(one(network, loud, "gradient"))) / 2)

    def test_an_unknown_transform_is_told(self, case):
        with pytest.raises(SaliencyError, match="equalise"):
            one(*case, "evet(gradient):transforms=solarise")


def sess_by_loops(network, image, target, method, scales, drop, fusion):
    """SESS for one image (2, 20, 30) with windows every half side, as in the formula."""
    windows = []
    for scale in scales:
        large = (round(20 * scale), round(30 * scale))
        scaled = F.interpolate(image[None], large, mode="bilinear", align_corners=False)
        for top in sorted({*range(0, large[0] - 20 + 1, 10), large[0] - 20}):
            for left in sorted({*range(0, large[1] - 30 + 1, 15), large[1] - 30}):
                patch = scaled[:, :, top : top + 20, left : left + 30]
                score = float(class_score(network(patch).detach(), target))
                windows.append((score, patch, large, top, left))
    best = max(window[0] for window in windows)
    order = sorted(range(len(windows)), key=lambda w: windows[w][0])
    values = []
    for place in order[int(drop * len(windows)) :]:
        score, patch, large, top, left = windows[place]
        raw = one(network, patch, method, target=target)[0]
        canvas = torch.zeros(*large, dtype=torch.float64)
        canvas[top : top + 20, left : left + 30] = (raw - raw.min()) / (raw.max() - raw.min()) * score / best
        small = F.interpolate(canvas[None, None], (20, 30), mode="bilinear", align_corners=False)[0, 0]
        values.append(small.numpy())
    values = np.array(values)
    if fusion == "max":
        return values.max(axis=0)
    return values.sum(axis=0) / np.maximum((values > 0).sum(axis=0), 1)


class TestSess:
    @pytest.mark.parametrize("fusion", ["mean", "max"])
    @pytest.mark.parametrize("drop", [0.0, 0.4])
    def test_agrees_with_the_loop(self, case, drop, fusion):
        network, x = case
        found = one(network, x, f"sess(gradient):scales=1.0+1.3+2.0,drop={drop},fusion={fusion}")
        for place, target in enumerate(TARGET.tolist()):
            expected = sess_by_loops(network, x[place], target, "gradient", (1.0, 1.3, 2.0), drop, fusion)
            np.testing.assert_allclose(found[place], expected, atol=1e-12)

    def test_one_scale_is_the_stretched_map(self, case):
        network, x = case
        raw = one(network, x, "gradient")
        low, high = raw.amin((1, 2), True), raw.amax((1, 2), True)
        torch.testing.assert_close(one(network, x, "sess(gradient):scales=1"), (raw - low) / (high - low))

    @pytest.mark.parametrize("text", ["sess:scales=0.5", "sess:fusion=sum", "sess:drop=1"])
    def test_a_wrong_parameter_is_told(self, case, text):
        with pytest.raises(SaliencyError):
            one(*case, text)


@pytest.mark.parametrize(
    "text",
    ["smoothed(gradcam)", "integrated(gradcam):steps=3", "noisy(gradient):samples=3",
     "evet(gradcam):transforms=all", "sess(gradcam):drop=0.5"],
)  # fmt: skip
def test_a_batch_gives_the_maps_of_its_images(case, text):
    network, x = case
    together = one(network, x, text)
    alone = torch.cat([one(network, x[i : i + 1], text, target=TARGET[i : i + 1]) for i in (0, 1)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(one(network, x, text), together, rtol=0, atol=0)
