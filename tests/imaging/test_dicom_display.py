"""DICOM in display order: against highdicom, pydicom, plain loops and closed forms."""

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import apply_modality_lut, apply_windowing

from tests.imaging.dicom_files import dataset, item, lut, radiograph, save, write
from tests.reference import display as loops
from xiqa.errors import ImageReadError
from xiqa.imaging import iter_images, read_image
from xiqa.imaging.blocks import blockwise, scale
from xiqa.imaging.dicom.display import Display, straight_line, to_display


def oracle(path, frame=0):
    """What highdicom shows."""
    return highdicom.imread(path).get_frame(
        frame,
        as_index=True,
        apply_real_world_transform=False,
        apply_voi_transform=None,
        apply_presentation_lut=True,
    )


WINDOW = {"WindowCenter": 1800, "WindowWidth": 2500}
SIGNED = {"BitsStored": 12, "WindowCenter": -40, "WindowWidth": 900}
RISING = lut((np.linspace(0, 1, 4096) ** 2 * 65535).astype(int))


@pytest.mark.parametrize(
    "elements",
    [
        {**WINDOW},
        {**WINDOW, "PhotometricInterpretation": "MONOCHROME1"},
        {**WINDOW, "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {**WINDOW, "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
        {**WINDOW, "VOILUTFunction": "LINEAR"},
        {**WINDOW, "VOILUTFunction": "LINEAR_EXACT", "RescaleSlope": 0.7, "RescaleIntercept": -12},
        {**WINDOW, "VOILUTFunction": "SIGMOID", "RescaleSlope": 2, "RescaleIntercept": 100},
        {**WINDOW, "VOILUTFunction": "SIGMOID", "PhotometricInterpretation": "MONOCHROME1"},
        {**WINDOW, "RescaleIntercept": -1024, "RescaleSlope": 1},
        {"WindowCenter": [1800, 900], "WindowWidth": [2500, 10]},
        {"VOILUTSequence": [RISING]},
        {"VOILUTSequence": [RISING], "PhotometricInterpretation": "MONOCHROME1"},
        {"VOILUTSequence": [lut(range(0, 2000 * 32, 32), first=1000)]},
        {"VOILUTSequence": [RISING], **WINDOW},
        {"ModalityLUTSequence": [lut(range(4095, -1, -1))], **WINDOW},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("kind", ["CR", "DX", "MG"])
def test_agrees_with_highdicom(tmp_path, elements, kind):
    path = write(tmp_path / "image.dcm", radiograph(), kind=kind, **{"BitsStored": 12, **elements})
    np.testing.assert_allclose(read_image(path).pixels, oracle(path), atol=2e-6)


def test_signed_pixels_agree_with_highdicom(tmp_path):
    path = write(tmp_path / "image.dcm", radiograph().astype("<i2") - 2048, kind="MR", **SIGNED)
    np.testing.assert_allclose(read_image(path).pixels, oracle(path), atol=2e-6)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("dtype", ["<u2", "<i2"])
def test_without_a_window_the_bits_stored_scale(tmp_path, inverse, dtype):
    """highdicom gives rescaled values there; the range of the bits stored maps them to [0, 1]."""
    stored = radiograph().astype(dtype) - (2048 if dtype == "<i2" else 0)
    photometric = "MONOCHROME1" if inverse else "MONOCHROME2"
    path = write(
        tmp_path / "image.dcm",
        stored,
        kind="MR",
        BitsStored=12,
        RescaleSlope=1.5,
        RescaleIntercept=7,
        PhotometricInterpretation=photometric,
    )
    low, high = (-2048, 2047) if dtype == "<i2" else (0, 4095)
    low, high = 1.5 * low + 7, 1.5 * high + 7
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, (oracle(path) - low) / (high - low), atol=1e-6)
    assert (image.pixels.min(), image.pixels.max(), image.bits) == (0, 1, 12)
    assert any("no VOI transform" in note for note in image.source.notes)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope", [2.0, 0.25, -1.0])
def test_windows_work_on_rescaled_values_as_in_pydicom(tmp_path, function, slope):
    """highdicom moves the window instead, which shifts LINEAR where the slope is not 1."""
    data = dataset(
        radiograph(),
        BitsStored=12,
        RescaleSlope=slope,
        RescaleIntercept=-100,
        WindowCenter=slope * 2000,
        WindowWidth=700,
        VOILUTFunction=function,
    )
    stored = radiograph()
    theirs = apply_windowing(apply_modality_lut(stored, data), data)
    span = np.array([0, 4095]) * slope - 100
    expected = (theirs - span[0]) / (span[1] - span[0])
    mine = read_image(save(data, tmp_path / "image.dcm")).pixels
    np.testing.assert_allclose(mine, expected, atol=2e-6)


FUNCTIONS = st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"])


@settings(deadline=None)
@given(
    st.lists(st.integers(-3000, 3000), min_size=1, max_size=6),
    st.floats(-1500, 1500),
    st.floats(2, 3000),
    FUNCTIONS,
    st.sampled_from([1.0, -2.0, 0.37]),
    st.booleans(),
)
def test_loops_agree(values, centre, width, function, slope, inverse):
    display = Display(slope=slope, intercept=5, window=(centre, width), function=function, inverse=inverse)
    mine = to_display(np.array([values]), (-4096, 4095), display)
    expected = loops.show(
        [values],
        slope=slope,
        intercept=5,
        centre=centre,
        width=width,
        function=function,
        inverse=inverse,
    )
    np.testing.assert_allclose(mine, expected, atol=2e-6)


def test_a_table_looks_up_as_in_loops(tmp_path):
    entries = list(np.random.default_rng(0).permutation(500) * 131)
    path = write(
        tmp_path / "image.dcm", radiograph(), BitsStored=12, VOILUTSequence=[lut(entries, first=300)]
    )
    table = (np.array(entries) - min(entries)) / (max(entries) - min(entries))
    expected = [[loops.look_up(int(x), table, 300) for x in row] for row in radiograph()]
    np.testing.assert_allclose(read_image(path).pixels, expected, atol=1e-6)


def test_a_window_of_width_1_is_a_threshold(tmp_path):
    stored = np.arange(16, dtype="u1").reshape(4, 4)
    path = write(tmp_path / "a.dcm", stored, WindowCenter=8, WindowWidth=1)
    np.testing.assert_array_equal(read_image(path).pixels, stored > 7.5)


def test_a_presentation_table_comes_last(tmp_path):
    stored = np.arange(256, dtype="u1").reshape(16, 16)
    square = (np.linspace(0, 1, 256) ** 2 * 65535).astype(int)
    path = write(
        tmp_path / "a.dcm",
        stored,
        WindowCenter=127.5,
        WindowWidth=255,
        VOILUTFunction="LINEAR_EXACT",
        PresentationLUTSequence=[lut(square)],
    )
    np.testing.assert_allclose(read_image(path).pixels, square[stored] / 65535, atol=1e-6)


def test_the_first_of_several_windows_is_taken_and_told(tmp_path):
    path = write(
        tmp_path / "a.dcm", radiograph(), BitsStored=12, WindowCenter=[1000, 50], WindowWidth=[800, 9]
    )
    assert any("first of 2 windows" in note for note in read_image(path).source.notes)


@pytest.mark.parametrize("shift", [0, 4])
def test_bits_beside_the_stored_ones_do_not_matter(tmp_path, shift):
    """Old files keep overlays in the unused bits."""
    clean = radiograph()
    dirty = (clean << shift) | (0x000F if shift else 0xF000)
    path = write(tmp_path / "a.dcm", dirty.astype("<u2"), BitsStored=12, HighBit=11 + shift, **WINDOW)
    plain = write(tmp_path / "b.dcm", clean, BitsStored=12, **WINDOW)
    np.testing.assert_array_equal(read_image(path).pixels, read_image(plain).pixels)


def test_32_bit_pixels(tmp_path):
    stored = radiograph().astype("<u4") * 1000
    path = write(tmp_path / "a.dcm", stored, kind="MR", WindowCenter=2e6, WindowWidth=3e6)
    expected = (stored.astype(float) - (2e6 - 1.5e6)) / (3e6 - 1)
    np.testing.assert_allclose(read_image(path).pixels, expected.clip(0, 1), atol=1e-6)


def test_a_small_image_and_a_large_one_take_the_same_way(tmp_path):
    """Large images go through a table of all values, small ones do not."""
    large = radiograph(400, 300)
    options = {"BitsStored": 12, "PixelPaddingValue": int(large[5, 5]), "VOILUTFunction": "SIGMOID", **WINDOW}
    whole = read_image(write(tmp_path / "a.dcm", large, **options))
    part = read_image(write(tmp_path / "b.dcm", np.ascontiguousarray(large[:50, :40]), **options))
    np.testing.assert_array_equal(whole.pixels[:50, :40], part.pixels)
    np.testing.assert_array_equal(whole.mask[:50, :40], part.mask)


def enhanced(frames=3, **shared):
    stack = np.stack([radiograph(64, 64, seed=seed) for seed in range(frames)])
    per_frame = [
        item(
            PixelValueTransformationSequence=[
                item(RescaleSlope=1, RescaleIntercept=100 * number, RescaleType="US")
            ],
            FrameVOILUTSequence=[item(WindowCenter=1500 + 200 * number, WindowWidth=2000)],
            PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25 * (number + 1)], SliceThickness=3)],
        )
        for number in range(frames)
    ]
    return dataset(
        stack,
        kind="enhanced",
        BitsStored=12,
        PerFrameFunctionalGroupsSequence=per_frame,
        SharedFunctionalGroupsSequence=[item(**shared)],
        PresentationLUTShape="IDENTITY",
    )


