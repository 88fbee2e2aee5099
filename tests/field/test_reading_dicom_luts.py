"""Lookup tables of DICOM files that other readers got wrong: byte order, signs, bits, odd representations."""

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from tests.imaging.dicom_files import dataset, item, lut, radiograph, save
from xiqa.errors import ImageReadError
from xiqa.imaging import read_image

BIG, LITTLE = uid.ExplicitVRBigEndian, uid.ExplicitVRLittleEndian
#: Rises unevenly and is far from symmetric, also when its bytes are swapped.
ENTRIES = (np.linspace(0, 1, 4096) ** 2 * 4000 + 17).astype(int)


def table_item(entries, *, order="<", vr="OW", first=0, bits=16, descriptor_vr="US", packed=False) -> Dataset:
    """An item of a LUT sequence, its data in any byte order and under any value representation."""
    made = Dataset()
    count = len(entries) % 65536
    if descriptor_vr == "SS" and first >= 32768:
        first -= 65536
    made.add_new(0x00283002, descriptor_vr, [count, first, bits])
    raw = np.asarray(entries).astype("u1" if packed else f"{order}u2").tobytes()
    made.add_new(0x00283006, vr, raw if vr in ("OW", "OB", "UN") else [int(entry) for entry in entries])
    return made


def written(path, pixels, syntax=LITTLE, **elements):
    order = "<" if syntax == LITTLE else ">"
    return save(dataset(pixels.astype(f"{order}u2"), syntax=syntax, BitsStored=12, **elements), path)


@pytest.mark.parametrize("vr", ["OW", "OB", "UN", "US"])
@pytest.mark.parametrize("syntax", [LITTLE, BIG], ids=["little", "big"])
@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence"])
def test_tables_have_the_byte_order_of_their_file(tmp_path, keyword, syntax, vr):
    order = "<" if syntax == LITTLE else ">"
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "LINEAR_EXACT"}
    elements = {keyword: [table_item(ENTRIES, order=order, vr=vr)]}
    if keyword != "VOILUTSequence":
        elements |= window
    image = read_image(written(tmp_path / "a.dcm", radiograph(), syntax, **elements))
    looked_up = ENTRIES[radiograph()]
    if keyword == "ModalityLUTSequence":
        expected = (looked_up / 4096).clip(0, 1)
    elif keyword == "VOILUTSequence":
        expected = (looked_up - 17) / 4000
    else:
        place = np.rint(radiograph() / 4096 * 4095).astype(int)
        expected = (ENTRIES[place] - 17) / 4000
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


@pytest.mark.parametrize("syntax", [LITTLE, BIG], ids=["little", "big"])
@pytest.mark.parametrize("vr", ["OW", "OB"])
def test_tables_of_bytes_packed_into_words(tmp_path, syntax, vr):
    """In a big-endian file the first of two bytes lies behind the second, but only in words."""
    entries = np.arange(255, -1, -1)
    raw = entries.astype("u1")
    if syntax == BIG and vr == "OW":
        raw = raw.reshape(-1, 2)[:, ::-1].reshape(-1)
    made = Dataset()
    made.add_new(0x00283002, "US", [256, 0, 8])
    made.add_new(0x00283006, vr, raw.tobytes())
    pixels = radiograph(bits=8).astype("u2")
    image = read_image(written(tmp_path / "a.dcm", pixels, syntax, VOILUTSequence=[made]))
    np.testing.assert_allclose(image.pixels, (255 - pixels) / 255, atol=1e-6)


def test_an_odd_number_of_packed_bytes(tmp_path):
    made = item(LUTDescriptor=[255, 0, 8], LUTData=bytes(range(255)) + b"\0")
    pixels = radiograph(bits=8).clip(0, 254).astype("u2")
    image = read_image(written(tmp_path / "a.dcm", pixels, VOILUTSequence=[made]))
    np.testing.assert_allclose(image.pixels, pixels / 254, atol=1e-6)


