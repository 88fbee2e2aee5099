"""Which view an image is, as a card tells it and a verdict names it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["VIEWS", "ViewCheck", "likeliest_other"]

VIEWS = ("frontal", "inverted", "upside_down", "on_its_side", "lateral", "other")
"""What a picture can be: an upright frontal chest radiograph, or one of what it must not be."""


class ViewCheck(BaseModel):
    """What a card says of its view check.

    Attributes:
        views: Names of the views, the expected one first.
        side: Pixels of the thumbnail.
        width: Channels of the first stage.
        limit: Probability of the expected view below which a person looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    views: tuple[str, ...] = Field(default=VIEWS, min_length=2)
    side: int = Field(default=64, ge=16, le=1024)
    width: int = Field(default=16, ge=1, le=1024)
    limit: float = Field(default=0.5, ge=0, le=1)


def likeliest_other(check: ViewCheck, probabilities: Sequence[float]) -> str | None:
    """The name of what an image seems to be, where it does not seem to be the expected view; else None.

    >>> likeliest_other(ViewCheck(), [0.1, 0.8, 0.1, 0.0, 0.0, 0.0])
    'inverted'
    >>> likeliest_other(ViewCheck(), [0.9, 0.1, 0.0, 0.0, 0.0, 0.0]) is None
    True
    """
    if probabilities[0] >= check.limit:  # a NaN is not
        return None
    others = list(probabilities[1:])
    return check.views[1 + max(range(len(others)), key=others.__getitem__)]