def test_enhanced_mr_frames_have_their_own_transforms(tmp_path):
    path = save(enhanced(), tmp_path / "mr.dcm")
    images = list(iter_images(path))
    assert [image.source.frame for image in images] == [0, 1, 2]
    for number, image in enumerate(images):
        np.testing.assert_allclose(image.pixels, oracle(path, number), atol=2e-6)
        assert image.spacing == (0.5, 0.25 * (number + 1))
        np.testing.assert_array_equal(image.pixels, read_image(path, frame=number).pixels)
        assert image.modality == "MR"


def test_shared_groups_serve_frames_without_their_own(tmp_path):
    data = enhanced(FrameVOILUTSequence=[item(WindowCenter=1000, WindowWidth=500)])
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.FrameVOILUTSequence
    path = save(data, tmp_path / "mr.dcm")
    np.testing.assert_allclose(read_image(path, frame=2).pixels, oracle(path, 2), atol=2e-6)


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"WindowCenter": 5, "WindowWidth": 0}, "bad_window"),
        ({"WindowCenter": 5, "WindowWidth": 0.5}, "bad_window"),
        ({"WindowCenter": 5, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "bad_window"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "bad_window"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "bad_rescale"),
        ({"VOILUTSequence": [item(LUTDescriptor=[9, 0, 16], LUTData=b"\0\0")]}, "bad_lut"),
        ({"ModalityLUTSequence": [item(LUTExplanation="empty")]}, "bad_lut"),
    ],
)
def test_transforms_that_cannot_be_applied(tmp_path, elements, code):
    path = write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **elements)
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert caught.value.code == code


