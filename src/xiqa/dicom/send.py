"""Sending objects to an archive (Storage SCU), with the archive's own word on each."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xiqa.dicom.net.answers import Answer
from xiqa.dicom.net.destination import Destination
from xiqa.errors import MissingDependencyError

__all__ = ["Answer", "Destination", "send"]

#: One context an encoding, so that the objects stay as they are wherever the archive can take them so.
_ENCODINGS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def send(
    objects: Iterable[Dataset], to: Destination, *, calling: str = "XIQA", timeout: float = 30.0
) -> list[Answer]:
    """Send objects over one association.

    A status is the archive's, unaltered. An object without an answer may have been stored all the same; since
    the UIDs of results are stable, sending it again does no harm.

    Args:
        objects: Data sets in an uncompressed little-endian encoding.
        to: The archive.
        calling: Own Application Entity title.
        timeout: Seconds to wait for a connection, and for each answer.

    Returns:
        One answer an object, in their order.

    Raises:
        NetworkError: ``no_connection`` or ``refused``: nothing was sent.
        MissingDependencyError: pynetdicom is not installed.
    """
    try:
        from xiqa.dicom.net.association import associated, store  # noqa: PLC0415 - pynetdicom is an extra
    except ModuleNotFoundError as error:
        raise MissingDependencyError("sending needs pynetdicom", todo='pip install "xiqa[dicom]"') from error
    objects = list(objects)
    if not objects:
        return []
    classes = sorted({str(ds.SOPClassUID) for ds in objects})
    contexts = [(name, [str(encoding)]) for name in classes for encoding in _ENCODINGS]
    with associated(to, contexts, calling=calling, seconds=timeout) as association:
        return [store(association, ds, str(ds.SOPInstanceUID)) for ds in objects]
