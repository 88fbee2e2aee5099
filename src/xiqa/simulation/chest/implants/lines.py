"""Implanted devices: visible, but no reason to repeat an image."""

from __future__ import annotations

import math

import numpy as np

from xiqa.simulation.chest.landmarks import Landmarks
from xiqa.simulation.chest.objects import Draw, curve
from xiqa.simulation.chest.pen import Pen

__all__ = ["IMPLANTS"]


def _vein(marks: Landmarks, side: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """From below a clavicle over the brachiocephalic vein into the superior vena cava."""
    return [
        marks.at(side * rng.uniform(0.55, 0.65), rng.uniform(0.10, 0.16)),
        marks.at(side * 0.28, rng.uniform(0.08, 0.13)),
        marks.at(-0.05, rng.uniform(0.20, 0.26)),
        marks.at(-0.13, rng.uniform(0.34, 0.4)),
        marks.at(-0.14, rng.uniform(0.46, 0.62)),
    ]


def line(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A central venous catheter from the neck or the arm."""
    pen.part("line")
    side = -1 if rng.random() < 0.65 else 1
    course = _vein(marks, side, rng)
    if rng.random() < 0.5:
        course[:2] = [marks.at(side * 0.2, -0.22), marks.at(side * 0.15, -0.02)]
    else:
        course.insert(0, marks.at(side * rng.uniform(1.0, 1.2), rng.uniform(0.1, 0.3)))
    pen.wire(curve(course), rng.uniform(0.7, 1.1), "barium", bore=0.3, in_pixels=True)


def port(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A port chamber under the skin and its catheter."""
    pen.part("port")
    side = -1 if rng.random() < 0.65 else 1
    place = marks.at(side * rng.uniform(0.5, 0.68), rng.uniform(0.22, 0.36))
    centre = pen.to_object([place])[0]
    spot = (float(centre[0]), float(centre[1]))
    pen.ring(spot, 12, 8.5, "titanium", rng.uniform(1.5, 4))
    pen.disc(spot, 9, "titanium", rng.uniform(0.6, 1.5))
    pen.ring(spot, 6.5, 5.5, "titanium", 2)
    pen.part("line")
    pen.wire(curve([place, *_vein(marks, side, rng)[1:]]), 0.9, "barium", bore=0.4, in_pixels=True)


def pacemaker(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A generator below the left clavicle with one or two leads into the heart."""
    pen.part("pacemaker")
    place = marks.at(rng.uniform(0.62, 0.78), rng.uniform(0.18, 0.3))
    centre = pen.to_object([place])[0]
    turn = rng.normal(0, 0.3)
    pen.bar((centre[0], centre[1]), (21, 18), "titanium", 3.5, corner=12, turn=turn)
    pen.bar((centre[0] + 2, centre[1] + 3), (13, 9), "steel", 2.0, corner=3, turn=turn)
    pen.bar((centre[0], centre[1] - 11), (12, 4), "steel", 0.5, corner=2, turn=turn)
    tips = [marks.at(0.32, 0.92), marks.at(-0.14, 0.72)]
    for tip in tips[: int(rng.integers(1, 3))]:
        pen.part("wire")
        middle = [marks.at(0.25, 0.1), marks.at(-0.1, 0.22), marks.at(-0.16, 0.5)]
        turn_in = ((middle[-1][0] + tip[0]) / 2, max(tip[1], middle[-1][1]) + 4)
        pen.wire(curve([place, *middle, turn_in, tip]), 0.8, "steel", in_pixels=True)


def sternal_wires(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """Wire loops that hold a breastbone together after heart surgery."""
    for k in range(int(rng.integers(4, 8))):
        pen.part("wire")
        x, y = pen.to_object([marks.at(rng.normal(0, 0.02), 0.16 + 0.11 * k)])[0]
        broad, tall, lean = rng.uniform(7, 11), rng.uniform(3, 5), rng.normal(0, 0.2)
        t = np.linspace(0.3, 2 * math.pi + 0.1, 16)
        loop = np.stack([broad * np.cos(t), tall * np.sin(t) + lean * broad * np.cos(t)], 1)
        pen.wire(np.array([x, y]) + loop, 0.5, "steel")
        pen.wire([(x + 0.5, y + tall), (x - 1, y + tall + 4), (x + 1, y + tall + 7)], 0.6, "steel")


def surgical_clips(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A cluster of small clips."""
    pen.part("surgical_clip")
    middle = pen.to_object([marks.at(rng.uniform(-0.8, 0.8), rng.uniform(0.2, 0.9))])[0]
    for _ in range(int(rng.integers(3, 8))):
        x, y = middle + rng.normal(0, 14, 2)
        pen.bar((x, y), (rng.uniform(2, 3.6), 0.6), "titanium", 2.5, turn=rng.uniform(0, math.pi))


IMPLANTS: dict[str, Draw] = {
    "line": line,
    "port": port,
    "pacemaker": pacemaker,
    "sternal_wires": sternal_wires,
    "surgical_clips": surgical_clips,
}
