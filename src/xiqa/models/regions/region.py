"""A named region of interest: found on an image, and the image cut down to it.

A classifier that is to judge one organ can be kept from looking elsewhere (``lamprou2024faithfulness``): the
image is cropped to the organ, or everything outside it is made black, before the network sees it. The frame
that leads back to the whole image stays exact either way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Annotated, Literal, cast

import numpy as np
from pydantic import AfterValidator, Field
from scipy.ndimage import distance_transform_edt

from xiqa.config import Section
from xiqa.errors import ConfigError, GeometryError, MissingDependencyError
from xiqa.geometry import Box, Frame
from xiqa.types import Image, MaskArray

__all__ = ["REGIONS", "Region", "box_around", "cut_to_region", "find_region", "known_region"]

How = Literal["crop", "multiply"]

REGIONS = {"lungs": ("xiqa.models.regions.lungs", "lungs-1")}
"""By name: the module whose ``loaded(model)`` gives a function from image to mask, and the shipped model."""


def known_region(name: str) -> str:
    """The name, if a region is named so; for fields of recipes."""
    if name not in REGIONS:
        raise ValueError(f"no region is named so; there are {', '.join(REGIONS)}")
    return name


class Region(Section):
    """What of an image a network sees.

    Attributes:
        name: Of the region, one of `REGIONS`.
        how: ``crop``: the box around it; ``multiply``: the region alone, the rest black.
        margin: Added around it, as a part of its width.
        model: Shipped model that finds it, or a file that was trained; empty: the usual one.
    """

    name: Annotated[str, AfterValidator(known_region)] = "lungs"
    how: How = "crop"
    margin: float = Field(default=0.05, ge=0, le=1)
    model: str = ""

    def cut(self, image: Image) -> tuple[Image, Frame]:
        """What is left of an image, and the frame that leads to it; see `cut_to_region`."""
        mask = find_region(self.name, image, self.model)
        return cut_to_region(image, mask, self.how, margin=self.margin, name=self.name)


def find_region(name: str, image: Image, model: str = "") -> MaskArray:
    """The pixels ``(H, W)`` of a region; all False where it is not found.

    Args:
        name: One of `REGIONS`.
        image: Where to look.
        model: Shipped model or file that finds it; empty: the usual one.

    Raises:
        ConfigError: No region is named so.
        MissingDependencyError: PyTorch is not installed.
        BundleError: There is no such model.
    """
    if name not in REGIONS:
        raise ConfigError(f"no region is named {name!r}", expected=f"one of {', '.join(REGIONS)}")
    module, usual = REGIONS[name]
    try:
        finder = import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"finding the {name} needs PyTorch", got=str(error), todo='pip install "xiqa[torch]"'
        ) from error
    find = cast("Callable[[Image], MaskArray]", finder.loaded(model or usual))
    return find(image)


def box_around(mask: MaskArray, margin: float = 0.0) -> Box:
    """The tightest box around a region, wider by a margin, in whole pixels inside the image.

    Args:
        mask: ``(H, W)``; must not be empty.
        margin: Part of the box's width and height that is added on each side.

    Raises:
        GeometryError: If the mask is empty.

    >>> mask = np.zeros((10, 10), dtype=bool); mask[4:8, 2:6] = True
    >>> box_around(mask, 0.25)
    Box(x0=1, y0=3, x1=6, y1=8)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise GeometryError("an empty mask has no box", expected="a mask with pixels")
    down, across = (round(margin * (index[-1] - index[0] + 1)) for index in (rows, columns))
    return Box(
        max(0, int(columns[0]) - across),
        max(0, int(rows[0]) - down),
        min(mask.shape[1] - 1, int(columns[-1]) + across),
        min(mask.shape[0] - 1, int(rows[-1]) + down),
    )


def cut_to_region(
    image: Image, mask: MaskArray, how: How = "crop", *, margin: float = 0.05, name: str = "region"
) -> tuple[Image, Frame]:
    """Cut an image down to a region.

    Args:
        image: The image.
        mask: ``(H, W)`` of the region. Where it is empty the image is left as it is, and its notes say so.
        how: ``crop``: the box around the region, with all that lies between its parts; ``multiply``: the
            image's size, black outside the region (widened by the margin).
        margin: Part of the region's width that is added on each side.
        name: Of the region, for the notes.

    Returns:
        What is left of the image, and the frame from the given image to it: a whole-pixel crop, without any
        resampling, or the identity.

    Raises:
        GeometryError: If the mask is not on the image's grid.
        ConfigError: If ``how`` is neither, or the margin is negative.
    """
    if mask.shape != image.size:
        raise GeometryError("a mask of another size", expected=str(image.size), got=str(mask.shape))
    if how not in ("crop", "multiply") or margin < 0:
        raise ConfigError("unknown use of a region", expected="crop or multiply, margin >= 0", got=f"{how}")
    identity = Frame.resize(original=image.size, model=image.size)
    if not mask.any():
        return _noted(image, f"no {name} found: the image is used as a whole"), identity
    if how == "multiply":
        reach = round(margin * float(np.ptp(np.flatnonzero(mask.any(axis=0)))))
        keep = distance_transform_edt(~mask) <= reach
        factor = keep if image.pixels.ndim == 2 else keep[..., None]
        shown = replace(image, pixels=np.where(factor, image.pixels, np.float32(0)))
        return _noted(shown, f"black outside the {name}"), identity
    box = box_around(mask, margin)
    rows, columns = slice(int(box.y0), int(box.y1) + 1), slice(int(box.x0), int(box.x1) + 1)
    cut = replace(
        image,
        pixels=np.ascontiguousarray(image.pixels[rows, columns]),
        mask=None if image.mask is None else np.ascontiguousarray(image.mask[rows, columns]),
    )
    return _noted(cut, f"cropped to the {name}"), Frame.crop(original=image.size, box=box, model=cut.size)


def _noted(image: Image, note: str) -> Image:
    """The image with one more note."""
    return replace(image, source=replace(image.source, notes=(*image.source.notes, note)))
