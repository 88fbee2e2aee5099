"""The heat map on the source's own grid, as segmentations and parametric maps hold it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import MRImageStorage

from xiqa.dicom.case import MANUFACTURER, Case
from xiqa.dicom.codes import Concept
from xiqa.errors import DicomResultError
from xiqa.imaging.dicom.groups import functional_group
from xiqa.saliency.maps import is_constant
from xiqa.saliency.placing import on_picture
from xiqa.types import FloatArray

__all__ = ["algorithm", "map_on_source", "settle", "single_frame"]

#: What places an image in the patient: how many numbers, and whether they are sizes.
_COUNTS = {
    "ImageOrientationPatient": (6, False),
    "ImagePositionPatient": (3, False),
    "PixelSpacing": (2, True),
    "SliceThickness": (1, True),
}
PLACE = tuple(_COUNTS)
_GROUPS = {
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
}


def map_on_source(case: Case) -> FloatArray:
    """The raw map ``(rows, columns)``, bilinear; 0 where the model saw nothing.

    Raises:
        DicomResultError: ``no_map`` where none was kept, or it is constant or not finite.
    """
    saliency = case.assessment.saliency
    if saliency is None:
        raise DicomResultError("there is no heat map", code="no_map", todo="assess with keep_maps=True")
    if not np.isfinite(saliency.values).all() or is_constant(saliency.values):
        raise DicomResultError(
            "the heat map shows no place", code="no_map", got="a constant or not finite map"
        )
    return on_picture(saliency, case.origin.size, case.origin.size)


def single_frame(case: Case) -> Dataset:
    """The assessed frame's header as one of a single-frame image, so that one map belongs to it.

    Of an enhanced image the frame's functional groups tell where it lies.
    """
    header = deepcopy(case.origin.header)
    header.pop("NumberOfFrames", None)
    if case.origin.frame_numbers:
        header.SOPClassUID = MRImageStorage  # of a kind without frames; `settle` puts the true one back
    for keyword in PLACE:
        group = (
            functional_group(case.origin.dataset, case.origin.frame, _GROUPS[keyword]) or case.origin.dataset
        )
        if (numbers := _numbers(group, keyword)) is not None:
            setattr(header, keyword, numbers if len(numbers) > 1 else numbers[0])
    return header


def _numbers(group: Dataset, keyword: str) -> list[float] | None:
    """As many finite numbers as the attribute has, sizes above zero; None for anything else."""
    count, size = _COUNTS[keyword]
    try:
        value = group.get(keyword)
        numbers = [float(part) for part in (value if isinstance(value, MultiValue | list) else [value])]
    except (ValueError, TypeError, OverflowError):
        return None
    fit = len(numbers) == count and bool(np.isfinite(numbers).all()) and (not size or min(numbers) > 0)
    return numbers if fit else None


def settle(result: Dataset, case: Case) -> None:
    """Name the frame wherever the result says what it comes from, and make its last UID a stable one."""
    frames, dimensions = case.origin.frame_numbers, case.uid(result.Modality, "dimensions")

    def visit(_: Dataset, element: Any) -> None:
        if element.keyword == "DimensionOrganizationUID":
            element.value = dimensions
        for item in element.value if element.VR == "SQ" and frames else ():
            if item.get("ReferencedSOPInstanceUID") == case.origin.uid:
                item.ReferencedSOPClassUID = case.origin.header.SOPClassUID
                if element.keyword == "SourceImageSequence":
                    item.ReferencedFrameNumber = frames

    # its items are shared with those that name the frame, and must not
    result.ReferencedSeriesSequence = deepcopy(result.ReferencedSeriesSequence)
    result.walk(visit)


def algorithm(case: Case) -> Any:
    """What computed the map."""
    return hd.AlgorithmIdentificationSequence(
        name=case.method or "saliency",
        family=Concept.ARTIFICIAL_INTELLIGENCE.value,
        version=case.version,
        source=MANUFACTURER,
        parameters={"model": case.model, "model_hash": case.model_hash},
    )
