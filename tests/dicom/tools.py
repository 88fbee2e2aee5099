"""Other people's programs that read what we write."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset


def program(name: str, package: str) -> str:
    """Path of a program; the test is skipped without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return found


def saved(ds: Dataset, path: Path) -> Path:
    ds.save_as(path, enforce_file_format=True)
    return path


def errors_of(path: Path) -> list[str]:
    """What David Clunie's validator finds wrong."""
    validator = program("dciodvfy", "dicom3tools")
    done = subprocess.run([validator, path], capture_output=True, text=True, errors="replace")
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "the validator says nothing, not even what kind of object it sees"
    return [line for line in lines if line.startswith("Error")]


def dsrdump(path: Path) -> str:
    """A structured report as dcmtk shows it."""
    command = [program("dsrdump", "dcmtk"), "+Pc", "+Pl", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "E: " not in done.stderr, done.stderr
    return done.stdout


def dcmdump(path: Path) -> str:
    """All elements as dcmtk shows them."""
    command = [program("dcmdump", "dcmtk"), "+L", path]
    return subprocess.run(command, capture_output=True, text=True, check=True, errors="replace").stdout
