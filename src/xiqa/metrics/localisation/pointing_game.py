"""The Pointing Game, for one peak and for several."""

from __future__ import annotations

from math import inf, nan
from typing import Annotated, Any, Literal

from xiqa.metrics.arguments import Count, Map, NotNegative, Rule
from xiqa.metrics.registry import Cases, metric
from xiqa.metrics.truth import Shape, Truth, distance_to, objects_on
from xiqa.saliency.peaks import peak, peaks

__all__ = ["FRAMES", "pointing_game", "pointing_recall"]

Unit = Literal["pixels", "diagonal"]

#: Frames in which the papers measure the tolerance, as (rows, columns); ``image`` is the map's own grid.
FRAMES: dict[str, tuple[int, int] | None] = {"image": None, "object-cxr": (600, 600), "lvot": (224, 224)}


def _read_frame(frame: Any) -> Any:
    if isinstance(frame, str):
        FRAMES[frame]
        return frame
    rows, columns = frame
    if not (rows > 0 and columns > 0):
        raise ValueError
    return rows, columns


Frame = Annotated[
    str | tuple[int, int], Rule(" or ".join(map(repr, FRAMES)) + ", or (rows, columns)", _read_frame)
]

_CASES: Cases = {
    "no_truth": nan,
    "full_truth": 1.0,
    "constant": 0.0,
    "non_finite": 0.0,
    "ties": "first in row-major order",
}


@metric(
    "pointing_game",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="zhang2018excitation",
    cases=_CASES,
)
def pointing_game(
    saliency: Map,
    truth: Truth,
    *,
    tolerance: NotNegative = 15.0,
    unit: Unit = "pixels",
    frame: Frame = "image",
    strict: bool = True,
    shape: Shape = "exact",
) -> float:
    r"""Whether the map's highest pixel lies on an annotated object, or close to one.

    .. math:: \mathrm{PG} = \mathbb{1}\Bigl[\min_{o \in \text{truth}} d(p, o) < \tau\Bigr],
       \qquad p = \arg\max_{xy} S_{xy}

    with the distance :math:`d` from the peak to the nearest pixel of the object, 0 inside it.

    **Pitfalls.** The tolerance means nothing without the frame in which it is told: 15 px of a 600 px frame
    are 6 px of a 224 px frame. A detector whose map is constant or not finite has localised nothing; that is
    a miss, not a peak at (0, 0). Without an object there is nothing to hit: the value is NaN, not a hit.

    **Variants.** ``frame="object-cxr", tolerance=25, shape="box"`` is the setting of ozer2021explainable,
    ``tolerance=15`` that of ozer2025consistent; ``frame="lvot"`` their cardiac set. ``strict=False`` counts
    a distance of exactly the tolerance. Zhang et al. average over classes; here a value is one image's.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects, in the same grid.
        tolerance: :math:`\tau`, in the frame's pixels or as a fraction of the frame's diagonal.
        unit: ``pixels`` or ``diagonal``.
        frame: Name in `FRAMES` or (rows, columns) of the frame in which the distance is measured.
        strict: Whether a distance equal to the tolerance is a miss; a peak inside an object always hits.
        shape: ``exact`` or ``box`` (each object as its bounding box).

    Returns:
        1 for a hit, 0 for a miss, NaN without an object.

    Raises:
        MetricError: A parameter has no meaning.

    >>> import numpy as np
    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> saliency = np.zeros((20, 20)); saliency[2, 9] = 1.0
    >>> pointing_game(saliency, [Annotation(Box(12, 2, 15, 5))], tolerance=3)
    0.0
    >>> pointing_game(saliency, [Annotation(Box(12, 2, 15, 5))], tolerance=3, strict=False)
    1.0
    """
    size, scale, reach = _geometry(saliency, tolerance, unit, frame)
    objects, point = objects_on(truth, size, shape=shape), peak(saliency)
    if not objects:
        return nan
    if point is None:
        return 0.0
    distance = min(distance_to(a, point, size, scale=scale) for a in objects)
    return float(_hit(distance, reach, strict))


@metric(
    "pointing_recall",
    "localisation",
    higher_is_better=True,
    bounds=(0, 1),
    truth="objects",
    cite="zhang2018excitation",
    cases=_CASES,
)
def pointing_recall(
    saliency: Map,
    truth: Truth,
    *,
    tolerance: NotNegative = 15.0,
    unit: Unit = "pixels",
    frame: Frame = "image",
    strict: bool = True,
    shape: Shape = "exact",
    count: Count | None = None,
    separation: NotNegative | None = None,
) -> float:
    r"""The share of annotated objects that get a peak of their own, after non-maximum suppression.

    .. math:: R = \frac{1}{|\text{truth}|} \sum_{o \in \text{truth}} \mathbb{1}
       \bigl[\exists\, k \le K: d(p_k, o) < \tau\bigr]

    with the :math:`K` highest peaks :math:`p_k` that keep a distance from each other.

    **Pitfalls.** More peaks find more objects: compare methods at one ``count`` only. Two objects closer
    together than the separation can share one peak, which then counts for both.

    **Variants.** ``count=None`` gives as many peaks as there are objects; ``count=1`` asks how many objects
    the one peak of the Pointing Game reaches. An extension of zhang2018excitation, who look at one peak.

    Args:
        saliency: ``(H, W)`` on the image's grid.
        truth: The objects, in the same grid.
        tolerance: See `pointing_game`.
        unit: See `pointing_game`.
        frame: See `pointing_game`.
        strict: See `pointing_game`.
        shape: See `pointing_game`.
        count: Number of peaks :math:`K`; None: as many as objects.
        separation: Smallest distance between peaks in the frame's pixels; None: the tolerance.

    Returns:
        Share of objects found, NaN without an object.

    >>> import numpy as np
    >>> from xiqa.geometry import Box
    >>> from xiqa.types import Annotation
    >>> saliency = np.zeros((9, 40)); saliency[4, 3], saliency[4, 5], saliency[4, 30] = 9, 8, 7
    >>> objects = [Annotation(Box(2, 3, 4, 5)), Annotation(Box(29, 3, 31, 5))]
    >>> pointing_recall(saliency, objects, tolerance=4)
    1.0
    """
    size, scale, reach = _geometry(saliency, tolerance, unit, frame)
    objects = objects_on(truth, size, shape=shape)
    if not objects:
        return nan
    places = peaks(
        saliency,
        count=len(objects) if count is None else count,
        separation=reach if separation is None else separation,
        scale=scale,
    )
    distances = (min((distance_to(a, p, size, scale=scale) for p, _ in places), default=inf) for a in objects)
    reached = [_hit(distance, reach, strict) for distance in distances]
    return sum(reached) / len(objects)


def _hit(distance: float, reach: float, strict: bool) -> bool:
    return distance == 0 or distance < reach or (not strict and distance == reach)


def _geometry(
    saliency: Map, tolerance: float, unit: Unit, frame: Frame
) -> tuple[tuple[int, int], tuple[float, float], float]:
    """The grid's size, a pixel's length in the frame, and the tolerance in the frame's pixels."""
    size = (saliency.shape[0], saliency.shape[1])
    named = FRAMES[frame] if isinstance(frame, str) else frame
    rows, columns = named or size
    reach = tolerance if unit == "pixels" else tolerance * (rows**2 + columns**2) ** 0.5
    return size, (rows / size[0], columns / size[1]), reach
