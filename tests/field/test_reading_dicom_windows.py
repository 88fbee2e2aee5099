"""Windows, polarity and the range of grey values of DICOM files that other readers showed wrong."""

import numpy as np
import pytest

from tests.imaging.dicom_files import dataset, radiograph, save, write
from xiqa.errors import ImageReadError
from xiqa.imaging import read_image

CENTRE, WIDTH = 0x00281050, 0x00281051


def with_window(path, vr, centre, width, **elements):
    data = dataset(radiograph(), BitsStored=12, **elements)
    data.add_new(CENTRE, vr, centre)
    data.add_new(WIDTH, vr, width)
    return save(data, path)


def shown(centre, width):
    return ((radiograph() - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)


TEXTS = ["LO", "SH", "LT", "ST", "UT", "CS", "UC", "DS", "IS"]


@pytest.mark.parametrize("vr", TEXTS)
def test_windows_as_text_are_numbers_not_letters(tmp_path, vr):
    """'127' gave a window around 1."""
    image = read_image(with_window(tmp_path / "a.dcm", vr, "1270", "2550"))
    np.testing.assert_allclose(image.pixels, shown(1270, 2550), atol=1e-6)
    assert any("value representation" in note for note in image.source.notes) == (vr not in ("DS", "IS"))


@pytest.mark.parametrize("vr", ["LO", "LT", "UN", "DS"])
def test_of_several_windows_as_text_the_first_is_taken(tmp_path, vr):
    centre, width = (b"1270\\40 ", b"2550\\80 ") if vr == "UN" else ("1270\\40", "2550\\80")
    image = read_image(with_window(tmp_path / "a.dcm", vr, centre, width))
    np.testing.assert_allclose(image.pixels, shown(1270, 2550), atol=1e-6)
    assert any("first of 2 windows" in note for note in image.source.notes)


@pytest.mark.parametrize("vr", ["US", "SS", "UL", "SL", "FL", "FD"])
def test_windows_as_binary_numbers(tmp_path, vr):
    number = float if vr in ("FL", "FD") else int
    image = read_image(with_window(tmp_path / "a.dcm", vr, number(1270), number(2550)))
    np.testing.assert_allclose(image.pixels, shown(1270, 2550), atol=1e-6)


def raw_window(path, centre: bytes, width: bytes):
    """A file whose window is written byte by byte, which pydicom would not do."""
    whole = with_window(path, "LO", "C" * len(centre), "W" * len(width)).read_bytes()
    for letter, value, tag in ((b"C", centre, b"\x28\0\x50\x10"), (b"W", width, b"\x28\0\x51\x10")):
        whole = whole.replace(letter * len(value), value).replace(tag + b"LO", tag + b"DS")
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("centre", "width", "expected", "note"),
    [
        (b"1270,5", b"2550,0", (1270.5, 2550), "WindowCenter has a decimal comma"),
        (b"1270\\ ", b"2550\\ ", (1270, 2550), "WindowCenter ends with an empty value"),
        (b" 1270 ", b"2550\0\0", (1270, 2550), ""),
    ],
)
def test_numbers_written_in_odd_ways(tmp_path, centre, width, expected, note):
    image = read_image(raw_window(tmp_path / "a.dcm", centre, width))
    np.testing.assert_allclose(image.pixels, shown(*expected), atol=1e-6)
    assert any(told.startswith(note or "-") for told in image.source.notes) == bool(note)


@pytest.mark.parametrize(("centre", "width"), [(b"middle", b"2550"), (b"1270", b"nan "), (b"1270", b"1..2")])
def test_a_window_that_is_no_number_is_left_out_with_a_note(tmp_path, centre, width):
    image = read_image(raw_window(tmp_path / "a.dcm", centre, width))
    plain = read_image(write(tmp_path / "b.dcm", radiograph(), BitsStored=12))
    np.testing.assert_array_equal(image.pixels, plain.pixels)
    assert any(note.startswith("the window was left out: Window") for note in image.source.notes)


