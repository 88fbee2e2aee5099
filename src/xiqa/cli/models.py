"""``xiqa models``: the bundles at hand and their cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xiqa.models.card import BundleCard

__all__ = ["app", "show_card"]

TURNED = 40  # real radiographs that the guard is shown in three wrong positions each

app = typer.Typer(help="List the shipped models, show a model's card.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """List the models that come with the package."""
    from rich.console import Console
    from rich.table import Table

    from xiqa.models.shelf import SHIPPED, WEIGHTS, read_card, shipped_models

    table = Table("model", "classes", "input", "AUC", "MB", "hash")
    for column in table.columns:
        column.no_wrap = True
    for name in shipped_models():
        card = read_card(name)
        size = (SHIPPED / name / WEIGHTS).stat().st_size / 1e6
        latest = card.evaluations[-1]
        table.add_row(
            name,
            ", ".join(card.classes),
            "x".join(map(str, card.preprocessing.size)),
            f"{latest.auc.value:.3f} ({latest.name})",
            f"{size:.1f}",
            card.hash,
        )
    Console().print(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a bundle's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the card as a Markdown page.")] = None,
) -> None:
    """Show a model's card: what it is, what it scores, what it must not be used for."""
    from xiqa.models.page import card_page
    from xiqa.models.shelf import read_card

    card = read_card(name)
    if out is not None:
        out.write_text(card_page(card), encoding="utf-8")
        typer.echo(f"Wrote {out}")
    elif as_json:
        typer.echo(card.model_dump_json(indent=1))
    else:
        show_card(card)


@app.command("evaluate")
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder; its card is updated.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of boxed images; none: simulated images only.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which images of the folder: val or test.")] = "val",
    simulated: Annotated[int, typer.Option(min=0, help="How many simulated images to score on as well.")] = 0,
    guard: Annotated[bool, typer.Option("--guard", help="Also try the guard on other images.")] = False,
    method: Annotated[
        list[str] | None, typer.Option(help="Saliency method to score; repeatable [a usual choice].")
    ] = None,
) -> None:
    """Score a model's verdicts and places on images, and write the result to its card."""
    from rich.progress import track

    from xiqa.datasets import by_split, read_foreign_objects
    from xiqa.experiments.bundle_card import (
        METHODS,
        evaluate_bundle,
        evaluate_guard,
        simulated_samples,
        with_evaluation,
    )
    from xiqa.models.bundle import load_model
    from xiqa.models.shelf import write_card

    model = load_model(bundle)
    card = model.card
    sets = {}
    if data is not None:
        names = {"val": "validation", "test": "test"}
        sets[names.get(split, split)] = [
            sample for sample in read_foreign_objects(data) if sample.split == split
        ]
    if simulated:
        sets["simulated"] = simulated_samples(simulated)
    for images, samples in sets.items():
        evaluation = evaluate_bundle(model, track(samples, f"{images} images"), images, method or METHODS)
        card = write_card(bundle, with_evaluation(card, evaluation))
    if guard:
        turned = by_split(read_foreign_objects(data), "val")[:TURNED] if data is not None else []
        reports = evaluate_guard(model, turned)
        card = write_card(bundle, card.model_copy(update={"guard_reports": reports}))
    show_card(card)


@app.command("report")
def report(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped model, or a bundle's folder.")],
    out: Annotated[Path, typer.Option(help="Folder for classifier.md, classifier.json and classifier.png.")],
    data: Annotated[
        Path | None, typer.Option(help="The data set that its recipe names; none where it simulates.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which images: train, val or test.")] = "test",
) -> None:
    """Tell how a trained classifier does, class by class: precision, recall, AUC, confusion, calibration."""
    from rich.console import Console
    from rich.markdown import Markdown

    from xiqa.datasets.collection import SPLITS
    from xiqa.errors import ConfigError
    from xiqa.models.bundle import load_model
    from xiqa.report.classifier_files import report_page, write_report
    from xiqa.training.train import report_bundle

    if split not in SPLITS:
        raise ConfigError("unknown split", expected=", ".join(SPLITS), got=split)
    found = report_bundle(load_model(bundle), data, split)
    write_report(found, out)
    Console().print(Markdown(report_page(found)))
    typer.echo(f"Written to {out}")


def show_card(card: BundleCard) -> None:
    """Print a card on the terminal."""
    from rich.console import Console
    from rich.markdown import Markdown

    from xiqa.models.page import card_page

    Console().print(Markdown(card_page(card)))
