r"""Score-CAM and its kin: each channel, as a mask on the image, is weighted by the score that it keeps.

.. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad H_k = s(\mathrm{up}(A_k)),
   \quad s(m) = \frac{m - \min m}{\max m - \min m}

What :math:`\alpha_k` is made of differs:

=========  =========================================================================================
method     weight
=========  =========================================================================================
Score-CAM  paper: softmax over the channels of :math:`f(x \circ H_k) - f(x_b)`, f the logit; authors' code:
           the probability :math:`p(x \circ H_k)` itself, with neither baseline nor softmax over channels
SS-CAM     softmax of the mean over noisy masks :math:`s(\mathrm{up}(A_k) + \varepsilon)` or noisy inputs
           :math:`x \circ H_k + \varepsilon`
IS-CAM     softmax of the mean along the path :math:`x \circ \frac{i}{n} H_k,\ i = 1 \dots n`
=========  =========================================================================================

The baseline's score is one number for all channels, so the softmax cancels it: it is never computed. A
channel that is constant makes no mask and gets weight 0. Maps stay at the layer's size (the authors' code
adds up enlarged channels; the two differ only in taking the positive part before or after enlarging).

``channels=n`` keeps the n channels of the largest variance alone, which makes all three n passes long; by
default all are scored. Sources: wang2020scorecam, wang2020sscam, naidu2020iscam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xiqa.errors import SaliencyError
from xiqa.saliency.arrays import Array, enlarge, library, like, places, stretch, to_numpy
from xiqa.saliency.arrays import softmax as softmax_of
from xiqa.saliency.perturbation.copies import chunks, generator
from xiqa.saliency.registry import Needs, probe_method

if TYPE_CHECKING:
    from xiqa.saliency.perturbation.copies import Score
    from xiqa.saliency.probe import ProbeRecord

__all__ = [
    "channel_masks",
    "integrated_scores",
    "iscam",
    "kept_scores",
    "scorecam",
    "smoothed_scores",
    "sscam",
    "weighted_channels",
]


def channel_masks(channels: Array, size: tuple[int, ...]) -> Array:
    """Channels ``(M, h, w)`` enlarged and stretched to [0, 1]: masks ``(M, H, W)``."""
    return stretch(enlarge(channels, size))


def kept_scores(score: Score, image: Array, channels: Array) -> Array:
    """Scores ``(C,)`` of the image ``(c, H, W)`` under each channel's mask; channels ``(C, h, w)``."""
    size = tuple(image.shape[1:])
    return library(image).concatenate(
        [score(image * channel_masks(channels[part], size)[:, None]) for part in chunks(len(channels), size)]
    )


def smoothed_scores(
    score: Score, image: Array, channels: Array, *, samples: int, std: float, where: str, seed: int
) -> Array:
    """SS-CAM's mean score of each channel ``(C,)`` under noise of the given standard deviation.

    ``where="features"`` adds it to the enlarged channel before it is stretched (SS-CAM (1)),
    ``where="input"`` to the masked image (SS-CAM (2)).
    """
    size = tuple(image.shape[1:])
    import torch  # noqa: PLC0415 - the noise is PyTorch's

    source = generator(seed)
    scores = torch.zeros(len(channels), samples, dtype=torch.float64)
    pairs = [(k, i) for k in range(len(channels)) for i in range(samples)]
    for part in chunks(len(pairs), size):
        picked = channels[[k for k, _ in pairs[part]]]
        shape = size if where == "features" else tuple(image.shape)
        # drawn one by one: the stream must not depend on how the work is cut into chunks
        noise = std * torch.stack([torch.randn(shape, generator=source) for _ in pairs[part]]).to(image)
        if where == "features":
            copies = image * stretch(enlarge(picked, size) + noise)[:, None]
        else:
            copies = image * channel_masks(picked, size)[:, None] + noise
        scores.flatten()[part] = score(copies).double().cpu()
    return scores.mean(dim=1).to(image)


def integrated_scores(score: Score, image: Array, channels: Array, *, steps: int) -> Array:
    """IS-CAM's mean score of each channel ``(C,)`` while its masked image is faded in."""
    size = tuple(image.shape[1:])
    total = np.zeros(len(channels))
    for part in chunks(len(channels), size):
        masked = image * channel_masks(channels[part], size)[:, None]
        for step in range(1, steps + 1):
            total[part] += to_numpy(score(masked * (step / steps)))
    return like(total / steps, image)


