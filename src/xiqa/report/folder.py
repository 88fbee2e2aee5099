"""The folder a run leaves behind, written image by image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from PIL import Image as Pillow

from xiqa.files import write_atomic, writing
from xiqa.report.files import folder_lock
from xiqa.report.html import report_html, webp
from xiqa.report.journal import Entry, Journal, slot_of
from xiqa.report.overlay import heat_picture, overlay_picture, picture_of
from xiqa.report.rows import csv_bytes, json_bytes, worst_first
from xiqa.types import Assessment, Image

__all__ = ["ResultsFolder"]


class ResultsFolder:
    """Results of one or more runs.

    ::

        results.jsonl   the journal: one line an image, on the disk as soon as the image is done
        results.json    all rows, worst first        results.csv   the same for a spreadsheet
        report.html     the page                      overlays/     one PNG an image
        pictures/       what the page is made from

    The last four come from the journal, when a run ends or is interrupted.

    Args:
        path: The folder.
        settings: What every result of the run depends on; see `xiqa.types.result_key`.
        identifiers: Write accession number, patient and the other identifiers too, not the UIDs alone.

    Raises:
        OutputError: The folder cannot be written, or another run holds it.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, identifiers: bool = False) -> None:
        self.path, self.settings, self.identifiers = path, dict(settings), identifiers
        self.journal = Journal(path / "results.jsonl")

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, settings: Mapping[str, Any], *, identifiers: bool = False
    ) -> Iterator[ResultsFolder]:
        """Hold the folder for one run."""
        with writing(path):
            for folder in (path, path / "overlays", path / "pictures"):
                folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(path):
            yield cls(path, settings, identifiers=identifiers)

    def done(self, file: str) -> bool:
        """Whether this very file was assessed with these settings; what could not be read is tried again."""
        entry = self.journal.find(absolute(file), 0, self.settings)
        return entry is not None and entry.result.probability is not None

    def add(self, assessment: Assessment, image: Image | None) -> None:
        """Write the pictures, then the journal's line: a line means that all is there."""
        path, picture = absolute(assessment.file), ""
        if image is not None and assessment.probability is not None:
            picture = picture_stem(path, slot_of(path, assessment.source.frame, assessment.provenance))
            self._draw(picture, assessment, image)
        self.journal.add(Entry(path, assessment.disclosed(identifiers=self.identifiers), picture))

    def results(self, files: Iterable[str] | None = None) -> list[Assessment]:
        """Results, worst first: of these files with this run's settings, or all that the folder knows."""
        entries = self.journal.entries
        if files is None:
            return worst_first(entry.result for entry in entries.values())
        slots = dict.fromkeys(slot_of(absolute(file), 0, self.settings) for file in files)
        return worst_first(entries[slot].result for slot in slots if slot in entries)

    def finish(self) -> None:
        """Make results.json, results.csv and report.html from the journal."""
        results = self.results()
        write_atomic(self.path / "results.json", json_bytes(results))
        write_atomic(self.path / "results.csv", csv_bytes(results))
        page = report_html(self.journal.entries.values(), self._pictures)
        write_atomic(self.path / "report.html", page.encode("utf-8"))

    def _draw(self, picture: str, assessment: Assessment, image: Image) -> None:
        """The overlay in good size, image and heat in screen size."""
        with writing(self.path):
            overlay = overlay_picture(image, assessment.saliency, assessment.findings)
            overlay.save(self.path / "overlays" / f"{picture}.png", compress_level=3)
            (self.path / "pictures" / f"{picture}.image.webp").write_bytes(webp(picture_of(image, 1024)))
            if assessment.saliency is not None:
                heat = heat_picture(assessment.saliency, image.size, 384)
                (self.path / "pictures" / f"{picture}.heat.webp").write_bytes(webp(heat))

    def _pictures(self, picture: str) -> tuple[Pillow.Image, Pillow.Image | None] | None:
        """Image and heat as they were written; None when someone took them away."""
        radiograph, heat = (self.path / "pictures" / f"{picture}.{kind}.webp" for kind in ("image", "heat"))
        if not radiograph.exists():
            return None
        return Pillow.open(radiograph), Pillow.open(heat) if heat.exists() else None


def absolute(file: str) -> str:
    """The absolute path; keeps names that are not valid Unicode as they are."""
    return os.path.abspath(file)  # noqa: PTH100 - as above


def picture_stem(path: str, slot: str) -> str:
    """A short, plain and unique name for a result's pictures.

    >>> picture_stem("/images/a b/../<x>.dcm", "0123456789abcdef")
    'x_.dcm-0123456789'
    """
    plain = re.sub(r"[^A-Za-z0-9.]+", "_", PurePath(path).name).strip("_.")[:60]
    return f"{plain or 'image'}-{slot[:10]}"
