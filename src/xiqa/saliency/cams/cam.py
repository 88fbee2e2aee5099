r"""CAM: the channels of the last layer, weighted by the classifier's own weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xiqa.errors import SaliencyError
from xiqa.saliency.cams.gradcam import weighted_sum
from xiqa.saliency.cams.pooledhead import PooledHead, behind
from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord

__all__ = ["cam"]


@layer_method("cam", needs=Needs.OUTPUT | Needs.NETWORK, cite="zhou2016cam", dims=(2, 3))
def cam(layer: LayerRecord, *, relu: bool = False) -> Tensor:
    r"""CAM: the channels' sum, weighted by the linear layer behind the average pooling.

    .. math:: L(u) = \sum_k w_{ck} A_k(u), \qquad z_c = \sum_k w_{ck} \overline{A_k} + b_c

    Defined where nothing but global average pooling and one linear layer follows; that is tried, not guessed.
    The mean of the map is the logit less its bias.

    Args:
        layer: Output A, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone; the source keeps signs.

    Returns:
        ``(N, h, w)``, signed.

    Raises:
        SaliencyError: Something else follows the layer. Source: zhou2016cam, eqs. 1 and 2.
    """
    head = behind(layer.sample(0))
    if not isinstance(head, PooledHead):
        raise SaliencyError(
            f"CAM is not defined at layer {layer.name!r}",
            expected="global average pooling and one linear layer behind it",
            got=type(layer.pass_.network).__name__,
            todo="use gradcam, which equals it up to a factor where both are defined",
        )
    target = layer.pass_.target
    if len(head.weight) == 1:  # class 0 of a one-logit head is explained by -z
        weights = head.weight * (2 * target - 1)[:, None]
    else:
        weights = head.weight[target]
    return weighted_sum(weights, layer.output, relu=relu)
