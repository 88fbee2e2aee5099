"""Monitoring: which results count, one image a study, the shipped model's reference, and what is refused."""

import json

import numpy as np
import pytest

from xiqa.assessment.monitor import monitor, read_results
from xiqa.errors import Code, ConfigError, ModelError
from xiqa.models import read_card
from xiqa.report.monitor import monitor_page
from xiqa.types import Assessment, Source, Verdict


@pytest.fixture(scope="module")
def card():
    return read_card("cxr-foreign-objects")


def result(card, number, probability, distance, study="", **provenance):
    told = {"model_hash": card.hash, "view": "frontal", "guard_limit": 50.0, "guard_distance": distance}
    identifiers = {"StudyInstanceUID": study} if study else {}
    return Assessment(
        f"{number:04}.dcm",
        Verdict.ACCEPT,
        "fine",
        Code.GOOD,
        probability=probability,
        provenance=told | provenance,
        source=Source(identifiers=identifiers),
    )


def drawn(card, count, seed=0, further=0.0):
    """Results as the reference's good images would give them."""
    rng, reference = np.random.default_rng(seed), card.reference
    pairs = zip(
        rng.choice(reference.good, count), rng.choice(reference.good_distances, count) + further, strict=True
    )
    return [result(card, number, *map(float, pair)) for number, pair in enumerate(pairs)]


def test_the_shipped_model_keeps_still_on_its_own_and_notices_another_scanner(card):
    assert not monitor(card, drawn(card, 200)).moved
    found = monitor(card, drawn(card, 200, further=2.5))
    assert [drift.measure for drift in found.drifts if drift.moved] == ["distance"]
    assert "Moved: distance" in monitor_page(found)


def test_a_study_counts_once_and_what_is_not_the_models_not_at_all(card):
    rows = drawn(card, 40)
    same = [result(card, 100 + number, 0.9, 99.0, study="1.2.3") for number in range(30)]
    lateral = [result(card, 200, 0.9, 25.0, view="lateral")]
    other = [result(card, 201, 0.9, 25.0, model_hash="another")]
    found = monitor(card, [*rows, *same, *lateral, *other])
    assert [drift.images for drift in found.drifts] == [41, 41]
    assert (found.images, found.studies, found.left_out) == (71, 42, 1)
    assert (found.other_view.count, found.other_view.total) == (1, 71)
    assert (found.beyond_guard.count, found.beyond_guard.total) == (30, 70)
    assert "1 results of other models" in monitor_page(found)


def test_a_distance_without_end_is_beyond_the_limit(card):
    rows = [*drawn(card, 40), result(card, 300, 0.01, "infinite")]
    assert monitor(card, rows).beyond_guard.count == 1


def test_without_a_reference_or_results_of_the_model_nothing_is_said(card):
    with pytest.raises(ModelError, match="xiqa models reference"):
        monitor(card.model_copy(update={"reference": None}), drawn(card, 40))
    with pytest.raises(ModelError, match="got another"):
        monitor(card, [result(card, 1, 0.1, 25.0, model_hash="another")])


def test_results_are_read_from_a_folder_or_a_file(card, tmp_path):
    rows = drawn(card, 3)
    file = tmp_path / "results.json"
    file.write_text(json.dumps([row.to_dict() for row in rows]))
    assert [row.file for row in read_results(tmp_path)] == [row.file for row in rows]
    assert read_results(file)[2].probability == rows[2].probability
    file.write_text("{}")
    with pytest.raises(ConfigError, match="no results"):
        read_results(file)
