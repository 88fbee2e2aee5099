r"""How fragile a verdict is: the smallest change of an image that carries it across the limit.

Changes are of the *image*, in grey levels from 0 to 1, alike in all channels of the network's input and only
where the image lies: neither the padding nor what is outside the collimation may change. The limit is the
card's threshold on the calibrated probability; the review band around it is left aside.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from xiqa.assessment.runtimes.torch import TorchRuntime
from xiqa.errors import ConfigError
from xiqa.models.calibrated import calibrated_log_odds
from xiqa.saliency.adversarial.flips import deepfool_flip, fgsm_flip
from xiqa.saliency.state import evaluating
from xiqa.types import Fragility

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.assessment.runtime import Runtime
    from xiqa.geometry import Frame
    from xiqa.models import LoadedModel
    from xiqa.models.card import BundleCard
    from xiqa.saliency.adversarial.flips import Margins
    from xiqa.types import FloatArray, Image

__all__ = ["MOST", "image_fragility", "limit_margin", "require_gradients"]

MOST = 0.25
"""The largest step that is tried, as a part of the grey range: beyond it an image is another image."""
STEPS = 20


def require_gradients(runtime: Runtime) -> LoadedModel:
    """The bundle behind a runtime.

    Raises:
        ConfigError: The runtime gives no gradients.
    """
    if not isinstance(runtime, TorchRuntime):
        raise ConfigError(
            "how fragile a verdict is cannot be told of an exported model",
            expected="a bundle on PyTorch, which gives gradients",
            got=type(runtime).__name__,
            todo="leave fragility out, or name the bundle that was exported",
        )
    return runtime.model


def limit_margin(logits: Tensor, card: BundleCard) -> Tensor:
    r"""By how much the calibrated log-odds of poor quality lie above the limit.

    .. math:: m = \log \frac{q}{1 - q} - \log \frac{t}{1 - t}

    with the probability q that the verdict is made of; see `calibrated_log_odds`.

    Args:
        logits: ``(M, K)``.
        card: Says what they mean, how they are calibrated and the threshold t (taken within one millionth of
            0 and 1).

    Returns:
        ``(M, 1)``, positive where the image is poor.
    """
    limit = min(max(card.threshold, 1e-6), 1 - 1e-6)
    return calibrated_log_odds(logits.double(), card)[:, None] - math.log(limit / (1 - limit))


def image_fragility(model: LoadedModel, array: FloatArray, frame: Frame, image: Image) -> Fragility:
    """The smallest changes of one image that carry it across the limit between good and poor.

    Args:
        model: The bundle.
        array: ``(C, h, w)``, the network's input as `LoadedModel.prepare` gives it.
        frame: How it follows from the image.
        image: The image; where its mask is False nothing may change.

    Returns:
        The sizes of the changes. They are not clipped to the grey range.
    """
    card, network = model.card, model.network
    device = next(network.parameters()).device
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (card.preprocessing.mean, card.preprocessing.std)
    )
    with torch.inference_mode(False), torch.no_grad(), evaluating(network):
        radiograph = (torch.from_numpy(np.array(array)).to(device) * std + mean)[:1]
        inside = torch.from_numpy(_inside(frame, image)).to(radiograph)

        def margins(radiographs: Tensor) -> Tensor:
            changed = radiograph + inside * (radiographs - radiograph)
            inputs = ((changed - mean) / std).contiguous(memory_format=torch.channels_last)
            return limit_margin(network(inputs), card)

        return _measure(margins, radiograph, inside)


def _measure(margins: Margins, radiograph: Tensor, inside: Tensor) -> Fragility:
    """Both searches on one image ``(1, h, w)``."""
    step = fgsm_flip(margins, radiograph, most=MOST, bisections=6)
    box = deepfool_flip(margins, radiograph, steps=STEPS, measure="linf")
    short = deepfool_flip(margins, radiograph, steps=STEPS)
    count = int((inside > 0).sum())
    own = float((radiograph * inside).norm())
    return Fragility(
        fgsm=step.largest if step.flipped else None,
        linf=min((search.largest for search in (step, box) if search.flipped), default=None),
        l2=short.length if short.flipped else None,
        mean_square=short.length / math.sqrt(count) if short.flipped and count else None,
        relative=short.length / own if short.flipped and own > 0 else None,
        margin=step.before,
        pixels=count,
    )


def _inside(frame: Frame, image: Image) -> FloatArray:
    """1 on the network's grid where the image may change, else 0; ``(1, h, w)``."""
    rows, columns = frame.model_size
    inside = np.zeros((1, rows, columns), dtype=np.float32)
    window = frame.window
    across = slice(int(window.x0), int(window.x1) + 1)
    inside[:, int(window.y0) : int(window.y1) + 1, across] = 1
    if image.mask is not None and image.mask.any():
        inside *= frame.map_to_model(image.mask) > 0.5
    return inside
