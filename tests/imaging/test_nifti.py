"""NIfTI slices: stored order, and the three views of the patient."""

import nibabel
import numpy as np
import pytest

from xiqa.errors import ImageReadError
from xiqa.imaging import iter_images, read_image


def save(path, volume, affine=None, **header):
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(volume, affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


VOLUME = np.random.default_rng(0).integers(0, 1000, (6, 7, 5)).astype(np.int16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_stored_order(tmp_path, name):
    path = save(tmp_path / name, VOLUME)
    images = list(iter_images(path))
    assert len(images) == 5
    span = VOLUME.max() - VOLUME.min()
    for k, image in enumerate(images):
        np.testing.assert_allclose(image.pixels, (VOLUME[:, :, k].T - VOLUME.min()) / span, atol=1e-6)
    assert images[0].spacing == (3.0, 2.0)
    assert (images[0].source.format, images[0].source.frames) == ("nifti", 5)
    assert any("own range" in note for note in images[0].source.notes)


def test_the_name_does_not_matter(tmp_path):
    path = save(tmp_path / "a.nii.gz", VOLUME)
    path.rename(tmp_path / "scan.dat")
    assert read_image(tmp_path / "scan.dat", frame=4).size == (7, 6)


def test_time_follows_the_slices(tmp_path):
    volume = np.random.default_rng(1).integers(0, 255, (6, 7, 3, 4)).astype(np.uint8)
    images = list(iter_images(save(tmp_path / "a.nii", volume)))
    assert len(images) == 12
    span = int(volume.max()) - int(volume.min())
    expected = (volume[:, :, 1, 2].T - float(volume.min())) / span
    np.testing.assert_allclose(images[1 + 3 * 2].pixels, expected, atol=1e-6)


def test_the_display_range_of_the_header(tmp_path):
    image = read_image(save(tmp_path / "a.nii", VOLUME, cal_min=200, cal_max=600))
    np.testing.assert_allclose(image.pixels, ((VOLUME[:, :, 0].T - 200) / 400).clip(0, 1), atol=1e-6)
    assert image.source.notes == ("scaled by the header's display range",)


def marked(affine_signs, marks):
    """A volume whose voxels towards right, anterior and head are known."""
    volume = np.zeros((8, 8, 8), dtype=np.uint8)
    volume[marks] = 255
    return volume, np.diag([*affine_signs, 1.0])


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_views_show_the_patient_as_radiologists_see_them(tmp_path, flip):
    """One voxel at the patient's far right, front and head, whatever way the file stores it."""
    place = tuple(7 if sign > 0 else 0 for sign in flip)  # of the largest R, A, S coordinates
    volume, affine = marked(flip, place)
    path = save(tmp_path / "a.nii", volume, affine)

    def where(axis):
        stack = np.stack([image.pixels for image in iter_images(path, axis=axis)])
        return tuple(int(i) for i in np.argwhere(stack == 1)[0])  # slice, row, column

    # the affine's first coordinate grows towards the patient's right in RAS: right is left in the image
    assert where("axial") == (7, 0, 0)
    assert where("coronal") == (7, 0, 0)
    assert where("sagittal") == (7, 0, 0)


def test_spacing_of_the_views(tmp_path):
    path = save(tmp_path / "a.nii", VOLUME)
    assert read_image(path, axis="axial").spacing == (3.0, 2.0)
    assert read_image(path, axis="coronal").spacing == (4.0, 2.0)
    assert read_image(path, axis="sagittal").spacing == (4.0, 3.0)
    assert read_image(path, axis="coronal").size == (5, 6)
    assert read_image(path, axis="sagittal").size == (5, 7)


@pytest.mark.parametrize(
    ("volume", "axis", "code"),
    [
        (np.full((4, 4, 2), np.nan, dtype=np.float32), "stored", "not_finite"),
        (np.zeros((4, 4), dtype=np.uint8), "axial", "unsupported_layout"),
        (np.zeros((4, 4, 2), dtype=np.complex64), "stored", "unsupported_layout"),
    ],
)
def test_volumes_that_cannot_be_shown(tmp_path, volume, axis, code):
    with pytest.raises(ImageReadError) as caught:
        read_image(save(tmp_path / "a.nii", volume), axis=axis)
    assert caught.value.code == code


def test_a_volume_cut_off(tmp_path):
    path = save(tmp_path / "a.nii", VOLUME)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ImageReadError) as caught:
        read_image(path)
    assert caught.value.code == "truncated"
