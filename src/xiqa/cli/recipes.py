"""`xiqa recipes`: the recipes that come with the package, and what a recipe may say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from xiqa.recipes import Purpose

app = typer.Typer(no_args_is_help=True, help="Show and copy the recipes of trainings and experiments.")

# Where the model of each kind of recipe is.
MODELS = {
    "classifier": ("xiqa.training.recipe", "Recipe"),
    "softtree": ("xiqa.training.softtree.distil", "SoftTreeRecipe"),
    "twogenerator": ("xiqa.training.generators.recipe", "GeneratorRecipe"),
    "experiment": ("xiqa.experiments.recipe", "Experiment"),
}
Kind = StrEnum("Kind", list(MODELS))  # type: ignore[misc]  # one list of kinds

_NAME = typer.Argument(help="As `xiqa recipes list` writes it: NAME, or experiments/NAME.")


@app.command("list")
def list_recipes(as_json: bool = typer.Option(False, "--json", help="Print JSON for programs.")) -> None:
    """List the recipes: what trains (`xiqa train NAME`), what measures (`xiqa benchmark NAME`).

    Example: xiqa recipes list
    """
    import json

    from xiqa.cli._parts.listing import print_listing

    rows = _rows()
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    print_listing(
        ("recipe", "command", "what it does"),
        [(row["name"], f"xiqa {row['command']}", row["summary"]) for row in rows],
    )


@app.command()
def show(name: str = _NAME) -> None:
    """Print a recipe.

    Example: xiqa recipes show lvot-resnet50
    """
    typer.echo(_file(name).read_text(encoding="utf-8"), nl=False)


@app.command()
def copy(
    name: str = _NAME,
    out: Path | None = typer.Option(None, help="File to write [NAME.toml in the working folder]."),
    force: bool = typer.Option(False, help="Overwrite the file."),
) -> None:
    """Copy a recipe to change it; what it `extends` is still found by its name.

    Example: xiqa recipes copy lvot-resnet50 --out mine.toml, then: xiqa train mine.toml --data FOLDER
    """
    from xiqa.errors import ConfigError
    from xiqa.files import write_atomic, writing

    source = _file(name)
    target = out or Path(source.name)
    if target.exists() and not force:
        raise ConfigError(f"{target} exists", todo="name another file with --out, or add --force")
    with writing(target):
        write_atomic(target, source.read_bytes())
    typer.echo(f"{target} is a copy of the recipe {name}")


@app.command()
def keys(kind: Kind = typer.Argument(Kind("classifier"), help="Kind of recipe.")) -> None:
    """List every entry that a recipe may have: type, limits, default and meaning.

    Example: xiqa recipes keys experiment
    """
    from xiqa.cli._parts.listing import print_listing
    from xiqa.config import entries_of

    print_listing(("entry", "type", "default", "what it is"), entries_of(_model(kind)))


@app.command()
def schema(kind: Kind = typer.Argument(Kind("classifier"), help="Kind of recipe.")) -> None:
    """Print the JSON schema of a kind of recipe, with which an editor completes and checks it.

    Example: xiqa recipes schema experiment > experiment.schema.json
    """
    import json

    typer.echo(json.dumps(_model(kind).model_json_schema(), indent=1))


def _model(kind: str) -> Any:
    """The model that checks a kind of recipe."""
    from importlib import import_module

    module, name = MODELS[kind]
    return getattr(import_module(module), name)


def _file(name: str) -> Path:
    """A shipped recipe's file; one of an experiment by its name alone where no training has that name."""
    from xiqa.recipes import find_recipe, recipe_files

    experiments = recipe_files("benchmark")
    bare = name.removeprefix("experiments/")
    if bare in experiments and (bare != name or name not in recipe_files("train")):
        return experiments[bare]
    return find_recipe(bare if bare in recipe_files("train") else name, "train")


def _rows() -> list[dict[str, str]]:
    """Name, command and summary of each recipe."""
    from xiqa.config import recipe_entries
    from xiqa.recipes import recipe_files

    purposes: tuple[Purpose, ...] = ("train", "benchmark")
    return [
        {
            "name": f"experiments/{name}" if purpose == "benchmark" else name,
            "command": f"{purpose} {name}",
            "summary": _summary(path, recipe_entries(path)),
        }
        for purpose in purposes
        for name, path in recipe_files(purpose).items()
    ]


def _summary(path: Path, entries: dict[str, Any]) -> str:
    """An experiment's title, or the comment that a recipe begins with."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return str(entries.get("title") or first.removeprefix("#").strip())
