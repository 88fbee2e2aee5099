"""``xiqa train``: from a recipe and a folder of films to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe.")],
    data: Annotated[Path, typer.Option(help="Folder of the data set that the recipe names.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints and the bundle [runs/RECIPE].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="How many devices to train on.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
) -> None:
    """Train, calibrate and write a model bundle."""
    import warnings

    from xiqa.cli.models import show_card
    from xiqa.training.recipe import Recipe
    from xiqa.training.train import train

    # Lightning's advice on workers and on modules that a phase keeps frozen on purpose.
    warnings.filterwarnings("ignore", module="lightning")
    plan = Recipe.read(recipe)
    if seed is not None:
        plan = plan.model_copy(update={"seed": seed})
    folder = out or Path("runs") / recipe.stem
    card = train(plan, data, folder, resume=resume, devices=devices)
    show_card(card)
    typer.echo(f"The bundle is in {folder / 'bundle'}; assess with it: --model {folder / 'bundle'}")
