"""What the page needs of a file; these functions run in a child process, for files come from anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xiqa.types import Assessment, Decision, FloatArray

__all__ = ["display_values", "header", "rejection", "sixteen"]

_HEADER = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyDescription",
)


def sixteen(pixels: FloatArray) -> NDArray[np.uint16]:
    """Display values in [0, 1] as numbers of 16 bits: number // 257 rounded is the renderer's byte.

    >>> sixteen(np.array([0.0, 0.5, 1.0], dtype=np.float32)).tolist()
    [0, 32768, 65535]
    """
    scaled = np.nan_to_num(pixels.astype(np.float64)) * 65535 + 0.5
    return np.clip(scaled, 0, 65535).astype("<u2")


def display_values(path: str, out: str, frame: int) -> dict[str, Any]:
    """Write an image's display values, row by row, little endian; their shape and the image's spacing."""
    from xiqa.imaging import read_image  # noqa: PLC0415

    image = read_image(Path(path), frame=frame)
    Path(out).write_bytes(sixteen(image.pixels).tobytes())
    channels = 1 if image.pixels.ndim == 2 else image.pixels.shape[2]
    return {"rows": image.height, "columns": image.width, "channels": channels}


def header(path: str) -> dict[str, str]:
    """Who and what an image shows, for the person in front of the page."""
    from pydicom import dcmread  # noqa: PLC0415

    ds = dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER))
    return {name: str(ds.get(name, "") or "")[:128] for name in _HEADER}


def rejection(
    path: str, out: str, assessment: dict[str, Any] | None, decision: dict[str, Any]
) -> dict[str, str]:
    """Write the key object selection that marks an image as rejected; its UIDs."""
    from pydicom import dcmread  # noqa: PLC0415

    from xiqa.dicom.case import Case  # noqa: PLC0415
    from xiqa.dicom.objects.key_objects import rejection as marked  # noqa: PLC0415
    from xiqa.dicom.origin import origin_of  # noqa: PLC0415
    from xiqa.errors import Code  # noqa: PLC0415
    from xiqa.service.work.maps import write_synced  # noqa: PLC0415
    from xiqa.types import Verdict  # noqa: PLC0415

    made = Decision.from_dict(decision)
    told = (
        Assessment("", Verdict.NOT_ASSESSED, "not assessed", Code.FAILED)
        if assessment is None
        else Assessment.from_dict(assessment)
    )
    origin = origin_of(dcmread(path, stop_before_pixels=True), told.source.frame)
    result = marked(Case(origin, told, made.time, decision=made))
    part = Path(f"{out}.{os.getpid()}.part")
    write_synced(result, part)
    part.replace(out)
    return {"uid": str(result.SOPInstanceUID), "sop_class": str(result.SOPClassUID)}
