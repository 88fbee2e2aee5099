"""Whether an archive's copy of an object is that object."""

from __future__ import annotations

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from xiqa.dicom.net.instance import Instance

__all__ = ["differences"]

#: What archives may correct: names and numbers of patient, study and request, and paddings.
_CORRECTED_GROUPS = (0x0010, 0x0032, 0x0038, 0x0040, 0xFFFA, 0xFFFC)
_CORRECTED = {
    *(0x00080001, 0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080054, 0x00080056),
    *(0x00080080, 0x00080090, 0x00081010, 0x00081030, 0x00081110, 0x00200010),
}
_PIXELS = (0x7FE00001, 0x7FE00002, 0x7FE00010)


def differences(ours: Instance, theirs: Instance) -> list[str]:
    """Keywords of the elements in which a copy differs from the original.

    Names of patients, accession numbers and such may be corrected by an archive and do not count; pixels
    count where both are encoded alike.
    """
    first, second = _elements(ours), _elements(theirs)
    alike = ours.transfer_syntax == theirs.transfer_syntax
    tags = {tag for tag in {*first.keys(), *second.keys()} if _counts(tag)}
    if not alike:
        tags -= set(_PIXELS)
    return [_name(tag) for tag in sorted(tags) if _value(first, tag) != _value(second, tag)]


def _elements(instance: Instance) -> Dataset:
    syntax = UID(instance.transfer_syntax)
    return read_dataset(BytesIO(instance.content), syntax.is_implicit_VR, syntax.is_little_endian)


def _counts(tag: int) -> bool:
    group, private = tag >> 16, (tag >> 16) % 2
    return not private and group not in _CORRECTED_GROUPS and tag not in _CORRECTED and tag & 0xFFFF != 0


def _value(ds: Dataset, tag: int) -> object:
    """An element's value, or None; an empty one is as good as none."""
    if tag not in ds:
        return None
    value = ds[tag].value
    return value if value not in ("", b"", None, []) else None


def _name(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415 - only for what differs

    return keyword_for_tag(tag) or f"{tag:08X}"
