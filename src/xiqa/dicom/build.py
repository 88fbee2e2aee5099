"""The one function that makes results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydicom import Dataset

from xiqa.dicom.case import Case, check_same_image
from xiqa.dicom.kinds import DEFAULT, KINDS, kinds_of
from xiqa.dicom.origin import origin_of
from xiqa.dicom.pixels import image_of
from xiqa.types import Assessment, Decision, Image

__all__ = ["results"]


def results(
    assessment: Assessment,
    dataset: Dataset,
    *,
    kinds: Iterable[str] = DEFAULT,
    image: Image | None = None,
    decision: Decision | None = None,
    made: datetime | None = None,
) -> dict[str, Dataset]:
    """DICOM objects that tell an assessment, in the patient and study of its image.

    The UIDs follow from image, frame, model, method, limit and version, so that the same result made twice is
    the same object; a decision's also from the decision.

    Args:
        assessment: What `xiqa.assess` said of the image; segmentation, parametric map and the picture's heat
            map need its saliency map.
        dataset: The source image. Its pixels are looked at for the picture alone, and not where ``image`` is
            given.
        kinds: Names of `KINDS`.
        image: The image as it was assessed.
        decision: A person's decision, which makes the key object selection one of rejection.
        made: When, with its time zone; now unless told.

    Returns:
        The objects by kind, ready to be saved or sent. There is no ``ko`` for an image that needs no look.

    Raises:
        DicomResultError: Nothing was assessed, the image is another one, lacks what identifies it, or cannot
            carry such an object; ``code`` says which.
        ImageReadError: The source's pixels or lookup tables cannot be used.
        ConfigError: No such kind.
        MissingDependencyError: highdicom is not installed.
    """
    names = kinds_of(",".join(kinds))
    origin = origin_of(dataset, assessment.source.frame)
    check_same_image(origin, assessment)
    if image is None and "sc" in names:
        image = image_of(dataset, origin.frame)
    case = Case(origin, assessment, made or datetime.now().astimezone(), image, decision)
    objects = {name: KINDS[name].build(case) for name in names}
    return {name: result for name, result in objects.items() if result is not None}
