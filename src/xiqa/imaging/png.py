"""The chunks of a PNG file and their checksums, which Pillow does not look at where the pixels stand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from xiqa.errors import ImageReadError

__all__ = ["PngHead", "checked"]

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True, slots=True)
class PngHead:
    """The header chunk: size, bits a sample and channels."""

    width: int
    height: int
    depth: int
    channels: int

    @classmethod
    def of(cls, start: bytes) -> PngHead:
        """Read the first 33 bytes of a file.

        Raises:
            ImageReadError: ``truncated`` or ``corrupt``.
        """
        if len(start) < 33:
            raise ImageReadError("the PNG file is cut off", code="truncated", got=f"{len(start)} bytes")
        width, height, depth, colour = struct.unpack(">IIBB", start[16:26])
        if start[12:16] != b"IHDR" or colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
            raise ImageReadError("the PNG file has no legal header", code="corrupt", got=repr(start[12:26]))
        return cls(width, height, depth, _CHANNELS[colour])

    @property
    def inflated(self) -> int:
        """Bytes of the pixels once inflated."""
        return self.height * (self.width * self.channels * self.depth // 8 + 2)

    @staticmethod
    def transparent(stream: bytes) -> bool:
        """Whether one colour is declared transparent."""
        return any(name == b"tRNS" for name, _, _ in _chunks(stream))

    @staticmethod
    def opaque(stream: bytes) -> bytes:
        """The file without the colour that is declared transparent."""
        kept = [stream[start - 8 : end + 4] for name, start, end in _chunks(stream) if name != b"tRNS"]
        return stream[:8] + b"".join(kept)


def checked(stream: bytes, notes: list[str]) -> bytes:
    """A PNG file whose chunks are whole.

    Args:
        stream: The file.
        notes: Gets a line for a damaged chunk that the picture can do without.

    Raises:
        ImageReadError: ``damaged`` where the checksum of a chunk that the picture needs is wrong,
            ``truncated`` without an end.
    """
    view = memoryview(stream)
    last, damaged = b"", []
    for name, start, end in _chunks(stream):
        if end + 4 > len(stream):
            break
        last = name
        if zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big"):
            continue
        if not name[0] & 32:  # a capital letter: no picture without it
            raise ImageReadError(
                "the image is damaged", code="damaged", got=f"a wrong checksum of the chunk {name!r}"
            )
        notes.append(f"the chunk {name.decode('latin-1')} is damaged and was left out")
        damaged.append((start - 8, end + 4))
    if last != b"IEND":
        raise ImageReadError("the image is cut off", code="truncated", got="a PNG without its last chunk")
    for start, end in reversed(damaged):
        stream = stream[:start] + stream[end:]
    return stream


def _chunks(stream: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk's data, to the last one."""
    place = 8
    while place + 8 <= len(stream):
        length = int.from_bytes(stream[place : place + 4], "big")
        name, start = stream[place + 4 : place + 8], place + 8
        yield name, start, start + length
        if name == b"IEND":
            return
        place = start + length + 4
