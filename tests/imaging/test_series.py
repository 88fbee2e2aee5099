"""Slices of a series: their order by position, and what is told of them."""

import math

import numpy as np
import pytest
from pydicom.uid import generate_uid

from tests.imaging.dicom_files import item, write
from xiqa.errors import ConfigError, ImageReadError
from xiqa.imaging import Series, find_series, open_image
from xiqa.imaging.frames import chosen_frames
from xiqa.imaging.planes import Plane, in_order, series_notes

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def slices(folder, origins, uid=None, directions=AXIAL, **lists):
    """Files named against the order of their positions."""
    uid, folder = uid or generate_uid(), folder / "ct"
    folder.mkdir(exist_ok=True)
    for number, origin in enumerate(origins):
        more = {name: values[number] for name, values in lists.items()}
        pixels = np.full((6, 7), 100 + number, np.uint16)
        told = {"ImagePositionPatient": list(origin), "ImageOrientationPatient": list(directions)}
        told |= {"SeriesInstanceUID": uid, "InstanceNumber": number + 1} | more
        write(folder / f"{len(origins) - number:03}.dcm", pixels, kind="MR", **told)
    return sorted(folder.iterdir())


def test_files_are_ordered_by_position_not_by_name(tmp_path):
    heights = [7.5, -2.5, 2.5, 0.0, 5.0]
    (series,) = find_series(slices(tmp_path, [(-10, 4, z) for z in heights]))
    assert isinstance(series, Series)
    # the file of heights[n] is called 5 - n
    expected = [f"{5 - heights.index(z):03}.dcm" for z in sorted(heights)]
    assert [path.name for path in series.paths] == expected
    assert series.notes == ()


def test_a_cine_is_ordered_by_its_trigger_times(tmp_path):
    times = [300.0, 0.0, 120.0, 1000.0]  # as text 1000 comes before 120
    (series,) = find_series(slices(tmp_path, [(1, 2, 3)] * 4, TriggerTime=times))
    assert [path.name for path in series.paths] == ["003.dcm", "002.dcm", "004.dcm", "001.dcm"]
    assert series.notes == ()


def test_radiographs_stand_alone_and_two_series_are_two(tmp_path):
    uid = generate_uid()
    radiographs = [
        write(tmp_path / f"{n}.dcm", np.zeros((4, 5), np.uint16) + n, SeriesInstanceUID=uid) for n in (1, 2)
    ]
    first = slices(tmp_path, [(0, 0, z) for z in (0, 1, 2)])
    lone = write(
        tmp_path / "lone.dcm",
        np.ones((4, 5), np.uint16),
        kind="MR",
        ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=list(AXIAL),
    )
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"no element")
    found = find_series([radiographs[0], *first, lone, tmp_path / "broken.dcm", radiographs[1]])
    assert [item if not isinstance(item, Series) else len(item.paths) for item in found] == [
        radiographs[0],
        3,
        lone,
        tmp_path / "broken.dcm",
        radiographs[1],
    ]


def plane(z, *, directions=AXIAL, time=None, number=0, uid="", y=0.0, size=(4, 5)):
    return Plane((0.0, y, z), directions, size, time, number, uid)


def test_a_gap_is_told_with_its_place():
    planes = [plane(float(z), number=n) for n, z in enumerate([0, 3, 6, 12, 15, 18, 21])]
    assert series_notes(planes) == (
        "uneven: steps between slices from 3.00 to 6.00 mm",
        "gap: wider than the usual step of 3.00 mm between the slices at 6.0 and 12.0 mm",
    )


def test_missing_numbers_and_duplicates_are_told():
    missing = [plane(float(n), number=n, uid=str(n)) for n in (1, 2, 5, 6)]
    assert "image numbers 3, 4 are missing" in series_notes(missing)
    twice = [plane(1.0, number=1, uid="a"), plane(1.0, number=1, uid="a"), plane(2.0, number=2, uid="b")]
    assert series_notes(twice) == (
        "1 of the files hold an image that another holds, too (same SOP Instance UID)",
    )
    same_place = [plane(z, number=n, uid=str(n), time=0.0) for n, z in enumerate((1.0, 1.0, 2.0))]
    assert series_notes(same_place) == ("1 images lie where another one lies, at the same time",)
    cine = [plane(1.0, number=n, uid=str(n)) for n in range(5)]
    assert series_notes(cine) == ()


def test_a_tilted_gantry_is_told_with_its_angle():
    tilt = math.radians(18.5)
    leaning = (1.0, 0.0, 0.0, 0.0, math.cos(tilt), -math.sin(tilt))
    planes = [plane(4.0 * n, directions=leaning, number=n) for n in range(5)]
    (note,) = series_notes(planes)
    assert note.startswith("sheared: the slices' centres run at 18.5 degrees")
    upright = [
        Plane((0.0, 4.0 * n * math.sin(tilt), 4.0 * n * math.cos(tilt)), leaning, (4, 5), None, n)
        for n in range(5)
    ]
    assert series_notes(upright) == ()


def test_stacks_of_several_directions_stay_apart():
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    mixed = [plane(5.0), plane(0.0, directions=sagittal), plane(1.0), plane(0.0, size=(8, 8))]
    assert in_order(mixed) == [2, 0, 1, 3]
    (note, *_) = series_notes([mixed[place] for place in in_order(mixed)])
    assert note == "mixed series: images of 2 sizes (2, 1, 1 images)"


def enhanced(path, heights, **more):
    """An enhanced MR whose frames have their own positions, spacing and rescaling."""
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])],
            PixelMeasuresSequence=[item(PixelSpacing=[0.5 + n, 0.25])],
            FrameVOILUTSequence=[item(WindowCenter=100 * (n + 1), WindowWidth=200 * (n + 1))],
        )
        for n, z in enumerate(heights)
    ]
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))])
    pixels = np.full((len(heights), 6, 7), 50, np.uint16)
    return write(
        path,
        pixels,
        kind="enhanced",
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=[shared],
        **more,
    )


def test_an_enhanced_image_uses_each_frames_own_groups(tmp_path):
    with open_image(enhanced(tmp_path / "e.dcm", [0, 4, 2])) as file:
        assert file.frames == 3
        frames = [file.read(number) for number in (2, 0, 1)]
        assert file.notes == ("the frames are not stored in the order of their positions",)
        with pytest.raises(ImageReadError, match=r"e\.dcm: no such frame"):
            file.read(3)
    assert [image.spacing for image in frames] == [(2.5, 0.25), (0.5, 0.25), (1.5, 0.25)]
    # PS3.3 C.11.2.1.2: (x - (c - 0.5)) / (w - 1) + 0.5
    means = [(50 - (c - 0.5)) / (2 * c - 1) + 0.5 for c in (300, 100, 200)]
    np.testing.assert_allclose([image.pixels.mean() for image in frames], means, atol=1e-5)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("all", (0, 1, 2, 3, 4)), ("first", (0,)), ("middle", (2,)), ("every:2", (0, 2, 4)), ("every:9", (0,))],
)
def test_the_choice_of_frames(choice, expected):
    assert chosen_frames(choice, 5) == expected


@pytest.mark.parametrize("choice", ["last", "every:0", "every:-1", "every:", "all:2", "every:²", ""])
def test_a_choice_that_does_not_exist(choice):
    with pytest.raises(ConfigError, match="no such choice of frames"):
        chosen_frames(choice, 5)
