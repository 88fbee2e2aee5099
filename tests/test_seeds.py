"""The ledger of seeds: ranges that do not meet, and nobody who simulates by seeds of his own."""

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from xiqa.cli import simulate
from xiqa.errors import ConfigError
from xiqa.experiments.bundle_card import simulated_samples
from xiqa.experiments.recipe import Images
from xiqa.simulation import seeds
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.seeds import CARD, COMMANDS, EXPERIMENTS, LEDGER, TRAINING, Seeds, owner

ROOT = Path(__file__).resolve().parents[1]
LEARNED_FROM = {"training", "generators", "soft_tree", "erasing"}


def test_ranges_do_not_meet_and_the_ledger_has_all_of_them():
    assert all(before.end <= after.first for before, after in pairwise(LEDGER))
    named = {value.name: key for key, value in vars(seeds).items() if isinstance(value, Seeds)}
    assert named == {known.name: known.name.upper() for known in LEDGER}


def test_runs_are_apart_and_stay_in_their_range():
    plan = Seeds("x", "a test", first=100, run=10, runs=3)
    assert [plan.take(4, run) for run in range(4)] == [
        range(100, 104),
        range(110, 114),
        range(120, 124),
        range(100, 104),
    ]
    assert (99 in plan, 100 in plan, 129 in plan, 130 in plan) == (False, True, True, False)
    with pytest.raises(ConfigError, match=r"a test: expected at most 10, got 11"):
        plan.take(11)
    assert owner(TRAINING.end - 1) is TRAINING
    assert owner(LEDGER[-1].end) is None


def test_a_card_is_measured_on_images_that_no_command_writes_and_no_training_sees():
    unseen = [int(sample.patient) for sample in simulated_samples(3)]
    assert unseen == list(CARD.take(3))
    default = inspect.signature(simulate.chest).parameters["seed"].default.default
    written = simulate_chest(default, size=(640, 640)).image.pixels
    assert owner(default) is COMMANDS
    assert not np.array_equal(simulated_samples(1)[0].read().pixels, written)
    assert Images().first in EXPERIMENTS
    assert not LEARNED_FROM & {CARD.name, EXPERIMENTS.name, COMMANDS.name}


def test_shipped_experiments_measure_on_seeds_of_their_own():
    for path in (ROOT / "src" / "xiqa" / "recipes" / "experiments").glob("*.toml"):
        for first in re.findall(r"^first = (\d+)", path.read_text(), re.MULTILINE):
            assert int(first) in EXPERIMENTS, path


SIMULATORS = {
    "simulate_chest", "simulate_cardiac", "insert_objects", "simulate_cines",
    "simulated_masks", "score_lungs",
}  # fmt: skip


def own_seeds(text: str) -> list[str]:
    """Calls of a simulator whose seed is a number, or drawn from a range that is written down there."""
    loops = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            loops.setdefault(node.target.id, []).append(node.iter)

    def written(node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return any(written(source) for source in loops.get(node.id, ()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            return len(node.args) == 1 or isinstance(node.args[0], ast.Constant)
        return isinstance(node, ast.Constant)

    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.args]
    return [
        ast.unparse(node)
        for node in calls
        if ast.unparse(node.func).split(".")[-1] in SIMULATORS
        and any(written(argument) for argument in node.args)
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda p: p.stem)
def test_nobody_writes_down_seeds_of_his_own(path):
    assert own_seeds(path.read_text()) == []


def test_the_guard_sees_seeds_that_are_written_down():
    assert own_seeds("simulate_chest(7)\n") == ["simulate_chest(7)"]
    assert own_seeds("[simulate_chest(seed) for seed in range(n)]\n") == ["simulate_chest(seed)"]
    assert own_seeds("for seed in range(5000, n):\n    simulate_chest(seed)\n") == ["simulate_chest(seed)"]
    assert own_seeds("for seed in range(first, first + n):\n    simulate_chest(seed)\n") == []
    assert own_seeds("for seed in CARD.take(n):\n    simulate_chest(seed)\n") == []