@pytest.mark.parametrize("vr", ["US", "SS"])
def test_the_number_of_entries_never_has_a_sign(tmp_path, vr):
    """40,000 entries are -25,536 under SS."""
    entries = (np.linspace(0, 1, 40_000) ** 3 * 65535).astype(int)
    stored = radiograph(bits=16).astype("<u2")
    path = save(dataset(stored, VOILUTSequence=[table_item(entries)]), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"\x28\0\x02\x30US", b"\x28\0\x02\x30" + vr.encode()))
    expected = entries[stored.clip(0, 39_999)] / 65535
    np.testing.assert_allclose(read_image(path).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize(
    ("first", "signed", "intercept"), [(-900, True, 0), (-900, False, -1024), (40_000, False, 0)]
)
def test_the_first_input_has_a_sign_where_inputs_have(tmp_path, vr, first, signed, intercept):
    entries = (np.linspace(0, 1, 1500) ** 2 * 5000).astype(int)
    inputs = first - 100 + (radiograph(bits=12).astype(int) % 1800)
    stored = (inputs - intercept).astype("<i2" if signed else "<u2")
    made = table_item(entries, descriptor_vr=vr, first=first % 65536)
    elements = {"RescaleSlope": 1, "RescaleIntercept": intercept} if intercept else {}
    path = save(dataset(stored, VOILUTSequence=[made], **elements), tmp_path / "a.dcm")
    expected = entries[(inputs - first).clip(0, 1499)] / 5000
    np.testing.assert_allclose(read_image(path).pixels, expected, atol=1e-6)


def test_a_modality_table_of_fewer_bits_than_its_descriptor_says(tmp_path):
    """Entries to 1023 under 16 bits: scaled by 65,535 the picture was black, and white as a negative."""
    entries = np.linspace(0, 1023, 4096).astype(int)
    elements = {"ModalityLUTSequence": [lut(entries, bits=16)]}
    image = read_image(written(tmp_path / "a.dcm", radiograph(), **elements))
    np.testing.assert_allclose(image.pixels, entries[radiograph()] / 1023, atol=1e-6)
    negative = written(tmp_path / "b.dcm", radiograph(), PhotometricInterpretation="MONOCHROME1", **elements)
    np.testing.assert_allclose(read_image(negative).pixels, 1 - entries[radiograph()] / 1023, atol=1e-6)
    assert any("the modality table's own range is shown, 0 to 1023" in note for note in image.source.notes)


def palette(order="<", vr="OW", kind="US", first=0, bits=16, scale=257) -> dict:
    """The elements of a palette of 200 colours, each channel another curve."""
    ramp = np.arange(200)
    curves = {"Red": ramp, "Green": 255 - ramp, "Blue": (ramp * 7) % 256}
    elements = Dataset()
    for number, (colour, curve) in enumerate(curves.items()):
        keyword = f"{colour}PaletteColorLookupTableD"
        first_value = first - 65536 if kind == "SS" and first >= 32768 else first
        elements.add_new(0x00281101 + number, kind, [200, first_value, bits])
        dtype = "u1" if scale == 0 else f"{order}u2"
        elements.add_new(0x00281201 + number, vr, (curve * (scale or 1)).astype(dtype).tobytes())
        assert f"{keyword}ata" in elements
    return elements


COLOURS = np.stack([np.arange(200), 255 - np.arange(200), (np.arange(200) * 7) % 256], axis=-1) / 255


@pytest.mark.parametrize("vr", ["OW", "OB", "UN"])
@pytest.mark.parametrize("syntax", [LITTLE, BIG], ids=["little", "big"])
@pytest.mark.parametrize("scale", [257, 1], ids=["16 bits", "8 bits told as 16"])
def test_palettes(tmp_path, syntax, vr, scale):
    pixels = (radiograph(bits=8) % 200).astype("u1")
    data = dataset(pixels, syntax=syntax, PhotometricInterpretation="PALETTE COLOR")
    data.update(palette("<" if syntax == LITTLE else ">", vr, scale=scale))
    image = read_image(save(data, tmp_path / "a.dcm"))
    np.testing.assert_allclose(image.pixels, COLOURS[pixels], atol=1e-6)
    assert any("8 bits, not 16" in note for note in image.source.notes) == (scale == 1)


@pytest.mark.parametrize(("first", "kind"), [(20, "US"), (-30, "SS"), (65506, "US")])
def test_palettes_whose_first_index_is_not_0(tmp_path, first, kind):
    signed = first < 0 or first > 32767
    pixels = ((radiograph(bits=8) % 250).astype(int) - (40 if signed else 0)).astype(
        "<i2" if signed else "<u2"
    )
    data = dataset(pixels, PhotometricInterpretation="PALETTE COLOR")
    data.update(palette(first=first % 65536, kind=kind))
    start = first - 65536 if first > 32767 else first
    expected = COLOURS[(pixels.astype(int) - start).clip(0, 199)]
    np.testing.assert_allclose(read_image(save(data, tmp_path / "a.dcm")).pixels, expected, atol=1e-6)


def test_bits_beside_the_stored_ones_are_no_part_of_an_index(tmp_path):
    pixels = (radiograph(bits=8) % 200).astype("<u2")
    data = dataset(pixels | 0x3000, BitsStored=10, PhotometricInterpretation="PALETTE COLOR")
    data.update(palette())
    np.testing.assert_allclose(read_image(save(data, tmp_path / "a.dcm")).pixels, COLOURS[pixels], atol=1e-6)


SEGMENTS = [0, 2, 10, 60, 1, 5, 160, 0, 3, 9, 8, 200, 2, 2, 8, 0]  # the last: two segments from byte 8 on
EXPANDED = [10, 60, 80, 100, 120, 140, 160, 9, 8, 200]


@pytest.mark.parametrize("syntax", [LITTLE, BIG], ids=["little", "big"])
@pytest.mark.parametrize("bits", [8, 16])
def test_segmented_palettes(tmp_path, syntax, bits):
    """Discrete, linear and indirect segments (PS3.3 C.7.9.2)."""
    coded = [*SEGMENTS[:12], 2, 1, *((7, 0, 0, 0) if bits == 8 else (14, 0))]
    expected = np.array([*EXPANDED, 9, 8, 200])
    if bits == 8:
        raw = np.array(coded, "u1")
        raw = raw if syntax == LITTLE else raw.reshape(-1, 2)[:, ::-1]
    else:
        raw = np.array(coded, "<u2" if syntax == LITTLE else ">u2")
    pixels = (radiograph(bits=8) % 13).astype("u1")
    data = dataset(pixels, syntax=syntax, PhotometricInterpretation="PALETTE COLOR")
    for number in range(3):
        data.add_new(0x00281101 + number, "US", [13, 0, bits])
        data.add_new(0x00281221 + number, "OW", raw.tobytes())
    image = read_image(save(data, tmp_path / "a.dcm"))
    np.testing.assert_allclose(image.pixels[..., 1], expected[pixels] / 255, atol=1e-6)


@pytest.mark.parametrize("coded", [[1, 5, 9], [0, 9, 1], [0, 2, 1, 2], [7, 1, 1], [2, 1, 0, 0]])
def test_segments_that_make_no_palette(tmp_path, coded):
    data = dataset((radiograph(bits=8) % 3).astype("u1"), PhotometricInterpretation="PALETTE COLOR")
    for number in range(3):
        data.add_new(0x00281101 + number, "US", [3, 0, 16])
        data.add_new(0x00281221 + number, "OW", np.array(coded, "<u2").tobytes())
    with pytest.raises(ImageReadError, match="palette") as caught:
        read_image(save(data, tmp_path / "a.dcm"))
    assert caught.value.code == "bad_lut"


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence"])
def test_an_empty_item_of_a_lut_sequence_is_left_out(tmp_path, keyword):
    elements = {"WindowCenter": 2000, "WindowWidth": 1000, keyword: pydicom.Sequence([Dataset()])}
    image = read_image(written(tmp_path / "a.dcm", radiograph(), **elements))
    plain = read_image(written(tmp_path / "b.dcm", radiograph(), WindowCenter=2000, WindowWidth=1000))
    np.testing.assert_array_equal(image.pixels, plain.pixels)
    assert f"an empty item of {keyword} was left out" in image.source.notes


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (item(LUTDescriptor=[9, 0, 16], LUTData=b"\1\2"), "LUTData has 1 entries"),
        (item(LUTExplanation="none"), "LUTDescriptor has 0 values"),
        (item(LUTDescriptor=[2, 0, 40], LUTData=b"\1\2\3\4"), "of 40 bits"),
    ],
)
def test_tables_that_do_not_fit_are_named(tmp_path, made, named):
    with pytest.raises(ImageReadError, match=named) as caught:
        read_image(written(tmp_path / "a.dcm", radiograph(), VOILUTSequence=[made]))
    assert caught.value.code == "bad_lut"
