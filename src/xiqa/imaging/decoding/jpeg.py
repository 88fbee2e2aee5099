"""What a JPEG stream says of itself, and whether its pixels are all there.

Decoders fill up in grey what a damaged stream lacks and say so at most in a warning, which most bindings
drop. Three ways to notice it: libjpeg-turbo's own warnings for 8 bits; for lossless streams the bits that the
decoded pixels must have taken; for the rest decoding again, with another end of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DamagedError", "JpegHead", "check_end", "check_lossless", "decode_8bit", "read_head"]

Array = NDArray[Any]

_SOS, _DHT, _DRI, _EOI, _APP1 = 0xDA, 0xC4, 0xDD, 0xD9, 0xE1
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # of the markers C0 to CF those that begin no frame
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_DAMAGE = ("corrupt jpeg data", "premature end", "bogus", "inconsistent progression")
_BLOCK = 1 << 16  # samples that stay in the processor's cache
_NO_CODE = 255  # a cost that no difference has


class DamagedError(ValueError):
    """A stream whose pixels are not all there."""


@dataclass(slots=True)
class JpegHead:
    """The frame header and what belongs to the first scan.

    Attributes:
        process: Number of the frame marker: 0 to 2 DCT (2 progressive), 3 lossless, 9 and on arithmetic.
        precision: Bits a sample.
        height: Rows.
        width: Columns.
        components: Channels.
        scan: Where the first scan's data begin; 0 without one.
        scan_header: Content of the first scan's header.
        restart: Restart interval, 0 for none.
        exif: What a camera says of the picture.
        codes: By number of the (DC) Huffman table, the length of the code of each symbol.
    """

    process: int = -1
    precision: int = 0
    height: int = 0
    width: int = 0
    components: int = 0
    scan: int = 0
    scan_header: bytes = b""
    restart: int = 0
    exif: bytes = b""
    codes: dict[int, dict[int, int]] = field(default_factory=dict)

    @property
    def lossless(self) -> bool:
        """Predicted sample by sample, without a cosine transform."""
        return self.process == 3


def read_head(stream: bytes) -> JpegHead:
    """What stands before the first scan; fields stay at their defaults where the stream is cut or no JPEG."""
    head = JpegHead()
    for marker, start, content in _segments(stream):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME and len(content) >= 6:
            head.process = marker - 0xC0
            head.precision, head.height, head.width, head.components = struct.unpack(">BHHB", content[:6])
        elif marker == _DHT:
            head.codes |= _code_lengths(content)
        elif marker == _DRI and len(content) >= 2:
            head.restart = int.from_bytes(content[:2], "big")
        elif marker == _APP1 and content.startswith(b"Exif\0\0"):
            head.exif = content
        elif marker == _SOS:
            head.scan, head.scan_header = start + len(content), content
    return head


def _segments(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(marker, start of its content, content) up to the first scan."""
    place = 2
    while place + 4 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF:  # fill bytes
            place += 1
        elif marker in _ALONE:
            place += 2
        else:
            length = int.from_bytes(stream[place + 2 : place + 4], "big")
            yield marker, place + 4, stream[place + 4 : place + 2 + length]
            if marker in (_SOS, _EOI):
                return
            place += 2 + max(length, 2)


def _code_lengths(content: bytes) -> dict[int, dict[int, int]]:
    """The code lengths of the DC tables in a DHT segment."""
    tables: dict[int, dict[int, int]] = {}
    place = 0
    while place + 17 <= len(content):
        counts = content[place + 1 : place + 17]
        symbols = content[place + 17 : place + 17 + sum(counts)]
        lengths = [length for length, count in enumerate(counts, start=1) for _ in range(count)]
        if content[place] >> 4 == 0:
            tables[content[place] & 15] = dict(zip(symbols, lengths, strict=False))
        place += 17 + sum(counts)
    return tables


def decode_8bit(stream: bytes, colours: str) -> Array:
    """The pixels of a DCT stream of 8 bits by libjpeg-turbo, ``(H, W, C)``.

    Args:
        stream: The stream.
        colours: What to give: ``GRAY``, ``RGB`` or ``CMYK``.

    Raises:
        DamagedError: libjpeg-turbo warns of damage.
        ValueError: It cannot decode it.
    """
    import simplejpeg  # noqa: PLC0415 - loaded when the first JPEG is read

    try:
        return np.asarray(simplejpeg.decode_jpeg(stream, colorspace=colours))
    except ValueError as error:
        if str(error).lower().startswith(_DAMAGE):
            raise DamagedError(str(error)) from None
    return np.asarray(simplejpeg.decode_jpeg(stream, colorspace=colours, strict=False))


def check_end(stream: bytes, pixels: Array, decoder: Callable[[bytes], Array]) -> None:
    """Refuse a stream that was not read to its very end, or beyond it.

    Bits that are added behind the last one are never looked at when all pixels were complete before; other
    bits in the last bytes give other pixels, or these bytes were never reached.

    Raises:
        DamagedError: One of the two does not hold.
    """
    end = stream.rfind(b"\xff\xd9")
    data, marker = stream[: max(end, 0)].rstrip(b"\xff"), stream[end:]
    if not _alike(pixels, decoder, data + b"\x55" * 64 + marker):
        raise DamagedError("the stream ends before its last pixel")
    last = len(data) - 8 - (data[-9:-8] == b"\xff")
    other = bytes((byte ^ 0x7F) & 0xFE for byte in data[last:])
    if _alike(pixels, decoder, data[:last] + other + marker):
        raise DamagedError("the last pixel lies before the stream's end")


