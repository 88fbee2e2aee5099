"""Bad inputs that are DICOM files."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info

from tests.imaging.bad_input import READ, bad, contents_at, zeros
from tests.imaging.dicom_files import dataset, item, lut, radiograph, save, write


def header(what: str, key: str, code: str, **elements) -> None:
    """Register a DICOM file whose header says something wrong."""
    bad(key, what, code)(lambda path: write(path, radiograph(), BitsStored=12) and _rewrite(path, **elements))


def _rewrite(path: Path, **elements) -> Path:
    data = pydicom.dcmread(path)
    for name, value in elements.items():
        setattr(data, name, value)
    return save(data, path)


def _dicom_bytes(body: bytes, syntax=uid.ExplicitVRLittleEndian) -> bytes:
    """Preamble, file meta information and a body as it is."""
    data = dataset(radiograph(4, 4, bits=8), syntax=syntax)
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    write_file_meta_info(buffer, data.file_meta)
    return buffer.getvalue() + body


def _body(data: Dataset) -> bytes:
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(buffer, data)
    return buffer.getvalue()


bad("empty", "an empty file", "empty")(lambda path: contents_at(path, b""))
bad("html", "a web page named .dcm", "html")(
    lambda path: contents_at(path, b"<!DOCTYPE html><html>404</html>")
)
bad("text", "a text file named .dcm", "unknown_format")(
    lambda path: contents_at(path, b"Dear colleague, " * 40)
)


@bad("truncated-pixels", "pixel data cut off", "truncated")
def _(path):
    write(path, radiograph(), BitsStored=12)
    return contents_at(path, path.read_bytes()[:-1000])


@bad("truncated-meta", "cut off inside the file meta information", "truncated")
def _(path):
    write(path, radiograph(), BitsStored=12)
    return contents_at(path, path.read_bytes()[:180])


@bad("no-transfer-syntax", "file meta information without a transfer syntax", "no_transfer_syntax")
def _(path):
    return contents_at(path, b"\0" * 128 + b"DICM" + _body(dataset(radiograph())))


@bad("no-preamble", "no preamble and no 'DICM'", "no_preamble")
def _(path):
    return contents_at(path, _body(dataset(radiograph())))


header("65535 rows and columns, tiny data", "giant-size", "too_large", Rows=65535, Columns=65535)
header("2^31 - 1 frames declared", "giant-frames", "too_many_frames", NumberOfFrames=2**31 - 1)
header("no rows", "no-rows", "no_pixels", Rows=0)
header("20 bits stored of 16 allocated", "bits-stored", "bad_header", BitsStored=20)
header("a window of width 0", "window-width-0", "bad_window", WindowCenter=100, WindowWidth=0)
header("a rescale slope of 0", "rescale-slope-0", "bad_rescale", RescaleSlope=0, RescaleIntercept=0)
header(
    "a palette image without a palette", "no-palette", "bad_lut", PhotometricInterpretation="PALETTE COLOR"
)
header("a cine of 0 frames", "no-frames", "no_frames", NumberOfFrames=0)
header("a cine of 100,000 frames", "many-frames", "too_many_frames", NumberOfFrames=100_000)
header("more frames declared than there are", "missing-frames", "read", NumberOfFrames=2)


@bad("no-pixel-data", "a DICOM object without pixels", "no_pixel_data")
def _(path):
    data = dataset(radiograph())
    del data.PixelData
    return save(data, path)


@bad("no-rows-element", "a header without Rows", "missing_element")
def _(path):
    data = dataset(radiograph())
    del data.Rows
    return save(data, path)


@bad("unknown-syntax", "an unknown transfer syntax", "unsupported_transfer_syntax")
def _(path):
    data = dataset(radiograph())
    return contents_at(path, _dicom_bytes(_body(data), syntax=uid.UID("1.2.3.4.5")))


def _encapsulated(path: Path, syntax: uid.UID, stream: bytes, **elements) -> Path:
    data = dataset(radiograph(), **{"BitsStored": 12, **elements})
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    return save(data, path)


GARBAGE = np.random.default_rng(0).bytes(5000)
J2K_HEAD = bytes.fromhex("ff4fff51")
JPEG_HEAD = bytes.fromhex("ffd8ffc3")
JPEGLS_HEAD = bytes.fromhex("ffd8fff7")
for name, syntax, head in (
    ("jpeg2000", uid.JPEG2000Lossless, J2K_HEAD),
    ("jpeg", uid.JPEGLosslessSV1, JPEG_HEAD),
    ("jpeg-ls", uid.JPEGLSLossless, JPEGLS_HEAD),
    ("rle", uid.RLELossless, b"\x02"),
):
    for kind, stream in (("random bytes", GARBAGE), ("a good start, then random bytes", head + GARBAGE)):
        bad(
            f"{name}-{'start' if stream != GARBAGE else 'garbage'}",
            f"{name} stream: {kind}",
            "bad_codestream",
        )(lambda path, syntax=syntax, stream=stream: _encapsulated(path, syntax, stream))


@bad("jpeg-ls-cut", "half a JPEG-LS stream, in which a decoder looks for the rest for ever", "bad_codestream")
def _(path):
    stream = imagecodecs.jpegls_encode(radiograph())
    return _encapsulated(path, uid.JPEGLSLossless, stream[: len(stream) // 2])


@bad("jpeg2000-giant", "a JPEG 2000 stream that claims 60,000 x 60,000 pixels", "bad_codestream")
def _(path):
    size = struct.pack(">HHIIIIIIIIHBBB", 41, 0, *(60000, 60000, 0, 0, 60000, 60000, 0, 0), 1, 11, 1, 1)
    style = bytes.fromhex("ff52000c00000001000504040001") + bytes.fromhex(
        "ff5c00134040484850484850484850484850484850"
    )
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(64) + b"\xff\xd9"
    return _encapsulated(path, uid.JPEG2000Lossless, bytes.fromhex("ff4fff51") + size + style + tile)


@bad("jpeg-giant", "a JPEG stream that claims 65,500 x 65,500 pixels", "bad_codestream")
def _(path):
    frame = bytes.fromhex("ffc0000b08") + struct.pack(">HH", 65500, 65500) + bytes.fromhex("01011100")
    stream = b"\xff\xd8" + frame + bytes.fromhex("ffda0008010100003f00") + bytes(64) + b"\xff\xd9"
    return _encapsulated(path, uid.JPEGBaseline8Bit, stream, BitsAllocated=8, BitsStored=8)


@bad("rle-offsets", "RLE segments that start beyond the stream", "bad_codestream")
def _(path):
    return _encapsulated(
        path, uid.RLELossless, struct.pack("<16I", 2, 64, 4_000_000_000, *[0] * 13) + b"\0" * 40
    )


@bad("rle-short", "an RLE stream of too few pixels", "bad_codestream")
def _(path):
    return _encapsulated(path, uid.RLELossless, struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\xf1\0\xf1\0")


@bad("no-fragments", "compressed pixels without a fragment", "bad_encapsulation")
def _(path):
    data = dataset(radiograph(), BitsStored=12)
    data.PixelData = bytes.fromhex("feff00e000000000")  # an offset table, then nothing
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = uid.JPEG2000
    return save(data, path)


@bad("deflate-bomb", "1.6 GB deflated to 1.6 MB", "too_large")
def _(path):
    deflated = zeros(1600, -zlib.MAX_WBITS)
    return contents_at(path, _dicom_bytes(deflated, syntax=uid.DeflatedExplicitVRLittleEndian))


@bad("nested", "3,000 sequences inside one another", "nested_too_deep")
def _(path):
    start = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item_start = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    nested = (start + item_start) * 3000 + ends * 3000
    return contents_at(path, _dicom_bytes(nested + _body(dataset(radiograph()))))


@bad("many-elements", "ten million empty elements", "header_too_long")
def _(path):
    return contents_at(path, _dicom_bytes(struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 0) * 10_000_000))


@bad("giant-element", "an element that declares 4 GB", "truncated")
def _(path):
    start = struct.pack("<HH2sHI", 0x0008, 0x0005, b"UN", 0, 0xFFFFFFF0)
    return contents_at(path, _dicom_bytes(start + _body(dataset(radiograph()))))


@bad("giant-private", "a private element that declares 4 GB", "truncated")
def _(path):
    start = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0xFFFFFFF0)
    return contents_at(path, _dicom_bytes(start + _body(dataset(radiograph()))))


@bad("giant-pixel-length", "pixel data that declare 4 GB", "truncated")
def _(path):
    body = _body(dataset(radiograph()))
    place = body.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    return contents_at(path, _dicom_bytes(body[:place] + b"\xf0\xff\xff\xff" + body[place + 4 :]))


@bad("odd-text", "a script as name, a path as PatientID, illegal UID and character set", READ)
def _(path):
    data = dataset(
        radiograph(), BitsStored=12, PatientID="../../etc/passwd", StudyInstanceUID="1.02.not-a-uid"
    )
    body = _body(data).replace(b"Doe^Jane", b"<script>")
    charset = struct.pack("<HH2sH", 0x0008, 0x0005, b"CS", 10) + b"ISO_IR 999"
    return contents_at(path, _dicom_bytes(charset + body))


@bad("nan-dicom", "NaN in DICOM float pixels", "not_finite")
def _(path):
    data = dataset(radiograph(), kind=uid.ParametricMapStorage)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    values = np.linspace(0, 1, 96 * 80, dtype="<f4")
    values[77] = np.nan
    data.BitsAllocated, data.FloatPixelData = 32, values.tobytes()
    return save(data, path)


@bad("same-uid", "the SOP Instance UID of another image with other pixels", READ)
def _(path):
    return write(path, radiograph(seed=9), BitsStored=12, SOPInstanceUID="1.2.826.0.1.3680043.8.498.1")


@bad("same-accession", "the accession number of another patient", READ)
def _(path):
    return write(path, radiograph(), BitsStored=12, AccessionNumber="A1", PatientID="P2")


@bad("constant", "an image of one value", READ)
def _(path):
    return write(path, np.full((96, 80), 700, "<u2"), BitsStored=12)


@bad("one-pixel", "an image of 1 x 1 pixel", READ)
def _(path):
    return write(path, np.full((1, 1), 700, "<u2"), BitsStored=12)


@bad("large", "an image of 20,000 x 20,000 pixels, all there", "too_large")
def _(path):
    _rewrite(write(path, radiograph(), BitsStored=12), Rows=20_000, Columns=20_000)
    contents = path.read_bytes()
    place = contents.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    contents_at(path, contents[:place] + struct.pack("<I", 800_000_000))
    with path.open("r+b") as file:
        file.truncate(place + 4 + 800_000_000)  # a hole, not 800 MB on disk
    return path


@bad("lut-bomb", "a VOI LUT that is shorter than it says", "bad_lut")
def _(path):
    broken = lut([1, 2, 3])
    broken.LUTDescriptor = [60000, 0, 16]
    return write(path, radiograph(), BitsStored=12, VOILUTSequence=[broken, item(LUTDescriptor=[1, 0, 8])])
