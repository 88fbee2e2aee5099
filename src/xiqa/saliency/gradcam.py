r"""Grad-CAM: channels weighted by the mean of their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord

__all__ = ["gradcam"]


@layer_method("gradcam", needs=Needs.OUTPUT | Needs.GRAD, cite="selvaraju2017gradcam")
def gradcam(layer: LayerRecord, *, relu: bool = True) -> Tensor:
    r"""Grad-CAM: the channels' sum, weighted by the mean of each channel's gradient.

    .. math:: L = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad
       \alpha_k = \frac{1}{hw} \sum_u \frac{\partial z_c}{\partial A_k(u)}

    Args:
        layer: Output A and gradient, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone, as the source does.

    Returns:
        ``(N, h, w)``, not negative unless ``relu=False``. Source: selvaraju2017gradcam, eqs. 1 and 2.
    """
    weights = layer.grad.mean(dim=(2, 3), keepdim=True)
    total = (weights * layer.output).sum(dim=1)
    return total.relu() if relu else total