def test_a_centre_without_a_width_is_told(tmp_path):
    image = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, WindowCenter=7))
    assert "the window was left out: WindowWidth is missing" in image.source.notes


@pytest.mark.parametrize("centre", [0, 1])
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_a_window_of_no_width_counts_as_none(tmp_path, centre, function):
    elements = {"WindowCenter": centre, "WindowWidth": 0, "VOILUTFunction": function}
    image = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **elements))
    np.testing.assert_allclose(image.pixels, radiograph() / 4095, atol=1e-6)
    assert "a window of WindowWidth 0 counts as none" in image.source.notes
    elements = {"WindowCenter": [centre, 1270], "WindowWidth": [0, 2550]}
    image = read_image(write(tmp_path / "b.dcm", radiograph(), BitsStored=12, **elements))
    np.testing.assert_allclose(image.pixels, shown(1270, 2550), atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        ({"RescaleSlope": "LO"}, "RescaleSlope"),
        ({"RescaleIntercept": "LO"}, "RescaleIntercept"),
    ],
)
def test_a_broken_rescaling_names_its_element(tmp_path, elements, name):
    data = dataset(radiograph(), BitsStored=12, WindowCenter=5, WindowWidth=9)
    data.add_new(name, elements[name], "steep")
    with pytest.raises(ImageReadError, match=f"{name} is no number") as caught:
        read_image(save(data, tmp_path / "a.dcm"))
    assert caught.value.code == "bad_rescale"


@pytest.mark.parametrize(
    ("photometric", "shape", "inverse", "told"),
    [
        ("MONOCHROME1", "", True, ""),
        ("MONOCHROME1", "LIN OD", True, "LIN OD is not for displays"),
        ("MONOCHROME1", "NORMAL", True, "NORMAL is not for displays"),
        ("MONOCHROME2", "LIN OD", False, "LIN OD is not for displays"),
        ("MONOCHROME1", "INVERSE", True, ""),
        ("MONOCHROME1", "IDENTITY", False, "contradict each other"),
        ("MONOCHROME2", "INVERSE", True, "contradict each other"),
        ("MONOCHROME2", "IDENTITY", False, ""),
        ("MONOCHROME1", "inverse", True, ""),
    ],
)
def test_polarity(tmp_path, photometric, shape, inverse, told):
    elements = {"PhotometricInterpretation": photometric, "WindowCenter": 1270, "WindowWidth": 2550}
    if shape:
        elements["PresentationLUTShape"] = shape
    image = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **elements))
    expected = 1 - shown(1270, 2550) if inverse else shown(1270, 2550)
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    notes = [note for note in image.source.notes if "Presentation LUT" in note]
    assert bool(notes) == bool(told)
    assert not told or told in notes[0]


