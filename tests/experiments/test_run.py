"""A run gives the same rows whenever and however often it is made, killed in between or not."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from xiqa.errors import ConfigError
from xiqa.experiments.controls import control_maps
from xiqa.experiments.measure import Evaluator
from xiqa.experiments.networks import fit_batch_norm, network_hash, states_of
from xiqa.experiments.recipe import Experiment
from xiqa.experiments.run import plan, run
from xiqa.metrics import get_metric
from xiqa.models.bundle import load_model
from xiqa.saliency.engine import explain
from xiqa.simulation.chest import simulate_chest


def same(a, b):
    pd.testing.assert_frame_equal(a, b)
    return True


@pytest.fixture
def rows(recipe, tmp_path):
    return run(plan(recipe()), tmp_path / "once")


def test_two_runs_are_equal(recipe, rows, tmp_path):
    assert len(rows) == 5 * (
        2 + 3 + 2
    )  # images x (methods and controls of the trained, methods of the random)
    assert same(rows, run(plan(recipe()), tmp_path / "twice"))


def test_methods_of_one_network_are_measured_on_it_alone(recipe, bundle, tmp_path):
    own = {"name": "own", "bundles": [str(bundle)], "states": ["trained", "full"], "methods": ["layercam"]}
    other = {"name": "other", "bundles": [str(bundle)]}
    rows = run(plan(recipe(models=[own, other])), tmp_path / "own")
    found = set(map(tuple, rows[["model", "state"]][rows["method"] == "layercam"].to_numpy()))
    assert found == {("own", "trained")}
    assert set(rows["method"][rows["model"] == "other"]) >= {"gradcam", "centre"}


def test_a_killed_run_goes_on_where_it_stopped(recipe, rows, tmp_path, monkeypatch):
    measured, real = [], Evaluator.rows

    def dies(self, cases):
        measured.append([case.key[-1] for _, case in cases])
        if len(measured) == 3:
            raise KeyboardInterrupt
        return real(self, cases)

    monkeypatch.setattr(Evaluator, "rows", dies)
    with pytest.raises(KeyboardInterrupt):
        run(plan(recipe()), tmp_path / "killed")
    assert measured == [["0", "1"], ["2", "3"], ["4"]]
    with pytest.raises(ConfigError, match="--resume"):
        run(plan(recipe()), tmp_path / "killed")
    resumed = run(plan(recipe()), tmp_path / "killed", resume=True)
    assert measured[3:] == [["4"], ["0", "1"], ["2", "3"], ["4"]]  # what was measured is not measured again
    assert same(rows, resumed)
    assert same(rows, pd.read_parquet(tmp_path / "killed" / "rows.parquet"))


def test_a_half_written_part_does_not_count(recipe, rows, tmp_path):
    out = tmp_path / "torn"
    run(plan(recipe()), out)
    (out / "parts" / "000001.parquet").unlink()
    (out / "parts" / "000001.123.tmp").write_bytes(b"PAR1")
    assert same(rows, run(plan(recipe()), out, resume=True))


def test_another_recipe_is_not_mixed_in(recipe, rows, tmp_path):
    with pytest.raises(ConfigError, match="another run"):
        run(plan(recipe(seed=1)), tmp_path / "once", resume=True)
    # how rows are shown may change
    assert same(rows, run(plan(recipe(title="Told otherwise", tables=[])), tmp_path / "once", resume=True))


def test_the_resolved_recipe_is_beside_the_rows(recipe, rows, tmp_path):
    told = json.loads((tmp_path / "once" / "recipe.json").read_text())
    assert Experiment.model_validate(told["recipe"]) == recipe()
    assert told["images"] == 5


def test_values_are_those_of_the_metric_on_each_image_alone(recipe, rows, bundle):
    model = load_model(bundle)
    cases = plan(recipe()).cases
    metric = get_metric("pointing_game").function
    mine = rows[(rows.state == "trained") & (rows.method == "gradcam")].set_index("image").value
    from xiqa.saliency.maps import upsample

    for case in cases:
        loaded = case.load()
        array, frame = model.prepare(loaded.image)
        (one,) = explain(model.network, torch.from_numpy(array)[None], "gradcam", target=1)["gradcam"]
        saliency = frame.map_to_original(upsample(one).values)
        truth = [a for a in loaded.annotations if "removable" in a.groups]
        np.testing.assert_equal(mine[case.key], metric(saliency, truth, tolerance=9.0))


def test_controls_do_not_depend_on_the_network(recipe, tmp_path):
    one = run(plan(recipe()), tmp_path / "a")
    models = [recipe().models[0].model_dump() | {"states": ["full"]}]
    other = run(plan(recipe(models=models)), tmp_path / "b")
    pick = ["image", "method", "value"]
    a, b = (f[f.state == "control"][pick].reset_index(drop=True) for f in (one, other))
    assert len(a) == 15
    assert same(a, b)


def test_controls():
    images = torch.zeros(2, 3, 32, 32)
    images[:, :, :, 20:] = 1.0
    assert control_maps("centre", torch.zeros(1, 1, 33, 33), ["a"])[0].argmax() == 16 * 33 + 16
    assert set(control_maps("edges", images, ["a", "b"])[0].argmax(dim=1).tolist()) == {19}
    first, second = control_maps("random", images, ["a", "b"])
    assert not torch.equal(first, second)
    assert torch.equal(second, control_maps("random", images[:1], ["b"])[0])
    assert not torch.equal(second, control_maps("random", images[:1], ["b"], seed=1)[0])
    with pytest.raises(ConfigError, match="unknown control"):
        control_maps("no", images, ["a", "b"])


def test_states_are_what_they_say(recipe, bundle):
    models = [recipe().models[0].model_dump() | {"states": ["trained", "semi", "full"], "seeds": [0, 1]}]
    network_states = [one for network in recipe(models=models).models for one in states_of(network)]
    assert [(one.state, one.seed) for one in network_states] == [
        ("trained", 0), ("semi", 0), ("semi", 1), ("full", 0), ("full", 1)
    ]  # fmt: skip
    trained, semi, again, full = (network_states[place].load() for place in (0, 1, 1, 3))
    assert network_hash(semi) == network_hash(again)
    assert network_hash(trained) == network_hash(load_model(bundle))
    assert len({network_hash(one) for one in (trained, semi, full)}) == 3
    stem = trained.network.layer1[0].conv1.weight
    assert torch.equal(stem, semi.network.layer1[0].conv1.weight)
    assert not torch.equal(stem, full.network.layer1[0].conv1.weight)
    assert not torch.equal(trained.network.fc.weight, semi.network.fc.weight)


def test_batch_norm_of_a_random_network_is_fitted_to_images():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    cases = [simulate_chest(seed, size=(64, 64)).image.pixels for seed in range(4)]
    images = 0.01 * torch.from_numpy(np.stack(cases))[:, None].expand(-1, 3, -1, -1)
    fit_batch_norm(net, images)
    with torch.no_grad():
        inside = net[0](images)
        assert torch.allclose(net[1].running_mean, inside.mean(dim=(0, 2, 3)), atol=1e-6)
    assert not net[1].training
    assert net[1].momentum == 0.1


def test_a_chunk_may_be_of_any_size(recipe, rows, tmp_path):
    other = run(plan(recipe(chunk=5)), tmp_path / "large")
    keys = ["image", "state", "method", "metric"]
    a, b = (one.sort_values(keys).reset_index(drop=True) for one in (rows, other))
    np.testing.assert_allclose(a.value, b.value)


def test_a_limited_measure_draws_its_images_by_the_seed(recipe, tmp_path):
    limited = {"measures": [{"metric": "entropy", "limit": 2}], "methods": [], "tables": []}
    found = [run(plan(recipe(seed=seed, **limited)), tmp_path / str(seed)) for seed in (0, 1)]
    picked = [set(one.image) for one in found]
    assert [len(one) for one in picked] == [2, 2]
    assert picked[0] != picked[1]


def test_bundles_are_looked_up_before_any_work(recipe, tmp_path):
    with pytest.raises(Exception, match="no bundle"):
        plan(recipe(models=[{"name": "tiny", "bundles": [str(tmp_path / "absent")]}]))


def test_alterations_and_every_kind_of_measure(recipe, tmp_path):
    given = recipe(
        verdicts=True,
        smoothing=[0.0, 1.0],
        profiles=["paper", "reference"],
        data={"source": "random", "count": 2, "size": (64, 64)},
        models=[{"name": "tiny", "bundles": recipe().models[0].bundles}],
        methods=["gradcam"],
        alterations=[
            {"name": "noise", "corruption": "noise", "degree": 0.5},
            {"name": "fgsm", "attack": "fgsm"},
            {"name": "masked", "region": "lungs"},
        ],
        measures=[
            {"metric": "relevance_mass_accuracy", "region": "lungs"},
            {"metric": "aopc", "params": {"region": 16, "steps": 3}, "curve": True, "limit": 1},
            {"metric": "adcc"},
            {"metric": "spearman"},
            {"metric": "entropy"},
            {"metric": "forward_passes"},
        ],
        tables=[],
    )
    rows = run(plan(given), tmp_path / "all")
    told = rows[rows.state == "trained"]
    assert set(told.alteration) == {"none", "noise", "fgsm", "masked"}
    assert set(told.profile) == {"", "paper", "reference"}
    counts = told[told.x.isna()].groupby("metric").size()
    assert counts["spearman"] == 2 * 3 * 2 * 2  # images, alterations, smoothing, profiles; not the unaltered
    assert counts["adcc"] == 2 * 4 * 2 * 2
    assert counts["aopc"] == counts["adcc"] / 2  # one image alone
    assert counts["probability"] == 2 * 4
    curve = told[
        told.x.notna() & (told.alteration == "none") & (told.smoothing == 0) & (told.profile == "paper")
    ]
    value = told[
        told.x.isna() & (told.metric == "aopc") & (told.alteration == "none") & (told.smoothing == 0)
    ]
    assert curve.x.tolist() == [0, 1 / 16, 2 / 16, 3 / 16]
    assert curve.value.mean() == pytest.approx(value[value.profile == "paper"].value.item())
    inside = told[(told.metric == "relevance_mass_accuracy") & (told.smoothing == 0)]
    assert inside.value.between(0, 1).all()
    centre = rows[(rows.method == "centre") & (rows.metric == "spearman")]
    assert (centre.value > 0.999).all()  # it looks at no image
    passes = rows[rows.metric == "forward_passes"].groupby("method").value.max()
    assert passes["centre"] == 0
    assert passes["gradcam"] >= 1


def test_what_is_randomised_is_what_is_explained(recipe, tmp_path):
    given = recipe(
        data={"source": "random", "count": 2, "size": (64, 64)},
        models=[{"name": "tiny", "bundles": recipe().models[0].bundles}],
        measures=[{"metric": "parameter_randomisation", "params": {"mode": "full", "measure": "pearson"}}],
        tables=[],
    )
    values = run(plan(given), tmp_path / "random").groupby("method").value.max()
    assert values["gradcam"] < 0.99
    assert values["centre"] == pytest.approx(1.0)
