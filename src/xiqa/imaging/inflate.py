"""Reading gzip within bounds, with its checksums.

The standard library's reader never comes to the checksum of a file that is not read to its end, and takes
minutes over two megabytes of empty members.
"""

from __future__ import annotations

import zlib
from typing import IO

from xiqa.errors import ImageReadError

__all__ = ["Inflated"]

_CHUNK = 1 << 14  # what is left of it is copied after each member
_PIECE = 1 << 20  # the most that one step inflates
_EMPTY = 1000  # members without content, one after the other


class Inflated:
    """The content of an open gzip file, from its start to its end.

    Members follow one another, as `bgzip` writes them; zeros behind the last are padding, and so is what is
    no gzip.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._coded = b""
        self._content = bytearray()
        self._ended = False
        self._empty = 0
        self._member = 0

    def read(self, count: int) -> bytes:
        """So many bytes, fewer at the end.

        Raises:
            ImageReadError: ``damaged`` or ``truncated``.
        """
        while len(self._content) < count and not self._ended:
            self._inflate()
        part = bytes(self._content[:count])
        del self._content[:count]
        return part

    def skip(self, count: int, most: int) -> None:
        """Pass over so many bytes, refused beyond ``most``.

        Raises:
            ImageReadError: ``too_large``, ``damaged`` or ``truncated``.
        """
        if count > most:
            raise _too_large(f"at most {most:,} bytes before the pixels", f"{count:,}")
        while count > 0 and (passed := len(self.read(min(count, _PIECE)))):
            count -= passed

    def finish(self, most: int) -> None:
        """Read on to the end for the checksums, over at most ``most`` bytes.

        Raises:
            ImageReadError: ``too_large``, ``damaged`` or ``truncated``.
        """
        passed = 0
        while part := len(self.read(_PIECE)):
            passed += part
            if passed > most:
                raise _too_large(f"at most {most:,} bytes behind the pixels", "more")

    def _inflate(self) -> None:
        """Inflate one more piece."""
        coded = self._coded or self._file.read(_CHUNK)
        if not coded:
            raise ImageReadError(
                "the compressed file is cut off", code="truncated", got="no end of its stream"
            )
        try:
            piece = self._inflater.decompress(coded, _PIECE)
        except zlib.error as error:
            raise ImageReadError("the compressed file is damaged", code="damaged", got=str(error)) from None
        self._content += piece
        self._member += len(piece)
        self._coded = self._inflater.unconsumed_tail
        if self._inflater.eof:
            self._next_member()

    def _next_member(self) -> None:
        """Begin the member that follows, if one does."""
        self._empty = 0 if self._member else self._empty + 1
        if self._empty > _EMPTY:
            raise ImageReadError(
                "the compressed file holds nothing", code="damaged", got=f"{_EMPTY:,} empty members"
            )
        self._coded = self._inflater.unused_data.lstrip(b"\0")
        if len(self._coded) < 2:
            self._coded = (self._coded + self._file.read(_CHUNK)).lstrip(b"\0")
        self._ended = not self._coded.startswith(b"\x1f\x8b")
        self._inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._member = 0


def _too_large(expected: str, got: str) -> ImageReadError:
    return ImageReadError("the compressed file is too large", code="too_large", expected=expected, got=got)
