"""The smallest flips: closed forms on linear scores, loops on a network that is not linear."""

import numpy as np
import pytest
import torch
from tests.reference import attacks as reference
from tests.saliency.small import Convolutional, LinearModel, build, images

from xiqa.errors import SaliencyError
from xiqa.saliency.adversarial.flips import class_margins, deepfool_flip, fgsm_flip, pgd_flip, verdict_margins
from xiqa.saliency.adversarial.onepixel import one_pixel_flip
from xiqa.saliency.engine import attribute
from xiqa.saliency.probe import TorchProbe

FLIPS = {"fgsm": fgsm_flip, "pgd": pgd_flip, "deepfool": deepfool_flip}
IMAGE = images(1)[0]


@pytest.fixture
def linear():
    return build(LinearModel, classes=2)


@pytest.fixture
def network():
    return build(Convolutional, activation=torch.nn.Tanh)


def weight(network, target):
    """The gradient of the margin of a class of two."""
    return network.weight(target) - network.weight(1 - target)


def score(network, image, target=0):
    with torch.no_grad():
        return float(class_margins(network, target)(image[None]).amin())


class TestLinear:
    @pytest.mark.parametrize("target", [0, 1])
    @pytest.mark.parametrize("name", ["fgsm", "pgd"])
    def test_the_smallest_box_is_the_margin_over_the_sum_of_the_weights(self, linear, target, name):
        flip = FLIPS[name](class_margins(linear, target), IMAGE, bisections=16)
        exact = abs(score(linear, IMAGE, target)) / float(weight(linear, target).abs().sum())
        assert flip.flipped
        assert flip.largest == pytest.approx(exact, rel=1e-4)
        assert flip.largest >= exact

    @pytest.mark.parametrize("target", [0, 1])
    def test_deepfool_steps_to_the_border_at_once(self, linear, target):
        flip = deepfool_flip(class_margins(linear, target), IMAGE, steps=1, overshoot=0.0)
        normal = weight(linear, target)
        exact = -score(linear, IMAGE, target) * normal / normal.square().sum()
        torch.testing.assert_close(flip.change, exact, rtol=1e-3, atol=1e-6)
        assert flip.length == pytest.approx(
            abs(score(linear, IMAGE, target)) / float(normal.norm()), rel=1e-3
        )
        assert flip.flipped  # by the hair beyond the border

    def test_deepfool_in_the_largest_change_is_fgsms_smallest(self, linear):
        flip = deepfool_flip(class_margins(linear, 0), IMAGE, overshoot=0.0, measure="linf")
        exact = abs(score(linear, IMAGE)) / float(weight(linear, 0).abs().sum())
        assert flip.flipped
        assert flip.largest == pytest.approx(exact, rel=1e-3)

    def test_deepfool_leaves_by_the_nearest_of_several_borders(self):
        network = build(LinearModel, classes=5)
        with torch.no_grad():
            logits = network(IMAGE[None])[0]
        best = int(logits.argmax())
        ways = {
            other: float(
                (logits[best] - logits[other]) / (network.weight(best) - network.weight(other)).norm()
            )
            for other in range(5)
            if other != best
        }
        flip = deepfool_flip(class_margins(network, best), IMAGE)
        with torch.no_grad():
            assert int(network((IMAGE + flip.change)[None]).argmax()) == min(ways, key=ways.get)
        assert flip.length == pytest.approx(1.02 * min(ways.values()), rel=2e-3)

    def test_one_pixel_is_the_one_with_the_largest_weight(self, linear):
        flat = torch.full_like(IMAGE, 0.2)
        way = 1 if score(linear, flat) > 0 else -1
        strength = weight(linear, 0).abs().sum(dim=0)
        flip = one_pixel_flip(
            lambda copies: way * (50 + way * class_margins(linear, 0)(copies).amin(dim=1).detach()),
            flat,
            population=120,
            iterations=60,
        )
        assert flip.pixels == 1
        assert not flip.flipped
        assert int(flip.change.abs().sum(dim=0).argmax()) == int(strength.argmax())
        # each channel to the end of the range that speaks against the verdict
        place = np.unravel_index(int(strength.argmax()), strength.shape)
        expected = -way * weight(linear, 0)[(slice(None), *place)].sign()
        torch.testing.assert_close(flip.change[(slice(None), *place)], expected.double(), atol=0.02, rtol=0)


