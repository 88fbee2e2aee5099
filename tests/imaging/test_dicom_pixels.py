"""Every transfer syntax gives the pixels that were put in."""

import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate_extended

from tests.conftest import DATA_ABSENT
from tests.imaging.dicom_files import ENCODERS, LOSSY, compress, dataset, radiograph, save, write
from xiqa.imaging import iter_images, read_image

SYNTAXES = [*ENCODERS, uid.RLELossless]
DEPTH = {uid.JPEGBaseline8Bit: [8], uid.JPEGExtended12Bit: [12]}


def cases():
    return [(syntax, bits) for syntax in SYNTAXES for bits in DEPTH.get(syntax, [8, 12, 16])]


@pytest.mark.parametrize(("syntax", "bits"), cases(), ids=lambda case: getattr(case, "keyword", str(case)))
def test_compressed_pixels_come_back(tmp_path, syntax, bits):
    stored = radiograph(bits=bits)
    path = save(compress(dataset(stored, BitsStored=bits), syntax), tmp_path / "a.dcm")
    got = read_image(path).pixels * ((1 << bits) - 1)
    error = np.abs(got - stored)
    if syntax in LOSSY:
        assert 0 < error.mean() < 0.005 * (1 << bits)
    else:
        np.testing.assert_allclose(got, stored, atol=0.01)


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless]
)
def test_signed_pixels_come_back(tmp_path, syntax):
    """A code stream holds bit patterns; their sign is extended from the bits stored."""
    stored = radiograph().astype("<i2") - 2048
    masked = (stored & 0x0FFF).astype("<u2")
    data = compress(dataset(masked, BitsStored=12, PixelRepresentation=0), syntax)
    data.PixelRepresentation = 1
    got = read_image(save(data, tmp_path / "a.dcm")).pixels * 4095 - 2048
    np.testing.assert_allclose(got, stored, atol=0.01)


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian],
)
def test_native_pixels_come_back(tmp_path, syntax):
    path = write(tmp_path / "a.dcm", radiograph(), BitsStored=12, syntax=syntax)
    np.testing.assert_allclose(read_image(path).pixels * 4095, radiograph(), atol=0.01)


def test_big_endian_pixels_come_back(tmp_path):
    data = dataset(radiograph(), BitsStored=12, syntax=uid.ExplicitVRBigEndian)
    data.PixelData = radiograph().astype(">u2").tobytes()
    path = save(data, tmp_path / "a.dcm")
    np.testing.assert_allclose(read_image(path).pixels * 4095, radiograph(), atol=0.01)


def cine(frames=4, bits=8):
    return np.stack([radiograph(64, 48, bits=bits, seed=seed) for seed in range(frames)])


