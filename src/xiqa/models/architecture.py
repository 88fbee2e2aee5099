"""What is needed to build a network, told without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Architecture"]


class Architecture(BaseModel):
    """What is needed to build a network without its weights.

    Attributes:
        library: Where the backbone comes from.
        backbone: Its name there.
        head: ``pooled``: the library's own head; ``evidence``: `EvidenceNet` (timm only).
        classes: Length of the output.
        output_stride: 8, 16 or 32; smaller than 32 dilates the last stages (timm only).
        stages: timm's indices of the stages that the evidence head reads.
        width: Channels of the evidence head.
        sharpness: Of its smooth maximum.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: Literal["timm", "torchvision"] = "timm"
    backbone: str = "tf_efficientnet_lite0"
    head: Literal["pooled", "evidence"] = "pooled"
    classes: int = Field(default=2, ge=1)
    output_stride: Literal[8, 16, 32] = 32
    stages: tuple[int, ...] = (2, 3, 4)
    width: int = Field(default=96, ge=1)
    sharpness: float = Field(default=2.0, gt=0)
