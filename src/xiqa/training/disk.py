"""Images that are read when they are asked for: for data sets that do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from xiqa.training.data import TrainingImage, load_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.datasets import Sample
    from xiqa.models.preprocess import Preprocessing

__all__ = ["ImagesOnDisk"]


class ImagesOnDisk(Sequence[TrainingImage]):
    """What `load_images` gives, image by image: every access reads and prepares its file anew.

    Reading costs time in every epoch, so give the loader workers. Images in memory may follow those on the
    disk: ``ImagesOnDisk(...) + images``.

    Args:
        samples: What to read.
        preprocessing: Grid to prepare them on.
        goal: What the head shall learn of a sample.
        kept: Images in memory that follow.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        goal: Callable[[Sample], tuple[float, ...]] = lambda sample: (),
        kept: Sequence[TrainingImage] = (),
    ) -> None:
        self.samples, self.preprocessing, self.goal, self.kept = samples, preprocessing, goal, tuple(kept)

    def __len__(self) -> int:
        return len(self.samples) + len(self.kept)

    @overload
    def __getitem__(self, index: int) -> TrainingImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingImage]: ...
    def __getitem__(self, index: int | slice) -> TrainingImage | list[TrainingImage]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # counts from the end, too, and knows where the end is
        if place >= len(self.samples):
            return self.kept[place - len(self.samples)]
        (image,) = load_images([self.samples[place]], self.preprocessing, goal=self.goal)
        return image

    def __add__(self, images: Sequence[TrainingImage]) -> ImagesOnDisk:
        return ImagesOnDisk(self.samples, self.preprocessing, self.goal, (*self.kept, *images))

    @property
    def labels(self) -> list[int]:
        """The images' labels, without reading one."""
        return [*(sample.label for sample in self.samples), *(image.label for image in self.kept)]