class TestAgainstLoops:
    sizes = np.geomspace(3e-2, 5, 100)

    @pytest.mark.parametrize("target", [0, 1, 2])
    def test_fgsm(self, network, target):
        margins = class_margins(network, target)
        expected = reference.fgsm_size(margins, IMAGE, self.sizes)
        found = fgsm_flip(margins, IMAGE, most=5.0, bisections=14)
        assert found.flipped == (expected is not None)
        if expected is not None:
            assert found.largest == pytest.approx(expected, rel=0.055)

    @pytest.mark.parametrize("target", [0, 2])
    def test_pgd(self, network, target):
        margins = class_margins(network, target)
        sizes = self.sizes[::2]
        expected = reference.pgd_size(margins, IMAGE, sizes, 6)
        found = pgd_flip(margins, IMAGE, most=5.0, steps=6, bisections=14)
        assert expected is not None
        assert found.largest == pytest.approx(expected, rel=0.11)

    @pytest.mark.parametrize("target", [0, 2])
    def test_deepfool(self, network, target):
        margins = class_margins(network, target)
        expected = reference.deepfool(margins, IMAGE, 50, 0.02)
        torch.testing.assert_close(deepfool_flip(margins, IMAGE).change, expected)

    def test_one_pixel_finds_what_trying_everything_finds(self, network):
        image = images(1, (1, 6, 9))[0]
        network = build(Convolutional, activation=torch.nn.Tanh, channels=1)
        far = 10.0  # so that nothing flips, and the search goes on

        def kept(copies):
            with torch.no_grad():
                return far + class_margins(network, 0)(copies).amin(dim=1)

        values = np.linspace(float(image.min()), float(image.max()), 41)
        lowest, place = reference.best_pixel(kept, image, values)
        found = one_pixel_flip(kept, image, population=100, iterations=60, seed=1)
        assert found.after <= lowest + 0.02 * (found.before - lowest)
        assert divmod(int(found.change.abs().sum(dim=0).argmax()), 9) == place


class TestEdges:
    @pytest.mark.parametrize("name", FLIPS)
    def test_a_flat_score_is_no_flip(self, name):
        flip = FLIPS[name](lambda x: x.sum(dim=(1, 2, 3))[:, None] * 0 + 2, IMAGE)
        assert not flip.flipped
        assert flip.change.isfinite().all()
        assert (flip.before, flip.after) == (2.0, 2.0)

    def test_a_nearly_flat_score_gives_a_finite_change(self):
        flip = deepfool_flip(lambda x: x.sum(dim=(1, 2, 3))[:, None] * 1e-310 + 2, IMAGE)
        assert not flip.flipped
        assert flip.change.isfinite().all()

    @pytest.mark.parametrize("name", ["fgsm", "pgd"])
    def test_no_step_is_larger_than_allowed(self, network, name):
        flip = FLIPS[name](lambda x: class_margins(network, 0)(x) ** 2 + 1, IMAGE, most=0.3)
        assert not flip.flipped
        assert flip.largest == pytest.approx(0.3)

    def test_pgd_needs_no_larger_a_box_than_fgsm(self, network):
        margins = class_margins(network, 0)
        assert pgd_flip(margins, IMAGE, steps=20).largest <= fgsm_flip(margins, IMAGE).largest * 1.01

    def test_kinds_of_heads(self):
        logits = torch.tensor([[1.0, -2.0, 0.5]])
        assert verdict_margins(logits, 2).tolist() == [[-0.5, 2.5]]
        assert verdict_margins(logits, 2, multilabel=True).tolist() == [[0.5]]
        assert verdict_margins(logits[:, :1], 1).tolist() == [[1.0]]
        assert verdict_margins(logits[:, :1], 0).tolist() == [[-1.0]]

    def test_another_measure(self, network):
        with pytest.raises(SaliencyError, match="l2 or linf"):
            deepfool_flip(class_margins(network, 0), IMAGE, measure="l1")

    @pytest.mark.parametrize("wrong", [{"pixels": 0}, {"population": 4}, {"iterations": 0}])
    def test_an_impossible_search(self, wrong):
        with pytest.raises(SaliencyError, match="no such search"):
            one_pixel_flip(lambda copies: copies.sum(dim=(1, 2, 3)), IMAGE, **wrong)


class TestMaps:
    def test_deepfools_map_has_the_length_of_its_change(self, network):
        (found,) = attribute(network, IMAGE[None], "deepfool", target=0).values()
        assert float(found.norm()) == pytest.approx(deepfool_flip(class_margins(network, 0), IMAGE).length)

    @pytest.mark.parametrize("name", ["fgsm", "pgd"])
    def test_the_change_of_a_step_is_its_size(self, network, name):
        (found,) = attribute(network, IMAGE[None], f"{name}:show=change,norm=max", target=0).values()
        flip = FLIPS[name](class_margins(network, 0), IMAGE, **({"bisections": 6} if name == "pgd" else {}))
        assert float(found.max()) == pytest.approx(flip.largest)

    def test_fgsms_effect_is_the_gradients_share(self, linear):
        (found,) = attribute(linear, IMAGE[None], "fgsm", target=0).values()
        strength = weight(linear, 0).abs().sum(dim=0)
        torch.testing.assert_close(found[0] / found[0].sum(), strength / strength.sum())
        assert float(found.sum()) == pytest.approx(abs(score(linear, IMAGE)), rel=5e-3)

    def test_several_pixels(self, network):
        (found,) = attribute(network, IMAGE[None], "onepixel:pixels=3,iterations=5", target=0).values()
        assert 1 <= int((found > 0).sum()) <= 3

    def test_one_pixel_needs_no_network(self, network):
        text = "onepixel:iterations=3,population=16"
        inside = attribute(network, IMAGE[None], text, target=0)
        outside = attribute(TorchProbe(network), IMAGE[None], text, target=0)
        torch.testing.assert_close(*(next(iter(one.values())) for one in (inside, outside)))

    def test_something_else_to_show(self, network):
        with pytest.raises(SaliencyError, match="change or effect"):
            attribute(network, IMAGE[None], "deepfool:show=both", target=0)
