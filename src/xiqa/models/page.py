"""A model card as a Markdown page, for the terminal and the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xiqa.models.card import BundleCard, Evaluation, Training

__all__ = ["card_page"]


def card_page(card: BundleCard) -> str:
    """The page of a card; every number comes from it.

    Args:
        card: The card.

    Returns:
        Markdown with tables.
    """
    architecture = card.architecture
    facts = [
        ("Hash", f"`{card.hash}`"),
        ("Made", card.created),
        ("Network", f"{architecture.backbone} ({architecture.library}), {architecture.head} head"),
        ("Input", f"{' x '.join(map(str, card.preprocessing.size))} pixels, {card.preprocessing.fit}"),
        ("Classes", ", ".join(card.classes)),
        ("Poor quality", ", ".join(card.problems)),
        ("Threshold", f"{card.threshold:.3f}"),
        ("Review band", f"{card.review_band[0]:.3f} to {card.review_band[1]:.3f}"),
        ("Calibration", f"temperature {card.temperature:.3f}, beta {_numbers(card.beta)}"),
        ("Method", f"`{card.method}`"),
        ("Layers", f"last `{card.layers.last}`; multi {', '.join(f'`{x}`' for x in card.layers.multi)}"),
    ]
    if card.training is not None:
        facts.append(("Trained", _training(card.training)))
    facts += _site(card)
    parts = [
        f"# Model card: {card.name}",
        f"**Made for.** {card.intended_use}",
        f"**Limits.** {card.limits}",
        f"**Not for.** {card.not_for}",
        f"**Training data.** {card.training_data}",
        f"**Licence.** {card.licence}",
        _table(("", ""), facts),
        *(part for evaluation in card.evaluations for part in _evaluation(evaluation)),
    ]
    if card.guard_reports:
        rows = [(row.kind, str(row.images), f"{row.caught:.1%}") for row in card.guard_reports]
        parts += ["## The guard", _table(("Images of another kind", "How many", "Caught"), rows)]
    return "\n\n".join(parts) + "\n"


def _site(card: BundleCard) -> list[tuple[str, str]]:
    """Where it was calibrated, and what a site's results are compared with."""
    facts, at, reference = [], card.calibrated_at, card.reference
    if at is not None:
        facts.append(
            (
                f"Calibrated at {at.site}",
                f"from `{at.parent}`, on {at.images} images of {at.patients} patients, {at.poor} poor: slope "
                f"{at.slope:.3f}, shift {at.shift:.3f}; finds {at.sensitivity:g} with 95 % confidence",
            )
        )
    if reference is not None:
        counted = f"{len(reference.good)} good and {len(reference.poor)} poor, one a patient"
        facts.append(("Reference", f"{reference.name}: {counted}"))
    return facts


def _training(training: Training) -> str:
    """Processes, batch and whose statistics batch norm learned."""
    norm = {
        "none": "no batch norm",
        "frozen": "batch norm frozen",
        "batch": "batch norm of whole batches",
        "part": "batch norm of each process's part of a batch",
    }[training.batch_norm]
    processes = "1 process" if training.processes == 1 else f"{training.processes} processes"
    return f"{processes}, {training.batch_size} images a step, {norm}"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _evaluation(scores: Evaluation) -> list[str]:
    """The section of one set of images."""
    rows = [
        ("AUC", str(scores.auc)),
        ("Sensitivity at the threshold", str(scores.sensitivity)),
        ("Specificity at the threshold", str(scores.specificity)),
        ("Calibration error", str(scores.calibration_error)),
    ]
    if scores.guard_caught is not None:
        rows.append(("Caught by the guard", str(scores.guard_caught)))
    parts = [
        f"## On {scores.name} images",
        f"{scores.images} images of {scores.patients} patients, {scores.poor} of them poor; "
        "95 % intervals, where given, by patient.",
        _table(("Measure", "Value"), rows),
    ]
    if scores.reliability:
        bins = [
            (
                f"{row.low:.1f} to {row.high:.1f}",
                str(row.images),
                f"{row.predicted:.3f}",
                f"{row.observed:.3f}",
            )
            for row in scores.reliability
        ]
        parts.append(_table(("Predicted probability", "Images", "Mean predicted", "Share poor"), bins))
    if scores.localisation:
        groups = list(dict.fromkeys(group for row in scores.localisation for group in row.groups))
        places = [
            (
                f"`{row.method}`",
                *(str(value or "") for value in (*map(row.groups.get, groups), row.recall, row.froc)),
            )
            for row in scores.localisation
        ]
        head = ("Peak on an object of the group", *groups, "recall", "FROC")
        parts += [f"A peak counts within {scores.tolerance:g} pixels of a box.", _table(head, places)]
    return parts


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
