"""One object as it travels: its identifiers and its encoded data set, byte for byte."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from xiqa.errors import NetworkError

__all__ = ["Instance", "check_identity", "part10", "read_part10", "split_part10"]

_IMPLEMENTATION = UID("1.2.826.0.1.3680043.10.1732.1")
_VERSION = "XIQA"
_UID = re.compile(r"[0-9][0-9.]{0,63}")
_PREAMBLE = b"\0" * 128
_IDENTITY_END = 0x00080018  # the SOP Instance UID; nothing behind it is needed to know what came


@dataclass(frozen=True, slots=True)
class Instance:
    """A DICOM object that nobody has decoded.

    Attributes:
        sop_class: SOP Class UID.
        uid: SOP Instance UID.
        transfer_syntax: How ``content`` is encoded.
        content: The data set as it came, without file meta information.
        source: AE title of the sender; empty where it has none.
        called: AE title that it asked for.
        address: The sender's network address.
    """

    sop_class: str
    uid: str
    transfer_syntax: str
    content: bytes
    source: str = ""
    called: str = ""
    address: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the data set: what tells one content from another."""
        return hashlib.sha256(self.content).hexdigest()


def check_identity(instance: Instance) -> None:
    """Refuse an object whose UID cannot name a file or differs from the one in its data set.

    Raises:
        NetworkError: With ``code`` ``bad_uid``, ``unreadable`` or ``mismatch``.
    """
    if not _UID.fullmatch(instance.uid):
        raise NetworkError("the SOP Instance UID is not valid", code="bad_uid", expected="digits and dots")
    if instance.transfer_syntax == DeflatedExplicitVRLittleEndian:
        raise NetworkError("deflated data sets are not taken", code="unreadable", todo="send it uncompressed")
    identity = _identity(instance)
    wanted = {"SOPClassUID": instance.sop_class, "SOPInstanceUID": instance.uid}
    for keyword, value in wanted.items():
        if identity[keyword] != value:
            raise NetworkError(
                f"the {keyword} of the request is not that of the data set",
                code="mismatch",
                expected=value,
                got=identity[keyword] or "none",
            )


def _identity(instance: Instance) -> dict[str, str]:
    """The two UIDs as the data set has them."""
    syntax = UID(instance.transfer_syntax)
    try:
        dataset = read_dataset(
            BytesIO(instance.content[:65536]),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag > _IDENTITY_END,
            defer_size=1024,
        )
        return {keyword: str(dataset.get(keyword, "")) for keyword in ("SOPClassUID", "SOPInstanceUID")}
    except Exception as error:  # pydicom raises many kinds for what is no data set
        raise NetworkError(
            "the data set cannot be read", code="unreadable", got=type(error).__name__
        ) from error


def part10(instance: Instance) -> bytes:
    """What stands before the data set in a file: preamble, prefix and file meta information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(instance.sop_class)
    meta.MediaStorageSOPInstanceUID = UID(instance.uid)
    meta.TransferSyntaxUID = UID(instance.transfer_syntax)
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = _VERSION
    if instance.source:
        meta.SourceApplicationEntityTitle = instance.source
    if instance.called:
        meta.ReceivingApplicationEntityTitle = instance.called
    if instance.address:
        meta.SourcePresentationAddress = instance.address
    buffer = DicomBytesIO()
    buffer.write(_PREAMBLE + b"DICM")
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()


def split_part10(content: bytes) -> Instance:
    """The object in the bytes of a DICOM file.

    Raises:
        NetworkError: ``unreadable``: no file meta information, or one without the three UIDs.
    """
    try:
        if content[128:132] != b"DICM":
            raise ValueError("no DICM prefix")
        start = _meta_end(content)
        # the data set behind it is not looked at: a deflated one would be inflated
        meta: Any = read_dataset(BytesIO(content[132:start]), is_implicit_VR=False, is_little_endian=True)
        uids = [meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID]
    except Exception as error:  # pydicom raises many kinds for what is no DICOM file
        raise NetworkError(
            "this is not a DICOM file",
            code="unreadable",
            expected="a preamble, DICM and file meta information",
            got=type(error).__name__,
        ) from error
    sop_class, uid, syntax = (str(value) for value in uids)
    return Instance(
        sop_class,
        uid,
        syntax,
        content[start:],
        source=str(meta.get("SourceApplicationEntityTitle", "")),
        called=str(meta.get("ReceivingApplicationEntityTitle", "")),
        address=str(meta.get("SourcePresentationAddress", "")),
    )


def _meta_end(content: bytes) -> int:
    """Where the data set starts: the file meta information tells its own length."""
    tag, kind = content[132:136], content[136:138]
    if tag != b"\x02\x00\x00\x00" or kind != b"UL":
        raise ValueError("no group length")
    end = 144 + int.from_bytes(content[140:144], "little")
    if end > len(content):
        raise ValueError("the group length points behind the end")
    return end


def read_part10(path: Path) -> Instance:
    """The object in a file; see `split_part10`."""
    return split_part10(path.read_bytes())
