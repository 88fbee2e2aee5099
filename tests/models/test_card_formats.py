"""Cards of format 1 are read, checked against the hash that they were written with, and keep their name."""

import hashlib
import json
from pathlib import Path

import pytest

from xiqa.errors import BundleError
from xiqa.models.card import BundleCard
from xiqa.models.exported import ExportedCard
from xiqa.models.regions.region import Region
from xiqa.models.shelf import write_card

REGION = {"lungs": "crop", "lung_margin": 0.25, "lung_model": "mine.safetensors"}
SCORE = {"value": 0.75, "low": 0.5, "high": 1.0}


def sealed(content: dict) -> dict:
    told = {name: value for name, value in content.items() if name != "card_sha256"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return told | {"card_sha256": hashlib.sha256(text.encode()).hexdigest()}


def old_card(**changes) -> dict:
    row = {"method": "gradcam", "anywhere": SCORE, "thorax": None, "compact": SCORE, "recall": SCORE}
    evaluation = {
        "films": "validation", "images": 9, "poor": 4, "patients": 7,
        "auc": SCORE, "sensitivity": SCORE, "specificity": SCORE, "calibration_error": SCORE,
        "reliability": [{"low": 0.0, "high": 0.1, "films": 3, "predicted": 0.05, "observed": 0.0}],
        "tolerance": 15.0, "localisation": [row],
    }  # fmt: skip
    preprocessing = {"size": [64, 48], "fit": "resize", "fill": 0.0, "mean": [0.5], "std": [0.25], **REGION}
    words = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "some")
    content = {
        "weights_sha256": "w", "card_sha256": "", "format": 1, "name": "old", "created": "2025-02-03",
        "architecture": {"backbone": "resnet18", "classes": 2}, "preprocessing": preprocessing,
        "classes": ["good", "poor"], "poor_class": 1, "temperature": 1.5, "threshold": 0.5,
        "review_band": [0.4, 0.6], "layers": {"last": "layer4", "multi": ["layer3"]}, "method": "gradcam",
        "recipe": {"name": "old", "preprocessing": preprocessing}, "evaluations": [evaluation], **words,
    }  # fmt: skip
    return sealed(content | changes)


def test_every_entry_of_an_old_card_has_its_place():
    content = old_card()
    card = BundleCard.opened(content, "model.json")
    assert card.format == 2
    assert card.hash == content["card_sha256"][:16]
    assert card.digest() == card.card_sha256 != content["card_sha256"]
    region = Region(name="lungs", how="crop", margin=0.25, model="mine.safetensors")
    assert card.preprocessing.region == region
    assert card.recipe["preprocessing"]["region"] == region.model_dump()
    (evaluation,) = card.evaluations
    assert (evaluation.name, evaluation.images, evaluation.reliability[0].images) == ("validation", 9, 3)
    (row,) = evaluation.localisation
    assert row.groups["removable"] == row.groups["compact"] == row.recall
    assert (row.groups["problem"], row.recall.high) == (None, 1.0)
    assert content == old_card()


def test_a_network_that_saw_whole_images_still_does():
    preprocessing = {"size": [64, 48], "lungs": "whole", "lung_margin": 0.05, "lung_model": "lungs-1"}
    assert BundleCard.opened(old_card(preprocessing=preprocessing), "model.json").preprocessing.region is None


@pytest.mark.parametrize("changes", [{"threshold": 0.45}, {"name": "new"}, {"recipe": {}}])
def test_a_changed_card_is_refused_in_every_format(changes):
    with pytest.raises(BundleError, match=r"model\.json was changed: expected SHA-256"):
        BundleCard.opened(old_card() | changes, "model.json")


def test_a_card_that_is_none_says_what_is_wrong():
    content = old_card()
    del content["licence"], content["created"]
    with pytest.raises(BundleError, match=r"missing created; missing licence; unknown colour"):
        BundleCard.opened(sealed(content | {"colour": 1}), "model.json")


def test_an_old_card_travels_through_a_file_and_a_graph(tmp_path: Path):
    card = BundleCard.opened(old_card(), "model.json")
    graph = ExportedCard(card=card, method="gradcam").to_metadata()
    again = ExportedCard.from_metadata(graph, "model.onnx").card
    assert again == card
    assert graph["hash"] == card.hash
    old_graph = {"xiqa": json.dumps({"card": old_card(), "method": "gradcam"})}
    assert ExportedCard.from_metadata(old_graph, "model.onnx").card == card
    written = write_card(tmp_path, card)
    assert (written.formerly, written.hash) == ("", written.card_sha256[:16])
    assert BundleCard.opened(json.loads((tmp_path / "model.json").read_text()), "model.json") == written


@pytest.mark.parametrize("text", ["[]", "{}", "not json", '{"card": {}, "method": "x"}'])
def test_a_graph_with_another_card_is_refused(text):
    with pytest.raises(BundleError, match=r"the card of model\.onnx"):
        ExportedCard.from_metadata({"xiqa": text}, "model.onnx")
