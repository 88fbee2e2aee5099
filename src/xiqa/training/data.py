"""Images in memory and batches of them, the same ones after a restart."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from xiqa.datasets.groups import members
from xiqa.errors import ConfigError
from xiqa.training.augment import affine_boxes, affine_matrix, augment, warp
from xiqa.training.processes import rank
from xiqa.training.targets import Truth, dense_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from xiqa.datasets import Sample
    from xiqa.models.preprocess import Preprocessing
    from xiqa.training.recipe import Loss, Recipe
    from xiqa.types import Annotation, FloatArray, Image

__all__ = ["Batch", "EpochLoader", "FeatureSet", "ImageSet", "TrainingImage", "load_images", "prepare_image"]

_Draw = tuple[int, int]  # epoch and index of an image

AHEAD = 2  # batches that a worker prepares before they are asked for
STRIDE = 8  # of the evidence map: the finest stage that the pyramid reads


class TrainingImage(NamedTuple):
    """A prepared image: uint8 grey values on the cache's grid, the removable objects there, its label.

    ``goal`` is what a head learns that a class index cannot say; see `xiqa.training.goals`.
    """

    grey: NDArray[np.uint8]
    truths: tuple[Truth, ...]
    label: int
    surveyed: bool
    goal: tuple[float, ...] = ()


class Batch(NamedTuple):
    """What one step sees; ``images`` are normalised, or flat features ``(N, F)`` of a frozen body.

    ``indices`` are the images' places in their set.
    """

    images: Tensor
    labels: Tensor
    goals: Tensor
    target: Tensor
    weight: Tensor
    regions: Tensor
    indices: Tensor


def load_images(
    samples: Sequence[Sample],
    preprocessing: Preprocessing,
    tick: Callable[[], object] = lambda: None,
    goal: Callable[[Sample], tuple[float, ...]] = lambda sample: (),
) -> list[TrainingImage]:
    """Read images and keep them as uint8 on the grid of ``preprocessing``.

    Args:
        samples: What to read.
        preprocessing: Grid to keep them on.
        tick: Called after every image, for a progress bar.
        goal: What the head shall learn of a sample.

    Returns:
        One image a sample.
    """
    radiographs = []
    for sample in samples:
        surveyed = sample.surveyed != "problems" or sample.label == 0
        radiograph = prepare_image(sample.read(), sample.annotations, sample.label, preprocessing, surveyed)
        radiographs.append(radiograph._replace(goal=goal(sample)))
        tick()
    return radiographs


def prepare_image(
    image: Image,
    annotations: Sequence[Annotation],
    label: int,
    preprocessing: Preprocessing,
    surveyed: bool = True,
) -> TrainingImage:
    """One image on the grid of ``preprocessing``; only problems are evidence."""
    grey, frame = preprocessing.grid(image)
    truths = tuple(Truth.of(annotation, frame) for annotation in members(annotations))
    return TrainingImage(np.round(grey * 255).astype(np.uint8), truths, label, surveyed)


class ImageSet(Dataset[Batch]):
    """Images as single-image batches at one size, changed at random for training.

    An item is asked for by ``(epoch, index)``: its random changes depend on these and the seed alone, so
    they are the same in any process and after a restart.
    """

    def __init__(
        self,
        radiographs: Sequence[TrainingImage],
        recipe: Recipe,
        size: tuple[int, int],
        *,
        training: bool,
        loss: Loss | None = None,
    ) -> None:
        self.images, self.recipe, self.size, self.training = radiographs, recipe, size, training
        self.loss = loss or recipe.loss
        self.cells = (-(-size[0] // STRIDE), -(-size[1] // STRIDE))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        epoch, index = draw
        radiograph, recipe = self.images[index], self.recipe
        rng = np.random.default_rng((recipe.seed, epoch, index))
        options = recipe.augmentation or None if self.training else None
        grey: FloatArray = radiograph.grey.astype(np.float32) / np.float32(255)
        boxes = [truth.box for truth in radiograph.truths]
        if options is not None or grey.shape != self.size:
            matrix = affine_matrix((grey.shape[0], grey.shape[1]), self.size, options, rng)
            grey = warp(grey, matrix, self.size)
            boxes = affine_boxes(boxes, matrix)
        if options is not None:
            grey = augment(grey, options, rng)
        truths = [Truth(box, truth.compact) for box, truth in zip(boxes, radiograph.truths, strict=True)]
        survey = None if radiograph.surveyed else self.loss.survey
        target, weight, regions = map(
            torch.from_numpy, dense_target(truths, self.size, self.cells, survey, self.loss.unsurveyed)
        )
        return Batch(
            torch.from_numpy(recipe.preprocessing.normalise(grey)),
            torch.tensor(radiograph.label),
            torch.tensor(radiograph.goal),
            target,
            weight,
            regions,
            torch.tensor(index),
        )


class FeatureSet(Dataset[Batch]):
    """Flat features of images, computed once, where images would give the same ones in every epoch.

    Args:
        radiographs: The images.
        features: ``(N, F)`` of a frozen body.
    """

    def __init__(self, radiographs: Sequence[TrainingImage], features: Tensor) -> None:
        self.images, self.features = radiographs, features

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: tuple[int, int]) -> Batch:
        radiograph, nothing = self.images[draw[1]], torch.zeros(0)
        values = torch.tensor(radiograph.label), torch.tensor(radiograph.goal)
        return Batch(self.features[draw[1]], *values, nothing, nothing, nothing, torch.tensor(draw[1]))


class EpochLoader:
    """Batches of an epoch in an order that seed and epoch decide, resumable inside an epoch.

    Lightning keeps `state_dict` in its checkpoints. Where several processes train, each sees its part of
    every batch. None sees a single image, with which batch norm would be lost, where ``batch_size`` allows
    two: what is left over at the end of an epoch joins the batch before it. In the images' order, each
    process sees every so many-th image, and no image is seen twice.

    Args:
        radiographs: The images.
        batch_size: How many a step, of all processes together.
        seed: Of the order.
        shuffle: False: in the images' order.
        weights: How often each image is drawn, relative to the others, with replacement; None: each once.
        first_epoch: Number of the first epoch, so that later phases draw other changes than the first.
        workers: Threads that prepare batches while earlier ones are used; 0: each when it is asked for.
        processes: How many share the batches; 1: this one sees them all, whoever else there may be.

    Raises:
        ConfigError: There are more processes than images in a batch, or in all.
    """

    def __init__(
        self,
        radiographs: ImageSet | FeatureSet,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        weights: NDArray[np.float64] | None = None,
        first_epoch: int = 0,
        workers: int = 0,
        processes: int = 1,
    ) -> None:
        if processes > 1 and processes > min(batch_size, len(radiographs)):
            raise ConfigError(
                "more devices than images to share between them",
                expected=f"at most {min(batch_size, len(radiographs))}",
                got=str(processes),
                todo="train on fewer devices, or raise batch_size, which counts all devices together",
            )
        self.processes = processes
        self.images, self.batch_size, self.seed = radiographs, batch_size, seed
        self.shuffle, self.workers, self.weights = shuffle, workers, weights
        self.epoch, self.served = first_epoch, 0

    def __len__(self) -> int:
        return len(self._batches(0))

    def __iter__(self) -> Iterator[Batch]:
        if self.served >= len(self):  # the last epoch was served to its end
            self.epoch, self.served = self.epoch + 1, 0
        batches = self._batches(self.epoch)[self.served :]
        for batch in _prepared(self.images, batches, self.workers):
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands."""
        return {"epoch": self.epoch, "served": self.served}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Stand there again."""
        self.epoch, self.served = state["epoch"], state["served"]

    def _batches(self, epoch: int) -> list[Sequence[_Draw]]:
        """The draws of every batch of this process; in random order all processes have equally many."""
        order = np.arange(len(self.images))
        if self.shuffle:
            rng = np.random.default_rng((self.seed, epoch))
            if self.weights is None:
                order = rng.permutation(order)
            else:
                order = rng.choice(order, len(order), p=self.weights / self.weights.sum())
        here, draws = self._rank(), [(epoch if self.shuffle else 0, int(index)) for index in order]
        if not self.shuffle:
            return _cut(draws[here :: self.processes], -(-self.batch_size // self.processes))
        least = self.processes * min(2, self.batch_size // self.processes)
        return [batch[here :: self.processes] for batch in _cut(draws, self.batch_size, least)]

    def _rank(self) -> int:
        """Which of the processes this is."""
        return rank() if self.processes > 1 else 0


def _cut(draws: Sequence[_Draw], size: int, least: int = 1) -> list[Sequence[_Draw]]:
    """Draws in batches; a last one of fewer than ``least`` joins the one before it."""
    batches = [draws[start : start + size] for start in range(0, len(draws), size)]
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [[*batches[-2], *batches[-1]]]
    return batches


def _prepared(
    radiographs: ImageSet | FeatureSet, batches: Sequence[Sequence[_Draw]], workers: int
) -> Iterator[Batch]:
    """The batches of these draws, in their order.

    Decoding and the changes of an image let other threads run, so threads do what processes would, without
    their start in every epoch and without copying batches between them.
    """

    def batch(draws: Sequence[_Draw]) -> Batch:
        return _collate([radiographs[draw] for draw in draws])

    if not workers:
        yield from map(batch, batches)
        return
    pool = ThreadPoolExecutor(workers, "batches")
    ahead: deque[Future[Batch]] = deque()
    try:
        for draws in batches:
            ahead.append(pool.submit(batch, draws))
            if len(ahead) > AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:  # also when nobody asks for the rest
        pool.shutdown(cancel_futures=True)


def _collate(items: list[Batch]) -> Batch:
    """Stack single images to one batch."""
    return Batch(*(torch.stack(parts) for parts in zip(*items, strict=True)))
