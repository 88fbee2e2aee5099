"""Volumes in the patient's space: a marker at a known point comes back at that point."""

import math

import nibabel
import numpy as np
import pytest

from tests.imaging.dicom_files import item, write
from xiqa.errors import ImageReadError
from xiqa.imaging import find_series
from xiqa.imaging.volume import Volume, read_volume
from xiqa.report.volumes import on_volume, orthogonal_picture, write_nifti
from xiqa.saliency.volumes import find_in_volume

TURN = math.radians(27)
# Directions of a row and of a column in DICOM's LPS, and of the slices.
VIEWS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "oblique": (
        (math.cos(TURN), math.sin(TURN), 0),
        (-math.sin(TURN) * math.cos(0.4), math.cos(TURN) * math.cos(0.4), math.sin(0.4)),
    ),
}
SHAPE, STEPS = (5, 7, 9), (3.0, 1.5, 0.8)  # slices, rows, columns and their millimetres
MARKED = (3, 1, 6)
ORIGIN = np.array([-31.0, 12.5, 47.0])


def point_of(view, voxel=MARKED, shear=0.0):
    """Where DICOM says a voxel lies, LPS (PS3.3 C.7.6.2.1.1), with the slices' origins along their normal."""
    row, column = map(np.array, VIEWS[view])
    origin = ORIGIN + voxel[0] * (STEPS[0] * np.cross(row, column) + shear * column)
    return origin + row * STEPS[2] * voxel[2] + column * STEPS[1] * voxel[1]


def pixels():
    values = np.random.default_rng(0).integers(0, 60, SHAPE).astype(np.uint8)
    values[MARKED] = 255
    return values


def origin_of(view, number, shear=0.0):
    return [float(x) for x in point_of(view, (number, 0, 0), shear)]


