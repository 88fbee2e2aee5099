r"""Maps from the activations' statistics: Eigen-CAM and FEM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from xiqa.saliency.arrays import places
from xiqa.saliency.cams.gradcam import weighted_sum
from xiqa.saliency.registry import Needs, layer_method

if TYPE_CHECKING:
    from torch import Tensor

    from xiqa.saliency.capture import LayerRecord

__all__ = ["eigencam", "fem"]


@layer_method("eigencam", needs=Needs.OUTPUT | Needs.GRAD, cite="muhammad2020eigencam", dims=(2, 3))
def eigencam(layer: LayerRecord, *, relu: bool = False) -> Tensor:
    r"""Eigen-CAM: the activations' projection on their first principal direction.

    .. math:: L(u) = \sum_k A_k(u)\, v_k, \qquad A = U \Sigma V^\top,\ v = V_{\cdot 1}

    A singular vector has no sign of its own. It is chosen such that going along v raises the class's score,
    :math:`\sum_k v_k \sum_u g_k(u) > 0` (or, where that is 0, such that the map's sum is positive); the
    source leaves it open. A is not centred, as in the source.

    Args:
        layer: Output A and gradient g, ``(N, C, h, w)``.
        relu: Whether to keep the positive part alone.

    Returns:
        ``(N, h, w)``, signed. Source: muhammad2020eigencam, eqs. 1 to 3.
    """
    values = layer.output.flatten(2).double()  # (N, C, hw)
    direction = _leading(values)
    rise = (direction * layer.grad.sum(dim=places(layer.grad))).sum(dim=1)
    mass = (direction * values.sum(dim=2)).sum(dim=1)
    sign = torch.where(rise == 0, mass, rise).sign()
    return weighted_sum((direction * sign[:, None]).to(layer.output), layer.output, relu=relu)


def _leading(values: Tensor, turns: int = 60) -> Tensor:
    """The first left singular vector ``(N, C)`` of each ``(C, hw)`` matrix, of either sign.

    Activations after a ReLU have one dominant direction, to which power iteration converges in a few turns;
    where it does not, the smaller Gram matrix is decomposed, which takes far longer.
    """
    start = torch.randn(values.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = normalize(start.to(values.device).expand(len(values), -1), dim=1)
    for _ in range(turns):
        before = direction
        direction = normalize((values @ (values.mT @ before[..., None]))[..., 0], dim=1)
        if bool(((direction - before).norm(dim=1) < 1e-13).all()):
            return direction
    if values.shape[1] <= values.shape[2]:
        direction = torch.linalg.eigh(values @ values.mT).eigenvectors[..., -1]
    else:
        side = torch.linalg.eigh(values.mT @ values).eigenvectors[..., -1:]
        direction = normalize((values @ side)[..., 0], dim=1)
    return direction


@layer_method("fem", needs=Needs.OUTPUT, cite="fuad2020fem", dims=(2, 3))
def fem(layer: LayerRecord, *, k: float = 1.0) -> Tensor:
    r"""FEM: where channels are unusually active, weighted by the channels' means; no gradient, no class.

    .. math:: L(u) = \sum_k \mu_k\, [A_k(u) \ge \mu_k + K \sigma_k]

    with :math:`\mu_k, \sigma_k` each channel's mean and standard deviation over places. A constant channel
    says nothing of places, so it is left out.

    Args:
        layer: Output A, ``(N, C, h, w)``.
        k: How many standard deviations above the mean are unusual, K.

    Returns:
        ``(N, h, w)``. Source: fuad2020fem, eqs. 1 to 3.
    """
    over = places(layer.output)
    mean = layer.output.mean(dim=over, keepdim=True)
    spread = layer.output.std(dim=over, keepdim=True, correction=0)
    unusual = (layer.output >= mean + k * spread) & (layer.output.amax(dim=over, keepdim=True) > mean)
    return weighted_sum(mean.flatten(1), unusual.to(mean), relu=False)
