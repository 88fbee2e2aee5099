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

    Reading costs time in every epoch, so give the loader workers. Films in memory may follow those on the
    disk: ``FilmsOnDisk(...) + films``.

    Args:
        samples: What to read.
        preprocessing: Grid to prepare them on.
        goal: What the head shall learn of a sample.
        kept: Films in memory that follow.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        goal: Callable[[Sample], tuple[float, ...]] = lambda sample: (),
        kept: Sequence[Film] = (),
    ) -> None:
        self.samples, self.preprocessing, self.goal, self.kept = samples, preprocessing, goal, tuple(kept)

    def __len__(self) -> int:
        return len(self.samples) + len(self.kept)

    @overload
    def __getitem__(self, index: int) -> Film: ...
    @overload
    def __getitem__(self, index: slice) -> list[Film]: ...
    def __getitem__(self, index: int | slice) -> Film | list[Film]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # counts from the end, too, and knows where the end is
        if place >= len(self.samples):
            return self.kept[place - len(self.samples)]
        (film,) = load_films([self.samples[place]], self.preprocessing, goal=self.goal)
        return film

    def __add__(self, films: Sequence[Film]) -> FilmsOnDisk:
        return FilmsOnDisk(self.samples, self.preprocessing, self.goal, (*self.kept, *films))

    @property
    def labels(self) -> list[int]:
        """The films' labels, without reading one."""
        return [*(sample.label for sample in self.samples), *(film.label for film in self.kept)]
