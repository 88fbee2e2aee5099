"""The stored values of one frame, as bit patterns, from native or compressed pixel data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import expand_ybr422

from xiqa.errors import ImageReadError
from xiqa.imaging.decoding import Task, decode
from xiqa.imaging.dicom.elements import BrokenElementError, choice, numbers
from xiqa.imaging.dicom.header import BoundedStream, Header
from xiqa.imaging.limits import Limits

__all__ = ["PixelFormat", "read_frame"]

CODECS = {
    uid.JPEGBaseline8Bit: "jpeg",
    uid.JPEGExtended12Bit: "jpeg",
    uid.JPEGLossless: "jpeg",
    uid.JPEGLosslessSV1: "jpeg",
    uid.JPEGLSLossless: "jpegls",
    uid.JPEGLSNearLossless: "jpegls",
    uid.JPEG2000Lossless: "jpeg2k",
    uid.JPEG2000: "jpeg2k",
    uid.HTJ2KLossless: "jpeg2k",
    uid.HTJ2KLosslessRPCL: "jpeg2k",
    uid.HTJ2K: "jpeg2k",
    uid.RLELossless: "rle",
}
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}
_PHOTOMETRIC = {
    1: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"),
    3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"),
}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of a DICOM file are stored (Image Pixel module).

    Attributes:
        shape: ``(H, W)`` or ``(H, W, 3)``.
        frames: Number of frames.
        dtype: Unsigned type of the bit patterns, or a float type.
        bits: Bits stored.
        shift: Unused bits below those stored.
        signed: The patterns are two's complements.
        photometric: Photometric interpretation.
        planar: Native colour comes plane after plane.
        packed: Eight pixels of one bit share a byte, the first in the lowest bit.
    """

    shape: tuple[int, ...]
    frames: int
    dtype: np.dtype[Any]
    bits: int
    shift: int
    signed: bool
    photometric: str
    planar: bool
    packed: bool = False

    @classmethod
    def of(cls, header: Header, limits: Limits) -> PixelFormat:
        """Read and check the header's description of the pixels.

        Raises:
            ImageReadError: ``missing_element``, ``bad_header``, ``no_pixels``, ``too_large``, ``no_frames``
                or ``too_many_frames``.
        """
        data = header.data
        rows, columns, allocated = (_whole(data, name) for name in ("Rows", "Columns", "BitsAllocated"))
        samples = _whole(data, "SamplesPerPixel", 1)
        frames = _whole(data, "NumberOfFrames", 1)
        photometric = choice(data, "PhotometricInterpretation") or "MONOCHROME2"
        limits.check_frame(rows, columns, max(samples, 1))
        limits.check_frames(frames)
        if photometric not in _PHOTOMETRIC.get(samples, ()):
            raise _bad("a colour space that is not supported", f"{photometric}, {samples} samples a pixel")
        is_float = header.pixels in _FLOATS
        stored = allocated if is_float else _whole(data, "BitsStored", allocated)
        high = stored - 1 if is_float else _whole(data, "HighBit", stored - 1)
        if allocated not in ((32, 64) if is_float else (1, 8, 16, 32)):
            raise _bad(f"{allocated} bits allocated are not supported", "images of 1, 8, 16 or 32 bits are")
        if allocated == 1 and (samples > 1 or header.length is None):
            raise _bad("1-bit pixels are supported in grey and uncompressed only", photometric)
        if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
            raise _bad("bits stored do not fit", f"{stored} stored of {allocated} allocated, high bit {high}")
        return cls(
            (rows, columns) if samples == 1 else (rows, columns, samples),
            frames,
            np.dtype(_FLOATS.get(header.pixels, f"u{max(allocated // 8, 1)}")),
            stored,
            high + 1 - stored,
            _whole(data, "PixelRepresentation", 0) == 1,
            photometric,
            _whole(data, "PlanarConfiguration", 0) == 1,
            allocated == 1,
        )

    @property
    def stored_range(self) -> tuple[int, int] | None:
        """Smallest and largest value that the bits stored can express; None for floats."""
        if self.dtype.kind == "f":
            return None
        half = 1 << (self.bits - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    def numbers(self, patterns: NDArray[Any]) -> NDArray[Any] | None:
        """The same memory seen as numbers; None where bits are to be dropped or signs to be extended."""
        if self.dtype.kind == "f" or self.shift or patterns.dtype.itemsize != self.dtype.itemsize:
            return None
        kind = patterns.dtype.str.replace("u", "i") if self.signed else patterns.dtype
        numbers = patterns.view(kind)
        if self.bits == 8 * self.dtype.itemsize:
            return numbers
        low, high = self.stored_range or (0, 0)
        return numbers if low <= int(numbers.min()) and int(numbers.max()) <= high else None

    def number(self, pattern: int) -> int:
        """The number that a pattern of the bits stored stands for; a number stays what it is."""
        value = pattern % (1 << self.bits)
        return value - (1 << self.bits) if self.signed and value >> (self.bits - 1) else value

    def values(self, patterns: NDArray[Any]) -> NDArray[Any]:
        """Bit patterns as numbers: unused bits dropped, the sign extended."""
        if self.dtype.kind == "f":
            return patterns
        values = (patterns.astype(np.int64) >> self.shift) & ((1 << self.bits) - 1)
        if self.signed:
            values -= (values >> (self.bits - 1)) << self.bits
        return values


def read_frame(header: Header, pixels: PixelFormat, frame: int, limits: Limits) -> NDArray[Any]:
    """Bit patterns (or floats) of one frame; colour as RGB.

    Raises:
        ImageReadError: ``truncated``, ``unsupported_transfer_syntax``, ``bad_encapsulation`` or what
            `xiqa.imaging.decoding.decode` raises.
    """
    if header.syntax in NATIVE and header.length is not None:
        return _packed(header, pixels, frame) if pixels.packed else _native(header, pixels, frame)
    if header.syntax not in (*CODECS, *NATIVE):
        raise ImageReadError(
            "the transfer syntax cannot be read",
            code="unsupported_transfer_syntax",
            expected="uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000",
            got=f"{header.syntax.name}",
            todo="send it uncompressed",
        )
    if header.length is not None:
        raise _encapsulation(f"a length of {header.length} bytes for compressed pixels")
    return _compressed(header, pixels, frame, limits)


def _packed(header: Header, pixels: PixelFormat, frame: int) -> NDArray[Any]:
    """One frame of one bit a pixel; frames follow one another without a gap, also within a byte."""
    count = int(np.prod(pixels.shape))
    first, end = frame * count, (frame + 1) * count
    if -(-end // 8) > (header.length or 0):
        raise _too_short(f"{-(-pixels.frames * count // 8):,} bytes", header)
    raw = _read(header, first // 8, -(-end // 8) - first // 8)
    bits = np.unpackbits(raw, bitorder="little")[first % 8 :][:count]
    return bits.reshape(pixels.shape)


def _native(header: Header, pixels: PixelFormat, frame: int) -> NDArray[Any]:
    """One frame of uncompressed pixels; nothing else of the file is read."""
    subsampled = pixels.photometric == "YBR_FULL_422"
    samples = int(np.prod(pixels.shape)) * 2 // 3 if subsampled else int(np.prod(pixels.shape))
    size = samples * pixels.dtype.itemsize
    if (frame + 1) * size > (header.length or 0):
        raise _too_short(f"{size:,} bytes a frame, {pixels.frames:,} frames", header)
    raw = _read(header, frame * size, size).view(
        pixels.dtype.newbyteorder("<" if header.syntax.is_little_endian else ">")
    )
    if len(pixels.shape) == 2:
        return raw.reshape(pixels.shape)
    if subsampled:
        raw = np.frombuffer(expand_ybr422(raw.tobytes(), 8 * pixels.dtype.itemsize), dtype=raw.dtype)
    if pixels.planar and not subsampled:
        raw = np.moveaxis(raw.reshape(pixels.shape[2], *pixels.shape[:2]), 0, -1)
    return _rgb(raw.reshape(pixels.shape), pixels)


def _read(header: Header, start: int, size: int) -> NDArray[np.uint8]:
    """Bytes of the pixel data; big-endian words of 8-bit pixels have theirs in swapped pairs."""
    swapped = header.words and not header.syntax.is_little_endian
    first, end = (start // 2 * 2, -(-(start + size) // 2) * 2) if swapped else (start, start + size)
    header.stream.seek(header.start + first)
    raw = np.empty(end - first, dtype=np.uint8)
    header.stream.file.readinto(raw)  # type: ignore[attr-defined]
    if swapped:
        raw = raw.view(np.uint16).byteswap().view(np.uint8)
    return raw[start - first : start - first + size]


def _compressed(header: Header, pixels: PixelFormat, frame: int, limits: Limits) -> NDArray[Any]:
    """One frame of encapsulated pixels, decoded in a child process."""
    raw = int(np.prod(pixels.shape)) * pixels.dtype.itemsize
    stream = BoundedStream(header.stream.file, (frame + 1) * 2 * raw + limits.header)
    stream.seek(header.start)
    try:
        extended = _extended_offsets(header.data)
        coded = get_frame(stream, frame, number_of_frames=pixels.frames, extended_offsets=extended)
    except (ValueError, EOFError, StopIteration) as error:
        raise _encapsulation(str(error) or "no such frame") from error
    if not coded:
        raise _encapsulation("no fragment")
    codec = CODECS.get(header.syntax) or _codec_of(coded, header)
    colour = len(pixels.shape) == 3
    options = {"colour": _jpeg_colour(coded, pixels.photometric)} if colour and codec == "jpeg" else {}
    decoded = decode(coded, Task(codec, pixels.shape, pixels.dtype.name, options), limits)
    # JPEG and JPEG 2000 undo their own colour transform while decoding.
    return _rgb(decoded, pixels) if colour and codec in ("rle", "jpegls") else decoded


def _codec_of(coded: bytes, header: Header) -> str:
    """The codec of compressed pixels under a transfer syntax that says they are not, by their first bytes."""
    if coded.startswith(b"\xff\x4f\xff\x51"):
        return "jpeg2k"
    if coded.startswith(b"\xff\xd8\xff"):
        return "jpegls" if b"\xff\xf7" in coded[:1024] else "jpeg"
    raise ImageReadError(
        "the pixels are in fragments of no known compression, and the transfer syntax says uncompressed",
        code="bad_encapsulation",
        expected="a transfer syntax that names the compression",
        got=header.syntax.name,
        todo="write the file again with the transfer syntax of its pixels",
    )


def _jpeg_colour(coded: bytes, photometric: str) -> str:
    """The colour space that a JPEG stream is in: what the header says, unless its own markers know better."""
    head = coded[:1024]
    adobe = head.find(b"\xff\xee\x00\x0eAdobe")
    transformed = head[adobe + 15] != 0 if adobe >= 0 and len(head) > adobe + 15 else b"JFIF" in head
    return "YCBCR" if transformed or photometric.startswith("YBR") else "RGB"


def _extended_offsets(data: Dataset) -> tuple[bytes, bytes] | None:
    offsets, lengths = data.get("ExtendedOffsetTable"), data.get("ExtendedOffsetTableLengths")
    return (offsets, lengths) if offsets and lengths else None


def _rgb(raw: NDArray[Any], pixels: PixelFormat) -> NDArray[Any]:
    if not pixels.photometric.startswith("YBR_FULL"):
        return raw
    if pixels.dtype != np.uint8:
        raise _bad("YBR colour of more than 8 bits is not supported", f"{pixels.dtype.itemsize * 8} bits")
    return np.asarray(convert_color_space(raw, "YBR_FULL", "RGB"))


def _whole(data: Dataset, name: str, default: int | None = None) -> int:
    """A whole number of the header; of several equal ones the first."""
    try:
        values = numbers(data, name)
    except BrokenElementError as error:
        raise _bad(f"{name} is no number", str(error)) from None
    if not values:
        if default is not None:
            return default
        raise ImageReadError(f"the header has no {name}", code="missing_element", expected="an image")
    if len(set(values)) > 1 or values[0] != int(values[0]):
        raise _bad(f"{name} is no whole number", str(values)[:80])
    return int(values[0])


def _too_short(expected: str, header: Header) -> ImageReadError:
    return ImageReadError(
        "the pixel data are too short", code="truncated", expected=expected, got=f"{header.length:,} bytes"
    )


def _bad(problem: str, got: str) -> ImageReadError:
    return ImageReadError(problem, code="bad_header", got=got)


def _encapsulation(got: str) -> ImageReadError:
    return ImageReadError("the frames cannot be told apart", code="bad_encapsulation", got=got)
