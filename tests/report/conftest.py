"""Assessments made by hand: the report needs no network."""

import numpy as np
import pytest

from xiqa.errors import Code
from xiqa.geometry import Box, Frame, Point
from xiqa.types import Assessment, Finding, Image, SaliencyMap, Verdict

PROVENANCE = {
    "model": "tiny",
    "model_hash": "0123abcd",
    "method": "gradcam",
    "threshold": 0.5,
    "review_band": (0.4, 0.6),
    "xiqa": "0.1.0",
}


@pytest.fixture(scope="session")
def make():
    """``make(file, probability, verdict, size)`` gives an assessment and its image."""

    def assessed(file, probability=0.9, verdict=Verdict.REACQUIRE, size=(60, 40), **changes):
        pixels = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
        values = np.zeros((8, 8), dtype=np.float32)
        values[2, 5] = 3.0
        saliency = SaliencyMap(
            values, "gradcam", 1, input_size=(64, 64), frame=Frame.letterbox(size, (64, 64))
        )
        finding = Finding(Point(30.0, 20.0), Box(25, 15, 34, 24), 1.0)
        told = {
            "reason": "the probability is above the limit",
            "code": Code.POOR,
            "probability": probability,
            "threshold": 0.5,
            "findings": (finding,),
            "provenance": PROVENANCE,
            "saliency": saliency,
            "image_size": size,
        }
        return Assessment(str(file), verdict, **(told | changes)), Image(pixels)

    return assessed


@pytest.fixture(scope="session")
def unread():
    """``unread(file)`` gives the assessment of a file that could not be read."""

    def failed(file):
        reason = "cannot read it: expected an image, got HTML"
        return Assessment(str(file), Verdict.NOT_ASSESSED, reason, Code.HTML)

    return failed
