"""Bad inputs that are no DICOM files: pictures, arrays, volumes, links, archives."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.imaging.bad_input import READ, bad, contents_at, zeros
from tests.imaging.dicom_files import radiograph, write


@bad("nan-numpy", "NaN in a NumPy file", "not_finite")
def _(path):
    with path.open("wb") as file:
        np.save(file, np.array([[0.5, np.nan]], dtype=np.float32))
    return path


def _png(path: Path, width: int, height: int, rows: bytes, depth: int = 1, before: bytes = b"") -> Path:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    extra = chunk(b"zTXt", before) if before else b""
    return contents_at(path, b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@bad("png-bomb", "a PNG of 20,000 x 20,000 pixels in 50 KB", "too_large")
def _(path):
    return _png(path, 20_000, 20_000, zlib.compress(bytes(2501 * 20_000), 9))


@bad("png-giant", "a PNG that claims 2^31 - 1 pixels a side", "too_large")
def _(path):
    return _png(path, 2**31 - 1, 2**31 - 1, zlib.compress(bytes(100)))


@bad("png-text-bomb", "a PNG with 500 MB of text in 500 KB", "too_large")
def _(path):
    text = b"Comment\0\0" + zeros(500, zlib.MAX_WBITS)
    return _png(path, 8, 8, zlib.compress(bytes(16)), before=text)


@bad("png-truncated", "half a PNG", "truncated")
def _(path):
    Image.fromarray(radiograph(400, 300, bits=8)).save(path, "PNG")
    return contents_at(path, path.read_bytes()[:5000])


def _tiff(path: Path, width: int, height: int, compression: int, strip: bytes) -> Path:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(strip))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
    start = 8 + len(strip)
    return contents_at(path, struct.pack("<2sHI", b"II", 42, start) + strip + directory + b"\0\0\0\0")


@bad("tiff-bomb", "a TIFF of 60,000 x 60,000 pixels, deflated", "too_large")
def _(path):
    return _tiff(path, 60_000, 60_000, 8, zlib.compress(bytes(10_000_000), 9))


@bad("tiff-circle", "a TIFF whose pages follow one another in a circle", READ)
def _(path):
    _tiff(path, 8, 8, 1, bytes(64))
    return contents_at(path, path.read_bytes()[:-4] + struct.pack("<I", 72))


@bad("jpeg-truncated", "half a JPEG", "truncated")
def _(path):
    Image.fromarray(radiograph(400, 300, bits=8)).save(path, "JPEG")
    return contents_at(path, path.read_bytes()[: path.stat().st_size // 2])


@bad("numpy-giant", "a NumPy file that claims 100,000 x 100,000 pixels", "truncated")
def _(path):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (100_000, 100_000)}
        )
    return path


@bad("numpy-pickle", "a NumPy file with pickled objects", "corrupt")
def _(path):
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path


@bad("nifti-giant", "a NIfTI volume that claims 30,000^3 voxels", "too_large")
def _(path):
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 30_000, 30_000, 30_000, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return contents_at(path, bytes(head))


@bad("link-nowhere", "a symbolic link that leads nowhere", "not_found")
def _(path):
    path.mkdir()
    (path / "link.dcm").symlink_to(path / "gone.dcm")
    return path


@bad("link-loop", "a symbolic link to itself", "link_loop")
def _(path):
    path.mkdir()
    (path / "link.dcm").symlink_to(path / "link.dcm")
    return path


@bad("zip-slip", "a zip archive with a path out of its folder", "archive")
def _(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.dcm", b"x")
    return path


@bad("odd-name", "a name with spaces, quotes, a newline and bytes that are no UTF-8", READ)
def _(path):
    return write(path.parent / "a 'b' \"c\"\n\udcff.dcm", radiograph(), BitsStored=12)