def series(folder, view, shear=0.0, numbers=range(SHAPE[0])):
    """One-frame files named against their positions."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        write(
            folder / f"{9 - number}.dcm",
            pixels()[number],
            kind="MR",
            SeriesInstanceUID="1.2.3",
            InstanceNumber=number,
            ImagePositionPatient=origin_of(view, number, shear),
            ImageOrientationPatient=[float(x) for pair in VIEWS[view] for x in pair],
            PixelSpacing=[STEPS[1], STEPS[2]],
            WindowCenter=128,
            WindowWidth=256,
        )
    return folder


def enhanced(path, view):
    """The same in one file, whose frames are stored in another order."""
    order = [2, 0, 4, 1, 3]
    frames = [item(PlanePositionSequence=[item(ImagePositionPatient=origin_of(view, n))]) for n in order]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[float(x) for p in VIEWS[view] for x in p])],
        PixelMeasuresSequence=[item(PixelSpacing=[STEPS[1], STEPS[2]])],
        FrameVOILUTSequence=[item(WindowCenter=128, WindowWidth=256)],
    )
    return write(
        path,
        pixels()[order],
        kind="enhanced",
        PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=[shared],
    )


def nifti(path, view):
    """The same as NIfTI: columns, rows, slices, in RAS."""
    corners = [point_of(view, voxel) for voxel in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))]
    affine = np.eye(4)
    affine[:3, 3] = corners[0]
    affine[:3, :3] = np.array([corner - corners[0] for corner in corners[1:]]).T
    affine = np.diag([-1, -1, 1, 1]) @ affine
    nibabel.save(nibabel.Nifti1Image(pixels().transpose(2, 1, 0), affine), path)
    return path


READ = {
    "files": lambda folder, view: series(folder / "mr", view),
    "frames": lambda folder, view: enhanced(folder / "e.dcm", view),
    "nifti": lambda folder, view: nifti(folder / "v.nii.gz", view),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("view", VIEWS)
def test_a_marker_comes_back_where_it_was_put(tmp_path, view, kind):
    volume = read_volume(READ[kind](tmp_path, view))
    assert volume.voxels.shape == SHAPE
    np.testing.assert_allclose(volume.spacing, STEPS, rtol=1e-5)
    (finding,) = find_in_volume(volume.voxels)
    expected = point_of(view) * [-1, -1, 1]  # LPS to RAS
    assert finding.peak == MARKED
    np.testing.assert_allclose(volume.to_patient(finding.peak), expected, atol=1e-4)
    np.testing.assert_allclose(volume.to_voxel(expected), MARKED, atol=1e-4)
    several = volume.to_patient(np.array([MARKED, (0, 0, 0)]))
    np.testing.assert_allclose(volume.to_voxel(several), [MARKED, (0, 0, 0)], atol=1e-4)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["map.nii", "map.nii.gz"])
def test_a_map_lies_over_its_source_in_another_program(tmp_path, view, name):
    volume = read_volume(series(tmp_path / "mr", view))
    saliency = np.zeros(SHAPE, np.float32)
    saliency[MARKED] = 2.5
    image = nibabel.load(write_nifti(tmp_path / name, saliency, volume))
    values = image.get_fdata()
    peak = np.unravel_index(values.argmax(), values.shape)
    assert values.max() == 2.5
    assert image.header.get_xyzt_units()[0] == "mm"
    found = nibabel.affines.apply_affine(image.affine, peak)
    np.testing.assert_allclose(found, point_of(view) * [-1, -1, 1], atol=1e-3)
    code = "".join(nibabel.aff2axcodes(image.affine))
    assert code == {"axial": "LPS", "sagittal": "PIR", "coronal": "LIP", "oblique": "LPS"}[view]


def test_a_coarse_map_is_spread_over_the_whole_volume():
    volume = Volume(np.zeros((4, 6, 8), np.float32), np.eye(4))
    coarse = np.zeros((2, 3, 4), np.float32)
    coarse[1, 2, 0] = 1.0
    large = on_volume(coarse, volume)
    assert large.shape == (4, 6, 8)
    assert np.unravel_index(large.argmax(), large.shape) == (3, 5, 0)
    assert large[3, 5, 0] == 1.0
    assert large[0].max() == 0


def test_a_tilted_gantry_stays_in_the_affine(tmp_path):
    volume = read_volume(series(tmp_path / "ct", "axial", shear=1.1))
    np.testing.assert_allclose(
        volume.to_patient(MARKED), point_of("axial", shear=1.1) * [-1, -1, 1], atol=1e-4
    )
    assert any("tilted gantry" in note for note in volume.notes)


def test_what_is_no_single_even_stack_is_refused(tmp_path):
    with pytest.raises(ImageReadError, match=r"not evenly spaced.*3\.00 to 6\.00 mm"):
        read_volume(series(tmp_path / "gap", "axial", numbers=(0, 1, 3, 4)))
    folder = series(tmp_path / "two", "axial")
    write(folder / "x.dcm", pixels()[0], kind="MR")
    (found, _) = find_series(sorted(folder.iterdir()))
    assert read_volume(found).voxels.shape == SHAPE
    with pytest.raises(ImageReadError, match="does not say where its slices lie"):
        read_volume(write(tmp_path / "cine.dcm", pixels(), kind="enhanced"))
    np.save(tmp_path / "a.npy", pixels())
    with pytest.raises(ImageReadError, match="does not say where its slices lie"):
        read_volume(tmp_path / "a.npy")


def test_a_real_head_is_refused_where_its_steps_change(data_folder):
    (series_,) = find_series((data_folder / "ct-head").glob("*.dcm"))
    assert any("18.5 degrees" in note for note in series_.notes)
    with pytest.raises(ImageReadError, match="not evenly spaced"):
        read_volume(series_)


def test_three_slices_meet_at_the_peak():
    voxels = np.random.default_rng(0).random((6, 20, 30), dtype=np.float32) * 0.2
    volume = Volume(voxels, np.diag([1.0, 1.5, 5.0, 1.0]))  # 30 x 30 x 30 mm
    saliency = np.zeros((6, 20, 30), np.float32)
    saliency[4, 5, 22] = 1.0
    picture = np.asarray(orthogonal_picture(saliency, volume, side=120), dtype=float)
    assert picture.shape == (120, 4 * 120 + 3 * 8, 3)
    tiles = [picture[:, start : start + 120] for start in range(0, 512, 128)]
    # millimetres to pixels, 4 a millimetre; slices rise upwards
    row, column, up = (5 + 0.5) * 1.5 * 4, (22 + 0.5) * 4, 120 - (4 + 0.5) * 5 * 4
    for tile, expected in zip(tiles, [(row, column), (up, column), (up, row), (row, column)], strict=True):
        hottest = np.unravel_index(tile[..., 0].argmax(), tile.shape[:2])
        np.testing.assert_allclose(hottest, expected, atol=10)
