"""Where samples come from: every layout, the simulators, and good images made worse."""

import csv
from collections import Counter

import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.datasets import by_split
from xiqa.errors import ConfigError, DatasetError
from xiqa.simulation.seeds import TRAINING
from xiqa.training.recipe import Recipe
from xiqa.training.sources import balanced, read_samples, simulated_samples
from xiqa.training.train import train

from .conftest import make_samples
from .test_recipe import FOLDER


def write_images(folder, rows, columns):
    """A CSV data set of dark and bright squares."""
    folder.mkdir(exist_ok=True)
    with (folder / "images.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        for number, row in enumerate(rows):
            name = f"{number}.png"
            Pillow.fromarray(np.full((32, 32), 8 * number, dtype=np.uint8)).save(folder / name)
            writer.writerow((name, *row))
    return folder / "images.csv"


def test_classes_go_by_their_names(make_recipe, tmp_path):
    rows = [("b", "train"), ("a", "train"), ("c", "val"), ("b", "val")]
    table = write_images(tmp_path / "set", rows, ("image", "class", "split"))
    recipe = make_recipe(
        data={"layout": "csv"},
        classes=("c", "b", "a"),
        poor_class=1,
        architecture={"backbone": "test_resnet", "classes": 3},
        guard_layers=[],
    )
    samples = read_samples(recipe, table)
    assert [sample.label for sample in samples] == [1, 2, 0, 1]
    assert [sample.split for sample in samples] == ["train", "train", "val", "val"]
    auto = make_recipe(**(recipe.model_dump() | {"data": {"layout": "auto"}}))
    assert [s.label for s in read_samples(auto, table)] == [1, 2, 0, 1]


def test_other_classes_and_layouts_are_told(make_recipe, tmp_path):
    table = write_images(tmp_path / "set", [("a",), ("b",)], ("image", "class"))
    with pytest.raises(DatasetError, match=r"other classes.*clean, foreign.*got a"):
        read_samples(make_recipe(data={"layout": "csv"}), table)
    with pytest.raises(DatasetError, match=r"another layout.*expected lvot, got csv"):
        read_samples(make_recipe(data={"layout": "lvot"}), table)
    with pytest.raises(DatasetError, match="no data set"):
        read_samples(make_recipe(data={"layout": "lvot"}), tmp_path / "none")


def head(task, **outputs):
    return {
        "data": {"layout": "csv"},
        "outputs": {"task": task, **outputs},
        "guard_layers": [],
    }


def test_degrees_become_grades_degrees_and_labels(make_recipe, tmp_path):
    rows = [("good", "", ""), ("noise", "0.5", ""), ("blur", "0.9", "portable")]
    table = write_images(tmp_path / "set", rows, ("image", "label", "degree", "tags"))
    tiny = {"backbone": "test_resnet"}
    several = {"problems": ("blur", "noise")}

    recipe = make_recipe(
        **head("ordered", grades_from=(0.4, 0.8), **several),
        classes=("none", "some", "much"),
        poor_class=2,
        architecture=tiny | {"classes": 4, "grades": 3},
    )
    samples = read_samples(recipe, table)
    assert [sample.tags for sample in samples] == [(), ("noise=0.5",), ("portable", "blur=0.9")]
    assert [sample.label for sample in samples] == [0, 0, 1]

    one = make_recipe(
        **head("ordered", grades_from=(0.4, 0.8)),
        classes=("none", "some", "much"),
        architecture=tiny | {"classes": 2, "grades": 3},
    )
    with pytest.raises(DatasetError, match="has no grade"):
        read_samples(one, table)

    labels = make_recipe(**head("labels"), classes=("blur", "portable"), architecture=tiny)
    assert [sample.label for sample in read_samples(labels, table)] == [0, 0, 1]

    rows = [("0.1",), ("0.7",)]
    table = write_images(tmp_path / "values", rows, ("image", "label"))
    value = make_recipe(
        **head("degree", limit=0.5), classes=("good", "poor"), architecture=tiny | {"classes": 1}
    )
    assert [sample.label for sample in read_samples(value, table)] == [0, 1]
    assert [sample.tags for sample in read_samples(value, table)] == [("degree=0.1",), ("degree=0.7",)]


@pytest.mark.parametrize("layout", ["simulated_chest", "simulated_cardiac"])
def test_simulated_images_are_new_ones_and_split(make_recipe, layout):
    names = ("clean", "foreign") if layout == "simulated_chest" else ("without_lvot", "with_lvot")
    recipe = make_recipe(data={"layout": layout, "images": 16}, classes=names)
    ticks = []
    samples = list(simulated_samples(recipe, None, (64, 64), lambda: ticks.append(1)))
    assert (len(samples), len(ticks), len(by_split(samples, "val"))) == (16, 16, 4)
    assert samples[0].patient == str(TRAINING.first)
    assert {sample.label for sample in samples} == {0, 1}
    assert all(bool(sample.annotations) for sample in samples if sample.label)
    assert samples[0].read().size == (64, 64)
    again = next(simulated_samples(recipe, None, (64, 64)))
    np.testing.assert_array_equal(again.read().pixels, samples[0].read().pixels)
    other = make_recipe(data={"layout": layout, "images": 12}, classes=names, seed=1)
    assert next(simulated_samples(other, None, (64, 64))).patient == str(TRAINING.take(1, run=1)[0])


@pytest.mark.parametrize(
    ("layout", "classes"),
    [("simulated_cardiac", ("without_lvot", "with_lvot")), ("simulated_chest", ("clean", "foreign"))],
)
def test_each_simulated_patient_is_seen_without_and_with(make_recipe, layout, classes):
    recipe = make_recipe(data={"layout": layout, "images": 12}, classes=classes)
    samples = list(simulated_samples(recipe, None, (64, 64)))
    for without, with_ in zip(samples[::2], samples[1::2], strict=True):
        assert (without.patient, without.split) == (with_.patient, with_.split)
        assert (without.label, with_.label) == (0, 1)
    assert len({sample.key for sample in samples}) == 12


def corrupted(make_recipe, **changes):
    problems = ("noise", "rotation", "low_contrast")
    return make_recipe(
        data={"layout": "corrupted", "images": 16, "least_degree": 0.3},
        outputs={"task": "degree", "problems": problems, "limit": 0.5},
        classes=("good", "poor"),
        architecture={"backbone": "test_resnet", "classes": 3},
        guard_layers=[],
        **changes,
    )


def test_corrupted_images_have_one_problem_of_known_degree(make_recipe):
    recipe = corrupted(make_recipe)
    samples = list(simulated_samples(recipe, None, (48, 48)))
    tags = [sample.tags for sample in samples]
    assert all(len(one) <= 1 for one in tags)
    assert {one[0].partition("=")[0] for one in tags if one} == set(recipe.outputs.problems)
    degrees = [float(one[0].partition("=")[2]) if one else 0.0 for one in tags]
    assert min(degree for degree in degrees if degree) >= 0.3
    assert [sample.label for sample in samples] == [int(degree >= 0.5) for degree in degrees]
    plain = [sample.read() for sample in samples if not sample.tags]
    assert plain
    assert not any("simulated noise" in note for image in plain for note in image.source.notes)
    worse = next(sample for sample in samples if sample.tags)
    assert any(note.startswith("simulated ") and "degree" in note for note in worse.read().source.notes)


def test_corrupted_images_of_a_data_set_keep_their_splits(make_recipe, tmp_path):
    rows = [("x", f"p{n}", "val" if n > 5 else "train") for n in range(8)]
    table = write_images(tmp_path / "set", rows, ("image", "label", "patient", "split"))
    samples = list(simulated_samples(corrupted(make_recipe), table, (48, 48)))
    assert [sample.split for sample in samples] == ["train"] * 6 + ["val"] * 2
    assert [sample.patient for sample in samples] == [f"p{n}" for n in range(8)]
    assert samples[0].read().size == (32, 32)


def test_only_simulated_layouts_are_simulated(make_recipe):
    with pytest.raises(ConfigError, match="not simulated"):
        next(simulated_samples(make_recipe(), None, (48, 48)))


def test_a_recipe_of_data_without_data_is_told(make_recipe, tmp_path):
    with pytest.raises(ConfigError, match=r"needs data.*--quick"):
        train(make_recipe(), None, tmp_path, progress=False)


def test_down_sampling_keeps_as_many_of_each_class(make_recipe):
    samples = make_samples(12, "train") + make_samples(1, "train", first=20)
    assert len(balanced(make_recipe(), samples)) == 13
    kept = balanced(make_recipe(data={"balance": "downsample"}), samples)
    assert sorted(sample.label for sample in kept) == [0] * 6 + [1] * 6


@pytest.mark.realdata
def test_the_three_class_set_reads_as_its_recipe_says(data_folder):
    table = data_folder / "cxr-three-class" / "images.csv"
    if not table.is_file():
        pytest.skip(f"REAL DATA ABSENT: no {table}")
    recipe = Recipe.read(FOLDER / "three-class-lite0.toml")
    samples = read_samples(recipe, table)
    counts = Counter((sample.split, recipe.classes[sample.label]) for sample in samples)
    assert [counts["train", name] for name in recipe.classes] == [261, 280, 77]
    assert [counts["val", name] for name in recipe.classes] == [74, 58, 21]
    assert samples[0].read().pixels.ndim in (2, 3)
