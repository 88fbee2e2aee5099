"""The heat map's own numbers, beside an MR image."""

from __future__ import annotations

import highdicom as hd
from pydicom import Dataset

from xiqa.dicom.case import Case, Series
from xiqa.dicom.codes import Concept, explanation_of
from xiqa.dicom.geometry import anatomy_of
from xiqa.dicom.objects.derived_map import PLACE, map_on_source, settle, single_frame
from xiqa.errors import DicomResultError

__all__ = ["SERIES", "parametric_map"]

SERIES = Series("pm", 9106, "Image quality heat map")


def parametric_map(case: Case) -> Dataset:
    """A Parametric Map of 32-bit floats on the source's grid.

    Args:
        case: The assessed image, with its map.

    Raises:
        DicomResultError: ``no_map``, or ``no_place`` for an image that does not tell where it lies in the
            patient, as projections do not.
    """
    values, header = map_on_source(case), single_frame(case)
    missing = [keyword for keyword in (*PLACE[:3], "FrameOfReferenceUID") if keyword not in header]
    if missing:
        raise DicomResultError(
            "the image has no place for a parametric map",
            code="no_place",
            expected=", ".join(missing),
            todo="ask for a segmentation, or for the picture",
        )
    low, high = float(values.min()), float(values.max())
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="XIQA",
        lut_explanation=f"Heat map of {case.method}"[:64],
        unit=Concept.NO_UNITS.value,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=explanation_of(case.method),
    )
    result = hd.pm.ParametricMap(
        source_images=[header],
        pixel_array=values[None, :, :],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation((low + high) / 2, max(high - low, 1e-6))],
        content_label="XIQA",
        content_creator_name="xiqa^",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        **case.common(SERIES),
    )
    for element in anatomy_of(case.origin, image=False):
        result.add(element)
    settle(result, case)
    return case.dated(result)
