"""What every registered metric keeps: it is found, described, and answers its edges as it declares."""

import inspect
import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.metrics.networks import picture, small_network
from tests.metrics.truths import FULL, OBJECTS, SIZE, random_map
from typer.testing import CliRunner

from xiqa.errors import MetricError
from xiqa.metrics.registry import CALLS, get_metric, metric, metrics
from xiqa.saliency.probe import TorchProbe

ROOT = Path(__file__).resolve().parents[2]
METRICS = metrics()
NETWORK = small_network(channels=1)
IMAGE = picture(channels=1, size=SIZE)


def explain(images):
    return images.abs().sum(dim=1) + 0.1 * torch.arange(images.shape[-1])


def call(info, saliency, truth):
    """Any metric with as few arguments as it needs."""
    given = {"network": NETWORK, "target": 1, "explain": explain}
    required = {k: given[k] for k, v in info.params.items() if v is inspect.Parameter.empty}
    cheap = {"samples": 4, "percentages": (20, 50), "steps": 5, "repeats": 1, "step": 200}
    settings = required | {k: v for k, v in cheap.items() if k in info.params}
    arguments = {
        "localisation": (saliency, truth),
        "faithfulness": (TorchProbe(NETWORK), IMAGE, saliency, 1),
        "agreement": (saliency, np.maximum(random_map(7) - 0.5, 0)),
        "complexity": (saliency,),
        "robustness": (explain, IMAGE),
        "randomisation": (NETWORK, explain, IMAGE),
        "consistency": ([[0.5], [0.4]],),
        "cost": (NETWORK, explain, IMAGE),
    }[info.kind]
    if info.name == "froc":
        from xiqa.metrics.localisation.froc import candidates

        arguments = ([candidates(saliency)], [truth])
    return info.function(*arguments, **settings)


def same(value, expected):
    return math.isnan(value) if math.isnan(expected) else value == pytest.approx(expected)


ids = [info.name for info in METRICS]
LOOKS_AT_A_MAP = {"localisation", "faithfulness", "agreement", "complexity"}
LOOKED_AT = pytest.mark.applies(to=lambda params: params["info"].kind in LOOKS_AT_A_MAP)


def test_all_kinds_are_there():
    assert {info.kind for info in METRICS} == set(CALLS)
    assert len(METRICS) == len(set(ids)) >= 38


@pytest.mark.parametrize("info", METRICS, ids=ids)
class TestEveryMetric:
    def test_is_within_its_bounds(self, info):
        value = call(info, random_map(3), OBJECTS)
        assert isinstance(value, float)
        assert info.bounds[0] <= value <= info.bounds[1]

    def test_gives_the_same_twice(self, info):
        if info.name != "seconds":
            assert call(info, random_map(3), OBJECTS) == call(info, random_map(3), OBJECTS)

    def test_changes_no_argument(self, info):
        saliency, state = random_map(3), {k: v.clone() for k, v in NETWORK.state_dict().items()}
        before, image = saliency.copy(), IMAGE.clone()
        call(info, saliency, OBJECTS)
        assert (saliency == before).all()
        assert torch.equal(image, IMAGE)
        assert all(torch.equal(state[k], v) for k, v in NETWORK.state_dict().items())

    def test_takes_single_precision(self, info):
        single, double = (
            call(info, random_map(3).astype(kind), OBJECTS) for kind in (np.float32, np.float64)
        )
        if info.name != "seconds":
            assert single == pytest.approx(double, rel=1e-4, abs=1e-4)

    @LOOKED_AT
    @pytest.mark.parametrize("level", [0.3, 0.0, -2.0])
    def test_answers_a_constant_map_as_declared(self, info, level):
        value = call(info, np.full(SIZE, level), OBJECTS)
        declared = info.cases.get("constant")
        assert declared is not None
        if isinstance(declared, float):
            assert same(value, declared)

    @LOOKED_AT
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_answers_a_map_that_is_not_finite_as_declared(self, info, bad):
        saliency = random_map(3)
        saliency[5, 6] = bad
        assert same(call(info, saliency, OBJECTS), info.cases["non_finite"])

    @pytest.mark.applies(to=lambda params: params["info"].truth == "objects")
    def test_answers_no_and_full_truth_as_declared(self, info):
        for case, truth in (("no_truth", []), ("full_truth", FULL)):
            declared = info.cases.get(case)
            value = call(info, random_map(3), truth)
            if isinstance(declared, float):
                assert same(value, declared), case

    def test_describes_itself(self, info):
        text = inspect.getdoc(info.function)
        assert "**Pitfalls.**" in text
        assert "**Variants.**" in text
        assert "Args:" in text
        assert "Returns:" in text
        assert info.kind == "cost" or "math::" in text
        bibliography = (ROOT / "docs" / "references.bib").read_text()
        assert info.kind == "cost" or f"{{{info.cite}," in bibliography
        assert info.summary.endswith(".")

    def test_says_what_ties_do_where_order_matters(self, info):
        if "order" in info.params or info.name in ("pointing_game", "pixel_auc", "top_k_intersection"):
            assert "ties" in info.cases


