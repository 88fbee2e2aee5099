"""Palette images: indices as RGB (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xiqa.errors import ImageReadError
from xiqa.imaging.dicom.elements import BrokenElementError, octets, words
from xiqa.imaging.dicom.tables import Range, Table, read_table
from xiqa.types import FloatArray

__all__ = ["palette_colours"]

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def palette_colours(
    indices: NDArray[Any], data: Dataset, inputs: Range | None
) -> tuple[FloatArray, list[str]]:
    """The colours ``(H, W, 3)`` in [0, 1] of palette indices ``(H, W)``, and notes.

    Args:
        indices: Stored values.
        data: Where the palette stands.
        inputs: Smallest and largest value that the bits stored can express.

    Raises:
        ImageReadError: ``bad_lut``.
    """
    try:
        tables = [_table(data, colour, inputs) for colour in _COLOURS]
    except ValueError as error:
        raise ImageReadError(
            "the palette cannot be used",
            code="bad_lut",
            expected="a palette of three colours",
            got=str(error),
        ) from error
    bits, notes = _depth(tables)
    top = (1 << bits) - 1
    planes = [(table(indices.astype(np.float64)) / top).astype(np.float32) for table in tables]
    return np.stack(planes, axis=-1), notes


def _depth(tables: Sequence[Table]) -> tuple[int, list[str]]:
    """The bits that the entries have, which a descriptor of 8 or 16 may get wrong."""
    bits, largest = max(table.bits for table in tables), max(table.span[1] for table in tables)
    if largest >= 1 << bits:
        return 16, [f"the palette's entries have 16 bits, not {bits} as its descriptor says"]
    if bits == 16 and 0 < largest < 256:
        return 8, ["the palette's entries have 8 bits, not 16 as its descriptor says"]
    return bits, []


def _table(data: Dataset, colour: str, inputs: Range | None) -> Table:
    descriptor = f"{colour}PaletteColorLookupTableDescriptor"
    content = f"{colour}PaletteColorLookupTableData"
    segments = f"Segmented{content}"
    if content in data or segments not in data:
        return read_table(data, descriptor, content, inputs)
    described, _ = words(data, descriptor)
    if len(described) < 3:
        raise BrokenElementError(f"{descriptor} has {len(described)} values instead of 3")
    count, first, bits = (int(number) for number in described[:3])
    narrow = bits <= 8
    entries = _expanded((octets if narrow else _words)(data, segments).tolist(), count or 65536, narrow)
    return Table(np.asarray(entries, dtype=np.float64), first, bits)


def _words(data: Dataset, keyword: str) -> NDArray[np.int64]:
    """An element's 16-bit words."""
    return words(data, keyword)[0]


def _expanded(coded: Sequence[int], count: int, narrow: bool) -> list[int]:
    """The entries of a segmented palette; ``narrow`` where it is coded in bytes.

    Raises:
        BrokenElementError: The segments give another number of entries.
    """
    entries: list[int] = []
    for kind, values in _segments(coded, count, narrow):
        if kind == _DISCRETE:
            entries += values
        elif kind == _LINEAR and entries:
            length, last = values
            entries += np.rint(np.linspace(entries[-1], last, length + 1)[1:]).astype(int).tolist()
        else:
            raise BrokenElementError("a segment of the palette is of no known kind")
        if len(entries) > count:
            break
    if len(entries) != count:
        raise BrokenElementError(f"the palette's segments give {len(entries)} entries instead of {count}")
    return entries


def _segments(coded: Sequence[int], count: int, narrow: bool) -> list[tuple[int, list[int]]]:
    """(kind, numbers) of the segments in their order, those that are referred to put in."""
    segments: list[tuple[int, list[int]]] = []
    starts: dict[int, int] = {}
    place = 0
    try:
        while place < len(coded) - 1 and len(segments) <= count:
            kind, length = coded[place], coded[place + 1]
            starts[place] = len(segments)
            if kind == _INDIRECT:
                offset, place = _offset(coded, place + 2, narrow)
                first = starts[offset if narrow or offset // 2 not in starts else offset // 2]
                segments += segments[first : first + length]
            elif kind == _DISCRETE:
                segments.append((kind, list(coded[place + 2 : place + 2 + length])))
                place += 2 + length
            else:
                segments.append((kind, [length, coded[place + 2]]))
                place += 3
    except (IndexError, KeyError) as error:
        raise BrokenElementError("a segment of the palette refers to nothing") from error
    return segments


def _offset(coded: Sequence[int], place: int, narrow: bool) -> tuple[int, int]:
    """The offset in bytes that an indirect segment names, low part first, and where the next one starts."""
    count, bits = (4, 8) if narrow else (2, 16)
    parts = [coded[place + index] << (bits * index) for index in range(count)]
    return sum(parts), place + count
