"""The map of a volume: a NIfTI file in the space of its source, and a picture of three slices at its peak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from xiqa.errors import OutputError
from xiqa.files import write_atomic
from xiqa.imaging.volume import Volume
from xiqa.report.overlay import for_display, palette
from xiqa.saliency.maps import upsample, values_of
from xiqa.types import FloatArray, SaliencyMap

__all__ = ["on_volume", "orthogonal_picture", "write_nifti"]


def on_volume(saliency: SaliencyMap | FloatArray, volume: Volume) -> FloatArray:
    """The map ``(d, h, w)`` on the volume's grid ``(D, H, W)``, trilinear.

    The network is taken to have seen the whole volume, on a grid of any size: edges meet edges.
    """
    return upsample(values_of(saliency, (3,)), volume.voxels.shape)


def write_nifti(path: Path, saliency: SaliencyMap | FloatArray, volume: Volume) -> Path:
    """Write a map as float32 NIfTI-1 with the volume's affine: a viewer lays it over the source.

    Args:
        path: A name that ends with ``.nii`` or ``.nii.gz``.
        saliency: ``(d, h, w)``, at any size.
        volume: What was explained.

    Raises:
        OutputError: Another name, or the file cannot be written.
    """
    import gzip  # noqa: PLC0415

    import nibabel  # noqa: PLC0415 - loaded when a volume is written

    if not path.name.endswith((".nii", ".nii.gz")):
        raise OutputError("no name for a NIfTI file", expected=".nii or .nii.gz", got=path.name)
    columns_first = np.ascontiguousarray(on_volume(saliency, volume).transpose(2, 1, 0))
    image = nibabel.Nifti1Image(columns_first, volume.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = f"saliency {saliency.method}"[:79] if isinstance(saliency, SaliencyMap) else ""
    content = image.to_bytes()
    write_atomic(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    return path


def orthogonal_picture(saliency: SaliencyMap | FloatArray, volume: Volume, side: int = 320) -> Pillow.Image:
    """Three slices through the map's peak, and the map's maximum along the slices, as RGB side by side.

    The slice itself, the plane of its rows over all slices, the plane of its columns over all slices, and the
    projection over the slice at the peak. Each is drawn in millimetres, so that voxels that are no cubes do
    not stretch it; all share one scale of the map.

    Args:
        saliency: ``(d, h, w)``, at any size.
        volume: What was explained.
        side: Height of the picture in pixels.
    """
    heat = for_display(on_volume(saliency, volume))
    k, row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    slices, rows, columns = volume.spacing
    planes = [
        (volume.voxels[k], heat[k], rows / columns),
        (volume.voxels[::-1, row], heat[::-1, row], slices / columns),
        (volume.voxels[::-1, :, column], heat[::-1, :, column], slices / rows),
        (volume.voxels[k], heat.max(axis=0), rows / columns),
    ]
    tiles = [_overlaid(grey, hot, ratio, side) for grey, hot, ratio in planes]
    picture = Pillow.new("RGB", (sum(tile.width for tile in tiles) + 8 * (len(tiles) - 1), side))
    left = 0
    for tile in tiles:
        picture.paste(tile, (left, (side - tile.height) // 2))
        left += tile.width + 8
    return picture


def _overlaid(grey: FloatArray, heat: FloatArray, ratio: float, side: int) -> Pillow.Image:
    """A plane with its heat, whose rows are ``ratio`` times as far apart as its columns."""
    tall, wide = grey.shape[0] * ratio, float(grey.shape[1])
    scale = side / max(tall, wide)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    levels = (np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)
    picture = Pillow.fromarray(levels).resize(size, Pillow.Resampling.BILINEAR).convert("RGB")
    colours = Pillow.fromarray(palette()[(heat * 255 + 0.5).astype(np.uint8)])
    hot = colours.resize(size, Pillow.Resampling.BILINEAR)
    picture.paste(hot, (0, 0), hot)
    return picture
