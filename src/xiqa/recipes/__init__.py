"""The recipes that come with the package, found by name.

``NAME.toml`` here trains (``xiqa train NAME``), ``experiments/NAME.toml`` measures (``xiqa benchmark
NAME``), and ``experiments/training/NAME.toml`` trains what an experiment compares.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from xiqa.errors import ConfigError
from xiqa.plugins import load_plugins

__all__ = ["FOLDER", "Purpose", "find_recipe", "recipe_files"]

#: What a recipe is for.
Purpose = Literal["train", "benchmark"]

FOLDER = Path(__file__).parent
_PATTERNS: dict[Purpose, tuple[str, ...]] = {
    "train": ("*.toml", "experiments/training/*.toml"),
    "benchmark": ("experiments/*.toml",),
}


def recipe_files(purpose: Purpose) -> dict[str, Path]:
    """The recipes of one purpose, those of plugins included: their files by their names, in that order.

    >>> "softtree" in recipe_files("train"), "gallery" in recipe_files("benchmark")
    (True, True)
    """
    files = [path for pattern in _PATTERNS[purpose] for path in FOLDER.glob(pattern)]
    if purpose == "benchmark":
        folders = [Path(folder) for module in load_plugins("experiments") for folder in module.__path__]
        files += [path for folder in folders for path in folder.glob("*.toml")]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def find_recipe(name_or_path: str | Path, purpose: Purpose) -> Path:
    """The file of a recipe: a path of one's own, or the name of a shipped one.

    Args:
        name_or_path: A file comes before a name.
        purpose: What the recipe is for.

    Raises:
        ConfigError: There is neither; names the closest.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = recipe_files(purpose)
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    close = get_close_matches(path.stem, known, n=1)
    raise ConfigError(
        f"no recipe {str(name_or_path)!r}",
        expected=f"a TOML file, or one of {', '.join(known)}",
        todo=(f"did you mean {close[0]}? " if close else "") + "`xiqa recipes list` shows what each does",
    )
