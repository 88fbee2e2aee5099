"""Names, parameters and texts of methods."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiqa.errors import SaliencyError
from xiqa.saliency import registry
from xiqa.saliency.registry import Method, Needs, bind, layer_method, method_info, methods

BIBLIOGRAPHY = Path(__file__).resolve().parents[2] / "docs" / "references.bib"

# What the two reviews describe and the project promises, whatever else is registered.
PROMISED = """
cam gradcam gradcampp hirescam xgradcam layercam eigencam ablationcam scorecam sscam iscam reciprocam
smoothgradcampp integratedgradcam relevancecam fem normgrad_scaling normgrad_conv1x1 normgrad_conv3x3
normgrad_bias deconvnet gradient inputxgradient guidedbackprop guidedgradcam integratedgradients smoothgrad
lrp_zero lrp_epsilon lrp_gamma lrp_alphabeta deeptaylor deeplift deeplift_revealcancel occlusion lime
kernelshap rise meaningfulperturbation
"""

# Letters that the grammar itself uses included.
VALUES = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text("abz019._-/ +,:()=e", max_size=8),
)


@pytest.mark.parametrize("name", PROMISED.split())
def test_is_registered(name):
    assert method_info(name).name == name


@given(
    st.dictionaries(
        st.sampled_from(["layers", "norm", "k"]),
        st.one_of(VALUES, st.tuples(VALUES, VALUES), st.tuples(VALUES)),
    ),
    st.booleans(),
)
def test_text_and_back(params, wrapped):
    method = Method("evet", Method("gradcam", **params), seed=3) if wrapped else Method("gradcam", **params)
    again = Method.parse(str(method))
    assert again == method
    assert str(again) == str(method)
    assert {type(value) for _, value in again.items} == {type(value) for _, value in method.items}


def test_order_and_lists_do_not_matter():
    assert Method("a", x=1, y=[2, 3]) == Method("a", y=(2, 3), x=1)
    assert len({Method("a", x=1), Method.parse("a:x=1"), Method.parse(" a:x=1 ")}) == 1


@pytest.mark.parametrize(
    "text", ["", "Grad CAM", "gradcam:", "gradcam:x", "gradcam:x=", "gradcam:x=1,", "evet(a", "a)b"]
)
def test_a_wrong_text_is_refused(text):
    with pytest.raises(SaliencyError, match="cannot read a method"):
        Method.parse(text)


def test_a_duplicate_name_is_refused():
    with pytest.raises(SaliencyError, match="two methods are called 'gradcam'"):
        layer_method("gradcam", needs=Needs.OUTPUT, cite="")(lambda layer: layer.output)


def test_a_method_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    @layer_method("brightest", needs=Needs.OUTPUT, cite="nobody2000")
    def brightest(layer, *, floor: float = 0.5):
        """The largest channel.

        More.
        """
        return layer.output.amax(dim=1).clamp_min(floor)

    info = method_info("brightest")
    assert info.summary == "The largest channel."
    assert info.params["floor"] == 0.5
    assert info.params["layers"] == "last"
    assert bind("brightest:floor=2").own == {"floor": 2}


def test_unknown_names_and_parameters_are_told():
    with pytest.raises(SaliencyError, match="did you mean gradcam"):
        bind("gradcan")
    with pytest.raises(SaliencyError, match="gradcam has no parameter sigma"):
        bind("gradcam:sigma=1")
    with pytest.raises(SaliencyError, match="gradcam wraps no other"):
        bind("gradcam(fem)")


@pytest.mark.parametrize("info", methods(), ids=lambda info: info.name)
def test_every_method_is_described_and_cited(info):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", info.name)
    assert info.summary.endswith((".", "?")), info.summary
    keys = re.findall(r"^@\w+\{([^,]+),", BIBLIOGRAPHY.read_text(), re.M)
    assert info.cite in keys


def test_methods_can_be_written_down_without_torch():
    code = "import sys; from xiqa.saliency.registry import Method; Method.parse('a:b=1')"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
