"""The folder a run leaves behind, written image by image."""

from __future__ import annotations

import hashlib
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
from xiqa.report.journal import Entry, Journal, identity
from xiqa.report.overlay import film_picture, heat_picture, overlay_picture
from xiqa.report.rows import csv_bytes, json_bytes, to_row, worst_first
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
        settings: What every result depends on (model hash, method, threshold); see `Journal.holds`.

    Raises:
        OutputError: The folder cannot be written, or another run holds it.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, dict(settings)
        self.journal = Journal(path / "results.jsonl")

    @classmethod
    @contextmanager
    def open(cls, path: Path, settings: Mapping[str, Any]) -> Iterator[ResultsFolder]:
        """Hold the folder for one run."""
        with writing(path):
            for folder in (path, path / "overlays", path / "pictures"):
                folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(path):
            yield cls(path, settings)

    def done(self, file: str) -> bool:
        """Whether this very file was assessed with these settings; what could not be read is tried again."""
        told = identity(file, self.settings)
        return self.journal.holds(told) and self.journal.entries[told["path"]].row["probability"] is not None

    def add(self, assessment: Assessment, image: Image | None) -> None:
        """Write the pictures, then the journal's line: a line means that all is there."""
        told = identity(assessment.file, self.settings)
        picture = ""
        if image is not None and assessment.probability is not None:
            picture = picture_stem(told["path"])
            self._draw(picture, assessment, image)
        self.journal.add(Entry(told, to_row(assessment), picture, assessment.image_size))

    def rows(self, files: Iterable[str] | None = None) -> list[Mapping[str, Any]]:
        """Rows, worst first: of these files, or of all that the folder knows."""
        entries = self.journal.entries
        wanted = entries if files is None else [identity(file, {})["path"] for file in files]
        return worst_first(entries[path].row for path in dict.fromkeys(wanted) if path in entries)

    def finish(self) -> None:
        """Make results.json, results.csv and report.html from the journal."""
        rows = self.rows()
        write_atomic(self.path / "results.json", json_bytes(rows))
        write_atomic(self.path / "results.csv", csv_bytes(rows))
        page = report_html(self.journal.entries.values(), self._pictures)
        write_atomic(self.path / "report.html", page.encode("utf-8"))

    def _draw(self, picture: str, assessment: Assessment, image: Image) -> None:
        """The overlay in good size, film and heat in screen size."""
        with writing(self.path):
            overlay = overlay_picture(image, assessment.saliency, assessment.findings)
            overlay.save(self.path / "overlays" / f"{picture}.png", compress_level=3)
            (self.path / "pictures" / f"{picture}.film.webp").write_bytes(webp(film_picture(image, 1024)))
            if assessment.saliency is not None:
                heat = heat_picture(assessment.saliency, image.size, 384)
                (self.path / "pictures" / f"{picture}.heat.webp").write_bytes(webp(heat))

    def _pictures(self, picture: str) -> tuple[Pillow.Image, Pillow.Image | None] | None:
        """Film and heat as they were written; None when someone took them away."""
        film, heat = (self.path / "pictures" / f"{picture}.{kind}.webp" for kind in ("film", "heat"))
        if not film.exists():
            return None
        return Pillow.open(film), Pillow.open(heat) if heat.exists() else None


def picture_stem(path: str) -> str:
    """A short, plain and unique name for a file's pictures.

    >>> picture_stem("/films/a b/../<x>.dcm")[:4]
    'x_.d'
    """
    plain = re.sub(r"[^A-Za-z0-9.]+", "_", PurePath(path).name).strip("_.")[:60]
    return f"{plain or 'image'}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:10]}"
