"""The ledger of simulation seeds: who may use which, so that no model is measured on what it learned.

A simulated image is decided by its seed. Each purpose has a range of its own, disjoint from every other;
whoever simulates takes seeds from here and writes none down himself:

>>> TRAINING.take(3)
range(1000000, 1000003)
>>> CARD.purpose
'the simulated images that a model card is measured on'

Evaluate a bundle on `CARD`, an experiment on `EXPERIMENTS`. `COMMANDS` are the seeds that ``xiqa simulate``
writes unless others are named: anybody may have trained on these, so no claim of unseen images rests on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from xiqa.errors import ConfigError

__all__ = [
    "BATCH_NORM",
    "CARD",
    "COMMANDS",
    "ERASING",
    "EXPERIMENTS",
    "FAILURES",
    "GENERATORS",
    "GUARD",
    "LEDGER",
    "LUNGS_TEST",
    "PICTURES",
    "SOFT_TREE",
    "TRAINING",
    "Seeds",
    "owner",
]


@dataclass(frozen=True, slots=True)
class Seeds:
    """A range of seeds and what it is for.

    Attributes:
        name: Of the range.
        purpose: Who simulates with it, or what for.
        first: Its first seed.
        run: How many seeds one run may take: a training with another seed takes those of another run.
        runs: How many runs there are; run ``runs`` takes those of run 0 again.
    """

    name: str
    purpose: str
    first: int
    run: int = 100_000
    runs: int = 10

    @property
    def end(self) -> int:
        """The first seed behind the range."""
        return self.first + self.run * self.runs

    def take(self, count: int, run: int = 0) -> range:
        """The first seeds of a run.

        Args:
            count: How many.
            run: Which run, such as a recipe's own seed.

        Raises:
            ConfigError: A run has not so many.
        """
        if count > self.run:
            raise ConfigError(
                f"too many simulated images for {self.purpose}",
                expected=f"at most {self.run}",
                got=str(count),
            )
        first = self.first + self.run * (run % self.runs)
        return range(first, first + count)

    def __contains__(self, seed: int) -> bool:
        """Whether a seed lies in the range."""
        return self.first <= seed < self.end


COMMANDS = Seeds("commands", "`xiqa simulate` by default, examples and benchmarks", 0, 1_000_000, 1)
TRAINING = Seeds("training", "classifiers and lung networks learn from these", 1_000_000, runs=20)
GENERATORS = Seeds("generators", "generators learn from these", 3_000_000, runs=20)
SOFT_TREE = Seeds("soft_tree", "soft trees learn from these", 5_000_000)
ERASING = Seeds("erasing", "objects put into real images, which generators learn to erase", 6_000_000)
PICTURES = Seeds("pictures", "pictures in the documentation", 7_000_000)
BATCH_NORM = Seeds("batch_norm", "batch norm of random networks is fitted to these", 8_000_000)
CARD = Seeds("card", "the simulated images that a model card is measured on", 10_000_000)
EXPERIMENTS = Seeds("experiments", "the simulated images of `xiqa benchmark`", 11_000_000)
FAILURES = Seeds("failures", "the images on the page of failures", 12_000_000)
LUNGS_TEST = Seeds("lungs_test", "the simulated images that lung networks are tested on", 13_000_000)
GUARD = Seeds("guard", "made images that a guard should catch", 14_000_000)

LEDGER = (
    COMMANDS, TRAINING, GENERATORS, SOFT_TREE, ERASING, PICTURES,
    BATCH_NORM, CARD, EXPERIMENTS, FAILURES, LUNGS_TEST, GUARD,
)  # fmt: skip
"""Every range, in ascending order."""


def owner(seed: int) -> Seeds | None:
    """The range that a seed belongs to; None where it is nobody's.

    >>> owner(1_000_007).name
    'training'
    """
    return next((seeds for seeds in LEDGER if seed in seeds), None)
