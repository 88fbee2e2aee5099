"""Lookup tables of DICOM sequences and palettes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xiqa.errors import ImageReadError
from xiqa.imaging.dicom.elements import BrokenElementError, octets, words

__all__ = ["Range", "Table", "first_table", "read_table"]

Values = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table: entry i is for the input ``first + i``."""

    entries: Values
    first: int
    bits: int

    def __call__(self, values: Values) -> Values:
        """Inputs outside the table take its first or last entry (PS3.3 C.11.1.1)."""
        index = (np.rint(values) - self.first).clip(0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index]

    @property
    def span(self) -> Range:
        """Smallest and largest entry."""
        return float(self.entries.min()), float(self.entries.max())

    def spanned(self) -> Table:
        """The same table with its smallest entry at 0 and its largest at 1."""
        low, high = self.span
        return Table((self.entries - low) / ((high - low) or 1), self.first, self.bits)


def first_table(
    data: Dataset, keyword: str, name: str, notes: list[str], inputs: Range | None
) -> Table | None:
    """The first table of a LUT sequence.

    Args:
        data: Where the sequence may stand.
        keyword: Of the sequence.
        name: What to call its tables.
        notes: Gets a line for what was chosen or left out.
        inputs: Smallest and largest value that may come in; None where it is not known.

    Raises:
        ImageReadError: ``bad_lut``.
    """
    items = data.get(keyword)
    if not items:
        return None
    if isinstance(items, bytes | str) or not all(isinstance(item, Dataset) for item in items):
        raise ImageReadError(f"the {name} cannot be used", code="bad_lut", got=f"{keyword} without items")
    if len(items) > 1:
        notes.append(f"the first of {len(items)} {name}s was applied")
    if not len(items[0]):
        notes.append(f"an empty item of {keyword} was left out")
        return None
    try:
        return read_table(items[0], "LUTDescriptor", "LUTData", inputs)
    except ValueError as error:
        raise ImageReadError(f"the {name} cannot be used", code="bad_lut", got=str(error)) from error


def read_table(data: Dataset, descriptor: str, content: str, inputs: Range | None) -> Table:
    """A table from its descriptor (entries, first input, bits) and its data.

    The number of entries and the bits never have a sign, whatever the descriptor's value representation; the
    first input has one where negative values may come in, or the table would lie beside all inputs.

    Raises:
        ValueError: They do not fit each other, or one is missing.
    """
    described, kind = words(data, descriptor)
    if len(described) < 3:
        raise BrokenElementError(f"{descriptor} has {len(described)} values instead of 3")
    count, first, bits = (int(number) for number in described[:3])
    count = count or 65536
    entries, wide = _entries(data, content, count, bits)
    if len(entries) < count or not 1 <= bits <= 16:
        raise BrokenElementError(
            f"{content} has {len(entries)} entries, {descriptor} says {count} of {bits} bits"
        )
    return Table(entries.astype(np.float64), _first_input(first, count, kind, inputs), bits if wide else 8)


def _entries(data: Dataset, content: str, count: int, bits: int) -> tuple[NDArray[np.int64], bool]:
    """The entries, and whether they are words; tables of 8 bits may be packed as bytes."""
    entries, _ = words(data, content)
    if len(entries) >= count:
        return entries[:count], True
    packed = octets(data, content)
    if len(packed) == count or (bits <= 8 and len(packed) >= count):
        return packed[:count], False
    return entries, True


def _first_input(first: int, count: int, kind: str, inputs: Range | None) -> int:
    """The descriptor's second value with the sign it must have."""
    negative = first - 65536 if first >= 32768 else first
    low, high = inputs or (0.0, 65535.0)
    likely = negative if kind == "SS" or low < 0 else first
    other = first if likely == negative else negative
    return next((start for start in (likely, other) if start <= high and start + count > low), likely)
