"""The folder a run leaves behind, written image by image."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from xiqa.files import write_atomic, writing
from xiqa.imaging.series import Series
from xiqa.report.encoding import jpeg
from xiqa.report.files import folder_lock
from xiqa.report.html import report_pieces
from xiqa.report.journal import Entry, Journal, slot_of
from xiqa.report.overlay import map_picture, overlay_picture, picture_of
from xiqa.report.rows import csv_pieces, json_pieces
from xiqa.types import WHOLE, Assessment, Image, Verdict

__all__ = ["Results", "ResultsFolder"]

# Longer sides in pixels of what is kept for the page: of an image, and of its map, which is smooth.
SCREEN, MAP = 1536, 192


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
        page: Draw pictures and make the page; without it the results alone are written.

    Attributes:
        on_done: Called with the number of images and series whose results have come to the disk.

    Raises:
        OutputError: The folder cannot be written, or another run holds it.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], *, identifiers: bool = False, page: bool = True
    ) -> None:
        self.path, self.settings = path, dict(settings)
        self.identifiers, self.page = identifiers, page
        self.on_done: Callable[[int], None] = lambda items: None
        self._told: deque[bool] = deque()
        self.journal = Journal(path / "results.jsonl", self._tell)

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, settings: Mapping[str, Any], *, identifiers: bool = False, page: bool = True
    ) -> Iterator[ResultsFolder]:
        """Hold the folder for one run."""
        with writing(path):
            for folder in (path, *((path / "overlays", path / "pictures") if page else ())):
                folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(path):
            opened = cls(path, settings, identifiers=identifiers, page=page)
            try:
                yield opened
            finally:
                opened.journal.close()

    def done(self, item: str | Series, frames: str = "all", tolerance: float = 0.0) -> bool:
        """Whether this very file was assessed with these settings; what could not be read is tried again.

        Args:
            item: One file, or a series of them.
            frames: Which images of a series are wanted.
            tolerance: Of its verdict.
        """
        paths = [absolute(file) for file in files_of(item)]
        if len(paths) == 1 and self.alone(paths[0]):
            return True
        whole = self.journal.latest(paths[0], WHOLE, self.settings)
        series = None if whole is None else whole.result.series
        if series is None or (len(paths) > 1 and series.total != len(paths)):
            return False
        several = [(paths[place], 0) if len(paths) > 1 else (paths[0], place) for place in series.places]
        same = (series.frames, series.tolerance) == (frames, tolerance)
        return same and all(self._has(path, frame) for path, frame in several)

    def alone(self, path: str, *, radiograph: bool = False) -> bool:
        """Whether this very file was assessed by itself; nothing is read.

        Args:
            path: The file's absolute path.
            radiograph: Only where it cannot be a slice of a series, whatever lies beside it now.
        """
        known = self.journal.known(path, 0, self.settings)
        alone = known is not None and known.assessed and not known.series
        return alone and (not radiograph or bool(known and known.radiograph))

    def _has(self, path: str, frame: int) -> bool:
        """Whether a frame of a file that is still the same was assessed."""
        known = self.journal.known(path, frame, self.settings)
        return known is not None and known.assessed

    def add(self, assessment: Assessment, image: Image | None) -> None:
        """Write the pictures, then the journal's line: a line means that all is there."""
        path, picture = absolute(assessment.file), ""
        if self.page and image is not None and assessment.probability is not None:
            shown = absolute(assessment.source.path) if assessment.series else path
            picture = picture_stem(shown, slot_of(shown, assessment.source.frame, assessment.provenance))
            if assessment.series is None:  # a series shows the picture of its worst image
                self._draw(picture, assessment, image)
        self._told.append(assessment.series is not None or not assessment.source.series)
        self.journal.add(Entry(path, assessment.disclosed(identifiers=self.identifiers), picture))

    def commit(self) -> None:
        """Wait until all that was added is on the disk."""
        self.journal.commit()

    def _tell(self, lines: int) -> None:
        """So many lines are on the disk; a series counts once."""
        self.on_done(sum(self._told.popleft() for _ in range(lines)))

    def results(self, files: Iterable[str]) -> Results:
        """The results of these files with this run's settings."""
        self.journal.index.want(absolute(file) for file in files)
        return Results(self.journal, self.settings)

    def finished(self) -> bool:
        """Whether what `finish` makes is there already, and made after the journal's last line."""
        made = [
            self.path / name
            for name in ("results.json", "results.csv", *(["report.html"] if self.page else []))
        ]
        if not self.journal.path.is_file() or not all(file.is_file() for file in made):
            return False
        last = self.journal.path.stat().st_mtime_ns
        return all(file.stat().st_mtime_ns >= last for file in made)

    def finish(self) -> None:
        """Make results.json, results.csv and report.html from the journal."""
        self.journal.commit()
        journal, shape = self.journal, self.journal.index.shape()
        write_atomic(self.path / "results.json", json_pieces(entry.result for entry in journal))
        rows = csv_pieces((entry.result for entry in journal), **shape._asdict())
        write_atomic(self.path / "results.csv", rows)
        if not self.page:
            return
        page = report_pieces(journal, journal.index.counts(), self._pictures)
        write_atomic(self.path / "report.html", (piece.encode("utf-8") for piece in page))

    def _draw(self, picture: str, assessment: Assessment, image: Image) -> None:
        """The overlay in good size, the image in screen size, the map for the page to colour."""
        with writing(self.path):
            overlay = overlay_picture(image, assessment.saliency, assessment.findings)
            overlay.save(self.path / "overlays" / f"{picture}.png", compress_level=3)
            files = self._picture_files(picture)
            files[0].write_bytes(jpeg(picture_of(image, SCREEN)))
            if assessment.saliency is not None:
                files[1].write_bytes(jpeg(map_picture(assessment.saliency, image.size, MAP), 90))

    def _picture_files(self, picture: str) -> tuple[Path, Path]:
        """Where image and map of a result are kept for the page."""
        image, heat = (self.path / "pictures" / f"{picture}.{kind}.jpg" for kind in ("image", "map"))
        return image, heat

    def _pictures(self, picture: str) -> tuple[bytes, bytes | None] | None:
        """Image and map as they were written; None when someone took them away."""
        image, heat = self._picture_files(picture)
        if not image.exists():
            return None
        return image.read_bytes(), heat.read_bytes() if heat.exists() else None


