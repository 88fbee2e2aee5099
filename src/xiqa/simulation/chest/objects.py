"""Removable foreign objects, each a few strokes of a pen in millimetres.

To add a kind, write a function of a `Pen`, the image's `Landmarks` and a generator, and decorate it. The
pen's origin is where the object lies; annotations are made from the pen's parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

from xiqa.errors import ConfigError
from xiqa.simulation.chest.landmarks import Landmarks
from xiqa.simulation.chest.pen import Pen, Points

__all__ = ["OBJECTS", "ObjectKind", "curve", "foreign_object"]

Draw = Callable[[Pen, Landmarks, np.random.Generator], None]


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A kind of object.

    Attributes:
        name: Its name in scenarios.
        draw: Draws it.
        weight: How often it is met, relative to the others.
        anchored: It has its own place in the chest (a necklace hangs from the neck).
        upright: It is not turned at random.
    """

    name: str
    draw: Draw
    weight: float
    anchored: bool = False
    upright: bool = False


OBJECTS: dict[str, ObjectKind] = {}


def foreign_object(
    name: str, *, weight: float = 1.0, anchored: bool = False, upright: bool = False
) -> Callable[[Draw], Draw]:
    """Register a kind of removable object.

    Raises:
        ConfigError: If the name is taken.
    """

    def register(draw: Draw) -> Draw:
        if name in OBJECTS:
            raise ConfigError(f"two kinds of objects are called {name}", todo="choose another name")
        OBJECTS[name] = ObjectKind(name, draw, weight, anchored, upright)
        return draw

    return register


