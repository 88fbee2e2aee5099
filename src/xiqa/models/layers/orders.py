"""The orders in which places may come: rows, columns, windows, tokens behind others; turned or mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log, prod

import torch
from torch import Tensor

__all__ = ["TURNS", "Shape", "candidates", "same_ratio"]

Shape = tuple[int, ...]

_OFF = 0.35  # logarithm of the ratio of a grid's sides to the image's, which patches keep up to rounding
_PREFIX = 32  # the most tokens that stand for no place


def candidates(axes: Shape, size: tuple[int, int]) -> Iterator[tuple[Tensor, bool]]:
    """Indices ``(h, w)`` of possible grids among positions of some axes, and whether they go by windows."""
    sides = tuple(side for side in axes if side > 1)
    if not sides and len(axes) == 3:
        yield torch.zeros(1, 1, dtype=torch.long), False
    elif len(sides) == 1:
        yield from ((index, False) for index in _tokens(sides[0], size))
    elif len(sides) == 2 and axes[0] == 1:
        grid = torch.arange(prod(sides)).reshape(sides)
        turned = (turn(grid) for turn in TURNS)
        yield from ((index, False) for index in turned if same_ratio(index.shape[0], index.shape[1], size))
    if len(sides) in (2, 3):
        yield from ((index, True) for index in _windows(sides, size))


TURNS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda grid: grid,
    lambda grid: grid.flip(1),
    lambda grid: grid.flip(0),
    lambda grid: grid.flip(0, 1),
    lambda grid: grid.T,
    lambda grid: grid.T.flip(1),
    lambda grid: grid.T.flip(0),
    lambda grid: grid.T.flip(0, 1),
)


def _tokens(count: int, size: tuple[int, int]) -> Iterator[Tensor]:
    """Rows one after the other, or columns, behind or before tokens that stand for no place."""
    for rows, columns in _grids(count, size):
        spare = count - rows * columns
        for start in {0, spare}:
            places = torch.arange(start, start + rows * columns)
            yield places.reshape(rows, columns)
            yield places.reshape(columns, rows).T


def _grids(count: int, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for rows in range(1, min(count, size[0]) + 1):
        guess = rows * size[1] / size[0]
        for columns in {max(1, int(guess) + more) for more in (-1, 0, 1, 2)}:
            spare = count - rows * columns
            whole = rows * columns >= 4 and abs(log(rows * size[1] / (columns * size[0]))) < _OFF
            if whole and 0 <= spare <= min(_PREFIX, rows * columns - 1) and same_ratio(rows, columns, size):
                yield rows, columns


def same_ratio(rows: int, columns: int, size: tuple[int, int]) -> bool:
    """Whether one stride, rounded either way at the border, leads from the image's sides to the grid's."""
    low = max(size[0] / (rows + 1), size[1] / (columns + 1))
    high = min(size[0] / max(rows - 1, 1e-9), size[1] / max(columns - 1, 1e-9))
    return low < high


def _windows(axes: Shape, size: tuple[int, int]) -> Iterator[Tensor]:
    """Windows one after the other, perhaps shifted, each with its own rows; or rows taken in turns."""
    blocks, inner = axes[0], axes[1:]
    sides = [(inner[0], inner[1])] if len(inner) == 2 else list(_factors(prod(inner)))
    for down, across in _factors(blocks):
        for tall, wide in sides:
            if not same_ratio(down * tall, across * wide, size):
                continue
            order = torch.arange(prod(axes)).reshape(down, across, tall, wide)
            block = order.permute(0, 2, 1, 3).reshape(down * tall, across * wide)
            yield block
            yield block.roll((tall // 2, wide // 2), (0, 1))  # shifted by half a window
            yield order.permute(2, 0, 3, 1).reshape(down * tall, across * wide)


def _factors(count: int) -> list[tuple[int, int]]:
    return [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
