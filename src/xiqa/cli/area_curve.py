"""`xiqa area-curve`: which masks keep a verdict, and which take it, against their area."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from xiqa.saliency.masking.extremal_curves import MaskCurve


def command(
    image: Path = typer.Argument(help="One image."),
    model: str = typer.Option("cxr-foreign-objects", help="A shipped model's name or a bundle's folder."),
    area: list[float] = typer.Option(
        [0.02, 0.05, 0.1, 0.2], help="Share of the image that a mask covers; give it several times."
    ),
    iterations: int = typer.Option(100, min=2, help="Steps of each search; more are better and slower."),
    cells: int = typer.Option(28, min=2, help="Cells of a mask on the longer side; more for small objects."),
    sigma: float = typer.Option(10.0, min=0.1, help="Width in model pixels of the blur that hides."),
    meaningful: bool = typer.Option(True, help="Also search meaningful perturbation's masks."),
    out: Path = typer.Option(Path("xiqa-masks"), help="Folder for the figure and the numbers."),
) -> None:
    """Draw the probability of poor quality against the area that is shown, and that is hidden.

    For each area a smooth mask is learned that keeps the class when only its area is shown, and one that
    takes the class when its area is hidden (extremal perturbations); meaningful perturbation finds its own.

    Writes masks.png (masks and curves), masks.npz and curves.json. Each area costs `iterations` forward and
    backward passes twice, meaningful perturbation as many four times.

    Example: xiqa area-curve radiographs/a.png --out curve
    """
    import json

    import numpy as np
    import torch
    from rich.console import Console

    from xiqa.files import writing
    from xiqa.imaging import read_image
    from xiqa.models import load_model
    from xiqa.models.calibrated import calibrated_log_odds
    from xiqa.models.outputs import is_plain
    from xiqa.report.area_curves import draw_area_curves
    from xiqa.saliency.masking.extremal_curves import extremal_curve, meaningful_curve, plain_scores
    from xiqa.saliency.probe import class_score
    from xiqa.types import SaliencyMap

    console = Console()
    loaded, picture = load_model(model), read_image(image)
    card, network = loaded.card, loaded.network
    array, frame = loaded.prepare(picture)
    tensor = torch.from_numpy(array).to(next(network.parameters()).device)

    def logit(logits: Tensor) -> Tensor:
        if not is_plain(card):  # no single output speaks for poor quality
            return calibrated_log_odds(logits, card)
        return class_score(logits, card.poor_class, output="logit")

    def probability(logits: Tensor) -> Tensor:
        return calibrated_log_odds(logits, card).sigmoid()

    wanted = sorted(set(area))
    settings: dict[str, Any] = {"sigma": sigma, "iterations": iterations}
    curves: list[MaskCurve] = []
    for game in ("preserve", "delete"):
        with console.status(f"Learning {len(wanted)} masks to {game} the class"):
            curves.append(
                extremal_curve(
                    network, tensor, logit, probability, wanted, game=game, cells=cells, **settings
                )
            )
    rows = {
        curve.name: [
            SaliencyMap(mask, "extremal", card.poor_class, input_size=card.preprocessing.size, frame=frame)
            for mask in curve.masks
        ]
        for curve in curves
    }
    if meaningful:
        with console.status("Learning meaningful perturbation's masks"):
            curves.append(meaningful_curve(network, tensor, probability, probability, **settings))
    whole, nothing = plain_scores(network, tensor, probability, sigma=sigma)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        draw_area_curves(
            out / "masks.png", picture, rows, curves, whole=whole, nothing=nothing, limit=card.threshold
        )
        arrays = {curve.name.replace(" ", "_"): curve.masks for curve in curves}
        np.savez_compressed(out / "masks.npz", **arrays)  # type: ignore[arg-type]
        details = {
            "model": card.name,
            "model_hash": card.hash,
            "whole": whole,
            "nothing": nothing,
            "settings": {**settings, "cells": cells},
            "curves": [{"name": c.name, "areas": c.areas, "scores": c.scores} for c in curves],
        }
        (out / "curves.json").write_text(json.dumps(details, indent=1) + "\n", encoding="utf-8")
    _table(console, curves, card.threshold)
    console.print(f"3 files in {out}", soft_wrap=True)


def _table(console: Any, curves: Sequence[MaskCurve], limit: float) -> None:
    from rich.table import Table

    from xiqa.saliency.masking.extremal_curves import smallest_area

    table = Table(box=None, pad_edge=False)
    for column in ("mask", "areas, %", "probability", "crosses the limit at"):
        table.add_column(column, overflow="fold")
    for curve in curves:
        place = smallest_area(curve, limit)
        table.add_row(
            curve.name,
            " ".join(f"{100 * area:.3g}" for area in curve.areas),
            " ".join(f"{score:.2f}" for score in curve.scores),
            "no area" if place is None else f"{100 * curve.areas[place]:.3g} %",
        )
    console.print(table)