def test_a_name_is_taken_once():
    def impostor(a, b):
        """Not it."""

    impostor.__module__ = "elsewhere"
    with pytest.raises(MetricError, match="named 'pearson'"):
        metric("pearson", "agreement", higher_is_better=True)(impostor)
    assert get_metric("pearson").function is not impostor


def test_adding_a_metric_is_one_file(tmp_path):
    """A new file in the folder is all: the list, the command line and the page know it."""
    folder = tmp_path / "added"
    folder.mkdir()
    (folder / "brightness.py").write_text(
        "from xiqa.metrics.registry import metric\n"
        "@metric('brightness', 'complexity', higher_is_better=None)\n"
        "def brightness(saliency):\n"
        "    '''The mean.'''\n"
        "    return float(saliency.mean())\n"
    )
    code = (
        "import sys, xiqa.metrics\n"
        f"xiqa.metrics.__path__.append({str(folder)!r})\n"
        "sys.argv = ['xiqa', 'metrics', 'brightness', '--json']\n"
        "from xiqa.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["summary"] == "The mean."


class TestCommand:
    @staticmethod
    def run(*arguments):
        import typer

        from xiqa.cli.metrics import command

        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, list(arguments))

    def test_json(self):
        listed = json.loads(self.run("--json").output)
        assert [entry["name"] for entry in listed] == ids
        coherency = next(entry for entry in listed if entry["name"] == "coherency")
        assert coherency["params"]["explain"] == "required"
        assert coherency["cases"]["constant"] == "not defined (NaN)"
        assert coherency["bounds"] == [0, 1]

    def test_table_and_description(self):
        assert f"{len(METRICS)} metrics" in self.run().output
        told = self.run("road").output
        assert "lower" in told
        assert "percentile" in told
        assert isinstance(self.run("nothing").exception, MetricError)


def test_the_page_is_up_to_date():
    written = runpy.run_path(str(ROOT / "docs" / "make_metrics.py"))
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page == written["page"](), "run python docs/make_metrics.py"
    for info in METRICS:
        assert f"### {info.name}\n" in page


CURVED = [info for info in METRICS if info.curve]


def test_the_metrics_of_curves_are_those_that_alter_an_image_step_by_step():
    assert {info.name for info in CURVED} == {"aopc", "deletion", "insertion", "road"}


@pytest.mark.parametrize("info", CURVED, ids=lambda info: info.name)
def test_a_metric_is_the_number_of_its_curve(info):
    settings = {
        k: v for k, v in {"steps": 5, "step": 100, "percentages": (20, 50)}.items() if k in info.params
    }
    target = int(NETWORK(IMAGE[None]).argmax())
    arguments = TorchProbe(NETWORK), IMAGE, random_map(3), target
    curve, number = info.trace(*arguments, **settings)
    assert number == pytest.approx(info.function(*arguments, **settings), rel=1e-12)
    assert number != 0
    assert len(curve.share) == len(curve.score) > 2


def test_what_has_no_curve_and_what_a_curve_does_not_take_is_told():
    with pytest.raises(MetricError, match="iou has no curve: expected aopc or deletion or insertion or road"):
        get_metric("iou").trace(None)
    with pytest.raises(MetricError, match="a curve of aopc takes no repeats"):
        get_metric("aopc").trace(None, repeats=3)
