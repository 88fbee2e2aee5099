"""COCO JSON: read, and written from any data set.

One file ``annotations.json`` beside the images, or ``annotations/*train*.json``, ``*val*.json`` and
``*test*.json`` with the images under ``images/``. Beyond COCO's own fields an image may carry ``label``,
``patient`` and ``split``, which other readers ignore; written files have them, so that nothing is lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xiqa.datasets.collection import SPLITS, Collection, assign_splits
from xiqa.datasets.layout import layout
from xiqa.datasets.sample import Sample
from xiqa.datasets.tables import number
from xiqa.errors import DatasetError
from xiqa.geometry import Box, Point
from xiqa.imaging.masks import tightest_box
from xiqa.types import Annotation, MaskArray, Split

__all__ = ["read_coco", "write_coco"]


def _is_coco(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".json"
    return (path / "annotations.json").is_file() or any(path.glob("annotations/*.json"))


@layout("coco", recognise=_is_coco, rank=1)
def read_coco(path: Path, *, seed: int = 0) -> Collection:
    """The images of one COCO file, or of a folder that holds one file a split.

    An image is of class 1 when it has an annotation, unless it carries a ``label``. Without given splits
    the images are split 80/10/10 by patient (by image where no patient is told).

    Raises:
        DatasetError: No file, no JSON, or fields that COCO requires are absent.
    """
    samples: list[Sample] = []
    for file, split in _files(path):
        samples += _read_file(file, split, seed)
    return Collection("coco", ("without_object", "with_object"), tuple(samples))


def _files(path: Path) -> list[tuple[Path, Split | None]]:
    """The annotation files with the split that their names tell."""
    if path.is_file():
        return [(path, None)]
    single = path / "annotations.json"
    if single.is_file():
        return [(single, None)]
    found: list[tuple[Path, Split | None]] = [
        (file, split) for split in SPLITS for file in sorted((path / "annotations").glob(f"*{split}*.json"))
    ]
    if not found:
        raise DatasetError(f"no COCO file in {path}", expected="annotations.json or annotations/*train*.json")
    return found


def _read_file(file: Path, split: Split | None, seed: int) -> list[Sample]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        objects: dict[Any, list[Annotation]] = defaultdict(list)
        sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        for entry in content["annotations"]:
            objects[entry["image_id"]].append(_annotation(entry, names, sizes[entry["image_id"]]))
        images = content["images"]
        owners = [str(image.get("patient") or image["file_name"]) for image in images]
        drawn = assign_splits(owners, seed=seed)
        root = file.parent if file.name == "annotations.json" or split is None else file.parent.parent
        folder = root / "images" if (root / "images").is_dir() else root
        unknown = {str(image["split"]) for image in images if image.get("split", "train") not in SPLITS}
        if unknown:
            raise ValueError(f"split {', '.join(sorted(unknown))}; expected train, val or test")
        return [
            Sample(
                key=image["file_name"],
                path=folder / image["file_name"],
                label=int(image.get("label", bool(objects[image["id"]]))),
                split=image.get("split", split or part),
                patient=str(image.get("patient", "")),
                annotations=tuple(objects[image["id"]]),
            )
            for image, part in zip(images, drawn, strict=True)
        ]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"cannot read {file.name}", expected="COCO JSON", got=f"{type(error).__name__}: {error}"
        ) from None


def _annotation(entry: dict[str, Any], names: dict[Any, str], size: tuple[int, int]) -> Annotation:
    x, y, width, height = (number(value) for value in entry["bbox"])
    shape = entry.get("segmentation") or []
    mask = _decode(shape, size) if isinstance(shape, dict) else None
    corners = shape[0] if isinstance(shape, list) and len(shape) == 1 else []
    return Annotation(
        Box(x, y, x + width - 1, y + height - 1),
        kind=names[entry["category_id"]],
        polygon=tuple(map(Point, corners[0::2], corners[1::2])),
        ellipse=bool(entry.get("ellipse", False)),
        mask=mask,
        problem=bool(entry.get("problem", True)),
        groups=tuple(map(str, entry.get("groups", ()))),
    )


def _decode(segmentation: dict[str, Any], size: tuple[int, int]) -> MaskArray:
    """A mask from uncompressed run lengths, which go down the columns and begin with background."""
    counts = segmentation["counts"]
    if not isinstance(counts, list) or sum(counts) != size[0] * size[1]:
        raise ValueError("segmentation counts are not uncompressed runs of the image's size")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(size, order="F")


def _encode(mask: MaskArray) -> dict[str, Any]:
    """Uncompressed run lengths of a mask; see `_decode`."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def write_coco(collection: Collection, path: Path) -> None:
    """Write a data set's annotations as one COCO file; the images stay where they are.

    File names are relative to the file's folder where the images lie below it, else absolute. Every image
    is opened once, since COCO wants its size.

    Raises:
        ImageReadError: An image cannot be read.
    """
    builder = _Builder(path.parent.resolve())
    for sample in collection.samples:
        builder.add(sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"images": builder.images, "annotations": builder.annotations, "categories": builder.categories},
        indent=1,
    )
    path.write_text(text, encoding="utf-8")


@dataclass
class _Builder:
    """Collects the three lists of a COCO file."""

    folder: Path

    def __post_init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = []
        self._ids: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        size = sample.read().size
        place = sample.path.resolve()
        name = place.relative_to(self.folder).as_posix() if place.is_relative_to(self.folder) else str(place)
        self.images.append(
            {
                "id": len(self.images) + 1,
                "file_name": name,
                "height": size[0],
                "width": size[1],
                "label": sample.label,
                "patient": sample.patient,
                "split": sample.split,
            }
        )
        for annotation in sample.annotations:
            self._annotate(annotation, len(self.images))

    def _annotate(self, annotation: Annotation, image: int) -> None:
        box = tightest_box(annotation.mask) if annotation.mask is not None else annotation.box
        corners = [float(value) for point in annotation.polygon for value in point]
        self.annotations.append(
            {
                "id": len(self.annotations) + 1,
                "image_id": image,
                "category_id": self._category(annotation.kind),
                "bbox": [box.x0, box.y0, box.width, box.height],
                "area": float(
                    annotation.mask.sum() if annotation.mask is not None else box.width * box.height
                ),
                "segmentation": _encode(annotation.mask)
                if annotation.mask is not None
                else ([corners] if corners else []),
                "iscrowd": int(annotation.mask is not None),
                "ellipse": annotation.ellipse,
                "problem": annotation.problem,
                "groups": list(annotation.groups),
            }
        )

    def _category(self, kind: str) -> int:
        if kind not in self._ids:
            self._ids[kind] = len(self._ids) + 1
            self.categories.append({"id": self._ids[kind], "name": kind})
        return self._ids[kind]
