"""Files that an assessing process leaves beside its verdict: heat maps for the page, and result objects."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from xiqa.types import SaliencyMap

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["map_path", "read_map", "write_map", "write_synced"]


def map_path(folder: Path, uid: str) -> Path:
    """Where the map of an image lies.

    Args:
        folder: The node's.
        uid: SOP Instance UID of the image, digits and dots.
    """
    return folder / "maps" / f"{uid}.json.gz"


def write_map(saliency: SaliencyMap, path: Path) -> None:
    """Write a map, raw, with all that places it on its image."""
    path.write_bytes(gzip.compress(json.dumps(saliency.to_dict()).encode("ascii"), 4))


def read_map(path: Path) -> SaliencyMap | None:
    """The map that `write_map` wrote; None where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return SaliencyMap.from_dict(json.loads(gzip.decompress(content)))


def write_synced(result: Dataset, path: Path) -> None:
    """Write a DICOM object so that it outlives a power cut."""
    from pydicom import dcmwrite  # noqa: PLC0415

    with path.open("wb") as file:
        dcmwrite(file, result, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())
