"""Shared fixtures: where the real radiographs are, the cure that lets torchvision load, and strict skips."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import xiqa._torchvision  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent

# The one reason for which a test may be skipped in continuous integration.
DATA_ABSENT = "REAL DATA ABSENT"


# pynetdicom installs programs with the names of dcmtk's: those of the system come first, whatever is active.
_OWN = os.fspath(Path(sys.prefix) / "bin")
_PATH = os.environ.get("PATH", "").split(os.pathsep)
os.environ["PATH"] = os.pathsep.join([*(part for part in _PATH if part != _OWN), _OWN])

# How fast a machine draws examples is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With XIQA_STRICT_SKIPS=1, a test skipped for want of an installable part is a failure."""
    report = yield
    if report.skipped and os.environ.get("XIQA_STRICT_SKIPS") == "1":
        reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
        if DATA_ABSENT not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped where nothing may be: {reason}"
    return report


def pytest_collection_modifyitems(config, items):
    """A case to which a contract does not apply (``@pytest.mark.applies``) is deselected and counted."""
    applying = {item for item in items if applies(item)}
    left = [item for item in items if item not in applying]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item in applying]


def applies(item) -> bool:
    """Whether what the test's marks ask of its parameters holds."""
    return all(mark.kwargs["to"](item.callspec.params) for mark in item.iter_markers("applies"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with the real data sets; they are not part of the project."""
    folder = Path(os.environ.get("XIQA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{DATA_ABSENT}: no folder {folder}; set XIQA_DATA to test on real radiographs")
    return folder


@pytest.fixture(scope="session")
def real_images(data_folder: Path) -> Path:
    """The chest radiographs with and without foreign objects."""
    return data_folder / "cxr-foreign-objects"
