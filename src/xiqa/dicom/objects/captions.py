"""The few lines that stand on pictures for people."""

from __future__ import annotations

from xiqa.dicom.case import MANUFACTURER, NOT_FOR_DIAGNOSIS, Case

__all__ = ["captions"]


def captions(case: Case) -> tuple[str, ...]:
    """What the picture is, the verdict with its reason, and what made it; plain ASCII."""
    verdict = case.assessment.verdict.value.replace("_", " ").capitalize()
    lines = (
        NOT_FOR_DIAGNOSIS,
        f"{verdict}: {case.assessment.reason}",
        f"{MANUFACTURER} {case.version}, model {case.model} {case.model_hash[:12]}, {case.method}",
    )
    return tuple(line.encode("ascii", "replace").decode() for line in lines)
