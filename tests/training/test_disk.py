"""Images on the disk are those in memory, whoever asks for them."""

import threading

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import JPEGLSLossless

from xiqa.datasets.detect import read_dataset
from xiqa.errors import DatasetError
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.write import PhantomFolder
from xiqa.simulation.write_cardiac import CineFolder, simulate_cines
from xiqa.training import train as train_module
from xiqa.training.data import EpochLoader, ImageSet, load_images
from xiqa.training.disk import ImagesOnDisk

from .conftest import make_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with PhantomFolder(folder / "set") as out:
        for seed in range(6):
            out.add(simulate_chest(seed, size=(80, 80)))
    return read_dataset(folder / "set").samples


def same(one, other):
    assert np.array_equal(one.grey, other.grey)
    assert one[1:] == other[1:]


def test_they_are_a_sequence_like_the_list(make_recipe, samples):
    grid = make_recipe().preprocessing
    kept, disk = load_images(samples, grid), ImagesOnDisk(samples, grid)
    more = load_images(samples[:2], grid)
    both = disk + more
    assert len(disk) == 6
    assert len(both + more) == 10
    assert both.labels == [radiograph.label for radiograph in kept + more]
    for one, other in zip(both, kept + more, strict=True):
        same(one, other)
    same(both[-1], more[-1])
    for one, other in zip(both[4:7], (kept + more)[4:7], strict=True):
        same(one, other)
    with pytest.raises(IndexError):
        disk[6]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_disk_and_from_workers_are_those_from_memory(make_recipe, samples, workers):
    recipe = make_recipe()
    grid = recipe.preprocessing

    def batches(radiographs, workers):
        part = ImageSet(radiographs, recipe, (64, 64), training=True)
        return list(EpochLoader(part, 4, seed=3, workers=workers))

    for one, other in zip(
        batches(load_images(samples, grid), 0), batches(ImagesOnDisk(samples, grid), workers), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_error_in_a_worker_is_told_and_nothing_runs_on(make_recipe, samples):
    class Broken(ImagesOnDisk):
        def __getitem__(self, index):
            if index == 5:
                raise DatasetError("a broken image")
            return super().__getitem__(index)

    recipe = make_recipe()
    part = ImageSet(Broken(samples, recipe.preprocessing), recipe, (64, 64), training=True)
    loader = EpochLoader(part, 1, shuffle=False, workers=2)
    seen = []
    with pytest.raises(DatasetError, match="a broken image"):
        seen.extend(batch.labels for batch in loader)
    assert loader.state_dict() == {"epoch": 0, "served": 5}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_loader_that_is_left_stands_where_it_was_left(make_recipe, samples):
    recipe = make_recipe()
    part = ImageSet(load_images(samples, recipe.preprocessing), recipe, (64, 64), training=True)
    left = EpochLoader(part, 2, workers=2)
    batches = iter(left)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    other = EpochLoader(part, 2)
    other.load_state_dict(left.state_dict())
    wanted = list(EpochLoader(part, 2))[1:]
    for one, two in zip(other, wanted, strict=True):
        assert torch.equal(one.images, two.images)


@pytest.mark.long
def test_a_recipe_trains_from_disk_as_from_memory(make_recipe, tmp_path, monkeypatch):
    samples = make_samples(8, "train") + make_samples(8, "val", first=100)
    monkeypatch.setattr(train_module, "read_samples", lambda recipe, data: samples)
    monkeypatch.setattr(train_module, "bundle", lambda network, *rest, **options: network.state_dict())
    memory, disk = (
        train_module.train(make_recipe(data={"keep": keep}), tmp_path, tmp_path / keep, progress=False)
        for keep in ("memory", "disk")
    )
    assert all(torch.equal(memory[name], disk[name]) for name in memory)


@pytest.mark.long
def test_workers_decode_compressed_dicom_at_the_same_time(make_recipe, tmp_path):
    """Threads share the processes that decode."""
    with CineFolder(tmp_path / "set", format="dicom") as folder:
        for seed in range(2):
            folder.add(simulate_cines(seed, 2, (64, 64)))
    for file in (tmp_path / "set" / "images").rglob("*.dcm"):
        ds = pydicom.dcmread(file)
        ds.compress(JPEGLSLossless)
        ds.save_as(file)
    recipe, samples = make_recipe(), read_dataset(tmp_path / "set").samples
    kept = ImageSet(load_images(samples, recipe.preprocessing), recipe, (64, 64), training=False)
    disk = ImageSet(ImagesOnDisk(samples, recipe.preprocessing), recipe, (64, 64), training=False)
    for one, other in zip(
        EpochLoader(kept, 4, shuffle=False), EpochLoader(disk, 4, shuffle=False, workers=2), strict=True
    ):
        assert torch.equal(one.images, other.images)
