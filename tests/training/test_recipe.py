"""Recipes: all read, those of the papers say what the papers say, and a wrong entry is told by name."""

import tomllib
from pathlib import Path

import pytest

from xiqa.errors import ConfigError
from xiqa.training.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "src" / "xiqa" / "recipes"
FILES = sorted(FOLDER.glob("*.toml")) + sorted(FOLDER.glob("experiments/training/*.toml"))
RECIPES = [path for path in FILES if "kind" not in tomllib.loads(path.read_text())]
QUICK = [path for path in RECIPES if "quick" in tomllib.loads(path.read_text())]
PAPERS = {
    "object-cxr-resnet34",
    "object-cxr-efficientnet-b0",
    "lvot-resnet50",
    "lvot-efficientnet-b0",
    "covid-vgg16",
    "covid-densenet201",
}
SHIPPED = FOLDER / "cxr-foreign-objects.toml"


def read(name, **options):
    return Recipe.read(FOLDER / f"{name}.toml", **options)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_read(path):
    recipe = Recipe.read(path)
    assert recipe.name == path.stem
    assert all(
        (phase.size or recipe.preprocessing.size) == recipe.preprocessing.size for phase in recipe.phases
    )


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_quick_recipes_need_no_data_and_say_what_they_are(path):
    whole, quick = Recipe.read(path), Recipe.read(path, quick=True)
    assert quick.name == f"{path.stem}-quick"
    assert quick.data.layout in ("simulated_chest", "simulated_cardiac", "corrupted")
    assert quick.preprocessing.size < whole.preprocessing.size
    assert quick.architecture.backbone == whole.architecture.backbone
    assert "imulated" in quick.card.training_data


def test_every_recipe_of_the_papers_has_a_quick_version():
    assert {path.stem for path in QUICK} >= PAPERS


@pytest.mark.parametrize(
    ("name", "backbone"), [("resnet34", "resnet34"), ("efficientnet-b0", "efficientnet_b0")]
)
def test_object_cxr_is_trained_as_published(name, backbone):
    recipe = read(f"object-cxr-{name}")
    (phase,) = recipe.phases
    assert (recipe.architecture.backbone, recipe.architecture.classes, recipe.he_head) == (backbone, 2, True)
    assert (recipe.preprocessing.size, len(recipe.preprocessing.mean)) == ((600, 600), 3)
    assert (recipe.batch_size, phase.epochs, phase.learning_rate) == (16, 20, 0.005)
    optimiser = recipe.optimiser
    assert (optimiser.name, optimiser.schedule, optimiser.every, optimiser.factor) == ("sgd", "step", 5, 0.1)
    assert recipe.best_by == "accuracy"
    changed = recipe.augmentation
    assert min(changed.flip, changed.rotate, changed.contrast, changed.brightness) > 0


@pytest.mark.parametrize(
    ("name", "backbone"), [("resnet50", "resnet50"), ("efficientnet-b0", "efficientnet_b0")]
)
def test_lvot_is_trained_as_published(name, backbone):
    recipe = read(f"lvot-{name}")
    (phase,) = recipe.phases
    assert recipe.architecture.backbone == backbone
    assert (recipe.preprocessing.size, recipe.batch_size, phase.epochs) == ((224, 224), 64, 60)
    assert (phase.learning_rate, recipe.optimiser.weight_decay) == (2e-4, 5e-4)


@pytest.mark.parametrize("name", ["vgg16", "densenet201"])
def test_covid_is_trained_as_published(name):
    recipe = read(f"covid-{name}")
    (phase,) = recipe.phases
    architecture = recipe.architecture
    assert (architecture.backbone, architecture.head) == (name, "mlp")
    assert (architecture.pool, architecture.hidden, architecture.classes) == (4, 64, 4)
    assert (architecture.input_size, phase.frozen, phase.epochs) == ((299, 299), ("body",), 20)
    assert (recipe.optimiser.name, recipe.best_by) == ("adam", "recall:COVID")


def test_a_quick_table_and_changes_replace_entry_by_entry(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        SHIPPED.read_text()
        + "\n[quick]\nbatch_size = 2\ndata = { simulated = 7 }\n[quick.card]\nlimits = 'all'\n"
    )
    whole, quick = Recipe.read(path), Recipe.read(path, quick=True)
    assert (whole.batch_size, quick.batch_size) == (8, 2)
    assert (quick.data.simulated, quick.data.inserted) == (7, whole.data.inserted)
    assert (quick.card.limits, quick.card.not_for) == ("all", whole.card.not_for)
    changed = Recipe.read(path, quick=True, changes={"data": {"inserted": 3}})
    assert (changed.data.simulated, changed.data.inserted) == (7, 3)
    with pytest.raises(ConfigError, match=r"quick version.*\[quick\]"):
        Recipe.read(SHIPPED, quick=True)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("epochs = 2", "epochs = 0", r"phases\.0\.epochs"),
        ("seed = 0", "sed = 0", "sed"),
        ("poor_class = 1", "poor_class = 0", "poor"),
        ("[data]", "[data", "not TOML"),
        ('classes = ["clean", "foreign"]', 'classes = ["clean"]', "classes"),
        ("seed = 0", 'best_by = "recall:dirty"', "best_by names no class: dirty"),
        ("seed = 0", 'best_by = "beauty"', "best_by"),
        (
            "[data]",
            '[outputs]\ntask = "ordered"\n[data]',
            "architecture.classes = 1 and architecture.grades = 2",
        ),
        ("[data]", '[outputs]\nproblems = ["noise"]\n[data]', "outputs.problems is not for the task classes"),
        ("[data]", "[outputs]\npoor_classes = [0, 1]\n[data]", "leaves no good class"),
        (
            "[data]",
            '[outputs]\ntask = "labels"\n[data]\nbalance = "weights"',
            "weights is not for the task labels",
        ),
        ("[data]", '[optimiser]\nname = "lion"\n[data]', r"optimiser\.name"),
        ('head = "evidence"', 'head = "mlp"', "architecture.input_size = preprocessing.size"),
    ],
)
def test_a_wrong_entry_is_told(tmp_path, old, new, told):
    text = SHIPPED.read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=told):
        Recipe.read(path)


def test_a_recipe_says_only_what_differs_from_the_one_that_it_extends():
    training = FOLDER / "experiments" / "training"
    base, plain, lficam = (
        Recipe.read(training / f"short-{name}.toml") for name in ("lite0", "plain", "lficam")
    )
    assert (base.loss.dense, plain.loss.dense, lficam.loss.dense) == (1.0, 0.0, 0.0)
    assert lficam.architecture.head == "lficam"
    assert lficam.phases == base.phases
    assert lficam.card.training_data == plain.card.training_data != base.card.training_data


def test_a_recipe_that_extends_itself_or_nothing_is_told(tmp_path):
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('extends = "other.toml"')
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*other\.toml"):
        Recipe.read(one)
    other.write_text('extends = "one.toml"')
    with pytest.raises(ConfigError, match=r"extends itself"):
        Recipe.read(one)


def test_an_absent_recipe_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        Recipe.read(tmp_path / "none.toml")
