"""From an image to a network's input, with the frame that leads back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from xiqa.config import Section
from xiqa.geometry import Frame
from xiqa.imaging.values import to_grey
from xiqa.models.regions.region import Region

if TYPE_CHECKING:
    from xiqa.types import FloatArray, Image

__all__ = ["Preprocessing"]


Side = Annotated[int, Field(ge=1, le=8192)]
Grey = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Preprocessing(Section):
    r"""How pixels in [0, 1] become a network's input: grid, channels, normalisation.

    .. math:: x_c = (v_c - \text{mean}_c) / \text{std}_c

    Attributes:
        size: (rows, columns) of the network's input.
        fit: ``letterbox`` keeps the aspect and pads with ``fill``; ``resize`` stretches.
        fill: Value in [0, 1] of the padding.
        mean: Subtracted, one a channel; its length is the number of channels.
        std: Divided by, one a channel.
        region: What of an image the network sees; None: all of it.
    """

    size: tuple[Side, Side] = (512, 512)
    fit: Literal["letterbox", "resize"] = "letterbox"
    fill: float = Field(default=0.0, ge=0, le=1)
    mean: tuple[Grey, ...] = Field(default=(0.5, 0.5, 0.5), min_length=1, max_length=16)
    std: tuple[Spread, ...] = Field(default=(0.5, 0.5, 0.5), min_length=1, max_length=16)
    region: Region | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of an image as the network takes it."""
        return (len(self.mean), *self.size)

    def frame(self, original: tuple[int, int]) -> Frame:
        """The map between an image of ``original`` (rows, columns) and the network's input."""
        make = Frame.letterbox if self.fit == "letterbox" else Frame.resize
        return make(original=original, model=self.size)

    def grid(self, image: Image) -> tuple[FloatArray, Frame]:
        """The grey image ``(h, w)`` in [0, 1] on the network's grid, and the frame that leads back."""
        if self.region is None:
            frame = self.frame(image.size)
            return frame.image_to_model(to_grey(image.pixels), fill=self.fill), frame
        left, cut = self.region.cut(image)
        fitted = self.frame(left.size)
        frame = Frame(image.size, fitted.model_size, cut.region, fitted.window)
        return fitted.image_to_model(to_grey(left.pixels), fill=self.fill), frame

    def normalise(self, grey: FloatArray) -> FloatArray:
        """A grey image ``(h, w)`` in [0, 1] as the network's input ``(C, h, w)``."""
        mean = np.asarray(self.mean, dtype=np.float32)[:, None, None]
        std = np.asarray(self.std, dtype=np.float32)[:, None, None]
        return ((grey[None] - mean) / std).astype(np.float32)

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The network's input ``(C, h, w)`` for one image, and the frame that leads back to it."""
        grey, frame = self.grid(image)
        return self.normalise(grey), frame
