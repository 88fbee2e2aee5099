"""A separate package brings a method, a metric, a layout and an experiment without touching this one."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from textwrap import dedent

import pytest

from xiqa import plugins
from xiqa.errors import ConfigError
from xiqa.plugins import PluginWarning, load_plugin_file, load_plugins

METHOD = '''
from xiqa.saliency.registry import Needs, layer_method

@layer_method("plugin_loudness", needs=Needs.OUTPUT, cite="mypaper2026")
def plugin_loudness(layer, *, power: float = 2.0):
    """Loudness of each place."""
    return layer.output.norm(p=power, dim=1)
'''
METRIC = '''
from xiqa.metrics.registry import metric
from xiqa.types import FloatArray

@metric("plugin_peak", "complexity", higher_is_better=None, bounds=(0, 1), cases={"constant": "1"})
def plugin_peak(saliency: FloatArray) -> float:
    """Share of the highest pixel."""
    return float(saliency.max() / saliency.sum())
'''
LAYOUT = '''
"""Folders called a and b."""
from xiqa.datasets.collection import Collection
from xiqa.datasets.layout import layout

@layout("plugin_pairs", recognise=lambda path: (path / "a").is_dir() and (path / "b").is_dir(), rank=9)
def read_pairs(folder):
    return Collection("plugin_pairs", ("a", "b"), ())
'''
ENTRIES = """
[xiqa.methods]
one = acme.methods
broken = acme.absent
[xiqa.metrics]
one = acme.metrics
[xiqa.datasets]
one = acme.layouts
[xiqa.experiments]
one = acme.recipes
"""
SCRIPT = """
import numpy as np, torch, warnings
from torch import nn
import xiqa
from xiqa.datasets.layout import layout_names
from xiqa.metrics.registry import get_metric
from xiqa.recipes import find_recipe
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = nn.Sequential(*layers)
    maps = xiqa.explain(network.eval(), torch.rand(2, 1, 8, 9), "plugin_loudness:power=1", layers="1")
print(len(maps["plugin_loudness:power=1"]), maps["plugin_loudness:power=1"][0].values.shape)
print([str(w.message) for w in caught if "broken of acme" in str(w.message)])
print(get_metric("plugin_peak").function(np.array([[1.0, 3.0]], np.float32)))
print("plugin_pairs" in layout_names(), find_recipe("acme-smoothing", "benchmark").name)
"""


@pytest.fixture
def package(tmp_path):
    """A package as pip would leave it."""
    root = tmp_path / "site"
    (root / "acme" / "recipes").mkdir(parents=True)
    for name, text in {"methods": METHOD, "metrics": METRIC, "layouts": LAYOUT}.items():
        (root / "acme" / f"{name}.py").write_text(dedent(text))
    for folder in ("acme", "acme/recipes"):
        (root / folder / "__init__.py").write_text("")
    (root / "acme" / "recipes" / "acme-smoothing.toml").write_text('name = "acme-smoothing"\n')
    info = root / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    return root


@pytest.mark.long
def test_a_package_brings_one_of_each(package):
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, warned, share, rest = done.stdout.splitlines()
    assert first == "2 (6, 7)"
    assert "ModuleNotFoundError" in warned
    assert float(share) == 0.75
    assert rest == "True acme-smoothing.toml"


@pytest.mark.long
def test_a_file_is_named_on_the_command_line(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD.replace("plugin_loudness", "file_loudness"))
    done = subprocess.run(
        [sys.executable, "-m", "xiqa", "--plugin", str(tmp_path / "mine.py"), "methods"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "file_loudness" in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no plugin"),
        ("1 / 0", "ZeroDivisionError"),
        ("def :", "SyntaxError"),
        ("import absent_x", "absent_x"),
    ],
)
def test_a_file_that_fails_is_told(tmp_path, text, told):
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_plugin_file(file)
    assert "xiqa_plugin_mine" not in sys.modules


def test_what_is_no_module_is_left_out_with_a_warning(monkeypatch):
    found = [EntryPoint("b", "json:dumps", "xiqa.methods"), EntryPoint("a", "json", "xiqa.methods")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found)
    load_plugins.cache_clear()
    try:
        with pytest.warns(PluginWarning, match="json:dumps is no module"):
            (module,) = load_plugins("methods")
        assert module.__name__ == "json"
    finally:
        load_plugins.cache_clear()
