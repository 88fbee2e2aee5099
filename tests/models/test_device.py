import pytest
import torch

import xiqa
from xiqa.assessment.loading import RuntimeSpec, load_runtime
from xiqa.errors import ConfigError
from xiqa.models.device import choose_device


def test_auto_takes_what_is_there():
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == wanted


@pytest.mark.parametrize(("name", "complaint"), [("gpu", "cuda:N"), ("cuda:99", "no device cuda:99")])
def test_a_device_that_is_not_there_is_told(name, complaint):
    with pytest.raises(ConfigError, match=complaint):
        choose_device(name)
    with pytest.raises(ConfigError, match=complaint):
        xiqa.load_model(device=name)


def test_weights_and_runtime_are_where_they_were_asked_for():
    model = xiqa.load_model(device="meta")
    assert {value.device.type for value in model.network.state_dict().values()} == {"meta"}
    assert load_runtime("cxr-foreign-objects", device="meta").device == "meta"


def test_a_specification_travels_and_loads():
    spec = RuntimeSpec.from_dict(RuntimeSpec("cxr-foreign-objects", device="meta").to_dict())
    assert spec.load().device == "meta"


def test_an_exported_file_runs_on_the_processor():
    with pytest.raises(ConfigError, match="runs on the processor"):
        load_runtime("model.onnx", device="cuda")
