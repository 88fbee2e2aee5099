r"""Points, boxes, and the invertible map between an image's own grid and a network's input grid.

One convention for coordinates holds everywhere. A point ``(x, y)`` is (column, row) and the *centre* of
the top-left pixel is ``(0, 0)``; the pixel's area reaches from -0.5 to 0.5. A box ``(x0, y0, x1, y1)``
names the first and last pixel it covers, both inclusive.

A frame says that a *region* of the original fills a *window* of the model's grid. With the scale
:math:`s = w_\text{window} / w_\text{region}`, a column goes by

.. math:: x' = (x + \tfrac12)\, s - \tfrac12 + o, \qquad o = u_0 - x_0 s

and back by its inverse; rows likewise. Pixel centres are whole numbers on both grids, so the *edges* of the
region meet the edges of the window (``align_corners=False`` in PyTorch's words).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as Raster

from xiqa.errors import GeometryError

__all__ = ["Box", "Frame", "Point"]

FloatArray = NDArray[np.float32]
Size = tuple[int, int]

_ROWS = 16  # rows that are interpolated at once, so that they stay in the processor's cache


class Point(NamedTuple):
    """A place in an image, in pixels: column ``x``, row ``y``; pixel centres are whole numbers."""

    x: float
    y: float


class Box(NamedTuple):
    """An upright rectangle of pixels, first and last included.

    >>> Box(10, 20, 19, 24).width, Box(10, 20, 19, 24).height
    (10, 5)
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Number of columns covered."""
        return self.x1 - self.x0 + 1

    @property
    def height(self) -> float:
        """Number of rows covered."""
        return self.y1 - self.y0 + 1

    @property
    def centre(self) -> Point:
        """The middle of the box."""
        return Point((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """A region of the original grid that fills a window of the model's grid.

    Make one with `resize`, `letterbox` or `crop`.

    Attributes:
        original_size: (rows, columns) of the original.
        model_size: (rows, columns) of the model's input.
        region: The part of the original that the model sees, in original pixels.
        window: Where that part lies on the model's grid, in model pixels.
    """

    original_size: Size
    model_size: Size
    region: Box
    window: Box

    def __post_init__(self) -> None:
        _check_inside(self.region, self.original_size, "region", "original")
        _check_inside(self.window, self.model_size, "window", "model grid")
        if any(edge != int(edge) for edge in self.window):
            raise GeometryError(
                "the window cuts model pixels", expected="whole numbers", got=f"{self.window}"
            )

    @classmethod
    def resize(cls, original: Size, model: Size, *, keep_aspect: bool = False) -> Frame:
        """The whole original fills the whole model grid.

        Args:
            original: (rows, columns) of the original.
            model: (rows, columns) of the model's grid.
            keep_aspect: Shrink the model's grid along one axis, to the nearest whole pixel, so that the
                aspect stays; `model_size` then is at most ``model``.

        >>> Frame.resize(original=(100, 50), model=(20, 20), keep_aspect=True).model_size
        (20, 10)
        """
        size = _fitted(original, model) if keep_aspect else model
        return cls(original, size, _whole(original), _whole(size))

    @classmethod
    def letterbox(cls, original: Size, model: Size) -> Frame:
        """The whole original, its aspect kept, centred on the model's grid with padding beside it.

        >>> Frame.letterbox(original=(100, 50), model=(20, 20)).window
        Box(x0=5, y0=0, x1=14, y1=19)
        """
        h, w = _fitted(original, model)
        top, left = (model[0] - h) // 2, (model[1] - w) // 2
        return cls(original, model, _whole(original), Box(left, top, left + w - 1, top + h - 1))

    @classmethod
    def crop(cls, original: Size, box: Box, model: Size) -> Frame:
        """A box of the original, which must lie inside it, fills the whole model grid."""
        return cls(original, model, Box(*box), _whole(model))

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels an original pixel, as (x, y)."""
        return self.window.width / self.region.width, self.window.height / self.region.height

    def of_picture(self, size: Size) -> Frame:
        """The same frame where the whole original is shown by a picture of another size.

        >>> Frame.resize((100, 50), (20, 20)).of_picture((10, 5)).region
        Box(x0=0.0, y0=0.0, x1=4.0, y1=9.0)
        """
        y, x = size[0] / self.original_size[0], size[1] / self.original_size[1]
        seen = self.region
        right, bottom = min((seen.x1 + 1) * x, size[1]) - 1, min((seen.y1 + 1) * y, size[0]) - 1
        return Frame(size, self.model_size, Box(seen.x0 * x, seen.y0 * y, right, bottom), self.window)

    def points_to_model(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Points ``(..., 2)`` as (x, y) in original pixels, told in model pixels.

        >>> Frame.resize(original=(4, 4), model=(8, 8)).points_to_model([0, 3])
        array([0.5, 6.5])
        """
        shifted = np.asarray(xy, dtype=np.float64) - self.region[:2] + 0.5
        return cast("NDArray[np.float64]", shifted * self.scale - 0.5 + self.window[:2])

    def points_to_original(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Points ``(..., 2)`` as (x, y) in model pixels, told in original pixels."""
        shifted = np.asarray(xy, dtype=np.float64) - self.window[:2] + 0.5
        return cast("NDArray[np.float64]", shifted / self.scale - 0.5 + self.region[:2])

    def box_to_model(self, box: Box) -> Box:
        """A box of original pixels as the same area in model pixels.

        The area's edges are mapped, so that the way there and back is exact; corners may be fractions, and
        a box narrower than one pixel has ``x1 < x0`` with the right `Box.width`.
        """
        return _edges_to_box(self.points_to_model(_box_to_edges(box)))

    def box_to_original(self, box: Box) -> Box:
        """A box of model pixels as the same area in original pixels; see `box_to_model`."""
        return _edges_to_box(self.points_to_original(_box_to_edges(box)))

    def image_to_model(self, array: ArrayLike, *, fill: float = 0.0) -> FloatArray:
        """An image on the original grid, resampled to the model's grid.

        Linear interpolation; when shrinking, the triangle widens with the scale (no aliasing).

        Args:
            array: ``(H, W)`` or ``(H, W, C)`` on the original grid.
            fill: Value of the padding outside the window.

        Returns:
            ``(h, w)`` or ``(h, w, C)`` float32.

        Raises:
            GeometryError: If the array is not on the original grid.
        """
        values = self._on_grid(array, self.original_size, "original")
        if values.ndim == 3:
            planes = [self.image_to_model(values[..., c], fill=fill) for c in range(values.shape[2])]
            return np.stack(planes, axis=-1)
        left, top = floor(self.region.x0), floor(self.region.y0)
        part = values[top : ceil(self.region.y1) + 1, left : ceil(self.region.x1) + 1]
        x0, y0, x1, y1 = self.region
        box = (x0 - left, y0 - top, x1 + 1 - left, y1 + 1 - top)
        size = int(self.window.width), int(self.window.height)
        small = Raster.fromarray(part).resize(size, Raster.Resampling.BILINEAR, box=box)
        if size[::-1] == self.model_size:
            return np.array(small, dtype=np.float32)
        result = np.full(self.model_size, fill, dtype=np.float32)
        column, row = int(self.window.x0), int(self.window.y0)
        result[row : row + size[1], column : column + size[0]] = np.asarray(small)
        return result

    def map_to_model(self, map2d: ArrayLike) -> FloatArray:
        """A map or mask ``(H, W)`` of the original, told on the model's grid; zero outside the window."""
        return self.image_to_model(map2d, fill=0.0)

    def map_to_original(self, map2d: ArrayLike) -> FloatArray:
        """A map ``(h, w)`` on the model's grid, told on the original grid.

        Bilinear at the original's pixel centres, inside the window only: padding never bleeds in. Zero
        where the model saw nothing of the original.

        Raises:
            GeometryError: If the map is not on the model's grid.
        """
        values = self._on_grid(map2d, self.model_size, "model")
        rows, columns = (np.arange(n, dtype=np.float64) for n in self.original_size)
        x = self.points_to_model(np.stack([columns, np.zeros_like(columns)], axis=-1))[:, 0]
        y = self.points_to_model(np.stack([np.zeros_like(rows), rows], axis=-1))[:, 1]
        across = _interpolate(np.ascontiguousarray(values.T), x, self.window.x0, self.window.x1)
        return _interpolate(np.ascontiguousarray(across.T), y, self.window.y0, self.window.y1)

    def to_dict(self) -> dict[str, Any]:
        """The frame in plain lists and numbers, for JSON."""
        return {
            "original_size": list(self.original_size),
            "model_size": list(self.model_size),
            "region": list(self.region),
            "window": list(self.window),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """The frame that `to_dict` told.

        >>> frame = Frame.letterbox((3, 4), (8, 8))
        >>> Frame.from_dict(frame.to_dict()) == frame
        True
        """
        (rows, columns), (h, w) = values["original_size"], values["model_size"]
        return cls((rows, columns), (h, w), Box(*values["region"]), Box(*values["window"]))

    def _on_grid(self, array: ArrayLike, size: Size, grid: str) -> FloatArray:
        values = np.ascontiguousarray(array, dtype=np.float32)
        if values.shape[:2] != size or values.ndim not in (2, 3):
            raise GeometryError(f"not on the {grid} grid", expected=f"{size}", got=f"{values.shape}")
        return values


def _whole(size: Size) -> Box:
    return Box(0, 0, size[1] - 1, size[0] - 1)


def _fitted(original: Size, model: Size) -> Size:
    """The largest grid of the original's aspect inside the model's, to the nearest whole pixel."""
    if min(*original, *model) < 1:
        raise GeometryError(
            "a grid without pixels", expected="sizes of 1 or more", got=f"{original}, {model}"
        )
    scale = min(model[0] / original[0], model[1] / original[1])
    h, w = (max(1, floor(n * scale + 0.5)) for n in original)
    return h, w


def _check_inside(box: Box, size: Size, part: str, grid: str) -> None:
    whole = _whole(size)
    inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
    if not (inside and box.width > 0 and box.height > 0):
        raise GeometryError(
            f"the {part} does not lie inside the {grid}",
            expected=f"a box inside {size[0]} rows by {size[1]} columns",
            got=f"{tuple(box)}",
        )


def _box_to_edges(box: Box) -> NDArray[np.float64]:
    """The outer corners of a box's area: ``(2, 2)``."""
    return np.array([[box.x0 - 0.5, box.y0 - 0.5], [box.x1 + 0.5, box.y1 + 0.5]])


def _edges_to_box(edges: NDArray[np.float64]) -> Box:
    (x0, y0), (x1, y1) = edges.tolist()
    return Box(x0 + 0.5, y0 + 0.5, x1 - 0.5, y1 - 0.5)


def _interpolate(values: FloatArray, at: NDArray[np.float64], first: float, last: float) -> FloatArray:
    """Rows of ``values`` linearly interpolated at rows ``at``; clamped to [first, last], zero beyond."""
    clamped = at.clip(first, last)
    lower = np.minimum(clamped.astype(np.intp), max(int(last) - 1, int(first)))
    upper = np.minimum(lower + 1, int(last))
    weight = (clamped - lower).astype(np.float32)[:, None]
    weight = np.where(upper[:, None] > lower[:, None], weight, np.float32(0))
    result = np.empty((at.size, values.shape[1]), dtype=np.float32)
    for start in range(0, at.size, _ROWS):
        rows = slice(start, start + _ROWS)
        step = values[upper[rows]]
        step -= values[lower[rows]]
        step *= weight[rows]
        np.add(values[lower[rows]], step, out=result[rows])
    result[(at < first - 0.5) | (at > last + 0.5)] = 0
    return result
