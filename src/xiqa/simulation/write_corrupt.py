"""A folder of images with global quality problems of known degree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xiqa.errors import ConfigError, DatasetError
from xiqa.simulation.corrupt import CORRUPTIONS, corrupt
from xiqa.simulation.folder import SimulatedFolder, split_of, write_png
from xiqa.types import Image, Split

__all__ = ["GOOD", "GRADES", "CorruptFolder", "draw_problem", "grade_of"]

TABLE = "images.csv"
COLUMNS = ("image", "label", "patient", "split", "degree", "grade", "seed")
GOOD = "good"
GRADES = ("none", "slight", "marked", "severe")


def grade_of(degree: float) -> str:
    """The ordered class of a degree: none at 0, then a third of the range each.

    >>> [grade_of(degree) for degree in (0, 0.2, 0.5, 1)]
    ['none', 'slight', 'marked', 'severe']
    """
    return GRADES[math.ceil(round(degree * (len(GRADES) - 1), 9))]


def draw_problem(seed: int, *, least: float = 0.1, problems: Sequence[str] = ()) -> tuple[str, float]:
    """A problem, or none, and its degree; every problem comes equally often, in every split.

    Args:
        seed: Decides both.
        least: Smallest degree of a problem.
        problems: Names in `CORRUPTIONS` to choose from; empty: all.

    Returns:
        A name in `CORRUPTIONS` with a degree from ``least`` to 1, or ``good`` with 0.

    Raises:
        ConfigError: If a problem is unknown, or ``least`` is not above 0 and below 1.

    >>> len({draw_problem(seed)[0] for seed in range(10, 18)})
    8
    """
    if not 0 < least < 1:
        raise ConfigError("wrong least degree", expected="above 0 and below 1", got=f"{least:g}")
    unknown = set(problems) - set(CORRUPTIONS)
    if unknown:
        raise ConfigError("unknown problem", expected=", ".join(CORRUPTIONS), got=", ".join(sorted(unknown)))
    choices = (GOOD, *(problems or CORRUPTIONS))
    # seeds of one split are ten apart: without the tens they would meet every other problem only
    problem = choices[(seed + seed // 10) % len(choices)]
    degree = float(np.random.default_rng([seed, 4]).uniform(least, 1))
    return (GOOD, 0.0) if problem == GOOD else (problem, round(degree, 3))


class CorruptFolder(SimulatedFolder):
    """Writes images one by one: ``images/`` and ``images.csv``.

    The table's ``label`` is the problem, ``degree`` its degree from 0 to 1, ``grade`` the ordered class of
    that; `read_csv` reads it.

    Args:
        folder: Where to; made where absent.
        force: Replace an earlier simulation.

    Raises:
        DatasetError: If the folder is a file, or not empty and not to be replaced, or holds anything else.
    """

    def __init__(self, folder: Path, *, force: bool = False) -> None:
        super().__init__(folder, {TABLE: COLUMNS}, ("images",), force=force)
        (folder / "images").mkdir()

    def add(
        self,
        image: Image,
        problem: str,
        degree: float,
        *,
        seed: int,
        patient: str = "",
        split: Split | None = None,
    ) -> Image:
        """Corrupt one image and write it as PNG.

        Args:
            image: A grey image without the problem.
            problem: A name in `CORRUPTIONS`, or ``good``.
            degree: From 0 to 1.
            seed: Of the problem's chance parts; names the file.
            patient: Whom it shows; by default the seed.
            split: Its split; by default decided by the seed.

        Returns:
            The image as written.

        Raises:
            DatasetError: If an image of this seed is there already.
        """
        path = self.folder / "images" / f"image_{seed:06d}.png"
        if path.exists():
            raise DatasetError(f"two images called {path.name}", got=f"seed {seed} twice")
        made = image if problem == GOOD else corrupt(image, problem, degree, seed)
        write_png(made, path)
        name = f"images/{path.name}"
        owner = patient or f"sim{seed:06d}"
        values = (name, problem, owner, split or split_of(seed), f"{degree:.3f}", grade_of(degree), seed)
        self.describe(TABLE, values)
        return made
