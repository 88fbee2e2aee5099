"""Reading a data set whose layout is named, or told from the files in it."""

from __future__ import annotations

from pathlib import Path

from xiqa.datasets.collection import Collection, require_no_leak
from xiqa.datasets.layout import get_layout, layouts
from xiqa.errors import DatasetError

__all__ = ["AUTO", "read_dataset"]

AUTO = "auto"
"""In the place of a layout's name: recognise it."""


def read_dataset(path: Path, layout: str = AUTO, *, leaks: bool = False) -> Collection:
    """A data set of any known layout.

    Args:
        path: A folder, a CSV file or a COCO JSON file.
        layout: A name among `xiqa.datasets.layout.layouts`, or ``auto``: recognised by its files.
        leaks: Whether a patient may lie in two splits, as when a leak is to be told rather than refused.

    Returns:
        The data set.

    Raises:
        DatasetError: There is nothing, it has another layout, its reader refuses it, or a patient lies in two
            splits.
    """
    if not path.exists():
        raise DatasetError("no data set", expected="a folder or a CSV or JSON file", got=str(path))
    wanted = layouts() if layout == AUTO else [get_layout(layout)]
    reader = next((known for known in wanted if known.recognise(path)), None)
    if reader is None:
        fitting = [known.name for known in layouts() if known.recognise(path)]
        raise DatasetError(
            f"{path} has another layout",
            expected=", ".join(known.name for known in wanted),
            got=fitting[0] if fitting else "none that is known",
            todo="docs/datasets.md shows each",
        )
    collection = reader.read(path)
    if not leaks:
        require_no_leak(collection.samples)
    return collection
