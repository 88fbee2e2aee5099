r"""CAMs that average over copies of the image: under noise, or along a path from a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xiqa.saliency.arrays import places
from xiqa.saliency.cams.gradcam import plusplus_weights, weighted_sum
from xiqa.saliency.gradients.paths import noisy_copies, path_nodes, straight_path
from xiqa.saliency.perturbation.copies import baseline as hidden_image
from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord

__all__ = ["integratedgradcam", "smoothgradcampp"]

_READS = Needs.OUTPUT | Needs.NETWORK


@layer_method("smoothgradcampp", needs=_READS, cite="omeiza2019smoothgradcampp", dims=(2, 3))
def smoothgradcampp(layer: LayerRecord, *, samples: int = 10, spread: float = 0.15, seed: int = 0) -> Tensor:
    r"""Smooth Grad-CAM++: Grad-CAM++ with the derivatives' means over noisy copies of the image.

    .. math:: \overline{D_p} = \frac{1}{n} \sum_{i=1}^n g(x + \varepsilon_i)^p,\ p = 1, 2, 3, \qquad
       L = \mathrm{ReLU}\Big(\sum_k A_k \sum_u
       \frac{\overline{D_2}}{2 \overline{D_2} + \overline{D_3} \sum_v A_k(v)}\, \overline{D_1}^+\Big)

    The activations A are those of the image itself.

    Args:
        layer: Output A, ``(N, C, h, w)``, and its pass.
        samples: Noisy copies, n.
        spread: The noise's standard deviation as a fraction of each image's range.
        seed: Each image's noise starts here.

    Returns:
        ``(N, h, w)``, not negative. Source: omeiza2019smoothgradcampp, eqs. 5 and 6.
    """
    means = [torch.zeros_like(layer.output) for _ in range(3)]
    for copies in noisy_copies(layer.pass_.images, spread, samples, seed):
        grad = layer.again(copies).grad
        means = [mean + grad.pow(power) / samples for power, mean in enumerate(means, start=1)]
    return weighted_sum(plusplus_weights(layer.output, *means), layer.output)


@layer_method("integratedgradcam", needs=_READS, cite="sattarzadeh2021integratedgradcam", dims=(2, 3))
def integratedgradcam(
    layer: LayerRecord, *, steps: int = 20, path: str = "midpoint", baseline: str | float = 0.0
) -> Tensor:
    r"""Integrated Grad-CAM: Grad-CAM of the activations' gain, along the way from a baseline to the image.

    .. math:: L = \int_0^1 \mathrm{ReLU}\Big(\sum_k \overline{g_k}(x_\alpha)\,
       \big(A_k(x_\alpha) - A_k(b)\big)\Big)\, d\alpha, \qquad x_\alpha = b + \alpha (x - b)

    Args:
        layer: A layer and its pass.
        steps: Points on the path.
        path: Rule of the integration; see `xiqa.saliency.gradients.paths.path_nodes`.
        baseline: Where the path begins; see `xiqa.saliency.perturbation.copies.baseline`.

    Returns:
        ``(N, h, w)``, not negative. Source: sattarzadeh2021integratedgradcam, eqs. 5 to 7.
    """
    images = layer.pass_.images
    hidden = hidden_image(images, baseline, dims=images.dim() - 2)
    start = layer.again(hidden).output
    total = torch.zeros_like(layer.output[:, 0])
    nodes, weights = path_nodes(steps, path)
    for weight, copies in zip(weights, straight_path(images, hidden, nodes), strict=True):
        here = layer.again(copies)
        total += weight * weighted_sum(here.grad.mean(dim=places(here.grad)), here.output - start)
    return total
