"""Functional groups: what an enhanced image says of each frame, or of all."""

from __future__ import annotations

from pydicom.dataset import Dataset

__all__ = ["functional_group"]


def functional_group(data: Dataset, frame: int, keyword: str) -> Dataset | None:
    """The item of a functional group for one frame, its own or the shared one."""
    per_frame = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = data.get("SharedFunctionalGroupsSequence") or []
    for group in (*per_frame[frame : frame + 1], *shared[:1]):
        if group.get(keyword):
            item: Dataset = group[keyword].value[0]
            return item
    return None
