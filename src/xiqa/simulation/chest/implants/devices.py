"""Electronics, joints, drains and chalk: what a frontal chest shows besides lines and wires and keeps."""

from __future__ import annotations

import math

import numpy as np

from xiqa.simulation.chest.landmarks import Landmarks
from xiqa.simulation.chest.objects import Draw, curve
from xiqa.simulation.chest.pen import Pen

__all__ = ["DEVICES"]

Place = tuple[float, float]


def _generator(pen: Pen, place: Place, half: tuple[float, float], rng: np.random.Generator) -> None:
    """A pulse generator: a rounded can, the battery and the board inside it, screws in its header."""
    x, y = (float(value) for value in pen.to_object([place])[0])
    turn = rng.normal(0, 0.5)
    across, down = half
    pen.bar((x, y), (across, down), "titanium", rng.uniform(2.5, 4.5), corner=0.6 * min(half), turn=turn)
    pen.bar((x + 0.1 * across, y + 0.2 * down), (0.6 * across, 0.5 * down), "steel", 2.0, corner=3, turn=turn)
    pen.bar(
        (x - 0.3 * across, y - 0.3 * down), (0.3 * across, 0.2 * down), "copper", 0.6, corner=1, turn=turn
    )
    for screw in range(int(rng.integers(2, 5))):
        pen.disc((x + 3.5 * screw - 5, y - down - 2), 1.1, "steel", 1.5)


