"""One target for a batch or one a sample, a class, the predicted or the true one; every kind of head."""

import pytest
import torch
from torch import nn

from xiqa.errors import SaliencyError
from xiqa.saliency.engine import attribute
from xiqa.saliency.targets import resolve_target

HEADS = {"two logits": 2, "one logit": 1, "many labels": 4}


@pytest.mark.parametrize("classes", HEADS.values(), ids=HEADS)
def test_all_ways_to_name_a_class(classes, make_tiny, small_images, explain):
    network, labels = make_tiny(classes=classes), classes > 2
    run = lambda target: explain(network, small_images, target=target, multilabel=labels)  # noqa: E731
    zero, one = run(0), run(1)
    assert torch.allclose(run(torch.tensor([1, 1, 1])), one, rtol=1e-9)
    mixed = run(torch.tensor([0, 1, 0]))
    assert torch.allclose(mixed, torch.stack([zero[0], one[1], zero[2]]), rtol=1e-9)
    with torch.no_grad():
        logits = network(small_images)
    best = (logits[:, 0] > 0).long() if classes == 1 else logits.argmax(dim=1)
    assert torch.allclose(run("predicted"), run(best), rtol=1e-9)


@pytest.mark.parametrize("name", ["gradient:norm=signed", "gradcam:relu=false", "hirescam", "cam"])
def test_a_one_logit_head_explains_class_0_by_the_negative(name, make_tiny, small_images):
    network = make_tiny(classes=1)
    no, yes = (next(iter(attribute(network, small_images, name, target=c).values())) for c in (0, 1))
    assert torch.equal(no, -yes)


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (3, "no such class"),
        (-1, "no such class"),
        ("true", "unknown target"),
        (torch.tensor([0, 1]), "do not fit the batch"),
        (torch.tensor([0.0, 1.0, 0.0]), "class indices"),
        (torch.tensor([[0], [1], [0]]), "do not fit the batch"),
    ],
)
def test_a_wrong_target_is_told(target, problem):
    with pytest.raises(SaliencyError, match=problem):
        resolve_target(target, torch.zeros(3, 3))


class Colours(nn.Module):
    """Label k says that colour k is in the image."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.features.weight.data.zero_()
        for colour in range(3):
            self.features.weight.data[colour, colour] = 1 / 9
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight.data = 4 * torch.eye(3)

    def forward(self, images):
        return self.head(self.features(images).relu().mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "name",
    [
        "gradcam", "layercam", "hirescam", "xgradcam", "gradcampp", "inputxgradient", "normgrad_scaling",
        "occlusion:window=0.125,stride=0.0625", "lrp_epsilon", "integratedgradients",
    ],
)  # fmt: skip
def test_overlapping_labels_have_their_own_places(name):
    image = torch.zeros(1, 3, 16, 16)
    image[0, 0, 2:9, 2:9] = 1  # red, and green over a part of it
    image[0, 1, 6:14, 6:14] = 1
    for label, (low, high) in enumerate([(2, 9), (6, 14)]):
        (found,) = attribute(Colours(), image, name, target=label, multilabel=True).values()
        inside = found[0, low:high, low:high].clamp_min(0).sum()
        assert inside > 0.7 * found[0].clamp_min(0).sum()
        row, column = divmod(int(found[0].argmax()), 16)
        assert low <= row < high
        assert low <= column < high
