"""Every coded concept that a result uses, in one table; none of them is private.

A test compares each value and meaning with pydicom's dictionary: validators let a wrong meaning pass.
"""

from __future__ import annotations

from enum import Enum

from pydicom.sr.coding import Code

from xiqa.types import Verdict

__all__ = [
    "PROBLEMS",
    "PROCEDURES",
    "QUALITY",
    "REJECT_REASONS",
    "Concept",
    "explanation_of",
    "problem_of",
    "procedure_of",
]


class Concept(Enum):
    """The concepts by what they mean here; ``Concept.X.value`` is the code."""

    # document titles (CID 7010) and what stands in them
    REJECTED = Code("113001", "DCM", "Rejected for Quality Reasons")
    QUALITY_ISSUE = Code("113010", "DCM", "Quality Issue")
    TITLE_MODIFIER = Code("113011", "DCM", "Document Title Modifier")
    MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
    COMMENT = Code("121106", "DCM", "Comment")
    PERSON = Code("121006", "DCM", "Person")
    DEVICE = Code("121007", "DCM", "Device")
    # quality
    IMAGE_QUALITY = Code("111101", "DCM", "Image Quality")
    ASSESSMENT = Code("111050", "DCM", "Quality Assessment")
    MEETS = Code("111237", "DCM", "Usable - Meets the quality control standard")
    FAILS = Code("111236", "DCM", "Usable - Does not meet the quality control standard")
    PROBABILITY = Code("122157", "DCM", "Probability")
    THRESHOLD = Code("122411", "DCM", "Threshold Value")
    NO_UNITS = Code("1", "UCUM", "no units")
    # where, and how that was found (CID 217)
    VISUAL_EXPLANATION = Code("130401", "DCM", "Visual explanation")
    CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
    GRADIENT_WEIGHTED = Code("130403", "DCM", "Gradient-weighted class activation")
    SALIENCY = Code("130404", "DCM", "Saliency")
    # what a derived image comes from and shows
    SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
    ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
    SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")
    ENGLISH = Code("en", "RFC5646", "English")


#: CID 7011, whole: why a person rejects an image.
REJECT_REASONS: dict[str, Code] = {
    value: Code(value, "DCM", meaning)
    for value, meaning in (
        ("111207", "Image artifact(s)"),
        ("111208", "Grid artifact(s)"),
        ("111209", "Positioning"),
        ("111210", "Motion blur"),
        ("111211", "Under exposed"),
        ("111212", "Over exposed"),
        ("111213", "No image"),
        ("111214", "Detector artifact(s)"),
        ("111215", "Artifact(s) other than grid or detector artifact"),
        ("111216", "Mechanical failure"),
        ("111217", "Electrical failure"),
        ("111218", "Software failure"),
        ("111219", "Inappropriate image processing"),
        ("111220", "Other failure"),
        ("111221", "Unknown failure"),
        ("113026", "Double exposure"),
    )
}

#: What the verdict says of quality (CID 6044). A person decides whether an image is unusable, no model does.
QUALITY: dict[Verdict, Concept] = {Verdict.ACCEPT: Concept.MEETS, Verdict.REACQUIRE: Concept.FAILS}

#: Problems by their class's name, as findings of CID 7011. There is no code for a foreign object.
PROBLEMS: dict[str, str] = {
    "foreign": "111215",
    "foreign_object": "111215",
    "artifact": "111207",
    "motion_blur": "111210",
    "motion": "111210",
    "blur": "111210",
    "positioning": "111209",
    "under_exposed": "111211",
    "underexposure": "111211",
    "over_exposed": "111212",
    "overexposure": "111212",
    "grid": "111208",
    "detector": "111214",
}

#: What was done to the patient, by modality (CID 100).
PROCEDURES: dict[str, Code] = {
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
    "MG": Code("71651007", "SCT", "Mammography"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "": Code("363679005", "SCT", "Imaging procedure"),
}

_CLASS_ACTIVATION = {"cam", "scorecam", "sscam", "iscam", "ablationcam", "eigencam", "reciprocam", "lficam"}
_GRADIENT_WEIGHTED = {
    *("gradcam", "gradcampp", "xgradcam", "hirescam", "layercam"),
    *("smoothgradcampp", "integratedgradcam", "guidedgradcam"),
}


def explanation_of(method: str) -> Code:
    """The kind of visual explanation (CID 217) that a saliency method gives.

    >>> explanation_of("gradcam:layers=multi").meaning, explanation_of("normgrad_conv1x1").meaning
    ('Gradient-weighted class activation', 'Saliency')
    """
    name = method.partition(":")[0].strip()
    gradients = Concept.GRADIENT_WEIGHTED if name in _GRADIENT_WEIGHTED else Concept.SALIENCY
    kind: Code = (Concept.CLASS_ACTIVATION if name in _CLASS_ACTIVATION else gradients).value
    return kind


def problem_of(name: str) -> Code | None:
    """The finding that stands for a problem's name; None where no code says it."""
    value = PROBLEMS.get(name)
    return None if value is None else REJECT_REASONS[value]


def procedure_of(modality: str) -> Code:
    """The procedure that a modality stands for."""
    return PROCEDURES.get(modality, PROCEDURES[""])
