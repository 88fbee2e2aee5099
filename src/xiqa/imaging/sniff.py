"""What a file is, by its first bytes; its name says nothing."""

from __future__ import annotations

from typing import IO, Literal

from xiqa.errors import ImageReadError
from xiqa.imaging.inflate import Inflated

__all__ = ["Format", "sniff"]

Format = Literal["dicom", "png", "jpeg", "tiff", "numpy", "nifti"]

_READABLE = "a DICOM, PNG, JPEG, TIFF, NumPy (.npy) or NIfTI file"
_HEAD = 352  # a NIfTI-1 header with its extension flag

_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (128, b"DICM", "dicom"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"\x93NUMPY", "numpy"),
    (344, b"n+1\0", "nifti"),
    (4, b"n+2\0", "nifti"),
)
_ARCHIVES = ((0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"7z\xbc\xaf"), (0, b"Rar!"), (257, b"ustar"))


def sniff(file: IO[bytes]) -> Format:
    """The format of an open file, whose position is put back to the start.

    Raises:
        ImageReadError: ``empty``, ``archive``, ``html``, ``no_preamble`` or ``unknown_format``.
    """
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise ImageReadError("the file is empty", code="empty", expected=_READABLE, got="0 bytes")
    for start, magic, name in _MAGIC:
        if head.startswith(magic, start):
            return name
    if head.startswith(b"\x1f\x8b"):
        return _inside_gzip(file)
    raise _refusal(head)


def _inside_gzip(file: IO[bytes]) -> Format:
    """NIfTI is the one format that comes gzipped."""
    head = Inflated(file).read(_HEAD)
    file.seek(0)
    if head.startswith(b"n+1\0", 344) or head.startswith(b"n+2\0", 4):
        return "nifti"
    raise ImageReadError(
        "a compressed archive, not an image", code="archive", expected=_READABLE, got="gzip", todo="unpack it"
    )


def _refusal(head: bytes) -> ImageReadError:
    """The error for a file that no reader takes."""
    if any(head.startswith(magic, start) for start, magic in _ARCHIVES):
        return ImageReadError(
            "an archive, not an image", code="archive", expected=_READABLE, got="an archive", todo="unpack it"
        )
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return ImageReadError(
            "a web page, not an image",
            code="html",
            expected=_READABLE,
            got="HTML",
            todo="download it again: a server's error page was saved in its place",
        )
    if head[:2] in (b"\x02\0", b"\x08\0") or head[:3] in (b"\0\x02\0", b"\0\x08\0"):
        return ImageReadError(
            "DICOM elements without the 128-byte preamble and 'DICM'",
            code="no_preamble",
            expected="a DICOM Part 10 file",
            todo="write it again with a preamble and file meta information",
        )
    return ImageReadError(
        "no image format that can be read", code="unknown_format", expected=_READABLE, got=f"{head[:8]!r}..."
    )
