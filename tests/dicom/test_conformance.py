"""The conformance statement says what the code does."""

import runpy
from pathlib import Path

from tests.dicom.sources import MADE, assessment, source
from xiqa.dicom import KINDS, results

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_the_tables():
    written = runpy.run_path(str(ROOT / "docs" / "make_conformance.py"))
    assert (ROOT / "docs" / "conformance.md").read_text() == written["page"](), "run docs/make_conformance.py"


def test_the_objects_are_what_the_page_says():
    page = (ROOT / "docs" / "conformance.md").read_text()
    for kind, ds in results(assessment(), source("MR"), kinds=tuple(KINDS), made=MADE).items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
        assert f"`{ds.SOPClassUID}`" in row
        assert f"| {ds.SeriesNumber} |" in row
        description, _, marked = ds.SeriesDescription.partition(" (")
        assert f"| {description} |" in row
        assert marked == "AI image quality, not for diagnosis)"


def test_series_are_told_apart():
    objects = results(assessment(), source("MR"), kinds=tuple(KINDS), made=MADE).values()
    assert (
        len({ds.SeriesNumber for ds in objects})
        == len({ds.SeriesDescription for ds in objects})
        == len(KINDS)
    )
