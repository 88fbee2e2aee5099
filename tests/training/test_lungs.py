"""The lung network learns from masks, of simulated images and of a data set's."""

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from typer.testing import CliRunner

from tests.datasets import layouts
from xiqa.cli import lungs as command
from xiqa.datasets.detect import read_dataset
from xiqa.errors import ConfigError, DatasetError, OutputError
from xiqa.models.regions.lungs import LungMask
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.write import PhantomFolder
from xiqa.training.lungs import lung_loss, masked_images, score_masks, simulated_masks, train_lungs


def test_loss_in_loops():
    rng = np.random.default_rng(0)
    logits, lungs = rng.normal(size=(2, 1, 3, 4)), rng.integers(0, 2, (2, 1, 3, 4)).astype(float)
    entropy, overlap = 0.0, []
    for n in range(2):
        both = ps = ts = 0.0
        for i in range(3):
            for j in range(4):
                p, t = 1 / (1 + np.exp(-logits[n, 0, i, j])), lungs[n, 0, i, j]
                entropy -= (t * np.log(p) + (1 - t) * np.log(1 - p)) / 24
                both, ps, ts = both + p * t, ps + p, ts + t
        overlap.append(1 - (2 * both + 1) / (ps + ts + 1))
    wanted = entropy + np.mean(overlap)
    assert float(lung_loss(torch.from_numpy(logits), torch.from_numpy(lungs))) == pytest.approx(wanted)


@pytest.mark.long
def test_it_learns_and_the_same_seed_gives_the_same_weights():
    radiographs = simulated_masks(range(16))
    losses = []
    one = train_lungs(radiographs, epochs=4, tick=losses.append)
    assert losses[-1] < 0.9 * losses[0]
    other = train_lungs(radiographs, epochs=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not one.training


def test_masks_of_a_data_set_are_read_and_stretched(tmp_path):
    folder = layouts.covid(tmp_path)
    size = (12, 10)  # the published masks have another size than the images
    mask = np.zeros(size, np.uint8)
    mask[3:9, 2:8] = 255
    for file in folder.glob("*/masks/*.png"):
        Picture.fromarray(mask).save(file)
    samples = read_dataset(folder).samples
    radiographs = masked_images(samples[:3])
    assert radiographs[0].lungs.shape == (160, 160)
    assert (radiographs[0].lungs > 127).mean() == pytest.approx(mask.astype(bool).mean() * 20 / 24, abs=0.02)

    def exact(image):
        return np.kron(mask > 0, np.ones((2, 2))) > 0

    assert score_masks(exact, samples[:3]).min() > 0.85
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(DatasetError, match="no image has a mask"):
        masked_images(read_dataset(layouts.object_cxr(plain)).samples)


def test_simulated_folders_have_lung_masks(tmp_path):
    with PhantomFolder(tmp_path / "images", masks=True) as folder:
        folder.add(phantom := simulate_chest(3, size=(64, 64)))
    (sample,) = read_dataset(tmp_path / "images").samples
    assert np.array_equal(np.asarray(Picture.open(sample.organ_mask)), phantom.lung_mask)


@pytest.mark.long
def test_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "TEST_IMAGES", 2)
    with PhantomFolder(tmp_path / "images", masks=True) as folder:
        for seed in (1, 9):
            folder.add(simulate_chest(seed, size=(64, 64)))
    out = tmp_path / "lungs.safetensors"
    train = ["train", "--out", str(out), "--images", "4", "--epochs", "1", "--data", str(tmp_path / "images")]
    done = CliRunner().invoke(command.app, train, catch_exceptions=False)
    assert "Dice on 2 unseen simulated images" in done.output
    assert "Dice on 1 test images" in done.output
    assert LungMask.load(out).about["images"] == "5"
    assert isinstance(CliRunner().invoke(command.app, train).exception, OutputError)
    wrong = CliRunner().invoke(command.app, ["train", "--out", str(tmp_path / "lungs.pt")])
    assert isinstance(wrong.exception, ConfigError)
    mask = [
        "mask",
        str(tmp_path / "images" / "images"),
        "--out",
        str(tmp_path / "masks"),
        "--model",
        str(out),
    ]
    done = CliRunner().invoke(command.app, mask, catch_exceptions=False)
    assert len(list((tmp_path / "masks").glob("*_lungs.png"))) == 2
    assert (tmp_path / "masks" / "contact_sheet.png").is_file()
    assert "of 2 masks are plausible" in done.output
    assert done.exit_code == ("no lungs" in done.output)
