"""Models that tell several problems apart: the verdict names one, and the map explains that one."""

import numpy as np
import pytest
import torch

import xiqa
from xiqa.errors import SaliencyError
from xiqa.export.graph import explained
from xiqa.models import save_bundle
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.card import BundleCard, Layers
from xiqa.models.layers import target_layers
from xiqa.models.outputs import Outputs
from xiqa.models.page import card_page
from xiqa.models.preprocess import Preprocessing
from xiqa.saliency.registry import bind
from xiqa.types import Image

HEADS = {
    "classes": (("good", "dark", "noisy"), Outputs(poor_classes=(1, 2)), {"classes": 3}),
    "labels": (("dark", "noisy"), Outputs(task="labels"), {"classes": 2}),
    "ordered": (
        ("none", "mild", "severe"),
        Outputs(task="ordered", problems=("dark", "noisy"), grades_from=(0.2, 0.6)),
        {"classes": 4, "grades": 3},
    ),
    "degree": (("good", "poor"), Outputs(task="degree", problems=("dark", "noisy")), {"classes": 2}),
}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    spread = np.linspace(0.05, 1, 12)
    return [Image((s * rng.uniform(0, 1, (64, 64)) ** (1 / s)).astype(np.float32)) for s in spread]


def tell_apart(network, preprocessing, images):
    """Make the last layer's rows find one problem in the first images and the other in the last ones."""
    head = next(m for m in reversed(list(network.modules())) if isinstance(m, torch.nn.Linear))
    seen = []
    handle = head.register_forward_hook(lambda module, args, output: seen.append(args[0].detach()))
    network(torch.stack([torch.from_numpy(preprocessing.prepare(image)[0]) for image in images]))
    handle.remove()
    mean, axis = seen[0].mean(0), seen[0][0] - seen[0][-1]
    axis = axis - (axis @ mean) / (mean @ mean) * mean
    with torch.no_grad():
        head.weight.zero_()
        head.weight[-2:] = torch.stack((axis, -axis)) * 3 / (seen[0] @ axis).abs().max()
        if head.bias is not None:
            head.bias.zero_()


@pytest.fixture(scope="module", params=HEADS)
def model(request, tmp_path_factory, images):
    """A bundle of an untrained network whose likeliest problem differs from image to image."""
    classes, outputs, head = HEADS[request.param]
    torch.manual_seed(0)
    architecture = Architecture(backbone="test_resnet", **head)
    network = build_network(architecture)
    preprocessing = Preprocessing(size=(64, 64))
    tell_apart(network, preprocessing, images)
    layers = target_layers(network)
    card = BundleCard(
        name="problems",
        created="2025-01-01",
        architecture=architecture,
        preprocessing=preprocessing,
        classes=classes,
        poor_class=1,
        outputs=outputs,
        temperature=1.0,
        threshold=0.5,
        review_band=(0.5, 0.5),
        layers=Layers(last=layers.last, multi=layers.stages),
        method="gradcam",
        intended_use="",
        limits="",
        not_for="",
        training_data="",
        licence="",
    )
    folder = tmp_path_factory.mktemp(request.param) / "bundle"
    save_bundle(folder, network, card)
    return xiqa.load_model(folder)


def test_each_image_is_explained_for_its_own_problem(model, images):
    results = xiqa.assess(model, images)
    names = [result.provenance["problem"] for result in results]
    assert len(set(names)) == 2
    for image, result, name in zip(images, results, names, strict=True):
        each = result.provenance["problems"]
        assert name == max(each, key=each.get)
        assert name in result.reason
        total = sum(each.values()) if model.card.outputs.task == "classes" else max(each.values())
        assert result.probability == pytest.approx(total, abs=2e-4)
        ((alone,),) = xiqa.explain(model, image, "gradcam", target=name).values()
        scale = float(np.abs(alone.values).max()) or 1.0
        np.testing.assert_allclose(result.saliency.values, alone.values, atol=1e-3 * scale)
        assert result.saliency.target == alone.target


def test_graded_problems_tell_their_grades(model, images):
    card = model.card
    for image, result in zip(images, xiqa.assess(model, images), strict=True):
        grades = result.provenance.get("grades")
        if card.outputs.task != "ordered":
            assert grades is None
            continue
        array, _ = model.prepare(image)
        with torch.inference_mode():
            logits = model.network(torch.from_numpy(array)[None]).reshape(len(card.problems), -1)
        likely = [sum(bool(value >= 0) for value in row) for row in logits]  # the logits of a problem fall
        assert grades == {name: card.classes[k] for name, k in zip(card.problems, likely, strict=True)}


def test_explain_takes_the_likeliest_problem_too(model, images):
    names = [result.provenance["problem"] for result in xiqa.assess(model, images)]
    (maps,) = xiqa.explain(model, images, "gradcam").values()
    for name, image, one in zip(names, images, maps, strict=True):
        ((named,),) = xiqa.explain(model, image, "gradcam", target=name).values()
        assert one.target == named.target


def test_the_page_names_the_problems_and_the_export_refuses_them(model):
    assert "| Poor quality | dark, noisy |" in card_page(model.card)
    with pytest.raises(SaliencyError, match="tells apart dark, noisy"):
        explained(model, bind("gradcam"))
