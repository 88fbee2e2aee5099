"""Lung fields on frontal chest radiographs: a small network and its mask; `region` puts it to use."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label
from torch import Tensor, nn

from xiqa.errors import BundleError
from xiqa.geometry import Frame
from xiqa.imaging.values import to_grey
from xiqa.types import Image, MaskArray

if TYPE_CHECKING:
    from xiqa.types import FloatArray

__all__ = ["SHIPPED_LUNGS", "LungMask", "LungNet", "dice", "doubt", "loaded"]

SHIPPED_LUNGS = "lungs-1"
WIDTHS = (16, 24, 40, 64)
SIDE = 160
BRIDGE = 6.0  # pixels of the network's grid, half the width
LEAST_LUNG = 0.01  # of the image: a smaller piece is a pocket of gas, not a lung


class LungNet(nn.Module):
    """A U-Net of four stages that starts at half resolution (``ronneberger2015unet``, much smaller).

    Args:
        widths: Channels of the stages, fine to coarse.

    >>> net = LungNet()
    >>> net(torch.zeros(2, 1, 64, 64)).shape, sum(p.numel() for p in net.parameters())
    (torch.Size([2, 1, 64, 64]), 247841)
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = widths
        self.down = nn.ModuleList(
            _block(before, after, stride=2) for before, after in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.deep = _block(widths[-1], widths[-1], dilation=2)
        self.up = nn.ModuleList(
            _block(coarse + fine, fine) for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, radiographs: Tensor) -> Tensor:
        """Logits ``(N, 1, h, w)`` of images ``(N, 1, h, w)`` with values in [-1, 1]."""
        stages = []
        x = radiographs
        for block in self.down:
            x = block(x)
            stages.append(x)
        x = self.deep(x)
        for block, finer in zip(self.up, stages[-2::-1], strict=True):
            x = F.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat((x, finer), dim=1))
        return F.interpolate(self.head(x), size=radiographs.shape[-2:], mode="bilinear", align_corners=False)


