"""Groups of annotated objects, by which scores are told apart.

Every annotation either is a problem, a reason why its image is poor, or is none. A data set may put its
objects into further groups of any name, such as those that can be removed.
"""

from __future__ import annotations

from collections.abc import Iterable

from xiqa.types import Annotation

__all__ = ["PROBLEM", "members"]

PROBLEM = "problem"
"""The group of the objects that make an image poor."""


def members(annotations: Iterable[Annotation], group: str = PROBLEM) -> list[Annotation]:
    """The annotations of a group, in their order.

    >>> from xiqa.geometry import Box
    >>> pacemaker = Annotation(Box(1, 1, 3, 3), problem=False, groups=("metal",))
    >>> members([pacemaker]), len(members([pacemaker], "metal"))
    ([], 1)
    """
    if group == PROBLEM:
        return [annotation for annotation in annotations if annotation.problem]
    return [annotation for annotation in annotations if group in annotation.groups]
