"""Films that are read when they are asked for: for data sets that do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from xiqa.training.data import Film, load_films

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.datasets import Sample
    from xiqa.models.preprocess import Preprocessing

__all__ = ["FilmsOnDisk"]


class FilmsOnDisk(Sequence[Film]):
    """What `load_films` gives, film by film: every access reads and prepares its file anew.

    Reading costs time in every epoch, so give the loader workers.

    Args:
        samples: What to read.
        preprocessing: Grid to prepare them on.
        goal: What the head shall learn of a sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        goal: Callable[[Sample], tuple[float, ...]] = lambda sample: (),
    ) -> None:
        self.samples, self.preprocessing, self.goal = samples, preprocessing, goal

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Film: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Film]: ...
    def __getitem__(self, index: int | slice) -> Film | Sequence[Film]:
        if isinstance(index, slice):
            return FilmsOnDisk(self.samples[index], self.preprocessing, self.goal)
        (film,) = load_films([self.samples[index]], self.preprocessing, goal=self.goal)
        return film