def weighted_channels(channels: Array, scores: Array, *, softmax: bool = True) -> Array:
    """The positive part ``(h, w)`` of the channels' sum, weighted by their scores or the softmax of these."""
    both, over = library(channels), places(channels, 1)
    varies = both.amax(channels, axis=over) > both.amin(channels, axis=over)
    if not varies.any():
        return both.zeros_like(channels[0])
    weights = both.zeros_like(scores)
    weights[varies] = softmax_of(scores[varies]) if softmax else scores[varies]
    return both.einsum("k,k...->...", weights, channels).clip(min=0)


def _layer_channels(sample: ProbeRecord, count: int | None) -> Array:
    """The layer's channels ``(C, h, w)``, or those of the largest variance, in their order."""
    assert sample.layer is not None
    channels = sample.layer.output[0]
    if count is None or count >= len(channels):
        return channels
    spread = to_numpy(channels).var(axis=places(channels, 1))
    return channels[np.sort(np.argsort(-spread, kind="stable")[:count])]


@probe_method(
    "scorecam", cite="wang2020scorecam", needs=Needs.INPUT | Needs.OUTPUT, portable=True, dims=(2, 3)
)
def scorecam(sample: ProbeRecord, *, variant: str = "paper", channels: int | None = None) -> Array:
    r"""Score-CAM: each channel, as a mask on the image, is weighted by the score that it keeps.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad
       \alpha = \mathrm{softmax}_k\big(z_c(x \circ H_k)\big)

    Args:
        sample: The image, its layer's output and its scores.
        variant: ``paper``, as above, or ``authors``: the weight is the class's probability itself, as in the
            code that the authors published.
        channels: Keep only this many channels, those of the largest variance.

    Returns:
        ``(h, w)``, not negative, in units of the layer. Source: wang2020scorecam, algorithm 1.

    Raises:
        SaliencyError: The variant is not known.
    """
    if variant not in ("paper", "authors"):
        raise SaliencyError("unknown variant of Score-CAM", expected="paper or authors", got=repr(variant))
    picked = _layer_channels(sample, channels)
    if variant == "authors":
        return weighted_channels(picked, kept_scores(sample.score, sample.image, picked), softmax=False)
    return weighted_channels(picked, kept_scores(sample.logit, sample.image, picked))


@probe_method("sscam", cite="wang2020sscam", needs=Needs.INPUT | Needs.OUTPUT, dims=(2, 3))
def sscam(
    sample: ProbeRecord,
    *,
    samples: int = 10,
    std: float = 2.0,
    where: str = "features",
    channels: int | None = None,
    seed: int = 0,
) -> Array:
    r"""SS-CAM: Score-CAM with each channel's score averaged over noise.

    .. math:: \alpha = \mathrm{softmax}_k\Big(\frac{1}{n} \sum_{i=1}^n
       z_c\big(x \circ s(\mathrm{up}(A_k) + \varepsilon_i)\big)\Big)

    Args:
        sample: The image, its layer's output and its scores.
        samples: Noisy copies a channel.
        std: Standard deviation of the noise, in units of the layer or of the input.
        where: ``features`` (above, the source's first variant) or ``input``: on the masked image (its
            second).
        channels: Keep only this many channels, those of the largest variance.
        seed: The image's noise starts here.

    Returns:
        ``(h, w)``, not negative. Source: wang2020sscam.

    Raises:
        SaliencyError: The noise has no such place.
    """
    if where not in ("features", "input"):
        raise SaliencyError("no such place for the noise", expected="features or input", got=repr(where))
    picked = _layer_channels(sample, channels)
    scores = smoothed_scores(
        sample.logit, sample.image, picked, samples=samples, std=std, where=where, seed=seed
    )
    return weighted_channels(picked, scores)


@probe_method("iscam", cite="naidu2020iscam", needs=Needs.INPUT | Needs.OUTPUT, portable=True, dims=(2, 3))
def iscam(sample: ProbeRecord, *, steps: int = 10, channels: int | None = None) -> Array:
    r"""IS-CAM: Score-CAM with each channel's score averaged while its masked image is faded in.

    .. math:: \alpha = \mathrm{softmax}_k\Big(\frac{1}{n} \sum_{i=1}^n
       z_c\big(\tfrac{i}{n}\, x \circ H_k\big)\Big)

    Some implementations add the factors i/n up along the way, so that the image ends (n + 1)/2 times as
    bright as it is; here the path ends at the masked image.

    Args:
        sample: The image, its layer's output and its scores.
        steps: Points on the path.
        channels: Keep only this many channels, those of the largest variance.

    Returns:
        ``(h, w)``, not negative. Source: naidu2020iscam.
    """
    picked = _layer_channels(sample, channels)
    return weighted_channels(picked, integrated_scores(sample.logit, sample.image, picked, steps=steps))
