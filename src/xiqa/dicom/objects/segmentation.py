"""Where the heat map is high, as a binary segmentation."""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom import Dataset

from xiqa.dicom.case import Case, Series
from xiqa.dicom.codes import Concept, explanation_of
from xiqa.dicom.geometry import orientation_of
from xiqa.dicom.objects.derived_map import algorithm, map_on_source, settle, single_frame

__all__ = ["LEVEL", "SERIES", "segmentation"]

SERIES = Series("seg", 9105, "Image quality region")
#: Part of the map's range, from its lowest to its highest value, from which a pixel belongs to the segment.
LEVEL = 0.5


def segmentation(case: Case) -> Dataset:
    r"""One binary segment: the pixels in the upper half of the map's range.

    .. math:: M(u) \ge m + \tfrac12 (\max_v M(v) - m), \qquad m = \min_v M(v)

    Args:
        case: The assessed image, with its map.

    Raises:
        DicomResultError: ``no_map``.
    """
    values, header = map_on_source(case), single_frame(case)
    low, high = float(values.min()), float(values.max())
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=str(case.provenance.get("target", "poor quality"))[:64],
        segmented_property_category=Concept.SPATIAL.value,
        segmented_property_type=explanation_of(case.method),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(case),
        tracking_uid=case.uid("tracking", "segment"),
        tracking_id="heat map",
    )
    result = hd.seg.Segmentation(
        source_images=[header],
        pixel_array=(values >= low + LEVEL * (high - low)).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        content_label="XIQA",
        content_creator_name="xiqa^",
        **case.common(SERIES, LEVEL),
    )
    if "ImageOrientationPatient" not in header:
        result.PatientOrientation = orientation_of(case.origin)
    settle(result, case)
    return case.dated(result)
