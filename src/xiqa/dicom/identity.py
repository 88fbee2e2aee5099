"""UIDs that the result itself decides, so that the same result sent twice is the same object."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid5

__all__ = ["derived_uid"]

_NAMESPACE = UUID("6f5d1c1e-2c57-4f0b-9a55-6b1f6f0f7c3d")


def derived_uid(*parts: Any) -> str:
    """A UID of the form ``2.25.N`` (PS3.5 annex B.2) that follows from the parts, in their order.

    Args:
        parts: What tells this object from every other: texts, numbers, or lists of them.

    >>> derived_uid("1.2.3", 0, "sr") == derived_uid("1.2.3", 0, "sr") != derived_uid("1.2.3", 1, "sr")
    True
    """
    return f"2.25.{uuid5(_NAMESPACE, json.dumps(parts, sort_keys=True)).int}"