def test_bundled_files_of_pydicom_agree_with_pydicom():
    """Real scanners' files: the window of pydicom, scaled to [0, 1]."""
    for name in ("MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "examples_overlay.dcm"):
        path = pydicom.data.get_testdata_file(name, download=False)
        data = pydicom.dcmread(path)
        theirs = apply_windowing(apply_modality_lut(data.pixel_array, data), data)
        half = 1 << (data.BitsStored - 1)
        low = -half if data.PixelRepresentation else 0
        np.testing.assert_allclose(read_image(path).pixels, (theirs - low) / (2 * half - 1), atol=2e-6)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["LINEAR", "LINEAR_EXACT"]),
    st.none() | st.tuples(st.floats(-5000, 5000), st.floats(1.5, 6000)),
    st.floats(-3, 3).filter(lambda slope: abs(slope) > 1e-3),
    st.floats(-2000, 2000),
    st.booleans(),
)
def test_a_straight_line_is_the_window(function, window, slope, intercept, inverse):
    """What is computed in float32 is the pipeline in float64; what float32 cannot tell is left to a table."""
    display = Display(slope, intercept, window=window, function=function, inverse=inverse)
    stored = np.arange(-2048, 2048, dtype=np.int16)
    line = straight_line(display, (-2048, 2047))
    if line is not None:
        mine = blockwise(scale(*line, clip=True), stored, np.dtype(np.float32))
        np.testing.assert_allclose(mine, to_display(stored, (-2048, 2047), display), atol=5e-7)


@pytest.mark.parametrize(
    "display",
    [
        Display(window=(100, 50), function="SIGMOID"),
        Display(window=(100, 1), function="LINEAR"),
        Display(window=(60000.0001, 1.5)),
    ],
)
def test_what_is_no_straight_line_in_float32(display):
    assert straight_line(display, (0, 65535)) is None
    assert straight_line(Display(), None) is None
    assert straight_line(Display(), (0, 2**32 - 1)) is None
    assert straight_line(Display(window=(2000, 3000)), (0, 4095)) == (500, 1 / 2999)
