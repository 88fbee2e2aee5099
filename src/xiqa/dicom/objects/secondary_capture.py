"""A picture that every viewer shows: the image with its heat map and boxes, in colour."""

from __future__ import annotations

import textwrap

import highdicom as hd
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from pydicom import Dataset

from xiqa.dicom.case import Case, Series
from xiqa.dicom.codes import Concept
from xiqa.dicom.geometry import anatomy_of, orientation_of, pixel_aspect
from xiqa.dicom.objects.captions import captions
from xiqa.errors import DicomResultError
from xiqa.report.overlay import overlay_picture

__all__ = ["LONG_SIDE", "SERIES", "secondary_capture"]

SERIES = Series("sc", 9102, "Image quality picture")
#: Bound of the picture's longer side in pixels, without its captions.
LONG_SIDE = 1024
_PATIENT = hd.CoordinateSystemNames.PATIENT


def secondary_capture(case: Case) -> Dataset:
    """A colour Secondary Capture: overlay and boxes as in the report, captions in a band below the image.

    The picture's origin is the image's, so that a place (x, y) of the image is at the same part of its width
    and height; with sides up to `LONG_SIDE` it is the same pixel. Pixels of other than square shape stay so.

    Args:
        case: The assessed image, with its pixels.

    Raises:
        DicomResultError: ``no_pixels`` without the image.
    """
    if case.image is None:
        raise DicomResultError("there are no pixels to draw on", code="no_pixels", expected="image=")
    picture = overlay_picture(case.image, case.assessment.saliency, case.findings, LONG_SIDE)
    pixels = np.asarray(with_captions(picture, captions(case)))
    header = case.origin.header
    result = hd.sc.SCImage.from_ref_dataset(
        header,
        pixel_array=pixels,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=_PATIENT,
        patient_orientation=("L", "F"),  # replaced below: the source's, which may be unknown
        **case.common(SERIES, LONG_SIDE),
    )
    result.copy_patient_and_study_information(header)
    _derived(result, case)
    return case.dated(result)


def with_captions(picture: Pillow.Image, lines: tuple[str, ...]) -> Pillow.Image:
    """The picture with a dark band of text below it; no pixel of it is covered or moved."""
    size = max(11, picture.width // 64)
    font = ImageFont.load_default(size)
    letters = max(8, int(picture.width / (0.55 * size)) - 2)
    rows = [row for line in lines for row in textwrap.wrap(line, letters)]
    step = round(1.4 * size)
    framed = Pillow.new("RGB", (picture.width, picture.height + step * len(rows) + size // 2), "black")
    framed.paste(picture, (0, 0))
    draw = ImageDraw.Draw(framed)
    for number, row in enumerate(rows):
        draw.text((size // 2, picture.height + number * step + size // 4), row, "white", font=font)
    return framed


def _derived(result: Dataset, case: Case) -> None:
    """What the picture is made from, and what is burned into it."""
    header = case.origin.header
    result.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    result.DerivationDescription = "Heat map and boxes of an AI image quality assessment laid over the image"
    result.BurnedInAnnotation = "YES"
    result.LossyImageCompression = "00"
    result.PatientOrientation = orientation_of(case.origin)
    for element in anatomy_of(case.origin, image=True):
        result.add(element)
    if (aspect := pixel_aspect(case.origin)) != (1, 1):
        result.PixelAspectRatio = list(aspect)
    source = hd.content.ReferencedImageSequence(
        referenced_images=[header], referenced_frame_number=case.origin.frame_numbers
    )[0]
    source.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept.from_code(Concept.SOURCE_IMAGE.value)]
    result.SourceImageSequence = [source]