class Results:
    """The results of chosen files, worst first, read from the journal as they are asked for.

    Args:
        journal: Where they are; the files that its index was told to want.
        settings: Of the run.
    """

    def __init__(self, journal: Journal, settings: Mapping[str, Any]) -> None:
        self._journal, self._settings = journal, settings

    def __iter__(self) -> Iterator[Assessment]:
        return (entry.result for entry in self._journal.read(self._journal.index.offsets(self._settings)))

    def first(self, most: int) -> list[Assessment]:
        """The worst of those that stand alone: series, and images that are in none."""
        alone = (r for r in self if r.series is not None or not r.source.series)
        return list(islice(alone, most))

    def counts(self) -> dict[Verdict, int]:
        """How many of those that stand alone have each verdict, in order of urgency."""
        return self._journal.index.counts(self._settings, alone=True)

    @property
    def images(self) -> int:
        """How many images there are, those of series included."""
        return sum(self._journal.index.counts(self._settings).values()) - self.series

    @property
    def series(self) -> int:
        """How many series there are."""
        return self._journal.index.series(self._settings)

    @property
    def unread(self) -> bool:
        """Whether any could not be assessed."""
        return bool(self._journal.index.counts(self._settings)[Verdict.NOT_ASSESSED])


def files_of(item: str | Series) -> list[str]:
    """The files of a series, or the one."""
    return [os.fspath(path) for path in item.paths] if isinstance(item, Series) else [item]


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
