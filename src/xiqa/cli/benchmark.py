"""``xiqa benchmark``: an experiment from its recipe to rows, tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from xiqa.experiments.recipe import Experiment

__all__ = ["command"]


def command(
    recipe: Annotated[
        str | None, typer.Argument(help="A TOML recipe, or the name of one that is listed.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of real radiographs, in any known layout.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows, tables, figures [runs/NAME].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    device: Annotated[
        str, typer.Option(help="Where the networks run: cpu, cuda, cuda:1, ... or auto.")
    ] = "cpu",
    split: Annotated[
        str | None, typer.Option(help="Another split than the recipe's: train, val, test, all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=BUNDLE: bundles of a recipe's network instead of its own; several are its seeds."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Folder of an earlier run's tables: tell where numbers differ, exit status 1."),
    ] = None,
    printed: Annotated[
        list[str] | None,
        typer.Option(help="KEY:TABLE[:DATA]: what a paper prints, beside ours; `xiqa printed` lists them."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and leave.")] = False,
) -> None:
    """Run an experiment: rows in Parquet, tables in Markdown, LaTeX, HTML and CSV, figures.

    Every cell has a 95 % interval by patient. A run that is stopped loses at most one chunk of images; start
    it again with --resume. The resolved recipe lies beside the results as recipe.json.

    Example: xiqa benchmark smoothing --data radiographs --limit 50
    """
    from rich.console import Console
    from rich.progress import track

    from xiqa.errors import ConfigError

    if list_:
        return _list()
    if recipe is None:
        raise ConfigError("no recipe", expected="a TOML file or a name", todo="`xiqa benchmark --list`")
    from xiqa.experiments.printed.numbers import find_printed
    from xiqa.experiments.recipe import Experiment
    from xiqa.experiments.render import rich_table
    from xiqa.experiments.report import write_results
    from xiqa.experiments.run import plan, run
    from xiqa.recipes import find_recipe

    console = Console()
    for name in printed or ():
        find_printed(name)  # told before anything is measured
    planned = plan(
        _resolve(Experiment.read(find_recipe(recipe, "benchmark")), data, split, limit, model or [])
    )
    folder = out or Path("runs") / planned.experiment.name
    summary = f"{len(planned.cases)} images, {len(planned.network_states)} networks"
    console.print(f"{planned.experiment.title} ({summary})", soft_wrap=True)
    steps = iter(
        track(range(planned.total), description="Measuring", console=console, disable=not planned.total)
    )
    rows = run(planned, folder, resume=resume, device=device, tick=lambda: next(steps, None))
    next(steps, None)
    typed = _command(recipe, data, split, limit, model or [])
    for table in write_results(planned, rows, folder, typed, printed or ()).values():
        console.print(rich_table(table))
        console.print()
    console.print(f"Rows, tables and figures are in {folder}", soft_wrap=True)
    if against is not None:
        _compare(against, folder, console)
    return None


def _compare(earlier: Path, folder: Path, console: Console) -> None:
    """Tell whether the tables are those of an earlier run; exit status 1 where they are not."""
    from xiqa.experiments.repeats import compare_tables

    changes = compare_tables(earlier, folder)
    for change in changes.changes:
        console.print(str(change), soft_wrap=True, markup=False)
    same = changes.cells - len(changes.changes)
    console.print(
        f"{same} of {changes.cells} cells in {changes.tables} tables are those of {earlier}", soft_wrap=True
    )
    if changes.changes:
        raise typer.Exit(1)


def _command(recipe: str, data: Path | None, split: str | None, limit: int | None, models: list[str]) -> str:
    """What to type for the same numbers; the data folder is only named, since it lies anywhere."""
    parts = ["xiqa benchmark", Path(recipe).stem]
    parts += ["--data FOLDER"] if data else []
    parts += [f"--split {split}"] if split else []
    parts += [f"--limit {limit}"] if limit else []
    for text in models:
        name, _, bundle = text.partition("=")
        parts.append(f"--model {name}={'/'.join(Path(bundle).parts[-2:])}")
    return " ".join(parts)


def _list() -> None:
    """Every recipe with its name and question."""
    from xiqa.cli._parts.listing import print_listing
    from xiqa.experiments.recipe import Experiment
    from xiqa.recipes import recipe_files

    rows = []
    for path in recipe_files("benchmark").values():
        experiment = Experiment.read(path)
        images = "real" if experiment.data.source == "folder" else "simulated"
        rows.append((path.stem, images, experiment.title))
    print_listing(("recipe", "images", "what it asks"), rows)


def _resolve(
    experiment: Experiment, data: Path | None, split: str | None, limit: int | None, models: list[str]
) -> Experiment:
    """The recipe with what the command line says instead."""
    from xiqa.errors import ConfigError
    from xiqa.experiments.recipe import Experiment as Checked

    given = experiment.model_dump()
    cases = {"path": str(data) if data else None, "split": split, "limit": limit}
    given["data"] |= {key: value for key, value in cases.items() if value is not None}
    named: dict[str, list[str]] = {}
    for text in models:
        name, sign, bundle = text.partition("=")
        if not sign or name not in {model.name for model in experiment.models}:
            names = ", ".join(model.name for model in experiment.models)
            raise ConfigError("no such network", expected=f"NAME=BUNDLE with a name of {names}", got=text)
        named.setdefault(name, []).append(bundle)
    for network in given["models"]:
        network["bundles"] = named.get(network["name"], network["bundles"])
    try:
        return Checked.model_validate(given)
    except ValueError as error:
        raise ConfigError(
            "the options do not fit the recipe", got=str(error).splitlines()[2].strip()
        ) from error
