r"""The way of a map from its layer to the network's input and to the original image, smoothed on the way.

Enlarging to the network's input, the Gaussian and the way back through the frame are linear along each axis,
so together they are two matrices, :math:`A M B^\top`, which images of one size share. A pixel takes from few
cells: the matrices are sparse.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from xiqa.geometry import Box, Frame
from xiqa.saliency.maps import smooth, upsample
from xiqa.types import FloatArray, SaliencyMap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["frame_of", "on_input", "on_original", "on_picture"]

SMALL = 128  # up to this side a map is smoothed by the matrices too


def on_input(values: FloatArray, frame: Frame, sigma: float = 0.0) -> FloatArray:
    """A map ``(h, w)`` on the network's input grid.

    Args:
        values: The map, at layer or input size.
        frame: Of the image.
        sigma: Width of the Gaussian in pixels of the input; the window reaches 5 sigma to each side.
    """
    large = values if values.shape == frame.model_size else upsample(values, frame.model_size)
    return smooth(large, sigma, _window(sigma)) if sigma > 0 else large


def on_original(values: FloatArray, frame: Frame, sigma: float = 0.0) -> FloatArray:
    """A map ``(h, w)`` on the original image's grid, 0 where the network saw nothing; see `on_input`.

    >>> frame = Frame.resize(original=(6, 6), model=(4, 4))
    >>> bool(np.isclose(on_original(np.ones((2, 2), np.float32), frame), 1).all())
    True
    """
    if max(values.shape) > SMALL and sigma > 0:
        values, sigma = on_input(values, frame, sigma), 0.0
    rows = _axis(frame, values.shape[0], sigma, across=False)
    columns = _axis(frame, values.shape[1], sigma, across=True)
    across = columns @ np.ascontiguousarray(values.T, dtype=np.float32)
    return np.asarray(rows @ np.ascontiguousarray(across.T))


def frame_of(saliency: SaliencyMap, original: tuple[int, int]) -> Frame:
    """The map's frame; that of a plain resize to its input, or to itself, where none was kept."""
    rows, columns = saliency.input_size if min(saliency.input_size) > 0 else saliency.values.shape
    return saliency.frame or Frame.resize(original, (rows, columns))


def on_picture(saliency: SaliencyMap, original: tuple[int, int], size: tuple[int, int]) -> FloatArray:
    """The raw map on a picture of the whole original image; 0 where the network saw nothing.

    Args:
        saliency: Map at layer or input size, with its frame.
        original: (rows, columns) of the original image.
        size: (rows, columns) of the picture.
    """
    return on_original(saliency.values, frame_of(saliency, original).of_picture(size))


def _window(sigma: float) -> int:
    return 2 * max(1, round(5 * sigma)) + 1


@lru_cache(maxsize=64)
def _axis(frame: Frame, cells: int, sigma: float, *, across: bool) -> csr_array:
    """What `on_original` does to one axis of a map of so many cells, as ``(pixels, cells)``.

    Measured on the map's own basis, with a frame that leaves the other axis alone.
    """
    axis = 1 if across else 0
    large = upsample(np.eye(cells, dtype=np.float32), (frame.model_size[axis], cells))
    if sigma > 0:
        large = _smooth_columns(large, sigma)
    first, last = (frame.region[axis ^ 1], frame.region[(axis ^ 1) + 2])
    low, high = (frame.window[axis ^ 1], frame.window[(axis ^ 1) + 2])
    alone = Frame(
        original_size=(frame.original_size[axis], cells),
        model_size=(frame.model_size[axis], cells),
        region=Box(0, first, cells - 1, last),
        window=Box(0, low, cells - 1, high),
    )
    from scipy.sparse import csr_array  # noqa: PLC0415 - takes a moment, and not every image is explained

    return csr_array(alone.map_to_original(large))


def _smooth_columns(large: FloatArray, sigma: float) -> FloatArray:
    """Blur each column alone: as rows that repeat, so that the blur along the other axis does nothing."""
    reach = _window(sigma)
    blurred = [smooth(np.repeat(column[:, None], reach, axis=1), sigma, reach)[:, 0] for column in large.T]
    return np.stack(blurred, axis=1)
