"""The examples that are handed out are right."""

from pathlib import Path

import pytest

from xiqa.service.settings import read_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_example_is_a_configuration():
    settings = read_settings(DEPLOY / "node.toml")
    assert settings.wanted() == [("forward", "pacs"), ("assess", "")]
    assert settings.kinds() == ("sr", "sc", "pr")
    assert settings.intake.senders[0].is_at("10.1.1.200")
    assert not settings.intake.senders[1].is_at("10.1.2.18")


def test_what_is_commented_out_is_right_too(tmp_path):
    text = (DEPLOY / "node.toml").read_text()
    lines = [
        line[2:] if line.startswith("# ") and ("=" in line or line.startswith("# [")) else line
        for line in text.splitlines()
    ]
    (tmp_path / "node.toml").write_text("\n".join(lines))
    settings = read_settings(tmp_path / "node.toml")
    assert settings.intake.tls is not None
    assert settings.hooks[0].name == "ris"
    assert settings.api.token_file == tmp_path / "api-token"
    assert settings.node.database.startswith("postgresql:")


@pytest.mark.parametrize("name", ["xiqa.service", "Containerfile"])
def test_units_name_the_command_that_exists(name):
    assert "serve" in (DEPLOY / name).read_text()
    assert "--config" in (DEPLOY / name).read_text()
