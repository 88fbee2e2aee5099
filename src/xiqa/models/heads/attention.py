r"""LFI-CAM: a classifier with a branch that learns how important each feature map is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AttentionNet", "FeatureImportance", "StageNet", "unit_range"]


def unit_range(values: Tensor) -> Tensor:
    r"""Each sample stretched to [0, 1]; a constant one becomes 0.

    .. math:: \hat v = \frac{v - \min v}{\max v - \min v}

    >>> unit_range(torch.tensor([[[1.0, 2.0, 5.0]], [[3.0, 3.0, 3.0]]])).tolist()
    [[[0.0, 0.25, 1.0]], [[0.0, 0.0, 0.0]]]
    """
    flat = values.flatten(1)
    low, high = (edge.reshape(-1, *[1] * (values.dim() - 1)) for edge in flat.aminmax(dim=1))
    spread = high - low
    return (values - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


class FeatureImportance(nn.Module):
    r"""The feature importance network: one weight a feature map, non-negative, of sum 1.

    .. math:: \alpha = \mathrm{softmax}\big(\mathrm{GAP}(\mathrm{FIN}(\hat A \circ I))\big)

    It sees the stretched feature maps under the grey image :math:`I`, made as small as they are. The source
    uses residual blocks of the backbone's kind; here it is a depthwise and a pointwise convolution.

    Args:
        channels: Of the feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Weights ``(N, C)`` of features ``(N, C, h, w)`` of images ``(N, K, H, W)``."""
        grey = images.mean(dim=1, keepdim=True)
        small = F.interpolate(
            grey, size=features.shape[-2:], mode="bilinear", align_corners=False, antialias=True
        )
        return cast("Tensor", self.mix(unit_range(features) * small)).mean(dim=(2, 3)).softmax(dim=1)


class StageNet(nn.Module):
    r"""A backbone, global average pooling of one stage's feature maps, and a linear classifier.

    .. math:: z = W\,\overline{A} + b

    Args:
        body: Network that returns a list of feature maps, of which the last is used (timm's
            ``features_only``).
        channels: Their channels.
        classes: Length of the output.
    """

    def __init__(self, body: nn.Module, channels: Sequence[int], classes: int = 2) -> None:
        super().__init__()
        self.body = body
        self.attended = nn.Identity()  # what the head sees, as a layer with a name
        self.head = nn.Linear(channels[-1], classes)

    def features(self, images: Tensor) -> Tensor:
        """The last feature maps :math:`A`, ``(N, C, h, w)``, of images ``(N, K, H, W)``."""
        stages = self.body(images)
        return cast("Tensor", stages[-1] if isinstance(stages, (list, tuple)) else stages)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, K, H, W)``."""
        return self._pooled(self.features(images))

    def _pooled(self, features: Tensor) -> Tensor:
        """Logits of what the head sees."""
        return cast("Tensor", self.head(self.attended(features).mean(dim=(2, 3))))


class AttentionNet(StageNet):
    r"""A backbone, LFI-CAM's attention over its last feature maps, and a linear classifier.

    .. math::
        M = \mathrm{unit}\Big(\mathrm{ReLU}\Big(\sum_k \alpha_k \hat A_k\Big)\Big), \qquad
        z = W\,\overline{(1 + M) \circ A} + b

    with :math:`\hat A` and unit as in `unit_range`, a sample at a time. Without attention (:math:`M = 0`) it
    is the plain classifier, `StageNet`. Source: ``lee2021lficam``. Deviations from the
    authors' code: features and map are stretched a sample at a time, not a batch, so that an image's logits
    do not depend on its neighbours; the gradient passes through the map, without which the branch learns
    nothing; the classifier sees :math:`A` itself, whose amplitudes matter, and no dropout.

    Args:
        body: See `StageNet`.
        channels: Likewise.
        classes: Likewise.
    """

    def __init__(self, body: nn.Module, channels: Sequence[int], classes: int = 2) -> None:
        super().__init__(body, channels, classes)
        self.importance = FeatureImportance(channels[-1])

    def attention(self, features: Tensor, images: Tensor) -> Tensor:
        """The attention map :math:`M`, ``(N, h, w)`` in [0, 1], of features and their images."""
        weights = self.importance(features, images)
        return unit_range(torch.einsum("nk,nkhw->nhw", weights, unit_range(features)).relu())

    def attention_map(self, images: Tensor) -> Tensor:
        """The attention map ``(N, h, w)`` of images ``(N, K, H, W)``: LFI-CAM."""
        return self.attention(self.features(images), images)

    def classify(self, features: Tensor, attention: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of features ``(N, C, h, w)`` under a map ``(N, h, w)``."""
        return self._pooled((1 + attention[:, None]) * features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, K, H, W)``."""
        features = self.features(images)
        return self.classify(features, self.attention(features, images))
