"""Every kind of head: what it learns, what is watched, and the bundle that comes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xiqa.datasets import Sample
from xiqa.errors import DatasetError, ModelError
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.heads.pooled import OrderedLinear, PooledMLP, he_initialise, zero_residuals
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.goals import degrees_in, goal_of, is_poor, truth_of
from xiqa.training.losses import image_loss
from xiqa.training.module import QualityModule
from xiqa.training.train import starting_network

from .conftest import make_samples

GRADES = ("none", "mild", "severe")
TINY = {"backbone": "test_resnet", "classes": 2}


# --- heads


@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize(
    ("backbone", "weights"),
    [pytest.param("vgg16", 131_396, marks=pytest.mark.long), ("densenet201", 491_844)],
)
def test_the_perceptron_on_frozen_features_has_the_published_number_of_weights(library, backbone, weights):
    architecture = Architecture(
        library=library, backbone=backbone, head="mlp", classes=4, input_size=(299, 299)
    )
    network = build_network(architecture)
    network.body.requires_grad_(False)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == weights


def test_the_perceptron_is_its_formula():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 5, 3, stride=2)
    network = PooledMLP(body, (20, 24), classes=3, pool=4, hidden=7)
    images = torch.randn(2, 3, 20, 24)
    places = body(images)  # 9 x 11
    flat = torch.stack(
        [places[:, :, 4 * r : 4 * r + 4, 4 * c : 4 * c + 4].amax((2, 3)) for r in range(2) for c in range(2)],
        dim=2,
    ).flatten(1)
    first, _, last = network.head
    expected = (flat @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(network(images), expected)


def test_features_of_torchvision_and_timm_are_what_the_network_itself_pools():
    for library in ("torchvision", "timm"):
        torch.manual_seed(0)
        architecture = Architecture(
            library=library, backbone="densenet121", head="mlp", input_size=(128, 128)
        )
        body = build_network(architecture).body.eval()
        images = torch.randn(1, 3, 128, 128)
        assert body(images).shape == (1, 1024, 4, 4)
        assert (body(images) >= 0).all()  # the last activation is part of it


def test_too_small_images_for_the_perceptron_are_told():
    with pytest.raises(ModelError, match="at least 4 x 4"):
        build_network(Architecture(backbone="test_resnet", head="mlp", input_size=(32, 32)))


def test_ordered_logits_fall_from_grade_to_grade_and_share_their_slope():
    torch.manual_seed(0)
    head = OrderedLinear(6, scores=2, grades=4)
    nn.init.normal_(head.steps, std=3)
    features = torch.randn(5, 6, requires_grad=True)
    plain = features.detach()
    logits = head(features).view(5, 2, 3)
    for n in range(5):
        for p in range(2):
            score = sum(float(plain[n, f]) * float(head.score.weight[p, f].detach()) for f in range(6))
            bound = float(head.first[p, 0].detach())
            for k in range(3):
                assert float(logits[n, p, k].detach()) == pytest.approx(score - bound, abs=1e-5)
                bound += float(F.softplus(head.steps[p, k].detach())) if k < 2 else 0
    assert (logits.diff(dim=2) < 0).all()
    slopes = [torch.autograd.grad(logits[0, 0, k], features, retain_graph=True)[0][0] for k in range(3)]
    torch.testing.assert_close(slopes[0], slopes[2])


@pytest.mark.parametrize("wrong", [{"grades": 3, "classes": 3}, {"grades": 1}, {"head": "mlp"}])
def test_heads_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(ModelError):
        build_network(Architecture(backbone="test_resnet", **wrong))


def test_the_head_is_drawn_by_hes_rule():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(4000, 50))
    he_initialise(network)
    assert network[1].weight.std().item() == pytest.approx((2 / 4000) ** 0.5, rel=0.02)
    assert not network[1].bias.any()


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_residual_blocks_begin_as_identities(backbone):
    network = build_network(Architecture(library="torchvision", backbone=backbone)).train()
    zero_residuals(network)
    torch.manual_seed(0)
    channels = 64 if backbone == "resnet18" else 256
    x = torch.rand(2, channels, 4, 4)
    torch.testing.assert_close(network.layer1[1](x), x)
    plain = nn.Sequential(nn.BatchNorm2d(3))
    zero_residuals(plain)
    assert plain[0].weight.all()


def test_weights_that_no_hub_gives_are_told(tiny, monkeypatch):
    import timm

    def offline(*arguments, pretrained, **options):
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    recipe = tiny(pretrained=True, architecture={"backbone": "resnet34"})
    with pytest.raises(ModelError, match=r"pretrained weights of resnet34.*pretrained = false"):
        starting_network(recipe)


def test_torchvision_weights_that_no_hub_gives_are_told(tiny, monkeypatch):
    from torchvision import models

    def offline(name, weights):
        raise ConnectionError("no route to host") if weights else AssertionError

    monkeypatch.setattr(models, "get_model", offline)
    recipe = tiny(pretrained=True, architecture={"library": "torchvision", "backbone": "resnet34"})
    with pytest.raises(ModelError, match=r"pretrained weights of resnet34.*no route"):
        starting_network(recipe)


# --- what is learned


def sample(label=0, tags=()):
    return Sample("one", Path(), label, "train", tags=tags)


ORDERED = {"outputs": {"task": "ordered"}, "classes": GRADES, "architecture": TINY | {"grades": 3}}
SEVERAL = {
    "outputs": {"task": "ordered", "problems": ("blur", "noise"), "grades_from": (0.2, 0.6)},
    "classes": GRADES,
    "architecture": TINY | {"classes": 4, "grades": 3},
}
LABELS = {"outputs": {"task": "labels"}, "classes": ("lead", "button")}
DEGREE = {
    "outputs": {"task": "degree", "limit": 0.4, "problems": ("blur", "noise")},
    "classes": ("good", "poor"),
}
VALUE = {
    "outputs": {"task": "degree", "limit": 0.4},
    "classes": ("good", "poor"),
    "architecture": TINY | {"classes": 1},
}


@pytest.mark.parametrize(
    ("changes", "one", "goal", "poor", "truth"),
    [
        ({}, sample(1), (), 1, 1),
        (ORDERED, sample(2), (2,), 1, 2),
        (ORDERED | {"poor_class": 2}, sample(1), (1,), 0, 1),
        (SEVERAL, sample(tags=("noise=0.6",)), (0, 2), 1, [0, 1]),
        (SEVERAL, sample(tags=("noise=0.19",)), (0, 0), 0, [0, 0]),
        (LABELS, sample(tags=("button",)), (0, 1), 1, [0, 1]),
        (DEGREE, sample(tags=("blur=0.41",)), (0.41, 0), 1, [1, 0]),
        (VALUE, sample(tags=("degree=0.3",)), (0.3,), 0, [0]),
    ],
)
def test_goals_and_truth(tiny, changes, one, goal, poor, truth):
    recipe = tiny(**changes)
    assert goal_of(recipe, one) == pytest.approx(goal)
    assert is_poor(recipe, [one.label], [goal]).tolist() == [poor]
    assert truth_of(recipe, [one.label], [goal])[0].tolist() == [truth]


def test_degrees_that_cannot_be_read_are_told(tiny):
    with pytest.raises(DatasetError, match="no degree of blur"):
        degrees_in(sample(tags=("blur=much",)))
    with pytest.raises(DatasetError, match="other problems"):
        goal_of(tiny(**DEGREE), sample(tags=("rotation=0.5",)))
    with pytest.raises(DatasetError, match="other problems"):
        goal_of(tiny(**VALUE), sample())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_losses_are_their_formulas_image_by_image():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    goals = rng.integers(0, 2, (5, 4)).astype(float)
    cross, binary, square = [], [], []
    for z, y, goal in zip(logits, labels, goals, strict=True):
        cross.append(-weights[y] * np.log(np.exp(z[y]) / sum(np.exp(v) for v in z)))
        for v, t in zip(z, goal, strict=True):
            binary.append(-np.log(sigmoid(v)) if t else -np.log(1 - sigmoid(v)))
            square.append((v - t) ** 2)
    given = torch.tensor(logits), torch.tensor(labels), torch.tensor(goals)
    assert float(image_loss("classes", *given, torch.tensor(weights))) == pytest.approx(
        sum(cross) / weights[labels].sum()
    )
    assert float(image_loss("labels", *given)) == pytest.approx(np.mean(binary))
    assert float(image_loss("degree", *given)) == pytest.approx(np.mean(square))


def test_the_ordered_loss_asks_for_every_threshold():
    rng = np.random.default_rng(1)
    logits, grades = rng.normal(size=(5, 6)), rng.integers(0, 4, (5, 2))  # two problems of four grades
    losses = []
    for z, row in zip(logits.reshape(5, 2, 3), grades, strict=True):
        for scores, grade in zip(z, row, strict=True):
            for k, v in enumerate(scores, start=1):
                losses.append(-np.log(sigmoid(v)) if grade >= k else -np.log(1 - sigmoid(v)))
    loss = image_loss("ordered", torch.tensor(logits), torch.zeros(5), torch.tensor(grades).double())
    assert float(loss) == pytest.approx(np.mean(losses))


# --- optimisers, the best epoch, balance


def rates(recipe, epochs):
    """The learning rate at the start of each epoch."""
    module = QualityModule(starting_network(recipe), recipe, recipe.phases[0], steps=epochs * 3)
    made = module.configure_optimizers()
    optimiser, schedule = (
        (made["optimizer"], made["lr_scheduler"]) if isinstance(made, dict) else (made, None)
    )
    found = []
    for _ in range(epochs):
        found.append(optimiser.param_groups[0]["lr"])
        for _ in range(3):
            optimiser.step()
            if schedule and schedule["interval"] == "step":
                schedule["scheduler"].step()
        if schedule and schedule["interval"] == "epoch":
            schedule["scheduler"].step()
    return optimiser, found


def test_sgd_steps_down_tenfold_every_five_epochs(tiny):
    recipe = tiny(
        optimiser={"name": "sgd", "schedule": "step", "weight_decay": 0.0, "momentum": 0.8},
        phases=[{"epochs": 12, "learning_rate": 0.005}],
    )
    optimiser, found = rates(recipe, 12)
    assert isinstance(optimiser, torch.optim.SGD)
    assert optimiser.param_groups[0]["momentum"] == 0.8
    np.testing.assert_allclose(found, [0.005] * 5 + [0.0005] * 5 + [0.00005] * 2)


def test_adam_keeps_its_rate_and_couples_its_decay(tiny):
    recipe = tiny(optimiser={"name": "adam", "schedule": "constant", "weight_decay": 5e-4})
    optimiser, found = rates(recipe, 3)
    assert type(optimiser) is torch.optim.Adam
    assert (optimiser.param_groups[0]["weight_decay"], found) == (5e-4, [1e-2] * 3)


def test_a_body_learns_more_slowly_and_a_frozen_one_not_at_all(tiny):
    mlp = {"backbone": "test_resnet", "head": "mlp", "input_size": (64, 64), "pool": 2}
    recipe = tiny(architecture=mlp, phases=[{"epochs": 1, "learning_rate": 0.1, "backbone_factor": 0.2}])
    optimiser, _ = rates(recipe.model_copy(update={"optimiser": recipe.optimiser}), 1)
    assert optimiser.param_groups[1]["max_lr"] == pytest.approx(0.2 * optimiser.param_groups[0]["max_lr"])
    frozen = tiny(architecture=mlp, phases=[{"epochs": 1, "frozen": ["body"]}])
    optimiser, _ = rates(frozen, 1)
    assert len(optimiser.param_groups) == 1
    assert sum(p.numel() for p in optimiser.param_groups[0]["params"]) == sum(
        p.numel() for p in starting_network(frozen).head.parameters()
    )


@pytest.mark.parametrize(
    ("best_by", "kept"), [("score", 0), ("accuracy", 1), ("recall:foreign", 2), ("loss", 1)]
)
def test_the_epoch_that_the_recipe_names_is_kept(tiny, best_by, kept):
    """Four images, three epochs with known outputs: each wins by another measure."""
    outputs = [  # margins of the images; the first two are foreign
        [-1.0, -2.0, -3.0, -4.0],  # perfect order, all called clean
        [2.0, -0.1, -4.0, -4.0],  # one missed, low loss, and the order is perfect as well
        [1.0, 1.0, 3.0, 3.0],  # all called foreign
    ]
    recipe = tiny(best_by=best_by)
    module = QualityModule(starting_network(recipe), recipe, recipe.phases[0], 1)
    module.log = lambda *arguments, **options: None
    scores = []
    for margins in outputs:
        logits = torch.tensor([[-m / 2, m / 2] for m in margins])
        labels = torch.tensor([1, 1, 0, 0])
        loss = F.cross_entropy(logits, labels)
        nan = torch.full((4,), torch.nan)
        module.history = []
        module._seen = [(logits, labels, torch.zeros(4, 0), nan, loss.expand(4), torch.arange(4))]
        module.on_validation_epoch_end()
        scores.append(module.history[0]["score"])
    assert int(np.argmax(scores)) == kept


def test_classes_are_drawn_or_weighed_alike(tiny):
    samples = [s for s in make_samples(24, "train") if s.label == 0 or int(s.key) < 8]
    recipe = tiny(data={"balance": "sampler"})
    radiographs = load_images(samples, recipe.preprocessing)
    from xiqa.datasets.balance import class_weights

    weights = class_weights(radiographs, 2)[[radiograph.label for radiograph in radiographs]]
    loader = EpochLoader(ImageSet(radiographs, recipe, (64, 64), training=True), 4, weights=weights)
    drawn = torch.cat([batch.labels for _ in range(12) for batch in loader]).float()
    assert len(drawn) == 12 * 16
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.1)
    again = EpochLoader(ImageSet(radiographs, recipe, (64, 64), training=True), 4, weights=weights)
    first = torch.cat([batch.labels for batch in again])
    assert torch.equal(first, drawn[:16].long())
