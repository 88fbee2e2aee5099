"""The header of a DICOM file, parsed within bounds and up to its pixels."""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from xiqa.errors import ImageReadError
from xiqa.imaging.limits import Limits

__all__ = ["Elements", "Header", "read_header"]

IDENTIFIERS = (
    *("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *(
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "StudyID",
        "StudyDate",
        "SeriesNumber",
        "InstanceNumber",
    ),
    *("BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "PatientOrientation"),
)
_USED = (
    *IDENTIFIERS,
    *("Modality", "PresentationIntentType", "SpecificCharacterSet"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"),
    *("PresentationLUTShape", "PresentationLUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "AlphaPaletteColorLookupTableData"),
    *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
    *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
    *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("ImagePositionPatient", "ImageOrientationPatient", "TriggerTime", "TemporalPositionIdentifier"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
_TAGS = {keyword: BaseTag(tag) for keyword in _USED if (tag := tag_for_keyword(keyword))}
_USED_TAGS: list[BaseTag | int] = list(_TAGS.values())
_TEXTS = ("CS", "DA", "LO", "SH", "UI")

_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_UNDEFINED = 0xFFFFFFFF
_BLOCK = 8192  # pydicom looks for the end of elements of undefined length in blocks of this size
_HEADERS = 4
_MOST_READS = 200_000  # two a data element: a few seconds


class Elements(Dataset):
    """A data set that finds the elements that reading needs without a detour through its attributes."""

    def get(self, key: Any, default: Any = None) -> Any:
        """See `pydicom.dataset.Dataset.get`."""
        tag = _TAGS.get(key)
        if tag is None:
            return super().get(key, default)
        return self[tag].value if tag in self.keys() else default

    def text(self, keyword: str) -> str:
        """An element's value as text, empty where there is none."""
        tag = _TAGS[keyword]
        raw: Any = self.get_item(tag) if tag in self.keys() else None
        if isinstance(raw, RawDataElement) and raw.VR in _TEXTS and isinstance(raw.value, bytes):
            value = raw.value.rstrip(b"\0 ")
            if _PLAIN_TEXT.fullmatch(value):  # the same in every character set
                return value.decode("ascii")
        return str(self.get(keyword) or "")


#: Printable ASCII, without what separates values and what Japanese character sets replace.
_PLAIN_TEXT = re.compile(rb"[ -\[\]-}]*")


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the pixels of a DICOM file, and where the pixels are.

    Attributes:
        data: The elements that reading needs.
        syntax: Transfer syntax.
        stream: The open file, or the inflated copy of a deflated one.
        pixels: Keyword of the element that holds the pixels.
        start: Where its value starts in the stream.
        length: Bytes of its value; None for encapsulated (compressed) pixels.
        words: 8-bit pixels are stored as 16-bit words.
    """

    data: Elements
    syntax: UID
    stream: BoundedStream
    pixels: str
    start: int
    length: int | None
    words: bool


def read_header(file: IO[bytes], limits: Limits) -> Header:
    """Parse an open DICOM file up to its pixels.

    Raises:
        ImageReadError: ``truncated``, ``no_transfer_syntax``, ``too_large`` (a deflate bomb),
            ``header_too_long``, ``no_pixel_data``.
    """
    most = _HEADERS * limits.header  # functional groups of many frames are long
    stream = BoundedStream(file, most)
    stream.seek(132)
    binary = cast("BinaryIO", stream)  # as much of one as pydicom uses
    meta = read_dataset(binary, False, True, stop_when=lambda tag, _vr, _length: tag >= 0x00030000)
    if not meta.get("TransferSyntaxUID"):
        raise ImageReadError(
            "the file meta information ends early" if stream.ended else "the file names no transfer syntax",
            code="truncated" if stream.ended else "no_transfer_syntax",
            expected="a TransferSyntaxUID (0002,0010)",
        )
    syntax = UID(str(meta.TransferSyntaxUID))
    if syntax == DeflatedExplicitVRLittleEndian:
        if stream.size > limits.inflated + limits.header:
            raise _too_large(
                f"at most {limits.inflated + limits.header:,} bytes deflated", f"{stream.size:,}"
            )
        stream = BoundedStream(io.BytesIO(_inflate(file.read(), limits.inflated)), most)
    kinds: dict[str, int] = {}

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if stream.skipped:
            raise _truncated("an element reaches beyond the end of the file")
        if tag in _PIXELS:
            kinds.update(tag=tag, length=length, start=stream.tell(), words=vr == "OW")
        return tag in _PIXELS

    implicit = syntax == ImplicitVRLittleEndian
    little = not syntax.is_transfer_syntax or syntax.is_little_endian
    binary = cast("BinaryIO", stream)
    data = read_dataset(binary, implicit, little, stop_when=at_pixels, specific_tags=_USED_TAGS)
    if not kinds:
        if stream.ended or stream.skipped:
            raise _truncated("the file ends inside its header")
        raise ImageReadError(
            "the DICOM object holds no pixels",
            code="no_pixel_data",
            expected="an image",
            got=meta.get("MediaStorageSOPClassUID", UID("unknown")).name,
        )
    length = None if kinds["length"] == _UNDEFINED else kinds["length"]
    if length is not None and kinds["start"] + length > stream.size:
        raise _truncated(
            f"{length:,} bytes of pixels are declared, {stream.size - kinds['start']:,} are there"
        )
    words = bool(kinds["words"]) and data.get("BitsAllocated") in (1, 8)
    return Header(Elements(data), syntax, stream, _PIXELS[kinds["tag"]], kinds["start"], length, words)


class BoundedStream:
    """A file that refuses to read beyond its end, too much, and in too many pieces.

    pydicom asks for as many bytes as an element declares, up to 4 GB, and silently parses what it got.

    Attributes:
        size: Bytes in the file.
        ended: A read has come back short.
        skipped: A seek has gone beyond the end.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        self.file = file
        self._left = most
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.tell = file.tell
        self.ended = self.skipped = False
        self._reads = 0

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes."""
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ImageReadError(
                "the header has too many elements", code="header_too_long", expected=f"{_MOST_READS // 2:,}"
            )
        if count > _BLOCK and count > self.size - self.tell():
            raise _truncated(f"an element declares {count:,} bytes, the file has {self.size:,}")
        if count > self._left or (count < 0 and self.size - self.tell() > self._left):
            raise _too_large("so much as its pixels and a header need", f"an element of {count:,} bytes")
        part = self.file.read(count)
        self._left -= len(part)
        self.ended |= 0 < len(part) < count != _BLOCK
        return part

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        place = self.file.seek(position, whence)
        self.skipped |= place > self.size
        return place


def _inflate(deflated: bytes, most: int) -> bytes:
    """The inflated data set, refused where it grows beyond ``most`` bytes."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(deflated, most)
    if inflater.unconsumed_tail:
        raise _too_large(f"at most {most:,} bytes inflated", f"more, from {len(deflated):,} bytes")
    if not inflater.eof:
        raise _truncated("the deflated data set has no end")
    return data


def _too_large(expected: str, got: str) -> ImageReadError:
    return ImageReadError("the data set is too large", code="too_large", expected=expected, got=got)


def _truncated(got: str) -> ImageReadError:
    return ImageReadError("the file is cut off", code="truncated", got=got, todo="send or copy it again")
