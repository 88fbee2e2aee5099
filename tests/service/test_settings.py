"""A configuration is right as a whole, or every fault is named."""

import pytest

from xiqa.errors import ConfigError
from xiqa.service.rules import Rule, first_fit
from xiqa.service.settings import Settings, read_settings

WHOLE = """
[node]
name = "node-1"
folder = "data"
keep_days = 3

[intake]
title = "XIQA"
port = 11113
senders = [{ ae = "CR1", addresses = ["10.1.0.0/16", "::1"] }, { ae = "*", addresses = ["127.0.0.1"] }]
watch = ["in"]
[intake.limits]
associations = 8

[api]
token_file = "token"
host = "0.0.0.0"

[[peers]]
name = "pacs"
ae = "ORTHANC"
host = "10.0.0.2"
port = 4242
results = ["sr", "sc"]
confirm = "get"

[[peers]]
name = "web"
url = "https://archive/dicom-web"
originals = false
results = ["sr"]

[models.chest]
path = "chest.onnx"

[[rules]]
name = "chest"
model = "chest"
modality = ["cr", "DX"]
body_part = ["CHEST", ""]

[[hooks]]
name = "ris"
url = "https://ris/hook"
"""


def read(tmp_path, text):
    path = tmp_path / "node.toml"
    path.write_text(text)
    return read_settings(path)


def test_the_whole_of_it(tmp_path):
    (tmp_path / "chest.onnx").touch()
    settings = read(tmp_path, WHOLE)
    assert settings.node.folder == tmp_path / "data"
    assert settings.node.url == f"sqlite:///{tmp_path}/data/node.db"
    assert settings.intake.watch == (tmp_path / "in",)
    assert settings.models["chest"].path == str(tmp_path / "chest.onnx")
    assert settings.wanted() == [("forward", "pacs"), ("assess", "")]
    assert settings.afterwards(with_results=True) == [
        ("deliver", "pacs"),
        ("deliver", "web"),
        ("hook", "ris"),
    ]
    assert settings.afterwards(with_results=False) == [("hook", "ris")]
    assert settings.kinds() == ("sr", "sc")
    (tmp_path / "token").write_text("0123456789abcdef\n")
    assert settings.api.token() == "0123456789abcdef"
    (tmp_path / "token").write_text("short")
    with pytest.raises(ConfigError, match="16 characters or more"):
        settings.api.token()


def test_nothing_said_is_a_node_that_listens_to_itself_alone():
    settings = Settings()
    assert (settings.intake.host, settings.api.host) == ("127.0.0.1", "127.0.0.1")
    assert settings.wanted() == [("assess", "")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("keep_days = 3", "keep_dayz = 3"), "unknown node.keep_dayz"),
        (("[node]", "[nodes]"), "unknown nodes (did you mean node?)"),
        (("port = 11113", "port = 70000"), "intake.port = 70000"),
        (("10.1.0.0/16", "10.1.0.0/99"), "intake.senders.0.addresses"),
        (('token_file = "token"', ""), "beyond loopback a token_file is needed"),
        (('host = "10.0.0.2"', ""), "either ae, host and port, or url"),
        (('url = "https://archive', 'ae = "X"\nhost = "h"\nport = 1\nurl = "https://archive'), "either ae,"),
        (("https://archive", "ftp://archive"), "url begins with http"),
        (('name = "web"', 'name = "pacs"'), "two peers are called pacs"),
        (('model = "chest"', 'model = "knee"'), "names the model knee, which [models] lacks"),
        (('path = "chest.onnx"', ""), "either path or call"),
        (('confirm = "get"', 'confirm = "perhaps"'), "peers.0.confirm"),
        (('name = "ris"', 'name = "r is"'), "hooks.0.name"),
        (("[node]", "[node"), "is not TOML"),
    ],
)
def test_each_fault_is_named(tmp_path, change, fault):
    assert change[0] in WHOLE
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, WHOLE.replace(*change, 1))
    assert fault in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, WHOLE.replace("11113", "70000").replace('confirm = "get"', 'confirm = "x"'))
    assert "intake.port" in str(caught.value)
    assert "peers.0.confirm" in str(caught.value)


def test_the_first_rule_that_fits_decides():
    rules = [
        Rule(name="pa", model="m", modality=("CR", "dx"), body_part=("CHEST", ""), view=("PA",)),
        Rule(name="room", model="m", source=("CR1",)),
        Rule(name="any_cr", model="m", modality=("CR",)),
    ]
    row = {"modality": "cr", "body_part": "Chest", "view": "PA", "source": "CR1", "called": "X"}

    def name(**changes):
        rule = first_fit(rules, row | changes)
        return None if rule is None else rule.name

    assert name() == "pa"
    assert name(body_part="") == "pa"
    assert name(modality="DX", source="") == "pa"
    assert name(view="AP") == "room"
    assert name(view="AP", source="cr1") == "any_cr"  # AE titles are as they are
    assert name(modality="MR", source="CR2") is None
