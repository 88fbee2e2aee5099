"""Saliency maps as files: raw numbers for programs, 16-bit TIFF for image viewers, overlays for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xiqa.report.overlay import overlay_picture
from xiqa.saliency.placing import on_picture
from xiqa.types import FloatArray, Image, SaliencyMap

__all__ = ["sixteen_bits", "write_maps"]


def write_maps(folder: Path, image: Image, maps: Mapping[str, SaliencyMap]) -> list[Path]:
    """Write ``maps.npz`` and, for each method, ``NAME.tif`` and ``NAME.png``.

    ``maps.npz`` holds the raw maps under the methods' texts, and under ``about`` a JSON text: target, layers,
    parameters, input size, frame and steps of each. A TIFF has the original's rows and columns.

    Args:
        folder: An existing folder.
        image: The image.
        maps: Map by the method's text.

    Returns:
        The files written.
    """
    import tifffile  # noqa: PLC0415 - needed for files only

    about = {text: _about(one) for text, one in maps.items()}
    written = [folder / "maps.npz"]
    arrays = {text: one.values for text, one in maps.items()}
    np.savez_compressed(written[0], **arrays, about=np.array(json.dumps(about)))  # type: ignore[arg-type]
    for text, one in maps.items():
        stem = re.sub(r"[^A-Za-z0-9._=+-]+", "_", text).strip("_")[:120]
        pixels, scale = sixteen_bits(on_picture(one, image.size, image.size))
        told = json.dumps({"method": text, **scale, **about[text]})
        tifffile.imwrite(folder / f"{stem}.tif", pixels, description=told, compression="zlib")
        overlay_picture(image, one).save(folder / f"{stem}.png", compress_level=3)
        written += [folder / f"{stem}.tif", folder / f"{stem}.png"]
    return written


def sixteen_bits(values: FloatArray) -> tuple[NDArray[np.uint16], dict[str, float]]:
    """Values as 16-bit numbers, and how to get them back: ``value = offset + slope * number``.

    Values that are not finite become 0.

    >>> pixels, scale = sixteen_bits(np.array([[0.0, 2.0]], dtype=np.float32))
    >>> pixels.tolist(), scale["offset"] + scale["slope"] * int(pixels[0, 1])
    ([[0, 65535]], 2.0)
    """
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    slope = (high - low) / 65535 if high > low else 1.0
    return np.round((finite - low) / slope).astype(np.uint16), {"offset": low, "slope": slope}


def _about(one: SaliencyMap) -> dict[str, object]:
    """What is needed to make the map again."""
    return {
        "target": one.target,
        "params": {
            key: value if isinstance(value, (int, float, str)) else str(value)
            for key, value in one.params.items()
        },
        "input_size": list(one.input_size),
        "frame": None if one.frame is None else one.frame.to_dict(),
        "steps": list(one.steps),
    }
