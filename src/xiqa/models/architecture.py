"""What is needed to build a network, told without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from xiqa.config import Section

__all__ = ["Architecture"]


Side = Annotated[int, Field(ge=1, le=8192)]
Stage = Annotated[int, Field(ge=0, le=16)]


class Architecture(Section):
    """What is needed to build a network without its weights.

    Attributes:
        library: Where the backbone comes from.
        backbone: Its name there.
        head: ``pooled``: the library's own head; ``evidence``: `EvidenceNet` (timm only); ``mlp``:
            `PooledMLP`, max pooling and two dense layers on the last feature map; ``stage``: `StageNet`,
            average pooling of the last of ``stages``; ``lficam``: `AttentionNet`, the same with an
            attention branch (both timm only).
        classes: Length of the output.
        output_stride: 8, 16 or 32; smaller than 32 dilates the last stages (timm only).
        stages: timm's indices of the stages that the evidence head reads.
        width: Channels of the evidence head.
        sharpness: Of its smooth maximum.
        input_size: (rows, columns) of the input that the ``mlp`` head is made for.
        pool: Side and stride of the ``mlp`` head's max pooling.
        hidden: Neurons of its first dense layer.
        grades: Of an ordered head, how many grades each of its scores tells apart (`OrderedLinear` in
            place of the last linear layer; ``classes`` is then a multiple of ``grades - 1``); 0: none.
    """

    library: Literal["timm", "torchvision"] = "timm"
    backbone: str = "tf_efficientnet_lite0"
    head: Literal["pooled", "evidence", "mlp", "stage", "lficam"] = "pooled"
    classes: int = Field(default=2, ge=1, le=10_000)
    output_stride: Literal[8, 16, 32] = 32
    stages: tuple[Stage, ...] = Field(default=(2, 3, 4), min_length=1)
    width: int = Field(default=96, ge=1, le=8192)
    sharpness: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    input_size: tuple[Side, Side] | None = None
    pool: int = Field(default=4, ge=1, le=1024)
    hidden: int = Field(default=64, ge=1, le=65_536)
    grades: int = Field(default=0, ge=0, le=1000)
