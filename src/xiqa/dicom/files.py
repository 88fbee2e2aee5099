"""Results of a run as files, one folder an image, and on their way to an archive."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread, dcmwrite

from xiqa.dicom.build import results
from xiqa.dicom.kinds import KINDS
from xiqa.dicom.net.answers import Answer
from xiqa.dicom.net.destination import Destination
from xiqa.dicom.send import send
from xiqa.errors import DicomResultError, XiqaError
from xiqa.files import write_atomic, writing
from xiqa.report.folder import absolute, picture_stem
from xiqa.report.journal import slot_of
from xiqa.types import Assessment, Image

__all__ = ["ResultFiles"]


class ResultFiles:
    """``dicom/IMAGE/KIND.dcm`` below a folder, with the names of the overlays for the images.

    Args:
        folder: The run's folder.
        settings: What every result depends on; see `ResultsFolder`.
        kinds: Names of `KINDS`.
        to: Archive that everything is sent to, if any.

    Attributes:
        refused: Why there are no results of an image, by its path.
        deliveries: What the archive said, by the path of the file that was sent.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], kinds: Sequence[str], to: Destination | None = None
    ) -> None:
        self.folder, self.settings, self.kinds, self.to = folder / "dicom", settings, tuple(kinds), to
        self.refused: dict[str, str] = {}
        self.deliveries: dict[Path, Answer] = {}

    def done(self, file: str) -> bool:
        """Whether the results of a file lie here, as far as it must have them: ``ko`` may be missing."""
        place = self._place(file, 0, self.settings)
        return all((place / f"{kind}.dcm").exists() for kind in self.kinds if kind != "ko")

    def _place(self, file: str, frame: int, settings: Mapping[str, Any]) -> Path:
        """The folder for the results of a frame."""
        path = absolute(file)
        return self.folder / picture_stem(path, slot_of(path, frame, settings))

    def add(self, assessment: Assessment, image: Image | None) -> None:
        """Make, write and send the results of one image; what an image cannot have is noted and no more."""
        if image is None or assessment.probability is None or assessment.series is not None:
            return  # a series has the results of its images
        try:
            made = results(assessment, _source_of(assessment.file, image), kinds=self.kinds, image=image)
        except XiqaError as error:
            self.refused[assessment.file] = str(error)
            return
        place = self._place(assessment.file, assessment.source.frame, assessment.provenance)
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            for kind in KINDS:  # nothing of an earlier run stays beside these
                if kind in self.kinds and kind not in made:
                    (place / f"{kind}.dcm").unlink(missing_ok=True)
        for kind, dataset in made.items():
            write_atomic(place / f"{kind}.dcm", encoded(dataset))

    def send(self, images: Sequence[tuple[str, int]]) -> None:
        """Send what lies here of these images, each a file and its frame, over one association.

        Raises:
            NetworkError: Nothing could be sent.
        """
        if self.to is None:
            return
        places = [self._place(file, frame, self.settings) for file, frame in images]
        paths = [path for place in places for path in sorted(place.glob("*.dcm"))]
        paths = [path for path in paths if path.stem in self.kinds]
        deliveries = send([dcmread(path) for path in paths], self.to)
        self.deliveries.update(zip(paths, deliveries, strict=True))


def encoded(dataset: Dataset) -> bytes:
    """The object as a DICOM file."""
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _source_of(file: str, image: Image) -> Dataset:
    """The source as a data set."""
    if image.source.format != "dicom":
        raise DicomResultError(
            "only a DICOM image has a patient and a study for results",
            code="no_dicom",
            expected="a DICOM file",
            got=image.source.format,
        )
    return dcmread(file)
