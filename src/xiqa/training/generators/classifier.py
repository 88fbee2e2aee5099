"""A frozen classifier as the generators see it: the margin of its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xiqa.errors import ConfigError
from xiqa.models.fold import fold_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from xiqa.models import LoadedModel

__all__ = ["Classifier", "classifier_of"]


@dataclass(frozen=True, eq=False)
class Classifier:
    r"""A frozen classifier as the generators see it: a margin for images in [0, 1].

    .. math:: m(x) = z_c(x) - \log\sum_{k \neq c} e^{z_k(x)} - m_0

    Attributes:
        network: In evaluation mode, frozen.
        explained: The class :math:`c`.
        limit: :math:`m_0`, the log-odds at the verdict's threshold.
        mean: Of its normalisation, one a channel.
        std: Likewise.
    """

    network: nn.Module
    explained: int = 1
    limit: float = 0.0
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    def margin(self, grey: Tensor) -> Tensor:
        """``(N,)``, positive where the class is called, of images ``(N, 1, H, W)``."""
        mean, std = (grey.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        images = ((grey - mean) / std).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        if logits.shape[1] == 1:
            odds = logits[:, 0] if self.explained == 1 else -logits[:, 0]
        else:
            others = [k for k in range(logits.shape[1]) if k != self.explained]
            odds = logits[:, self.explained] - logits[:, others].logsumexp(dim=1)
        return odds - self.limit


def classifier_of(model: LoadedModel, explained: int | None = None) -> Classifier:
    """A bundle's classifier, frozen; its verdict turns at the card's threshold.

    Where another class than the poor one is explained, or there are more than two, it turns at even odds.

    Raises:
        ConfigError: The classifier has no such class, or its outputs are no classes.
    """
    card = model.card
    if card.outputs.task != "classes":
        raise ConfigError(
            "generators explain a classifier of classes",
            expected="outputs of which exactly one is right",
            got=f"the task {card.outputs.task}",
        )
    chosen = card.poor_class if explained is None else explained
    if chosen >= len(card.classes):
        raise ConfigError(
            "no such class to explain", expected=f"0 to {len(card.classes) - 1}", got=str(chosen)
        )
    limit = 0.0
    if len(card.classes) == 2 and chosen == card.poor_class:
        limit = _odds_at(card.threshold, lambda odds: _probability(model, odds))
    model.network.eval().requires_grad_(False)
    mean, std, size = card.preprocessing.mean, card.preprocessing.std, card.preprocessing.size
    # folded and channels-last: the same function and gradient in half the time
    network = fold_batch_norm(model.network, torch.zeros(1, len(mean), *size))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(network, chosen, limit, mean, std)


def _probability(model: LoadedModel, odds: float) -> float:
    """The calibrated probability of the poor class at raw log-odds."""
    sign = 1.0 if model.card.poor_class == 1 else -1.0
    if model.card.architecture.classes == 1:
        logits = torch.tensor([[sign * odds]])
    else:
        logits = torch.tensor([[-sign * odds / 2, sign * odds / 2]])
    return float(model.probability(logits)[0])


def _odds_at(probability: float, of: Callable[[float], float]) -> float:
    """The log-odds at which a rising function has a value, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) < probability else (low, middle)
    return (low + high) / 2
