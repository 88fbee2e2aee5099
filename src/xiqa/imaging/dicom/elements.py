"""Numbers and 16-bit words of data elements, whatever value representation a writer gave them.

What a file says of itself is taken as it stands in its bytes: pydicom would refuse a decimal comma, hand out
text letter by letter, or leave words in the byte order of the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

__all__ = ["BrokenElementError", "choice", "choices", "numbers", "octets", "words"]

_KINDS = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "UV": "u8", "SV": "i8", "FL": "f4", "FD": "f8"}
_NUMERIC_TEXT = ("DS", "IS")
_BYTES = ("OB", "OW", "OD", "OF", "OL", "OV", "UN")


class BrokenElementError(ValueError):
    """An element whose value is not what its keyword promises; the message names it."""


def numbers(data: Dataset, keyword: str, notes: list[str] | None = None) -> list[float]:
    """The numbers of an element; none where it is absent or empty.

    Args:
        data: Where to look.
        keyword: The element.
        notes: Gets a line for what was read although it is not written as the standard wants it.

    Raises:
        BrokenElementError: A value is no finite number.
    """
    kind, value, little = _content(data, keyword)
    if kind in _KINDS and isinstance(value, bytes):
        usable = len(value) // np.dtype(_KINDS[kind]).itemsize * np.dtype(_KINDS[kind]).itemsize
        values = np.frombuffer(value[:usable], ("<" if little else ">") + _KINDS[kind]).tolist()
    else:
        values = _texts(value)
        if kind not in (*_NUMERIC_TEXT, *_KINDS) and values and notes is not None:
            notes.append(f"{keyword} has the value representation {kind}: it was read as numbers")
    return [_number(part, keyword, values, notes) for part in _trimmed(values, keyword, notes)]


def words(data: Dataset, keyword: str) -> tuple[NDArray[np.int64], str]:
    """An element's 16-bit words without sign, in the byte order of the file, and its value representation."""
    kind, value, little = _content(data, keyword)
    if not isinstance(value, bytes) or (kind in _KINDS and kind not in ("US", "SS")) or kind in _NUMERIC_TEXT:
        whole = np.asarray(numbers(data, keyword), dtype=np.float64)
        return np.rint(whole).astype(np.int64) % 65536, kind
    return np.frombuffer(value[: len(value) // 2 * 2], "<u2" if little else ">u2").astype(np.int64), kind


def octets(data: Dataset, keyword: str) -> NDArray[np.int64]:
    """An element's bytes in their order; words of a big-endian file hold theirs in swapped pairs."""
    kind, value, little = _content(data, keyword)
    if not isinstance(value, bytes):
        return np.asarray(numbers(data, keyword), dtype=np.int64)
    octets = np.frombuffer(value, "u1")
    if not little and kind in ("OW", "US", "SS") and len(octets) % 2 == 0:
        octets = octets.reshape(-1, 2)[:, ::-1].reshape(-1)
    return octets.astype(np.int64)


def choice(data: Dataset, keyword: str) -> str:
    """A coded word in capitals, without the blanks around it; the first of several, empty where absent."""
    return next(iter(choices(data, keyword)), "")


def choices(data: Dataset, keyword: str) -> list[str]:
    """All coded words of an element; see `choice`."""
    words = (str(value).strip(" \0").upper() for value in _texts(_content(data, keyword)[1]))
    return [word for word in words if word]


def _content(data: Dataset, keyword: str) -> tuple[str, Any, bool]:
    """An element's value representation, its value (bytes as they stand in a file) and their byte order."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    element: Any = data.get_item(tag) if tag in data else None
    if element is None:
        return dictionary_VR(tag), None, True
    if not isinstance(element, RawDataElement):
        return str(element.VR), element.value, data.original_encoding[1] is not False
    kind = element.VR or dictionary_VR(tag)
    if kind == "UN" and not _is_text(element.value):
        kind = dictionary_VR(tag)
    if kind == "US or SS":
        kind = "SS" if data.get("PixelRepresentation") == 1 else "US"
    return ("OW" if kind == "US or OW" else kind), element.value, element.is_little_endian


def _is_text(value: bytes | None) -> bool:
    return bool(value) and all(32 <= byte < 127 for byte in (value or b"").rstrip(b"\0"))


def _texts(value: Any) -> list[Any]:
    """The single values of an element: numbers as they are, text split at its backslashes."""
    if value is None or value == "":
        return []
    if isinstance(value, bytes):
        value = value.decode("latin-1").rstrip(" \0")
    if isinstance(value, str):
        return value.split("\\") if value.strip() else []
    return list(value) if hasattr(value, "__iter__") else [value]


def _trimmed(values: list[Any], keyword: str, notes: list[str] | None) -> list[Any]:
    """Without the empty values at the end."""
    kept = list(values)
    while kept and isinstance(kept[-1], str) and not kept[-1].strip(" \0"):
        kept.pop()
    if len(kept) < len(values) and kept and notes is not None:
        notes.append(f"{keyword} ends with an empty value")
    return kept


def _number(part: Any, keyword: str, values: list[Any], notes: list[str] | None) -> float:
    text = str(part).strip(" \0")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
        if notes is not None:
            notes.append(f"{keyword} has a decimal comma: it was read as {text}")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        shown = "\\".join(str(value) for value in values)
        raise BrokenElementError(f"{keyword} is no number: {shown[:60]!r}")
    return number