def curve(knots: Points, spacing: float = 14.0) -> np.ndarray:
    """A smooth curve through points, with a point every ``spacing`` of their unit."""
    points = np.asarray(knots, np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    spline = make_interp_spline(chord, points, k=min(3, len(points) - 1))
    return np.asarray(spline(np.linspace(0, chord[-1], max(3, int(chord[-1] / spacing)))))


@foreign_object("button", weight=3)
def button(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A shirt button of plastic with holes, or a metal snap."""
    pen.part("button")
    radius = rng.uniform(4.5, 9.0)
    if rng.random() < 0.5:
        thick = rng.uniform(6, 16)  # dense filled plastics and mother of pearl attenuate like 3-8 mm of glass
        pen.disc((0, 0), radius, "plastic", thick)
        pen.ring((0, 0), radius, 0.78 * radius, "plastic", 0.8 * thick)
        holes = 2 if rng.random() < 0.3 else 4
        for k in range(holes):
            angle = 2 * math.pi * (k + 0.5) / holes
            place = (0.25 * radius * math.cos(angle), 0.25 * radius * math.sin(angle))
            pen.disc(place, 0.11 * radius, "plastic", -thick)
        return
    metal = str(rng.choice(["steel", "brass", "brass"]))
    pen.disc((0, 0), radius, metal, rng.uniform(0.3, 0.7))
    pen.ring((0, 0), radius, 0.72 * radius, metal, rng.uniform(0.6, 1.6))
    if rng.random() < 0.6:
        pen.ring((0, 0), 0.42 * radius, 0.22 * radius, metal, rng.uniform(0.8, 2))


def _lead(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A wire from the object to the image's edge, in image pixels."""
    rows, columns = marks.size
    start = np.array(pen.origin)
    down = rng.random() < 0.6
    side = 1 if start[0] > marks.midline else -1
    if down:
        end = np.array([start[0] + side * rng.uniform(-0.1, 0.3) * columns, rows + 10.0])
    else:
        end = np.array([columns + 10.0 if side > 0 else -10.0, start[1] + rng.uniform(-0.25, 0.35) * rows])
    t = np.array([0.0, 0.15, 0.45, 0.75, 1.0])[:, None]
    sway = np.hypot(*(end - start)) * np.array([0, 0.10, 0.16, 0.10, 0])[:, None] * rng.normal(0, 1, (5, 2))
    pen.part("lead")
    pen.wire(curve(start + t * (end - start) + sway), rng.uniform(0.35, 0.75), "copper", in_pixels=True)


@foreign_object("electrode", weight=9)
def electrode(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """An ECG electrode: a faint pad, a metal snap or grabber, and mostly a lead."""
    pen.part("electrode")
    style = rng.random()
    if style < 0.45:  # snap
        pen.disc((0, 0), rng.uniform(7, 11), "foam", rng.uniform(2, 6))
        pen.disc((0, 0), rng.uniform(3.8, 5.2), "steel", rng.uniform(0.15, 0.5))
        pen.ring((0, 0), rng.uniform(3.8, 5.5), rng.uniform(2.4, 3.2), "steel", rng.uniform(0.5, 1.2))
        pen.disc((0, 0), rng.uniform(1.4, 2.2), "steel", rng.uniform(0.6, 2.5))
    elif style < 0.8:  # grabber: a snap in a plastic clip with a spring and a metal tongue
        pen.bar((6, 0), (13, 4.8), "plastic", rng.uniform(3, 7), corner=3)
        pen.ring((0, 0), 5.2, 3.6, "steel", rng.uniform(0.5, 1.2))
        pen.disc((0, 0), 2.0, "steel", rng.uniform(0.8, 2))
        pen.wire([(4, -2.2), (10, -1.2), (15, 0), (10, 1.2), (4, 2.2)], 0.55, "steel")
        pen.bar((15, 0), (4, 1.3), "brass", 1.2)
    else:  # tab: a thin conductor under a square of foil
        pen.bar((0, 0), (11, 9), "foam", 5, corner=3)
        pen.bar((0, 0), (6.5, 6.5), "steel", rng.uniform(0.06, 0.2), corner=1)
        pen.bar((10, 0), (6, 1.6), "steel", rng.uniform(0.4, 1.0))
    if rng.random() < 0.75:
        _lead(pen, marks, rng)


@foreign_object("necklace", weight=1.6, anchored=True, upright=True)
def necklace(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A chain or a cord round the neck, with or without a pendant."""
    pen.part("jewellery")
    width, depth = rng.uniform(45, 75), rng.uniform(35, 125)
    neck = pen.to_object([marks.at(0, -0.1)])[0]
    side = rng.normal(0, 8)
    t = np.linspace(-1, 1, 240)
    sag = depth * (1 - np.abs(t) ** rng.uniform(1.8, 3.0))
    x = neck[0] + width * np.sign(t) * np.abs(t) ** 0.85 + side * (1 - t**2)
    course = np.stack([x, neck[1] + sag - 0.25 * depth], 1)
    metal = str(rng.choice(["gold", "silver", "steel"]))
    if rng.random() < 0.6:
        _chain(pen, course, rng.uniform(2.4, 4.2), metal, rng.uniform(0.25, 0.5))
    else:
        pen.wire(course[::6], rng.uniform(0.35, 0.8), metal)
    if rng.random() < 0.6:
        place = course[np.argmax(course[:, 1])]
        _pendant(pen, (float(place[0]), float(place[1]) + 5), metal, rng)


def _chain(pen: Pen, course: np.ndarray, pitch: float, metal: str, radius: float) -> None:
    """Links along a course, seen flat and on edge in turn."""
    gone = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(course, axis=0).T))])
    at = np.arange(0, gone[-1], pitch)
    x, y = np.interp(at, gone, course[:, 0]), np.interp(at, gone, course[:, 1])
    ahead = np.arctan2(np.gradient(y), np.gradient(x))
    angle = np.linspace(0, 2 * np.pi, 9)
    for k in range(len(at)):
        broad = 0.36 * pitch if k % 2 else 0.1 * pitch
        u, v = 0.68 * pitch * np.cos(angle), broad * np.sin(angle)
        cos, sin = math.cos(ahead[k]), math.sin(ahead[k])
        pen.wire(np.stack([x[k] + cos * u - sin * v, y[k] + sin * u + cos * v], 1), radius, metal)


def _pendant(pen: Pen, place: tuple[float, float], metal: str, rng: np.random.Generator) -> None:
    x, y = place
    shape = rng.integers(3)
    if shape == 0:
        pen.bar((x, y + 8), (1.4, 11), metal, 1.0)
        pen.bar((x, y + 4), (6, 1.4), metal, 1.0)
    elif shape == 1:
        pen.disc((x, y + 6), rng.uniform(5, 10), metal, rng.uniform(0.4, 1.0))
        pen.ring((x, y + 6), 5, 3.5, metal, 0.5)
    else:
        t = np.linspace(0, 2 * np.pi, 25)
        heart = np.stack([16 * np.sin(t) ** 3, -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t)], 1)
        pen.wire(np.array([x, y + 8]) + 0.5 * heart, 0.7, metal)


@foreign_object("zip", weight=1.0, upright=True)
def zip_(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """Two rows of interlocked teeth and a slider."""
    pen.part("zip")
    half, pitch = rng.uniform(35, 95), rng.uniform(2.0, 3.0)
    metal = str(rng.choice(["brass", "aluminium", "nickel"]))
    thick = 2.5 if metal == "aluminium" else rng.uniform(0.6, 1.3)
    bend = rng.normal(0, 4)
    for k, y in enumerate(np.arange(-half, half, pitch)):
        side = 1 if k % 2 else -1
        x = bend * math.sin(2.5 * y / half)
        pen.bar((x + side * 1.0, float(y)), (1.8, 0.42 * pitch), metal, thick, corner=0.3)
    top = bend * math.sin(2.5)
    pen.bar((-top, -half - 2), (3.6, 5), metal, 2 * thick, corner=2)
    pen.ring((-top, -half + 8), 2.4, 1.2, metal, thick)
    pen.bar((-top, -half + 16), (2.2, 8), metal, thick, corner=1.5)


@foreign_object("coin", weight=0.8)
def coin(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A coin, flat or a little tilted, with its thicker rim."""
    pen.part("coin")
    radius, metal = rng.uniform(8.5, 13), str(rng.choice(["brass", "nickel", "copper"]))
    pen.disc((0, 0), radius, metal, rng.uniform(1.2, 1.9))
    pen.ring((0, 0), radius, 0.92 * radius, metal, 0.3)


@foreign_object("hairclip", weight=1.0)
def hairclip(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A bobby pin with one wavy leg, or a snap clip."""
    pen.part("clip")
    length = rng.uniform(38, 56)
    if rng.random() < 0.65:
        x = np.linspace(0, length, 30)
        wave = np.where((x > 0.3 * length) & (x < 0.8 * length), np.sin(x / length * 12 * math.pi), 0)
        lower = np.stack([x - length / 2, 1.6 + 0.7 * wave], 1)
        upper = np.stack([x[::-1] - length / 2, np.full_like(x, -1.2)], 1)
        arc = [(-length / 2 - 1.6, 0.2)]
        pen.wire(np.concatenate([lower[::-1], arc, upper[::-1]]), rng.uniform(0.45, 0.7), "steel")
        return
    t = np.linspace(0, 2 * np.pi, 28)
    body = np.stack([length / 2 * np.cos(t), 6 * np.sin(t) * (0.6 - 0.4 * np.cos(t))], 1)
    pen.wire(body, 1.1, "steel")
    pen.bar((0.08 * length, 0), (0.3 * length, 1.4), "steel", 0.5, corner=1.3)
    pen.disc((0.42 * length, 0), 1.6, "steel", 0.8)


@foreign_object("brahook", weight=2.2, upright=True)
def brahook(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """Hooks in their eyes at the back of a bra, or the ring and slide of a strap."""
    pen.part("hook")
    if rng.random() < 0.5:
        step = rng.uniform(8, 11)
        for k in range(int(rng.integers(2, 4))):
            y = k * step
            hook = [(-7, y - 2), (0, y - 2.2), (3.2, y - 1), (3.2, y + 1), (0, y + 2.2), (-7, y + 2)]
            pen.wire(hook, 0.55, "steel")
            for column in range(int(rng.integers(1, 3))):
                x = 4.5 + 9 * column
                pen.wire([(x, y - 3), (x - 2.4, y - 1.8), (x - 2.4, y + 1.8), (x, y + 3)], 0.5, "steel")
        return
    broad = rng.uniform(5, 8)
    pen.ring((0, 0), broad, broad - 1.6, "steel", rng.uniform(0.8, 1.5), squash=rng.uniform(0.6, 1.0))
    below = rng.uniform(22, 55)
    for y in (-3.4, 0.0, 3.4):
        pen.bar((0, below + y), (broad, 0.65), "steel", 1.0)
    for x in (-broad, broad):
        pen.bar((x, below), (0.65, 3.9), "steel", 1.0)


@foreign_object("safetypin", weight=1.2)
def safetypin(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A wire with a coil at one end and a cap at the other, closed or open."""
    pen.part("pin")
    half, gap = rng.uniform(12, 24), rng.uniform(2.4, 3.6)
    gape = rng.uniform(0, 0.35) if rng.random() < 0.3 else 0.0
    pen.wire([(-half, gap), (half, gap)], 0.5, "steel")
    pen.ring((-half - 1.2, 0), gap + 0.6, gap - 0.6, "steel", 1.2)
    tip = (-half + 2 * half * math.cos(gape), -gap - 2 * half * math.sin(gape))
    pen.wire([(-half, -gap), tip], 0.5, "steel")
    pen.bar((half, 0), (3.0, gap + 1.3), "steel", 0.9, corner=2)


@foreign_object("underwire", weight=0.7, anchored=True, upright=True)
def underwire(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """The two arcs below the cups of a bra."""
    pen.part("wire")
    radius, deep = rng.uniform(44, 60), rng.uniform(0.7, 1.0)
    metal, thick = str(rng.choice(["steel", "steel", "plastic"])), rng.uniform(0.7, 1.1)
    for across in (-0.52, 0.52):
        centre = pen.to_object([marks.at(across + rng.normal(0, 0.03), rng.uniform(0.62, 0.8))])[0]
        t = np.linspace(-0.15, math.pi + 0.15, 26)
        arc = np.stack([radius * np.cos(t), deep * radius * np.sin(t)], 1)
        pen.wire(centre + arc, thick * (2 if metal == "plastic" else 1), metal)


@foreign_object("tubing", weight=1.0, anchored=True, upright=True)
def tubing(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """Oxygen tubing: a soft tube that crosses the image."""
    pen.part("tube")
    rows, columns = marks.size
    side = 1 if rng.random() < 0.5 else -1
    start = (marks.midline + side * rng.uniform(0.05, 0.2) * columns, -10.0)
    end = (columns / 2 + side * (columns / 2 + 12), rng.uniform(0.3, 0.95) * rows)
    bend = marks.at(side * rng.uniform(0.1, 0.8), rng.uniform(0.0, 0.5))
    later = ((bend[0] + end[0]) / 2 + rng.normal(0, 0.05) * columns, (bend[1] + end[1]) / 2 + 0.06 * rows)
    outer = rng.uniform(2.0, 3.2)
    pen.wire(curve([start, bend, later, end]), outer, "rubber", bore=0.62 * outer, in_pixels=True)