def _into_heart(pen: Pen, place: Place, side: int, marks: Landmarks, rng: np.random.Generator) -> None:
    """Leads over the subclavian vein to the heart; a defibrillator's bear thicker shock coils."""
    coils = rng.random() < 0.5
    tips = [marks.at(rng.uniform(0.2, 0.5), rng.uniform(0.82, 0.97)), marks.at(-0.14, rng.uniform(0.6, 0.75))]
    tips.append(marks.at(rng.uniform(0.5, 0.75), rng.uniform(0.55, 0.75)))
    for number, tip in enumerate(tips[: int(rng.integers(1, 4))]):
        pen.part("wire")
        course = [marks.at(0.25 * side, 0.1), marks.at(-0.1, 0.22), marks.at(-0.16, 0.5)]
        bend = ((course[-1][0] + tip[0]) / 2, max(tip[1], course[-1][1]) + 4)
        path = curve([place, *course, bend, tip])
        pen.wire(path, rng.uniform(0.6, 1.0), "steel", in_pixels=True)
        if coils and number == 0:
            pen.wire(path[-len(path) // 6 :], rng.uniform(1.2, 1.7), "titanium", in_pixels=True)
            if rng.random() < 0.5:
                third = len(path) // 3
                pen.wire(
                    path[third : third + len(path) // 8], rng.uniform(1.2, 1.7), "titanium", in_pixels=True
                )


def pulse_generator(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A pacemaker or defibrillator of any size on either side, with leads, or abandoned without."""
    side = 1 if rng.random() < 0.75 else -1
    place = marks.at(side * rng.uniform(0.55, 0.95), rng.uniform(0.08, 0.34))
    pen.part("pacemaker")
    long = rng.uniform(17, 34)
    _generator(pen, place, (long, long * rng.uniform(0.75, 1.05)), rng)
    if rng.random() < 0.9:
        _into_heart(pen, place, side, marks, rng)


def loop_recorder(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A stick under the skin beside the breastbone."""
    pen.part("loop_recorder")
    x, y = pen.to_object([marks.at(rng.uniform(0.05, 0.5), rng.uniform(0.4, 0.75))])[0]
    turn = rng.uniform(0.3, 1.3)
    long, broad = (22, 3.6) if rng.random() < 0.6 else (30, 9)
    pen.bar((float(x), float(y)), (long, broad), "titanium", rng.uniform(1.5, 3), corner=broad, turn=turn)
    shift = 0.4 * long
    inner = (float(x + shift * math.cos(turn)), float(y + shift * math.sin(turn)))
    pen.bar(inner, (0.35 * long, 0.6 * broad), "steel", 1.2, corner=1, turn=turn)


def stimulator(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A nerve stimulator: a can on the chest and a lead up the neck."""
    side = 1 if rng.random() < 0.6 else -1
    place = marks.at(side * rng.uniform(0.5, 0.8), rng.uniform(0.15, 0.4))
    pen.part("pacemaker")
    _generator(pen, place, (rng.uniform(18, 26), rng.uniform(18, 26)), rng)
    pen.part("wire")
    pen.wire(
        curve([place, marks.at(0.4 * side, 0.0), marks.at(0.25 * side, -0.3)]), 0.8, "steel", in_pixels=True
    )


def shoulder_prosthesis(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A metal head and stem in the upper arm."""
    pen.part("prosthesis")
    side = 1 if rng.random() < 0.5 else -1
    x, y = (
        float(v) for v in pen.to_object([marks.at(side * rng.uniform(1.15, 1.4), rng.uniform(-0.05, 0.1))])[0]
    )
    radius = rng.uniform(17, 24)
    pen.disc((x, y), radius, "titanium", rng.uniform(8, 16))
    lean = side * rng.uniform(0.0, 0.35)
    ahead = 55.0
    stem = (x + side * 6 + ahead * math.sin(lean), y + ahead * math.cos(lean))
    pen.bar(stem, (ahead, rng.uniform(5, 8)), "titanium", 9.0, corner=4, turn=math.pi / 2 - lean)


def drain(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """A chest drain with its stripe, from the flank to the apex or the base."""
    pen.part("drain")
    side = 1 if rng.random() < 0.5 else -1
    end = marks.at(side * rng.uniform(0.2, 0.6), rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.7, 0.95)]))
    middle = marks.at(side * rng.uniform(0.6, 0.9), rng.uniform(0.4, 0.75))
    start = marks.at(side * rng.uniform(1.05, 1.3), rng.uniform(0.55, 0.95))
    path = curve([start, middle, end])
    pen.wire(path, rng.uniform(3.0, 4.5), "plastic", bore=0.7, in_pixels=True)
    pen.wire(path, rng.uniform(0.5, 0.9), "barium", in_pixels=True)


def chalk(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """Calcified nodes, granulomas or plaques: irregular grains, alone or in clusters."""
    pen.part("calcification")
    for _ in range(int(rng.integers(1, 5))):
        x, y = pen.to_object([marks.at(rng.uniform(-0.85, 0.85), rng.uniform(0.1, 0.95))])[0]
        extent = rng.uniform(1.5, 7)
        for _ in range(int(rng.integers(3, 12))):
            at = (float(x + rng.normal(0, extent)), float(y + rng.normal(0, extent)))
            half = tuple(rng.uniform(0.2, 0.7, 2) * extent)
            pen.bar(
                at, (half[0], half[1]), "aluminium", rng.uniform(2, 9), corner=0.3, turn=rng.uniform(0, 3.1)
            )


def heart_valve(pen: Pen, marks: Landmarks, rng: np.random.Generator) -> None:
    """The ring of a prosthetic valve, seen at an angle, as a short thick loop."""
    pen.part("valve")
    x, y = pen.to_object([marks.at(rng.uniform(0.0, 0.25), rng.uniform(0.55, 0.8))])[0]
    broad, tall, lean = rng.uniform(9, 14), rng.uniform(2, 9), rng.uniform(0, math.pi)
    t = np.linspace(0, 2 * math.pi, 24)
    ring = np.stack([broad * np.cos(t), tall * np.sin(t)], 1)
    turn = np.array([[math.cos(lean), -math.sin(lean)], [math.sin(lean), math.cos(lean)]])
    pen.wire(np.array([x, y]) + ring @ turn.T, rng.uniform(0.6, 1.3), "steel")


DEVICES: dict[str, Draw] = {
    "pulse_generator": pulse_generator,
    "loop_recorder": loop_recorder,
    "stimulator": stimulator,
    "shoulder_prosthesis": shoulder_prosthesis,
    "drain": drain,
    "calcification": chalk,
    "heart_valve": heart_valve,
}
