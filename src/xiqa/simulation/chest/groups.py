"""What is said of an object on a chest radiograph, as the generic `Annotation` holds it.

An object is *removable* (a button, not a pacemaker), lies over the thorax or *outside*, and is *compact* (its
box is tight) or not. The image is poor when a removable object lies over the thorax: this is a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xiqa.types import Annotation

if TYPE_CHECKING:
    from xiqa.geometry import Box
    from xiqa.types import MaskArray

__all__ = ["COMPACT", "COMPACT_KINDS", "OUTSIDE", "REMOVABLE", "THORAX", "chest_object", "zone_of"]

REMOVABLE, COMPACT, OUTSIDE = "removable", "compact", "outside"
THORAX = "thorax"

COMPACT_KINDS = frozenset({"electrode", "button", "clip", "hook", "pin", "jewellery"})
"""Kinds whose boxes are tight; leads, tubes and wires have coarse boxes that are mostly background."""


def chest_object(
    box: Box, kind: str, *, removable: bool, zone: str, mask: MaskArray | None = None
) -> Annotation:
    """The annotation of an object.

    Args:
        box: Its tightest box.
        kind: What it is.
        removable: False for an implanted device or a marker.
        zone: ``thorax`` or ``outside``.
        mask: Its pixels.

    >>> from xiqa.geometry import Box
    >>> button = chest_object(Box(1, 2, 4, 5), "button", removable=True, zone="outside")
    >>> button.problem, button.groups
    (False, ('removable', 'compact', 'outside'))
    """
    outside = zone == OUTSIDE
    groups = {REMOVABLE: removable, COMPACT: removable and kind in COMPACT_KINDS, OUTSIDE: outside}
    names = tuple(name for name, belongs in groups.items() if belongs)
    return Annotation(box, kind=kind, mask=mask, problem=removable and not outside, groups=names)


def zone_of(annotation: Annotation) -> str:
    """``thorax`` or ``outside``."""
    return OUTSIDE if OUTSIDE in annotation.groups else THORAX
