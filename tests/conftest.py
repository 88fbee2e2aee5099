"""Shared fixtures: where the real films are, and the cure that lets torchvision load."""

import os
from pathlib import Path

import pytest

import xiqa._torchvision  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with the real data sets; they are not part of the project."""
    folder = Path(os.environ.get("XIQA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"REAL DATA ABSENT: no folder {folder}; set XIQA_DATA to test on real films")
    return folder


@pytest.fixture(scope="session")
def real_films(data_folder: Path) -> Path:
    """The chest radiographs with and without foreign objects."""
    return data_folder / "cxr-foreign-objects"