@pytest.mark.parametrize("syntax", [None, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_each_frame_of_a_cine(tmp_path, syntax):
    data = dataset(cine())
    path = save(compress(data, syntax) if syntax else data, tmp_path / "a.dcm")
    for number, image in enumerate(iter_images(path)):
        assert (image.source.frame, image.source.frames) == (number, 4)
        np.testing.assert_allclose(image.pixels * 255, cine()[number], atol=0.01)
        np.testing.assert_array_equal(image.pixels, read_image(path, frame=number).pixels)


def test_frames_by_extended_offset_table(tmp_path):
    data = dataset(cine())
    codes = [ENCODERS[uid.JPEGLSLossless](frame, 8) for frame in cine()]
    data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended(codes)
    data.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
    path = save(data, tmp_path / "a.dcm")
    np.testing.assert_allclose(read_image(path, frame=2).pixels * 255, cine()[2], atol=0.01)


COLOUR = np.stack(
    [radiograph(bits=8, seed=0), radiograph(bits=8, seed=1)[::-1], radiograph(bits=8, seed=2)[:, ::-1]],
    axis=-1,
)


@pytest.mark.parametrize(
    "syntax", [uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless]
)
def test_compressed_colour_comes_back(tmp_path, syntax):
    stored = np.ascontiguousarray(COLOUR)
    image = read_image(save(compress(dataset(stored), syntax), tmp_path / "a.dcm"))
    assert image.pixels.shape == (96, 80, 3)
    tolerance = 6 if syntax == uid.JPEGBaseline8Bit else 0.01
    assert np.abs(image.pixels * 255 - stored).mean() < tolerance


@pytest.mark.parametrize("planar", [0, 1])
def test_native_colour_comes_back(tmp_path, planar):
    data = dataset(np.ascontiguousarray(COLOUR), PlanarConfiguration=planar)
    if planar:
        data.PixelData = np.moveaxis(COLOUR, -1, 0).tobytes()
    path = save(data, tmp_path / "a.dcm")
    np.testing.assert_allclose(read_image(path).pixels * 255, COLOUR, atol=0.01)
    grey = read_image(path, grey=True).pixels
    np.testing.assert_allclose(grey, (COLOUR / 255) @ [0.2126, 0.7152, 0.0722], atol=1e-5)


BUNDLED = Path(pydicom.data.__file__).parent / "test_files"
# Damaged on purpose, or of a kind that pydicom decodes only with codecs that are not at hand.
LEFT_OUT = (
    *("JPEG2000-embedded-sequence-delimiter.dcm", "MR_truncated.dcm", "badVR.dcm"),
    *("JPEG-lossy.dcm", "JPGExtended.dcm", "no_meta_group_length.dcm"),
)


def bundled_images():
    """pydicom's own test files that are grey or colour images."""
    for path in sorted(BUNDLED.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data = pydicom.dcmread(path, stop_before_pixels=True)
                bits = data.BitsAllocated
                int(data.get("NumberOfFrames", 1))
            except (pydicom.errors.InvalidDicomError, AttributeError, TypeError, ValueError):
                continue
        if bits > 1 and data.get("Rows") and path.name not in LEFT_OUT:
            yield path


@pytest.mark.parametrize("path", bundled_images(), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_real_files_agree_with_pydicom(path, tmp_path):
    data = pydicom.dcmread(path)
    theirs = data.pixel_array
    if data.PhotometricInterpretation == "PALETTE COLOR":
        theirs = pydicom.pixels.apply_color_lut(theirs, data)
    image = read_image(path)
    first = theirs[0] if image.source.frames > 1 else theirs
    if first.ndim == 3:
        span = 255 if first.dtype == np.uint8 else np.iinfo(first.dtype).max
        assert np.abs(image.pixels * span - first).mean() < 1.5 * span / 255
    else:
        low = -(1 << (data.BitsStored - 1)) if data.PixelRepresentation else 0
        plain = save(without_transforms(data), tmp_path / "plain.dcm")
        got = read_image(plain).pixels.astype(float) * ((1 << data.BitsStored) - 1) + low
        np.testing.assert_allclose(got, first, atol=1)


def without_transforms(data):
    """The file with a window over all that its bits can express as its only transform."""
    for name in ("VOILUTSequence", "RescaleSlope", "RescaleIntercept"):
        if name in data:
            del data[name]
    low = -(1 << (data.BitsStored - 1)) if data.PixelRepresentation else 0
    data.WindowWidth = (1 << data.BitsStored) - 1
    data.WindowCenter, data.VOILUTFunction = low + data.WindowWidth / 2, "LINEAR_EXACT"
    return data


DCMTK = {
    "rle": ["dcmcrle"],
    "jpeg-baseline": ["dcmcjpeg", "+eb"],
    "jpeg-extended": ["dcmcjpeg", "+ee"],
    "jpeg-lossless": ["dcmcjpeg", "+el"],
    "jpeg-lossless-sv1": ["dcmcjpeg", "+e1"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "jpeg-ls-near": ["dcmcjpls", "+en"],
    "deflated": ["dcmconv", "+td"],
    "big-endian": ["dcmconv", "+tb"],
    "implicit": ["dcmconv", "+ti"],
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        (name, bits)
        for name in DCMTK
        for bits in {"jpeg-baseline": [8], "jpeg-extended": [12]}.get(name, [8, 12, 16])
    ],
)
@pytest.mark.skipif(
    shutil.which("dcmcjpeg") is None,
    reason=f"{DATA_ABSENT}: files written by DCMTK (install its programs: apt-get install dcmtk)",
)
def test_what_dcmtk_writes(tmp_path, name, bits):
    """DCMTK is an encoder that shares no code with the decoders here."""
    window = {"WindowCenter": 0.4 * (1 << bits), "WindowWidth": 0.7 * (1 << bits)}
    plain = write(tmp_path / "plain.dcm", radiograph(200, 160, bits=bits), BitsStored=bits, **window)
    coded = tmp_path / "coded.dcm"
    subprocess.run([*DCMTK[name], plain, coded], check=True, capture_output=True)
    error = np.abs(read_image(coded).pixels - read_image(plain).pixels)
    assert error.mean() < {"jpeg-baseline": 0.02, "jpeg-extended": 0.02, "jpeg-ls-near": 0.01}.get(name, 1e-6)