def _alike(pixels: Array, decoder: Callable[[bytes], Array], stream: bytes) -> bool:
    try:
        return np.array_equal(pixels, decoder(stream))
    except (RuntimeError, ValueError):
        return False


def check_lossless(stream: bytes, head: JpegHead, pixels: Array) -> None:
    r"""Refuse a lossless stream that is longer or shorter than its pixels need (ITU-T T.81, annex H).

    A sample costs the code of its difference's category and as many bits as the category says:
    :math:`\sum_i (l(s_i) + s_i)` bits, rounded up to bytes in every restart interval.

    Args:
        stream: The stream.
        head: Its header.
        pixels: What was decoded, ``(H, W)`` or ``(H, W, C)``.

    Raises:
        DamagedError: The bits do not come out even.
    """
    if int(pixels.max()) >> head.precision:
        raise DamagedError(f"samples of more than {head.precision} bits")
    end = stream.rfind(b"\xff\xd9")
    count = head.scan_header[0] if head.scan_header else 0
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    if not head.scan or count != planes.shape[2] or len(head.scan_header) < 4 + 2 * count:
        return  # several scans: nothing is known of where each ends
    if head.restart and head.restart % head.width:
        return
    data = stream[head.scan : end]
    there = len(data) - data.count(b"\xff\x00") - data.endswith(b"\xff")
    rows = head.restart // head.width if head.restart else head.height
    intervals = -(-head.height // rows)
    predictor, shift = head.scan_header[1 + 2 * count], head.scan_header[3 + 2 * count] & 15
    bits = np.zeros(intervals, dtype=np.int64)
    for number in range(count):
        codes = head.codes.get(head.scan_header[2 + 2 * number] >> 4, {})
        samples = planes[..., number] >> shift
        for interval in range(intervals):
            part = samples[interval * rows : (interval + 1) * rows]
            bits[interval] += _bits(part, predictor, head.precision - shift, codes)
    needed = int((-(-bits // 8)).sum()) + 2 * (intervals - 1)
    if there != needed:
        raise DamagedError(f"the pixels take {needed:,} bytes, the stream has {there:,}")


def _bits(samples: Array, predictor: int, precision: int, codes: dict[int, int]) -> int:
    """The bits that samples take; more than any stream has where a difference has no code."""
    costs = np.full(1 << 16, _NO_CODE, dtype=np.uint8)
    for category, length in codes.items():
        if category == 0:
            costs[0] = length
        elif category < 16:
            low, high = 1 << (category - 1), 1 << category
            costs[low:high] = costs[65536 - high + 1 : 65536 - low + 1] = length + category
        elif category == 16:
            costs[32768] = length  # the one difference that needs no more bits
    total = 0
    step = max(1, _BLOCK // samples.shape[1])
    for row in range(0, len(samples), step):
        above = samples[row - 1] if row else None
        taken = costs.take(_differences(samples[row : row + step], above, predictor, precision))
        total += int(taken.sum(dtype=np.uint32)) + (taken.max() == _NO_CODE) * (1 << 40)
    return total


def _differences(samples: Array, above: Array | None, predictor: int, bits: int) -> NDArray[np.uint16]:
    """Samples less what is predicted for them, modulo 65,536; ``above`` is the row before, if any."""
    values = samples.astype(np.uint16, copy=False)
    result = np.empty_like(values)
    result[0, 0] = (int(values[0, 0]) - (int(above[0]) if above is not None else 1 << (bits - 1))) % 65536
    np.subtract(values[1:, 0], values[:-1, 0], out=result[1:, 0])
    if predictor == 1:
        np.subtract(values[:, 1:], values[:, :-1], out=result[:, 1:])
        return result
    rows = values if above is None else np.concatenate([above[None].astype(np.uint16), values])
    start = len(values) - len(rows) + 1  # the first of the rows that has one above it
    predicted = _predicted(rows[1:, :-1], rows[:-1, 1:], rows[:-1, :-1], predictor)
    np.subtract(values[start:, 1:], predicted, out=result[start:, 1:])
    if above is None:
        np.subtract(values[0, 1:], values[0, :-1], out=result[0, 1:])
    return result


def _predicted(a: Array, b: Array, c: Array, predictor: int) -> Array:
    """What the samples to the left, above and left above (T.81, table H.1) predict."""
    if predictor in (1, 2, 3):
        return (a, b, c)[predictor - 1]
    a, b, c = (part.astype(np.int32) for part in (a, b, c))
    if predictor == 4:
        return np.asarray((a + b - c).astype(np.uint16))
    if predictor == 5:
        return np.asarray((a + ((b - c) >> 1)).astype(np.uint16))
    if predictor == 6:
        return np.asarray((b + ((a - c) >> 1)).astype(np.uint16))
    return np.asarray(((a + b) >> 1).astype(np.uint16))
