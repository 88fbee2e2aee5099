"""From a scenario to drawn objects: what, how many, how large, where; and the truth about them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from xiqa.errors import ConfigError
from xiqa.geometry import Box
from xiqa.imaging.masks import tightest_box
from xiqa.simulation.chest.groups import OUTSIDE, THORAX, chest_object
from xiqa.simulation.chest.implants import DEVICES, IMPLANTS
from xiqa.simulation.chest.landmarks import Landmarks
from xiqa.simulation.chest.objects import OBJECTS, ObjectKind
from xiqa.simulation.chest.pen import Part, Pen
from xiqa.simulation.chest.scenario import Scenario
from xiqa.types import Annotation, FloatArray

__all__ = ["Placed", "annotate", "place_objects"]

SIZES = {"any": (0.85, 1.25), "small": (0.5, 0.75), "large": (1.5, 2.2)}
# An object lies over the chest when at least this part of it does.
OVER_CHEST = 0.1
TRIES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Objects on an image.

    Attributes:
        attenuation: ``(H, W)`` of all objects together.
        annotations: The truth about each.
    """

    attenuation: FloatArray
    annotations: tuple[Annotation, ...]

    @property
    def label(self) -> int:
        """1 when a removable object lies over the chest."""
        return int(any(a.problem for a in self.annotations))


def annotate(parts: Iterable[Part], marks: Landmarks, *, removable: bool) -> list[Annotation]:
    """One annotation for each visible part."""
    places = []
    for part in parts:
        if part.window is None or not part.mask[part.window].any():
            continue
        covered = part.mask[part.window]
        box = tightest_box(covered)
        left, top = part.window[1].start, part.window[0].start
        box = Box(box.x0 + left, box.y0 + top, box.x1 + left, box.y1 + top)
        over = np.count_nonzero(covered & marks.chest[part.window]) >= OVER_CHEST * np.count_nonzero(covered)
        zone = THORAX if over else OUTSIDE
        places.append(chest_object(box, part.kind, removable=removable, zone=zone, mask=part.mask))
    return places


def _spots(
    marks: Landmarks, place: str, near: tuple[float, float] | None, rng: np.random.Generator
) -> np.ndarray:
    """A few candidate places ``(n, 2)`` in image pixels."""
    region = np.flatnonzero(marks.region(place))
    if region.size == 0:  # an image that shows too little of that place
        region = np.arange(marks.chest.size)
    rows, columns = np.divmod(region, marks.size[1])
    if place == "marker" and near is not None:  # over the chest, but as close to the marker as may be
        apart = np.hypot(columns - near[0], rows - near[1])
        close = apart <= np.quantile(apart, 0.04)
        rows, columns = rows[close], columns[close]
    chosen = rng.integers(len(rows), size=TRIES)
    return np.stack([columns[chosen], rows[chosen]], 1).astype(float)


def _draw(
    kind: ObjectKind,
    marks: Landmarks,
    place: str,
    scale: float,
    near: tuple[float, float] | None,
    rng: np.random.Generator,
) -> tuple[Pen, list[Annotation]] | None:
    """Draw one object where it belongs; None where it finds no place."""
    anchored = kind.anchored and place == "any"
    for x, y in _spots(marks, place, near, rng):
        origin = marks.at(0, 0) if anchored else (float(x), float(y))
        angle = rng.normal(0, 0.12) if kind.upright else rng.uniform(0, 2 * math.pi)
        pen = Pen(marks.size, marks.spacing, origin, 0.0 if anchored else angle, scale)
        kind.draw(pen, marks, rng)
        annotations = annotate(pen.parts, marks, removable=True)
        beside = all(OUTSIDE in a.groups for a in annotations)
        if annotations and beside == (place == "outside"):
            return pen, annotations
    return None


def _kinds(scenario: Scenario, place: str) -> list[ObjectKind]:
    """The kinds that a scenario allows at a place."""
    unknown = [name for name in scenario.kinds if name not in OBJECTS]
    if unknown:
        raise ConfigError("unknown object kind", expected=f"one of {', '.join(OBJECTS)}", got=unknown[0])
    kinds = [OBJECTS[name] for name in scenario.kinds or OBJECTS]
    fitting = [kind for kind in kinds if place == "any" or not kind.anchored]
    if not fitting:
        raise ConfigError(
            f"{kinds[0].name} has its own place", todo=f"leave out place={place!r}, or choose another kind"
        )
    return fitting


def _orders(scenario: Scenario, rng: np.random.Generator) -> list[tuple[ObjectKind, str]]:
    """What to draw and where."""
    if scenario.count == "none":
        return []
    place: str = scenario.place
    kinds = _kinds(scenario, place)
    weights = np.array([kind.weight for kind in kinds])

    def choose(number: int, *, replace: bool) -> list[ObjectKind]:
        chosen = rng.choice(
            len(kinds), min(number, len(kinds)) if not replace else number, replace, weights / weights.sum()
        )
        return [kinds[k] for k in chosen]

    several = int(rng.integers(2, 5))
    chosen = {
        "one": lambda: choose(1, replace=False),
        "same": lambda: choose(1, replace=False) * several,
        "different": lambda: choose(several, replace=False),
    }
    if scenario.count in chosen:
        return [(kind, place) for kind in chosen[scenario.count]()]
    orders: list[tuple[ObjectKind, str]] = []
    if rng.random() < 0.5:
        orders = [(kind, place) for kind in choose(int(rng.integers(1, 6)), replace=True)]
    if rng.random() < 0.3 and place == "any":
        loose = [kind for kind in kinds if not kind.anchored]
        orders += [(loose[rng.integers(len(loose))], "outside") for _ in range(rng.integers(1, 3)) if loose]
    return orders


def place_objects(
    scenario: Scenario,
    marks: Landmarks,
    rng: np.random.Generator,
    marker: tuple[float, float] | None = None,
) -> Placed:
    """Draw what a scenario asks for.

    Args:
        scenario: How many, how large, where.
        marks: The image's places.
        rng: Source of choices.
        marker: Image pixel of the burned-in marker, where there is one.

    Raises:
        ConfigError: If the scenario names an unknown kind, or a kind that cannot lie there.
    """
    total = np.zeros(marks.size, np.float32)
    annotations: list[Annotation] = []
    implants = scenario.implant if scenario.implant is not None else bool(rng.random() < 0.25)
    if implants:
        known = IMPLANTS | DEVICES
        unknown = [name for name in scenario.devices if name not in known]
        if unknown:
            raise ConfigError("unknown device", expected=f"one of {', '.join(known)}", got=unknown[0])
        choices = list(scenario.devices or IMPLANTS)
        several = min(int(rng.integers(1, 3)), len(choices))
        for name in rng.choice(choices, several, replace=False):
            pen = Pen(marks.size, marks.spacing)
            known[str(name)](pen, marks, rng)
            total[pen.window] += pen.attenuation[pen.window]
            annotations += annotate(pen.parts, marks, removable=False)
    low, high = SIZES[scenario.size]
    for kind, place in _orders(scenario, rng):
        scale = float(rng.uniform(low, high))
        drawn = _draw(kind, marks, place, scale, marker, rng)
        if drawn is None and kind.anchored:  # its own place is not on this image: a loose object instead
            drawn = _draw(OBJECTS["button"], marks, place, scale, marker, rng)
        if drawn is not None:
            total[drawn[0].window] += drawn[0].attenuation[drawn[0].window]
            annotations += drawn[1]
    return Placed(np.maximum(total, 0), tuple(annotations))
