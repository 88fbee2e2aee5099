"""Broken elements that an image can do without: the image with a note, or an error that names the element."""

import numpy as np
import pytest

from tests.imaging.dicom_files import dataset, radiograph, save, write
from xiqa.errors import ImageReadError
from xiqa.imaging import read_image

WINDOW = {"WindowCenter": 2000, "WindowWidth": 3000}


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"PixelSpacing": [0.5]}, "PixelSpacing is"),
        ({"PixelSpacing": [0.5, 0]}, "PixelSpacing is"),
        ({"PixelSpacing": [0.5, 0.5, 0.5]}, "PixelSpacing is"),
        ({"ImagerPixelSpacing": [0.2]}, "ImagerPixelSpacing is"),
        ({"ShutterShape": "RECTANGULAR"}, "a shutter of shape RECTANGULAR was left out"),
        (
            {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 4},
            "a shutter of shape RECTANGULAR was left out",
        ),
        ({"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 9}, "a shutter of shape CIRCULAR"),
        ({"ShutterShape": "POLYGONAL"}, "a shutter of shape POLYGONAL was left out"),
        ({"ShutterShape": "HEART"}, "a shutter of shape HEART was left out"),
        ({"PixelPaddingValue": [0, 1]}, "PixelPaddingValue has 2 values instead of 1"),
    ],
)
def test_the_image_comes_with_a_note(tmp_path, elements, note):
    plain = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **WINDOW))
    image = read_image(write(tmp_path / "b.dcm", radiograph(), BitsStored=12, **WINDOW, **elements))
    np.testing.assert_array_equal(image.pixels, plain.pixels)
    assert image.mask is None
    assert image.spacing is None
    assert any(told.startswith(note) for told in image.source.notes), image.source.notes


def test_one_of_two_shutters_is_whole(tmp_path):
    edges = dict(zip(("Left", "Right"), (5, 60), strict=True))
    elements = {f"Shutter{side}VerticalEdge": edge for side, edge in edges.items()}
    elements |= {"ShutterUpperHorizontalEdge": 3, "ShutterLowerHorizontalEdge": 90}
    shapes = {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}
    image = read_image(write(tmp_path / "a.dcm", radiograph(), BitsStored=12, **WINDOW, **elements, **shapes))
    expected = np.zeros((96, 80), bool)
    expected[2:90, 4:60] = True
    np.testing.assert_array_equal(image.mask, expected)
    assert "a shutter of shape CIRCULAR was left out" in image.source.notes


@pytest.mark.parametrize(("vr", "value"), [("IS", "1"), ("DS", "1.0"), ("US", 1), ("LO", "1"), ("IS", "")])
def test_a_lenient_number_of_frames(tmp_path, vr, value):
    data = dataset(radiograph(), BitsStored=12, **WINDOW)
    data.add_new("NumberOfFrames", vr, value)
    assert read_image(save(data, tmp_path / "a.dcm")).source.frames == 1


@pytest.mark.parametrize("keyword", ["Rows", "BitsAllocated", "NumberOfFrames"])
def test_what_an_image_cannot_do_without_is_named(tmp_path, keyword):
    data = dataset(radiograph(), BitsStored=12)
    data.add_new(keyword, "LO", "many")
    with pytest.raises(ImageReadError, match=f"{keyword} is no number") as caught:
        read_image(save(data, tmp_path / "a.dcm"))
    assert caught.value.code == "bad_header"
