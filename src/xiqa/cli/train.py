"""``xiqa train``: from a recipe and a folder of images to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]

# Recipes of another ``kind`` than a classifier: the module whose
# ``run(recipe, data, out, *, model, resume, seed)`` trains one and gives the closing line. The data may be
# None; with ``--quick`` it is called with ``quick=True`` as well.
KINDS: dict[str, str] = {
    "softtree": "xiqa.training.softtree.distil",
    "twogenerator": "xiqa.training.generators",
}


def command(
    recipe: Annotated[
        str, typer.Argument(help="The name of a shipped recipe (`xiqa recipes list`), or a TOML file.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of the data set that the recipe names, repeatable, one a hospital; none where it "
            "simulates its images."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, report and bundle; by default runs/RECIPE.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The recipe in small, on simulated images: minutes on two cores.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="For a recipe that explains a model: a shipped model's name or a bundle's folder."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    devices: Annotated[
        int, typer.Option(min=1, help="How many devices of each machine train; they share every batch.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="How many machines train; start the same command on each.")
    ] = 1,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
) -> None:
    """Train, calibrate and write a model bundle; or what a recipe with a `kind` of its own trains.

    The shipped recipes are those of the papers, each with a `--quick` version; `xiqa recipes copy NAME` gives
    one to change.

    Beside the bundle, `report/` tells precision, recall, AUC, confusion and calibration on the
    validation images, as Markdown, figure and JSON.

    Example: xiqa train object-cxr-resnet34 --quick
    """
    import warnings
    from importlib import import_module

    from xiqa.cli.models import show_card
    from xiqa.recipes import find_recipe
    from xiqa.training.recipe import Recipe
    from xiqa.training.train import train

    # Lightning's advice on workers and on modules that a phase keeps frozen on purpose.
    warnings.filterwarnings("ignore", module="lightning")
    file = find_recipe(recipe, "train")
    folder = out or Path("runs") / (f"{file.stem}-quick" if quick else file.stem)
    kind = _kind(file)
    if kind is not None:
        _only_one(kind, devices * nodes)
        options = {"quick": True} if quick else {}
        trained = import_module(KINDS[kind]).run(
            file, data[0] if data else None, folder, model=model, resume=resume, seed=seed, **options
        )
        typer.echo(trained)
        return
    plan = Recipe.read(file, quick=quick)
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    card = train(plan, data, folder, resume=resume, devices=devices, nodes=nodes)
    show_card(card)
    typer.echo(f"How it classifies: {folder / 'report' / 'classifier.md'}")
    typer.echo(f"The bundle is in {folder / 'bundle'}; assess with it: --model {folder / 'bundle'}")


def _only_one(kind: str, processes: int) -> None:
    """Refuse several devices where one alone is used."""
    from xiqa.errors import ConfigError

    if processes > 1:
        raise ConfigError(
            f"a recipe of the kind {kind} trains on one device",
            got=f"{processes} devices",
            todo="leave --devices and --nodes out",
        )


def _kind(recipe: Path) -> str | None:
    """The recipe's ``kind``; None for a classifier, or where the file cannot be read, which is told there."""
    from xiqa.config import recipe_entries
    from xiqa.errors import ConfigError

    try:
        kind = recipe_entries(recipe).get("kind")
    except ConfigError:
        return None
    if kind is not None and kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ConfigError(f"{recipe}: unknown kind", expected=f"{known}, or none", got=repr(kind))
    return kind
