"""How to show the source image itself: its grey scale as it was assessed, boxes in a layer of their own."""

from __future__ import annotations

import highdicom as hd
from highdicom import pr
from pydicom import Dataset

from xiqa.dicom.case import NOT_FOR_DIAGNOSIS, Case, Series
from xiqa.dicom.codes import Concept
from xiqa.dicom.coordinates import outline, point
from xiqa.dicom.geometry import anatomy_of, pixel_aspect, shutter_of
from xiqa.dicom.objects.captions import captions
from xiqa.dicom.objects.grey_scale import grey_scale_of
from xiqa.errors import DicomResultError
from xiqa.types import Finding

__all__ = ["SERIES", "presentation_state"]

SERIES = Series("pr", 9103, "Image quality boxes")
_CYAN = hd.color.CIELabColor(90.0, -30.0, -15.0)
_LAYER = pr.GraphicLayer("XIQA", order=1, description=NOT_FOR_DIAGNOSIS, display_color=_CYAN)
_PIXEL, _DISPLAY = pr.AnnotationUnitsValues.PIXEL, pr.AnnotationUnitsValues.DISPLAY
_CAPTION = (0.01, 0.01, 0.6, 0.06)  # left, top, right, bottom as parts of the display
_LONGEST_TEXT = 1024


def presentation_state(case: Case) -> Dataset:
    """A Grayscale Softcopy Presentation State: window, polarity, shutter, aspect, boxes and peaks.

    The grey scale is the one that the assessment saw (`xiqa.imaging.dicom.display`), written out in full, so
    that a viewer shows a MONOCHROME1 image, a VOI LUT or an image without any window in the same way.

    Args:
        case: The assessed image.

    Raises:
        DicomResultError: ``not_grey`` for a colour image.
        ImageReadError: The source's lookup tables or window cannot be used.
    """
    header = case.origin.header
    if header.SamplesPerPixel != 1:
        raise DicomResultError(
            "a colour image takes no grey-scale presentation state",
            code="not_grey",
            expected="one sample a pixel",
        )
    annotation = pr.GraphicAnnotation(
        referenced_images=[header],
        graphic_layer=_LAYER,
        referenced_frame_number=case.origin.frame_numbers,
        graphic_objects=[shape for finding in case.findings for shape in _shapes(finding)] or None,
        text_objects=list(_texts(case)),
    )
    result = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[header],
        content_label="XIQA",
        content_description=NOT_FOR_DIAGNOSIS,
        concept_name=Concept.IMAGE_QUALITY.value,
        content_creator_name="xiqa^",
        graphic_layers=[_LAYER],
        graphic_annotations=[annotation],
        **grey_scale_of(case.origin),
        **case.common(SERIES),
    )
    _refer_to_frame(result, case)
    _show_as_acquired(result, case)
    return case.dated(result)


def _shapes(finding: Finding) -> list[pr.GraphicObject]:
    """A finding's outline and its peak."""
    polyline, dot = pr.GraphicTypeValues.POLYLINE, pr.GraphicTypeValues.POINT
    return [
        pr.GraphicObject(polyline, outline(finding.box), _PIXEL),
        pr.GraphicObject(dot, point(finding.peak), _PIXEL),
    ]


def _texts(case: Case) -> list[pr.TextObject]:
    """The captions at the display's upper left, and each finding's number beside its box."""
    left = pr.TextJustificationValues.LEFT
    caption = "\r\n".join(captions(case)[:2])[:_LONGEST_TEXT]
    texts = [pr.TextObject(caption, _DISPLAY, bounding_box=_CAPTION, text_justification=left)]
    for number, finding in enumerate(case.findings, start=1):
        corner = outline(finding.box)[1]
        texts.append(
            pr.TextObject(str(number), _PIXEL, anchor_point=tuple(corner), anchor_point_visible=False)
        )
    return texts


def _refer_to_frame(result: Dataset, case: Case) -> None:
    """Of a multi-frame image only the assessed frame is shown so."""
    if case.origin.frame_numbers:
        result.ReferencedSeriesSequence[0].ReferencedImageSequence[
            0
        ].ReferencedFrameNumber = case.origin.frame_numbers


def _show_as_acquired(result: Dataset, case: Case) -> None:
    """The shape of a pixel, and what lies behind the shutter."""
    area = result.DisplayedAreaSelectionSequence[0]
    area.PresentationPixelAspectRatio = list(pixel_aspect(case.origin))
    for element in anatomy_of(case.origin, image=False):
        result.add(element)
    for element in shutter_of(case.origin):
        result.add(element)
