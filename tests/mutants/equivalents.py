"""Changes that change nothing anybody could see, each with its reason."""

import tomllib
from functools import cache
from pathlib import Path


@cache
def reasons() -> dict[tuple[str, str, str], str]:
    """The reason by file, line before and line after."""
    read = tomllib.loads(Path(__file__).with_name("equivalents.toml").read_text())
    return {(c["file"], c["before"], c["after"]): c["why"] for c in read.get("change", [])}
