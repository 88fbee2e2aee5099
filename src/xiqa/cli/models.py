"""``xiqa models``: the bundles at hand and their cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xiqa.models.card import BundleCard

__all__ = ["app", "show_card"]

TURNED = 40  # real radiographs that the guard is shown in three wrong positions each

app = typer.Typer(
    help="List models, show their cards, calibrate one at a site and watch it there.", no_args_is_help=True
)


@app.command("list")
def list_models() -> None:
    """List the models that come with the package.

    Example: xiqa models list
    """
    from xiqa.cli._parts.listing import print_listing
    from xiqa.models.shelf import shipped_models

    heads = ("model", "classes", "input", "AUC", "MB", "hash")
    print_listing(heads, map(_listed, shipped_models()), whole=("AUC", "hash"))


def _listed(name: str) -> tuple[str, ...]:
    """A shipped model's line in the list."""
    from xiqa.models.shelf import SHIPPED, WEIGHTS, read_card

    card = read_card(name)
    latest = card.evaluations[-1]
    return (
        name,
        ", ".join(card.classes),
        "x".join(map(str, card.preprocessing.size)),
        f"{latest.auc.value:.3f} ({latest.name})",
        f"{(SHIPPED / name / WEIGHTS).stat().st_size / 1e6:.1f}",
        card.hash,
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a shipped model, or a bundle's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the card as a Markdown page.")] = None,
) -> None:
    """Show a model's card: what it is, what it scores, what it must not be used for.

    Example: xiqa models show cxr-foreign-objects
    """
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
    """Score a model's verdicts and places on images, and write the result to its card.

    Example: xiqa models evaluate our-model --data our-images
    """
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
    """Tell how a trained classifier does, class by class: precision, recall, AUC, confusion, calibration.

    Example: xiqa models report our-model --data our-images --out report
    """
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


@app.command("calibrate")
def calibrate(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped model, or a bundle's folder.")],
    data: Annotated[
        Path, typer.Option(help="The site's images: folders `good` and `poor`, a CSV file, or a data set.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the derived bundle.")],
    site: Annotated[str, typer.Option(help="Name of the site, for the card [the data's].")] = "",
    sensitivity: Annotated[
        float,
        typer.Option(help="Share of the patients with poor images that are found, with 95 % confidence."),
    ] = 0.9,
) -> None:
    """Derive a bundle for a site from its own accepted and rejected images.

    Probabilities, threshold, review band and guard are fitted to the site; the network stays. Images of a
    test split are left out. Refused where there are too few images: the message says how many it takes.

    Example: xiqa models calibrate cxr-foreign-objects --data ours --site "St. Elsewhere" --out our-model
    """
    from rich.progress import track

    from xiqa.assessment.site import calibrate_at, score_site, site_samples
    from xiqa.datasets.detect import read_dataset
    from xiqa.models import load_model, save_bundle

    model = load_model(bundle)
    samples = site_samples(model.card, read_dataset(data))
    scores = score_site(model, track(samples, "images"))
    if scores.left_out:
        typer.echo(f"{scores.left_out} of {len(samples)} images show another view, and are left out.")
    derived = calibrate_at(model, scores, site or data.stem, sensitivity=sensitivity)
    show_card(save_bundle(out, derived.network, derived.card, derived.guard, derived.view))
    typer.echo(f"Written to {out}: xiqa assess IMAGES --model {out}")


@app.command("reference")
def reference(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder; its card is updated.")],
    data: Annotated[list[Path], typer.Option(help="Labelled images; repeatable.")],
    split: Annotated[str, typer.Option(help="Which of them: val or test.")] = "test",
) -> None:
    """Keep scores and guard distances of images that nothing was fitted on, for `monitor` to compare with.

    Example: xiqa models reference our-model --data our-images
    """
    from rich.progress import track

    from xiqa.assessment.site import score_site, site_samples, with_reference
    from xiqa.datasets.detect import read_dataset
    from xiqa.models import load_model
    from xiqa.models.shelf import write_card

    model = load_model(bundle)
    parts = [site_samples(model.card, read_dataset(folder), (split,)) for folder in data]
    samples = [sample for part in parts for sample in part]
    named = " and ".join(folder.stem for folder in data)
    card = with_reference(model, score_site(model, track(samples, "images")), f"{split} images of {named}")
    write_card(bundle, card)
    kept = card.reference
    assert kept is not None
    typer.echo(f"{len(kept.good)} good and {len(kept.poor)} poor images, one a patient, are the reference.")
    typer.echo("The card is a new one: a graph beside it has to be exported again.")


@app.command("monitor")
def monitor(
    results: Annotated[Path, typer.Argument(help="Folder that `xiqa assess` wrote, or its results.json.")],
    model: Annotated[
        str, typer.Option(help="The model that gave them: a shipped one's name, or a bundle's folder.")
    ] = "cxr-foreign-objects",
    level: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="False alarms allowed: one look in a hundred.")
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Tell whether a site's scores and guard distances have moved from the reference on the model's card.

    Exit status: 0 when nothing has moved, 1 when something has, 2 when it cannot be told.

    Example: xiqa models monitor today --model our-model
    """
    import json
    from dataclasses import asdict

    from xiqa.assessment.monitor import monitor as compare
    from xiqa.assessment.monitor import read_results
    from xiqa.models import read_card
    from xiqa.report.monitor import monitor_page

    found = compare(read_card(model), read_results(results), level=level)
    if as_json:
        typer.echo(json.dumps({"moved": found.moved, **asdict(found)}, indent=1))
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(monitor_page(found)))
    raise typer.Exit(int(found.moved))


def show_card(card: BundleCard) -> None:
    """Print a card on the terminal."""
    from rich.console import Console
    from rich.markdown import Markdown

    from xiqa.models.page import card_page

    Console().print(Markdown(card_page(card)))
