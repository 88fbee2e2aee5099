"""What travels between the rooms: frozen values, NumPy arrays inside, no torch.

Places are points and boxes in the coordinates of `xiqa.geometry`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xiqa.codec import Travels, frozen
from xiqa.errors import Code, XiqaError
from xiqa.geometry import Box, Frame, Point
from xiqa.shown import Overlaid, Pictured, Told

__all__ = [
    "UIDS",
    "WHOLE",
    "Annotation",
    "Assessment",
    "Decision",
    "Finding",
    "FloatArray",
    "Fragility",
    "Image",
    "ImageRef",
    "MaskArray",
    "SaliencyMap",
    "SeriesSummary",
    "Source",
    "Split",
    "Verdict",
    "result_key",
]

FloatArray = NDArray[np.float32]
MaskArray = NDArray[np.bool_]

#: Identifiers that name images and no people.
UIDS = ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID")

#: The number in place of a frame's in the name of a whole series' result.
WHOLE = -1

#: What a sample of a data set is for.
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class Source(Travels):
    """Where an image came from, and what a reader should know of the way it was read.

    Attributes:
        path: The file, or an empty string for an array.
        format: ``dicom``, ``png``, ``jpeg``, ``tiff``, ``numpy``, ``nifti`` or ``array``.
        frame: Index of the frame or slice inside the file.
        frames: How many frames the file holds.
        series: Name of the series that the image was assessed in, the same for all its images; empty for one
            that stands alone.
        place: Where it stands in the series: by position, then by time, from 0.
        identifiers: DICOM identifiers that later objects need (SOPInstanceUID, PatientID, ...).
        notes: What was chosen or assumed while reading (which window of several, ...).
        digest: SHA-256 of the file's bytes, or of an array's pixels; empty where it was not asked for.
        size: Of the file, in bytes; 0 where it was not asked for.
        modified: Time of the file's last change before it was read, in nanoseconds.
    """

    path: str = ""
    format: str = "array"
    frame: int = 0
    frames: int = 1
    series: str = ""
    place: int = 0
    identifiers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    digest: str = ""
    size: int = 0
    modified: int = 0

    def disclosed(self, *, identifiers: bool = False) -> Source:
        """What may be written: the UIDs by which an archive finds the image, the rest on request only."""
        kept = self.identifiers if identifiers else {k: v for k, v in self.identifiers.items() if k in UIDS}
        return replace(self, identifiers=dict(kept))


@dataclass(frozen=True, slots=True)
class ImageRef(Travels):
    """One frame of a file, as something to assess by itself.

    Attributes:
        path: The file.
        frame: Which frame or slice, from 0.
    """

    path: str
    frame: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Image(Travels, Pictured):
    """One image in display order, bright is high.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, 3)`` float32 in [0, 1], scaled by the bits that carry a signal.
        bits: Bits stored a sample in the file.
        spacing: Millimetres a pixel as (row, column), where the file says.
        mask: ``(H, W)``, False on padding and outside the shutter; None when every pixel counts.
        modality: DICOM modality (``DX``, ``MR``, ...), or an empty string.
        source: Where it came from.
    """

    pixels: FloatArray
    bits: int = 8
    spacing: tuple[float, float] | None = None
    mask: MaskArray | None = None
    modality: str = ""
    source: Source = field(default_factory=Source)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width


@dataclass(frozen=True, slots=True, eq=False)
class Annotation(Travels):
    """One annotated object, the truth that localisation metrics look at.

    Attributes:
        box: Tightest box, in the image's pixels.
        kind: What it is (``button``, ``electrode``, ...).
        polygon: Corners of a polygonal shape, else empty.
        ellipse: True when the shape is the ellipse inscribed in ``box``.
        mask: Exact pixels, image-sized, where known.
        problem: Whether it is a reason why the image is poor; False for what only has to be known, such as an
            implanted device or a marker.
        groups: Further names under which it is scored; see `xiqa.datasets.groups`.
    """

    box: Box
    kind: str = "object"
    polygon: tuple[Point, ...] = ()
    ellipse: bool = False
    mask: MaskArray | None = None
    problem: bool = True
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap(Travels, Pictured, Overlaid):
    """One saliency map of one image, raw, with what is needed to make it again.

    Attributes:
        values: ``(h, w)`` float32 at layer or model-input size, ``(d, h, w)`` of a volume; signed where the
            method is signed.
        method: Registry name of the method.
        target: Index of the explained class.
        params: The method's parameters, layers included.
        input_size: (rows, columns) of the model's input, (slices, rows, columns) of a volume: the grid that
            ``frame`` maps from.
        frame: Map between the original image and the model's input; None when they are the same.
        steps: What was done to the raw values, in order (``upsample``, ``smooth(sigma=1.0)``, ...).
    """

    values: FloatArray
    method: str
    target: int
    params: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, ...] = (0, 0)
    frame: Frame | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", frozen(self.params))

    def then(self, step: str, values: FloatArray) -> SaliencyMap:
        """The map after one more step, which is recorded."""
        return replace(self, values=values, steps=(*self.steps, step))


class Verdict(StrEnum):
    """What to do with an image."""

    ACCEPT = "accept"
    REACQUIRE = "reacquire"
    REVIEW = "review"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True, slots=True)
class Finding(Travels):
    """One place that speaks for poor quality.

    Attributes:
        peak: The map's maximum (first in row-major order).
        box: Box around the peak's region.
        score: Height of the peak relative to the map's highest peak, in (0, 1].
        ties: How many pixels share the peak's value (1: the peak is unique).
        label: What is suspected there.
    """

    peak: Point
    box: Box
    score: float
    ties: int = 1
    label: str = ""


@dataclass(frozen=True, slots=True)
class Fragility(Travels):
    """The smallest changes of an image that carry its verdict across the limit between good and poor.

    Grey levels are parts of the whole range, so that 1/255 is one level of eight bits. What no search found
    is None.

    Attributes:
        fgsm: Change of every pixel by the same amount in one step along the gradient's sign (FGSM).
        linf: Largest change of a pixel in the smallest change found: by many such steps (DeepFool,
            L-infinity) or by the one.
        l2: The shortest change (DeepFool); its L2 norm on the model's grid.
        mean_square: That change, root mean square over the pixels.
        relative: Its length over the image's own.
        margin: Log-odds between the image's probability and the limit, positive for poor.
        pixels: How many pixels of the model's grid could change.
    """

    fgsm: float | None
    linf: float | None
    l2: float | None
    mean_square: float | None
    relative: float | None
    margin: float
    pixels: int


@dataclass(frozen=True, slots=True)
class SeriesSummary(Travels):
    """What the row of a series says beyond the row of an image. Places count from 0, as in `Source.place`.

    Attributes:
        total: How many images the series has.
        places: Which of them were assessed.
        scores: Their probabilities of poor quality; None where there is none.
        worst: Place of the worst image.
        poor: Places of those to be acquired again.
        unclear: Places of those that a person must look at, or that could not be assessed.
        frames: Which were asked for: ``all``, ``first``, ``middle`` or ``every:k``.
        tolerance: Share of poor images that the verdict puts up with.
    """

    total: int
    places: tuple[int, ...]
    scores: tuple[float | None, ...]
    worst: int
    poor: tuple[int, ...] = ()
    unclear: tuple[int, ...] = ()
    frames: str = "all"
    tolerance: float = 0.0

    @property
    def poor_share(self) -> float:
        """Share of the assessed images that are poor."""
        return len(self.poor) / len(self.places)


@dataclass(frozen=True, slots=True)
class Assessment(Travels, Told, Overlaid):
    """The verdict on one image and its evidence, in the original image's pixels.

    Attributes:
        file: Path as given, or an empty string.
        verdict: What to do.
        reason: Why, in one sentence.
        code: Why, in one word for programs.
        probability: Calibrated probability of poor quality; None when not assessed.
        threshold: Probability from which an image is poor.
        findings: Places, most salient first; empty when nothing can be localised.
        provenance: Model hash, recipe, method, versions: what makes the result repeatable.
        saliency: The map behind the findings, where it was kept.
        image_size: (rows, columns) of the original; (0, 0) when it could not be read.
        fragility: How small a change flips the verdict, where it was asked for.
        source: Where the image came from: file and frame, identifiers, notes.
        series: For the row of a whole series what it says of its images; places and source are then those of
            its worst image. None for the row of one image.
    """

    file: str
    verdict: Verdict
    reason: str
    code: Code
    probability: float | None = None
    threshold: float | None = None
    findings: tuple[Finding, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    saliency: SaliencyMap | None = field(default=None, repr=False, compare=False)
    image_size: tuple[int, int] = (0, 0)
    fragility: Fragility | None = None
    source: Source = field(default_factory=Source)
    series: SeriesSummary | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", frozen(self.provenance))

    def disclosed(self, *, identifiers: bool = False) -> Assessment:
        """What results hold: no map, and of the source what `Source.disclosed` lets through."""
        return replace(self, saliency=None, source=self.source.disclosed(identifiers=identifiers))

    @property
    def frame(self) -> int:
        """The frame of the file that the row is about, or `WHOLE` for the row of a series."""
        return self.source.frame if self.series is None else WHOLE

    @property
    def key(self) -> str:
        """What the result depends on, as one name: the content, the frame, the model, method and settings."""
        return result_key(self.source.digest, self.frame, self.provenance)


@dataclass(frozen=True, slots=True)
class Decision(Travels):
    """What a named person decided about an image; the assessment stays what it was.

    Attributes:
        uid: SOP Instance UID of the image.
        action: What is to be done with it.
        person: Who decided.
        time: When, with its time zone.
        reason: A code value of DICOM's CID 7011 (reasons for rejection); None where there is none.
        note: In the person's words.
    """

    uid: str
    action: Verdict
    person: str
    time: datetime
    reason: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise XiqaError("a decision's time has no time zone", got=self.time.isoformat())


#: What of a provenance a result depends on.
_DEPENDS = ("model_hash", "method", "fragility", "xiqa")


def result_key(digest: str, frame: int, settings: Mapping[str, Any]) -> str:
    """The name of a result: equal where content, frame, model, method, settings and version are.

    Args:
        digest: Of the content; see `Source.digest`.
        frame: Of the file.
        settings: With ``model_hash``, ``method``, ``fragility`` and ``xiqa``; the rest does not count.
    """
    parts = [digest, frame, *(settings.get(name) for name in _DEPENDS)]
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()