def brain(low=20, high=900, background=0, size=(200, 160), dtype="<u2") -> np.ndarray:
    """An ellipse with an uneven inside, on a background."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 < 1
    tissue = low + (high - low) * (0.5 + 0.3 * np.sin(7 * x) + 0.2 * np.cos(5 * y))
    return np.where(inside, tissue + rng.normal(0, 5, size), background).round().astype(dtype)


def contrast(image, inside):
    low, high = np.percentile(image.pixels[inside], (5, 95))
    return high - low


@pytest.mark.parametrize("dtype", ["<u2", "<i2"])
@pytest.mark.parametrize("kind", ["MR", "CT", "CR"])
def test_16_bits_without_a_window_are_shown_by_their_pixels(tmp_path, dtype, kind):
    """A T1-weighted brain lay between 0.500 and 0.502."""
    stored = brain(dtype=dtype)
    kind = "1.2.840.10008.5.1.4.1.1.2" if kind == "CT" else kind
    image = read_image(write(tmp_path / "a.dcm", stored, kind=kind))
    assert contrast(image, stored > 0) > 0.6
    assert any("was chosen from the pixels" in note for note in image.source.notes)


def burned_in(stored, value=65535):
    stored[2:22, 3:40] = value
    return stored


def corners(stored, value):
    """Undeclared padding around a round field of view."""
    y, x = np.mgrid[-1 : 1 : stored.shape[0] * 1j, -1 : 1 : stored.shape[1] * 1j]
    stored[x**2 + y**2 > 1] = value
    return stored


def side(stored, value):
    """Undeclared padding down two sides, as of an image that was made square."""
    stored[:, :12] = stored[:, -12:] = value
    return stored


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (burned_in, "<u2"),
        (lambda stored: corners(stored, -30_000), "<i2"),
        (lambda stored: corners(stored, 63_536), "<u2"),
        (lambda stored: side(stored, -32_768), "<i2"),
        (lambda stored: side(stored, 65_535), "<u2"),
    ],
)
def test_corners_and_padding_do_not_choose_the_range(tmp_path, change, dtype):
    stored = brain(dtype=dtype)
    inside = stored > 0
    image = read_image(write(tmp_path / "a.dcm", change(stored.copy()), kind="MR"))
    plain = read_image(write(tmp_path / "b.dcm", stored, kind="MR"))
    assert contrast(image, inside) > 0.6
    same = change(stored.copy()) == stored
    assert np.abs(image.pixels - plain.pixels)[same].max() < 0.02


def test_declared_padding_does_not_choose_the_range(tmp_path):
    stored = brain()
    padded = stored.copy()
    padded[:, 40:60] = 9000  # near enough that nothing but the header tells that it is padding
    image = read_image(write(tmp_path / "a.dcm", padded, kind="MR", PixelPaddingValue=9000))
    assert contrast(image, (stored > 0) & (padded < 9000)) > 0.6


def test_the_range_goes_through_rescaling_and_polarity(tmp_path):
    stored = brain(dtype="<u2")
    plain = read_image(write(tmp_path / "a.dcm", stored, kind="MR"))
    elements = {"RescaleSlope": -2, "RescaleIntercept": 7, "PhotometricInterpretation": "MONOCHROME1"}
    twice = read_image(write(tmp_path / "b.dcm", stored, kind="MR", **elements))
    np.testing.assert_allclose(twice.pixels, plain.pixels, atol=1e-5)


@pytest.mark.parametrize("modality", ["RTDOSE", "RTIMAGE", "SEG"])
def test_dose_and_segmentations_are_left_as_they_are(tmp_path, modality):
    stored = brain()
    image = read_image(write(tmp_path / "a.dcm", stored, kind="MR", Modality=modality))
    np.testing.assert_allclose(image.pixels, stored / 65535, atol=1e-7)


def test_colour_and_8_bits_are_left_as_they_are(tmp_path):
    dark = (radiograph(bits=8) // 8).astype("u1")
    np.testing.assert_allclose(read_image(write(tmp_path / "a.dcm", dark)).pixels, dark / 255, atol=1e-7)
    colour = np.stack([brain()] * 3, axis=-1)
    np.testing.assert_allclose(
        read_image(write(tmp_path / "b.dcm", colour)).pixels, colour / 65535, atol=1e-7
    )


def test_an_image_that_uses_its_bits_is_shown_by_them(tmp_path):
    stored = radiograph(bits=16)
    image = read_image(write(tmp_path / "a.dcm", stored, kind="MR"))
    np.testing.assert_allclose(image.pixels, stored / 65535, atol=1e-6)
    assert any("range of the bits stored" in note for note in image.source.notes)


def test_few_bright_pixels_on_nothing(tmp_path):
    """More than 99 per cent of one value: the whole range of the pixels."""
    stored = np.zeros((100, 100), "<u2")
    stored[50, 40:50] = np.arange(10, 110, 10)
    image = read_image(write(tmp_path / "a.dcm", stored, kind="MR"))
    np.testing.assert_allclose(image.pixels, stored / 100, atol=1e-6)
