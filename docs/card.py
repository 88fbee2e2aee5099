"""Makes the page of the shipped model's card and its reliability diagram.

    python docs/card.py

writes docs/model-card.md and docs/images/reliability.png; every number comes from the bundle's card, and what
was tried from docs/model-attempts.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from xiqa.models.page import card_page
from xiqa.models.shelf import SHIPPED, read_card

if TYPE_CHECKING:
    from xiqa.models.card import BundleCard

DOCS = Path(__file__).parent
NAME = "cxr-foreign-objects"


def main() -> None:
    card = read_card(SHIPPED / NAME)
    diagram(card, DOCS / "images" / "reliability.png")
    attempts = (DOCS / "model-attempts.md").read_text()
    picture = "\n## Reliability\n\n![Reliability diagram](images/reliability.png)\n\n"
    (DOCS / "model-card.md").write_text(card_page(card) + picture + attempts)


def diagram(card: BundleCard, path: Path) -> None:
    """Predicted probability against the share of poor images, a dot's area after the images in its bin."""
    sets = [scores for scores in card.evaluations if scores.reliability]
    figure = Figure(figsize=(3.4 * len(sets), 3.4), layout="constrained")
    for axis, scores in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        bins = scores.reliability
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axis.scatter(
            [one.predicted for one in bins],
            [one.observed for one in bins],
            s=[12 + 3 * one.images for one in bins],
            alpha=0.7,
        )
        axis.set(xlabel="predicted probability", ylabel="share of poor images", xlim=(-0.05, 1.05))
        axis.set_title(
            f"{scores.name}: error {scores.calibration_error.value:.3f}, {scores.images} images", size=9
        )
        axis.set_aspect("equal")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
