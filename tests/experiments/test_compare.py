"""Methods compared from Python: the numbers of a recipe's table, in a data frame."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import xiqa
from xiqa.errors import ConfigError, MetricError, SaliencyError
from xiqa.experiments.recipe import Images, Measure
from xiqa.metrics import get_metric
from xiqa.models import load_model
from xiqa.saliency.combine import enlarge
from xiqa.saliency.engine import attribute
from xiqa.simulation.chest import simulate_chest

COUNT = 7
IMAGES = Images(source="random", count=COUNT, size=(128, 128))
METHODS = ["gradcam", "normgrad_conv1x1", "gradient"]


@pytest.fixture(scope="module")
def compared():
    return xiqa.compare(
        "cxr-foreign-objects", IMAGES, METHODS, ["gini", "entropy"], reference="normgrad_conv1x1"
    )


def test_a_row_for_each_method_and_metric(compared):
    assert isinstance(compared, pd.DataFrame)
    pairs = list(zip(compared["metric"], compared["method"], strict=True))
    assert pairs == [(metric, method) for metric in ("gini", "entropy") for method in METHODS]
    assert set(compared["images"]) == set(compared["patients"]) == {COUNT}
    assert (compared["low"] < compared["value"]).all()
    assert (compared["value"] < compared["high"]).all()


def test_values_are_the_means_over_images_of_maps_made_one_by_one(compared):
    model, gini = load_model("cxr-foreign-objects"), get_metric("gini").function
    values = []
    for seed in range(IMAGES.first, IMAGES.first + COUNT):
        array, _ = model.prepare(simulate_chest(seed, size=IMAGES.size).image)
        batch = torch.from_numpy(array)[None]
        (raw,) = attribute(model.network, batch, "gradcam", target=model.card.poor_class).maps.values()
        values.append(gini(enlarge(raw, batch.shape[2:])[0].numpy()))
    found = compared.set_index(["metric", "method"]).loc[("gini", "gradcam"), "value"]
    assert len(set(values)) == COUNT
    assert found == pytest.approx(np.mean(values), rel=1e-4)


def test_differences_are_from_the_reference_on_the_same_images(compared):
    table = compared.set_index(["metric", "method"])
    for metric in ("gini", "entropy"):
        rows = table.loc[metric]
        assert np.isnan(rows.loc["normgrad_conv1x1", "difference"])
        for method in ("gradcam", "gradient"):
            gap = rows.loc[method, "value"] - rows.loc["normgrad_conv1x1", "value"]
            assert rows.loc[method, "difference"] == pytest.approx(gap)
            assert 0 < rows.loc[method, "p"] <= 1


def test_the_best_of_each_metric_is_bold_in_latex(compared):
    text = compared.to_latex()
    assert text.count(r"\textbf") == int(compared["best"].sum()) > 0
    for metric, higher in (("gini", True), ("entropy", False)):
        assert get_metric(metric).higher_is_better is higher
        rows = compared[compared["metric"] == metric].set_index("method")
        assert rows["best"].idxmax() == (rows["value"].idxmax() if higher else rows["value"].idxmin())
    assert type(compared[["method", "value"]]) is pd.DataFrame


@pytest.mark.parametrize(
    ("methods", "metrics", "more", "error", "word"),
    [
        ([], ["gini"], {}, ConfigError, "nothing to compare with"),
        (["gradcam"], ["gini"], {"reference": "cam"}, ConfigError, "gradcam"),
        (["gradcam"], [], {}, ConfigError, "nothing to measure"),
        (["gradcam"], ["gini", "gini"], {}, ConfigError, "one name"),
        (["gradcan"], ["gini"], {}, SaliencyError, "gradcan"),
        (["gradcam"], ["ginny"], {}, MetricError, "ginny"),
        (["gradcam"], ["gini"], {"split": "some"}, ConfigError, "split"),
    ],
)
def test_what_cannot_be_compared_is_told_before_any_work(methods, metrics, more, error, word):
    data = "nowhere" if "split" in more else IMAGES
    with pytest.raises(error, match=word):
        xiqa.compare("cxr-foreign-objects", data, methods, metrics, **more)


def test_a_measure_says_more_than_a_name():
    measure = Measure(metric="aopc", label="AOPC, 5 steps", params={"steps": 5, "region": 32})
    table = xiqa.compare(load_model(), IMAGES, ["gradcam"], [measure, "aopc:steps=5,region=32"], limit=2)
    assert table["metric"].tolist() == ["AOPC, 5 steps", "aopc:region=32,steps=5"]
    assert table["value"].iloc[0] == table["value"].iloc[1]


def test_a_plain_install_is_told_what_it_lacks():
    code = "import sys; sys.modules['pandas'] = None\nimport xiqa\nxiqa.compare"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "xiqa[torch]"' in done.stderr
    assert "MissingDependencyError" in done.stderr