def _block(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class LungMask:
    """Finds the lungs of a frontal radiograph.

    Args:
        network: A `LungNet`.
        about: What it was trained on and what it scores, kept with the weights.
    """

    def __init__(self, network: LungNet, about: dict[str, str] | None = None) -> None:
        self.network, self.about = network.eval(), about or {}

    def __call__(self, image: Image) -> MaskArray:
        """The lungs ``(H, W)`` on the image's grid: at most two pieces, without holes; all False where none.

        Args:
            image: A frontal chest radiograph, bright bones; grey or RGB.
        """
        probability, frame = self.probability(image)
        inside = probability > 0.5
        lungs = _lungs(inside)
        probability[inside & ~lungs], probability[lungs & ~inside] = 0, 1  # other pieces; holes
        mask: MaskArray = frame.map_to_original(probability) > 0.5
        return mask

    def probability(self, image: Image) -> tuple[FloatArray, Frame]:
        """How likely each place of the network's grid ``(160, 160)`` is lung, and the frame to the image."""
        frame = Frame.letterbox(original=image.size, model=(SIDE, SIDE))
        grey = standardise(frame.image_to_model(to_grey(image.pixels)))
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(grey)[None, None].to(device))
        return np.asarray(logits.sigmoid()[0, 0].cpu().numpy(), dtype=np.float32), frame

    def save(self, path: Path) -> None:
        """Write weights and description to one safetensors file."""
        from safetensors.torch import save_file  # noqa: PLC0415 - as torch, only when needed

        state = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        half = {
            name: value.half() if value.ndim == 4 else value  # kernels; statistics stay as they are
            for name, value in state.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(half, path, {**self.about, "widths": ",".join(map(str, self.network.widths))})

    @classmethod
    def load(cls, name_or_path: str | Path = SHIPPED_LUNGS) -> LungMask:
        """The shipped network by its name, or one that `save` wrote.

        Raises:
            BundleError: There is no such file, or it is not such a network.
        """
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - as torch, only when needed

        path = Path(name_or_path)
        if not path.suffix:
            path = Path(__file__).parents[1] / "bundles" / f"{name_or_path}.safetensors"
        if not path.is_file():
            raise BundleError(
                f"no lung network {str(name_or_path)!r}",
                expected=f"{SHIPPED_LUNGS} or a .safetensors file",
                todo="train one: xiqa lungs train",
            )
        try:
            with safe_open(path, framework="pt") as file:
                about = dict(file.metadata() or {})
                with torch.random.fork_rng(devices=[]):
                    network = LungNet(tuple(int(width) for width in about.pop("widths").split(",")))
                network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise BundleError(f"{path} is no lung network", got=str(error).splitlines()[0]) from error
        return cls(network, about)


@lru_cache(maxsize=2)
def loaded(name: str) -> LungMask:
    """A lung network that stays in memory, for preprocessing image after image."""
    return LungMask.load(name)


def standardise(grey: FloatArray) -> FloatArray:
    """Grey values between their 1st and 99th percentile as [-1, 1], so that windowing matters less."""
    low, high = np.quantile(grey, (0.01, 0.99))
    return np.asarray((grey - low) / max(float(high - low), 1e-6) * 2 - 1, dtype=np.float32).clip(-1, 1)


def _lungs(found: MaskArray) -> MaskArray:
    """The two largest pieces that are not tiny, holes filled; what hangs on by a thin bridge is cut off."""
    whole = binary_fill_holes(found)
    wide = distance_transform_edt(whole) > BRIDGE
    grown = distance_transform_edt(~wide) <= 2 * BRIDGE
    pieces, count = label(whole & grown)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    largest = [k + 1 for k in np.argsort(-areas)[:2] if areas[k] >= LEAST_LUNG * found.size]
    return np.asarray(np.isin(pieces, largest), dtype=np.bool_)


def dice(a: MaskArray, b: MaskArray) -> float:
    r"""Overlap :math:`2|A \cap B| / (|A| + |B|)` of two masks; 1 for two empty ones (``dice1945measures``).

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2 * int((a & b).sum()) / total


def doubt(mask: MaskArray) -> str:
    """Why a mask can hardly be two lungs, told without the true ones; empty where nothing speaks against it.

    Lungs are two pieces, neither less than 0.4 of the other, side by side, together 6 to 50 % of an image,
    and nearly convex: a piece covers at least 0.83 of its convex hull. A mask that runs into a shoulder or
    the stomach does not. The bounds are loose, so that real lungs of small patients and large hearts pass.

    Args:
        mask: ``(H, W)`` of a `LungMask`.

    >>> doubt(np.zeros((8, 8), dtype=bool))
    'no lungs'
    """
    from skimage.measure import label as pieces_of  # noqa: PLC0415 - scikit-image loads slowly
    from skimage.measure import regionprops  # noqa: PLC0415

    step = max(1, max(mask.shape) // (2 * SIDE))  # shapes of a large image are seen in a small one
    mask = mask[::step, ::step]
    measured = regionprops(pieces_of(mask))  # type: ignore[no-untyped-call]
    large_enough = [piece for piece in measured if piece.area >= LEAST_LUNG * mask.size]
    pieces = sorted(large_enough, key=lambda piece: piece.area)
    if len(pieces) != 2:
        return "one lung" if pieces else "no lungs"
    small, large = pieces
    down, across = np.abs(np.subtract(small.centroid, large.centroid)) / mask.shape
    if small.area < 0.4 * large.area:
        return "lungs of very unequal size"
    if not 0.06 <= mask.mean() <= 0.5:
        return "lungs too small or too large"
    if down > 0.15 or not 0.15 <= across <= 0.6:
        return "lungs not side by side"
    if min(small.solidity, large.solidity) < 0.83:
        return "a ragged outline"
    return ""
