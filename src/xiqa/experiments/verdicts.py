"""What a network says of each image, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan

from torch import Tensor

from xiqa.errors import ConfigError
from xiqa.experiments.scored import Prepared, Row
from xiqa.models.bundle import LoadedModel
from xiqa.models.card import BundleCard
from xiqa.models.outputs import class_scores

__all__ = ["RIGHT", "judge", "outcome", "true_class"]

RIGHT = ("right", "hit", "rightly clean")
"""The outcomes of images that a network judges rightly."""


def judge(model: LoadedModel, batch: Sequence[Prepared], logits: Tensor) -> Iterator[list[Row]]:
    """What is measured of each verdict: of two classes by the threshold, of more by the likeliest.

    Args:
        model: The network.
        batch: Its images.
        logits: ``(N, K)`` of them.

    Yields:
        One list an image; its first two rows are ``probability`` (of poor quality) and ``accuracy``. Of more
        than two classes each has its own ``probability``, and ``called`` tells whether it is the likeliest.
    """
    card = model.card
    each, names, _ = class_scores(card, logits.double().cpu().numpy(), card.temperature)
    for item, probability, scores in zip(batch, model.probability(logits), each, strict=True):
        values = {"probability": float(probability)}
        if len(card.classes) == 2:
            called, poor = bool(probability >= card.threshold), item.loaded.label == 1
            values["accuracy"] = float(called == poor)
            values["sensitivity"] = float(called) if poor else nan
            values["specificity"] = nan if poor else float(not called)
            yield [{"metric": metric, "value": value} for metric, value in values.items()]
            continue
        likeliest = int(scores.argmax())
        values["accuracy"] = float(likeliest == true_class(card, item))
        rows: list[Row] = [{"metric": metric, "value": value} for metric, value in values.items()]
        for place, name in enumerate(names):
            rows.append({"class": name, "metric": "probability", "value": float(scores[place])})
            rows.append({"class": name, "metric": "called", "value": float(place == likeliest)})
        yield rows


def outcome(card: BundleCard, item: Prepared, *, right: bool) -> str:
    """The verdict in words, by which tables can tell images apart."""
    if len(card.classes) > 2:
        return "right" if right else "wrong"
    if item.loaded.label == 1:
        return "hit" if right else "missed"
    return "rightly clean" if right else "false alarm"


def true_class(card: BundleCard, item: Prepared) -> int:
    """The network's index of an image's true class.

    Raises:
        ConfigError: The network does not know it.
    """
    if len(card.classes) == 2:
        return card.poor_class if item.loaded.label == 1 else 1 - card.poor_class
    if item.case.group not in card.classes:
        raise ConfigError(
            f"{card.name} does not know the class {item.case.group!r}", expected=", ".join(card.classes)
        )
    return card.classes.index(item.case.group)
