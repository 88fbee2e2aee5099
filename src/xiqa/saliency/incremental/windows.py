"""Where images differ, where a layer sees it, and the map into which what differs is pasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["ChangingMap", "Grid", "Sliding", "Windows", "differences", "layout_of", "united"]

#: (rows, columns).
Grid = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Windows:
    """One window of a map for each image, all of one size.

    Attributes:
        corners: Top and left of each, ``(M, 2)``.
        size: Rows and columns of all.
    """

    corners: NDArray[np.intp]
    size: Grid

    def share(self, grid: Grid) -> float:
        """A window's share of the map."""
        return (self.size[0] * self.size[1]) / (grid[0] * grid[1])

    def moved(self, by: Grid) -> Windows:
        """The same windows on a map with so many more rows and columns before its first."""
        return Windows(self.corners + np.asarray(by), self.size)

    def are(self, other: Windows) -> bool:
        """Whether both are the same windows."""
        return self.size == other.size and bool((self.corners == other.corners).all())


def united(windows: Sequence[Windows], grid: Grid) -> Windows:
    """The smallest windows of one size that hold those of all the given.

    >>> both = united([Windows(np.array([[0, 4]]), (2, 2)), Windows(np.array([[1, 5]]), (2, 2))], (8, 8))
    >>> both.corners.tolist(), both.size
    ([[0, 4]], (3, 3))
    """
    first = np.min([window.corners for window in windows], axis=0)
    last = np.max([window.corners + window.size for window in windows], axis=0)
    rows, columns = (last - first).max(axis=0).tolist()
    return Windows(np.minimum(first, np.asarray(grid) - (rows, columns)), (rows, columns))


@dataclass(frozen=True)
class Sliding:
    """A kernel that slides over a map: a convolution's, or a pooling's.

    Attributes:
        kernel: Its rows and columns.
        stride: Steps, down and right.
        padding: Rows and columns before the map's first.
        dilation: Distance of its taps.
        fill: What is beyond the border.
    """

    kernel: Grid
    stride: Grid
    padding: Grid
    dilation: Grid = (1, 1)
    fill: float = 0.0

    @property
    def reach(self) -> Grid:
        """Distance of its first from its last tap."""
        down, right = (d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))
        return down, right

    @property
    def stays(self) -> bool:
        """Whether it sees one place only and keeps the grid."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    def seeing(self, changed: Windows, grid: Grid) -> Windows:
        r"""The windows of its output, a map of this grid, that see anything of the changed windows.

        Place :math:`o` sees the padded rows :math:`o s` to :math:`o s + r`, so a change in rows :math:`a` to
        :math:`a + h - 1` is seen by

        .. math:: \lceil (a + p - r) / s \rceil \le o \le \lfloor (a + p + h - 1) / s \rfloor ,

        at most :math:`\lfloor (h - 1 + r) / s \rfloor + 1` places. Windows at the border are moved inwards,
        so that all have this size: they then hold places that do not change, which is no error.
        """
        stride, reach = np.asarray(self.stride), np.asarray(self.reach)
        size = np.minimum((np.asarray(changed.size) - 1 + reach) // stride + 1, grid)
        first = -((reach - changed.corners - self.padding) // stride)
        rows, columns = size.tolist()
        return Windows(np.clip(first, 0, np.asarray(grid) - size), (rows, columns))

    def behind(self, grid: Grid, output: Grid) -> Grid:
        """Rows and columns that the output's last places see behind the map's last."""
        rows, columns = (
            max(0, seen - side - padding)
            for seen, side, padding in zip(self.seen(output), grid, self.padding, strict=True)
        )
        return rows, columns

    def seen(self, size: Grid) -> Grid:
        """Rows and columns that so many places of its output see together."""
        rows, columns = ((np.asarray(size) - 1) * self.stride + self.reach + 1).tolist()
        return rows, columns


class ChangingMap:
    """A map of one image after another: each image's window is pasted before a window is cut out.

    Args:
        whole: The map ``(1, C, H, W)`` of the first image.
        padding: Rows and columns to add before the first.
        after: Rows and columns to add behind the last.
        fill: What is there.
        cumulative: Whether an image keeps what changed in the ones before it; otherwise each differs from
            the first image alone.
    """

    def __init__(
        self,
        whole: Tensor,
        *,
        padding: Grid = (0, 0),
        after: Grid = (0, 0),
        fill: float = 0.0,
        cumulative: bool,
    ) -> None:
        added = (padding[1], after[1], padding[0], after[0])
        self.map = functional.pad(whole, added, value=fill).clone()
        self.padding, self.cumulative = padding, cumulative
        self.layout = layout_of(self.map)

    def cut(self, changed: Tensor, at: NDArray[np.intp], corners: NDArray[np.intp], size: Grid) -> Tensor:
        """Windows of the map as it is for each image.

        Args:
            changed: What each image's window holds, ``(M, C, h, w)``.
            at: Where it belongs on the unpadded map, ``(M, 2)``.
            corners: Where to cut on the padded map, ``(M, 2)``.
            size: How much.

        Returns:
            ``(M, C, *size)``.
        """
        state = self.map[0]
        out = torch.empty(
            (len(changed), len(state), *size),
            dtype=state.dtype,
            device=state.device,
            memory_format=self.layout,
        )
        rows, columns = changed.shape[-2:]
        places = zip(changed, out, (at + self.padding).tolist(), corners.tolist(), strict=True)
        for new, cut, (y, x), (top, left) in places:
            window = state[:, y : y + rows, x : x + columns]
            before = None if self.cumulative else window.clone()
            window.copy_(new)
            cut.copy_(state[:, top : top + size[0], left : left + size[1]])
            if before is not None:
                window.copy_(before)
        return out


def layout_of(images: Tensor) -> torch.memory_format:
    """How images ``(N, C, H, W)`` lie in memory; of a single channel, too, the strides tell it."""
    return torch.channels_last if images.stride(1) == 1 else torch.contiguous_format


def differences(images: Tensor, *, cumulative: bool) -> Windows:
    """Windows of one size that hold all that is different.

    Args:
        images: ``(M, C, H, W)``.
        cumulative: Whether each is compared with the one before it; otherwise each with the first.

    Returns:
        One window an image; the first image, which is compared with itself, has the smallest there is.
    """
    before = images[:-1] if cumulative else images[:1]
    unequal = (images[1:] != before).any(dim=1)
    edges = [_extent(unequal.any(dim=axis).cpu().numpy()) for axis in (2, 1)]
    first, last = (np.stack(ends, axis=1) for ends in zip(*edges, strict=True))
    rows, columns = (last - first).max(axis=0).clip(min=1).tolist()
    corners = np.minimum(first, np.asarray(images.shape[-2:]) - (rows, columns))
    return Windows(np.concatenate([np.zeros((1, 2), np.intp), corners]), (rows, columns))


def _extent(touched: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and one behind the last true place of each row ``(M, n)``; 0 and 0 where there is none."""
    some = touched.any(axis=1)
    last = touched.shape[1] - touched[:, ::-1].argmax(axis=1)
    return touched.argmax(axis=1), np.where(some, last, 0)
