"""The numbers that make one patient and one way of taking the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Body", "Side", "draw_body"]


@dataclass(frozen=True, slots=True)
class Side:
    """One half of the chest; ``sign`` is -1 for the patient's right (left in the image).

    Attributes:
        sign: Direction of ``x``.
        dome: Height of the diaphragm's top, mm.
        dome_x: Distance of that top from the midline, mm.
        shoulder: Shoulder joint as (distance from the midline, y), mm.
        abduction: Angle of the upper arm from the vertical, radians.
    """

    sign: int
    dome: float
    dome_x: float
    shoulder: tuple[float, float]
    abduction: float


@dataclass(frozen=True, slots=True)
class Body:
    """One patient; lengths in millimetres, about those of an adult.

    Attributes:
        female: Sex, which decides size and breasts.
        portable: An AP image at the bedside: large heart, high diaphragm, scapulae over the lungs.
        scale: Size relative to an average man's.
        half_width: Inner half-width of the chest at its widest.
        half_depth: Inner half-depth of the chest.
        apex: Height of the lungs' tops.
        wall: Thickness of muscle and fat outside the ribs, at the side.
        heart: Size of the heart relative to the usual.
        turn: Sideways shift of the middle structures against the rib cage, from a turned patient.
        breast: Thickness of a breast; 0 for none.
        right: The patient's right half.
        left: The patient's left half.
        opacity: How much of the lungs' air is lost in patches, 0 to 1.
        effusion: Height of fluid on the (right, left) side.
        lung_density: Density of lung tissue relative to water.
        bubble: A stomach bubble is there.
        chin: How far the chin hangs into the image, mm; 0 for a head held up.
        bone: Mineral of the ribs relative to the usual.
    """

    female: bool
    portable: bool
    scale: float
    half_width: float
    half_depth: float
    apex: float
    wall: float
    heart: float
    turn: float
    breast: float
    right: Side
    left: Side
    opacity: float
    effusion: tuple[float, float]
    lung_density: float
    bubble: bool
    chin: float
    bone: float


def _draw_side(
    rng: np.random.Generator, sign: int, scale: float, portable: bool, dome: float, apex: float
) -> Side:
    return Side(
        sign=sign,
        dome=dome,
        dome_x=scale * rng.uniform(68, 82),
        shoulder=(scale * rng.uniform(168, 192), apex + scale * rng.uniform(24, 48)),
        abduction=float(rng.uniform(0.0, 0.2) if portable else rng.uniform(0.1, 0.5)),
    )


def draw_body(rng: np.random.Generator) -> Body:
    """Draw one patient and projection."""
    female = bool(rng.random() < 0.47)
    portable = bool(rng.random() < 0.5)
    scale = float(np.clip(rng.normal(0.93 if female else 1.0, 0.045), 0.82, 1.1))
    apex = scale * rng.uniform(-142, -124)
    breath = scale * (rng.uniform(25, 88) if portable else rng.uniform(62, 112))
    fat = float(rng.gamma(3.0, 5.0))
    opacity = float(rng.beta(1.2, 3) if rng.random() < (0.6 if portable else 0.3) else 0)
    effusion = [scale * rng.uniform(15, 70) * (rng.random() < (0.22 if portable else 0.06)) for _ in range(2)]
    return Body(
        female=female,
        portable=portable,
        scale=scale,
        half_width=scale * rng.uniform(128, 148),
        half_depth=scale * rng.uniform(86, 106),
        apex=apex,
        wall=scale * rng.uniform(24, 36) + 0.8 * fat,
        heart=scale * float(np.clip(rng.normal(1.12 if portable else 0.98, 0.1), 0.8, 1.45)),
        turn=float(rng.normal(0, 7 if portable else 3)),
        breast=scale * rng.uniform(12, 42) * (1 + fat / 60) if female else rng.uniform(0, 7),
        right=_draw_side(rng, -1, scale, portable, breath, apex),
        left=_draw_side(rng, 1, scale, portable, breath + scale * rng.uniform(2, 20), apex),
        opacity=opacity,
        effusion=(float(effusion[0]), float(effusion[1])),
        lung_density=float(rng.uniform(0.16, 0.28)),
        bubble=bool(rng.random() < 0.55),
        bone=float(rng.uniform(1.1, 1.9)),
        chin=float(rng.uniform(10, 60) if rng.random() < (0.6 if portable else 0.2) else 0),
    )
