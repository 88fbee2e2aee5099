"""COCO JSON: read, and written from any data set.

One file ``annotations.json`` beside the images, or ``annotations/*train*.json``, ``*val*.json`` and
``*test*.json`` with the images under ``images/``. Beyond COCO's own fields an image may carry ``label``,
``patient`` and ``split``, which other readers ignore; written files have them, so that nothing is lost.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
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

EDGE = 0.5  # from a pixel's edge to its centre


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
    notes: list[str] = []
    for file, split in _files(path):
        samples += _read_file(file, split, seed, notes)
    return Collection("coco", ("without_object", "with_object"), tuple(samples), tuple(notes))


def _files(path: Path) -> list[tuple[Path, Split | None]]:
    """The annotation files with the split that their names tell."""
    if path.is_file():
        return [(path, None)]
    single = path / "annotations.json"
    if single.is_file():
        return [(single, None)]
    files: list[tuple[Path, Split | None]] = [
        (file, split) for split in SPLITS for file in sorted((path / "annotations").glob(f"*{split}*.json"))
    ]
    if not files:
        raise DatasetError(f"no COCO file in {path}", expected="annotations.json or annotations/*train*.json")
    return files


def _read_file(file: Path, split: Split | None, seed: int, notes: list[str]) -> list[Sample]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        images = content["images"]
        _check_images(file, images)
        objects = _objects(file, content, notes)
        labels = [int(image.get("label", bool(objects[str(image["id"])]))) for image in images]
        owners = [str(image.get("patient") or image["file_name"]) for image in images]
        drawn = assign_splits(owners, seed=seed, labels=labels)
        root = file.parent if file.name == "annotations.json" or split is None else file.parent.parent
        folder = root / "images" if (root / "images").is_dir() else root
        unknown = {str(image["split"]) for image in images if image.get("split", "train") not in SPLITS}
        if unknown:
            raise ValueError(f"split {', '.join(sorted(unknown))}; expected train, val or test")
        return [
            Sample(
                key=image["file_name"],
                path=folder / image["file_name"],
                label=label,
                split=image.get("split", split or part),
                patient=str(image.get("patient", "")),
                annotations=tuple(objects[str(image["id"])]),
                size=(int(image["height"]), int(image["width"])),
            )
            for image, label, part in zip(images, labels, drawn, strict=True)
        ]
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise DatasetError(
            f"cannot read {file.name}", expected="COCO JSON", got=f"{type(error).__name__}: {error}"
        ) from None


def _check_images(file: Path, images: list[dict[str, Any]]) -> None:
    """Every image once, under one id."""
    for key in ("id", "file_name"):
        counts = Counter(str(image[key]) for image in images)
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            raise DatasetError(
                f"{file.name} lists an image twice",
                got=f"{key} {twice[0]}; {len(twice)} such",
                todo="keep one entry an image, and let its annotations name it",
            )


def _objects(file: Path, content: dict[str, Any], notes: list[str]) -> dict[str, list[Annotation]]:
    """The annotations by the id of their image; ids count as text, since some tools write both."""
    names = {str(category["id"]): str(category["name"]) for category in content["categories"]}
    sizes = {str(image["id"]): (image["height"], image["width"]) for image in content["images"]}
    objects: dict[str, list[Annotation]] = defaultdict(list)
    unlisted = Counter(
        str(entry["image_id"]) for entry in content["annotations"] if str(entry["image_id"]) not in sizes
    )
    for place, entry in enumerate(content["annotations"]):
        image = str(entry["image_id"])
        if image in unlisted:
            continue
        try:
            objects[image].append(_annotation(entry, names, sizes[image]))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{file.name}, annotation {entry.get('id', place)} of image {image}",
                expected="a bbox of four numbers, a listed category_id, a segmentation of the image's size",
                got=f"{type(error).__name__}: {error}",
                todo="mend the entry or take it out",
            ) from None
    if unlisted:
        some = ", ".join(list(unlisted)[:3])
        notes.append(
            f"{file.name}: {sum(unlisted.values())} annotations were left out, whose images are not listed"
            f" (image_id {some})"
        )
    return objects


def _annotation(entry: dict[str, Any], names: dict[str, str], size: tuple[int, int]) -> Annotation:
    """An annotation; COCO counts from the outer edge of the first pixel, half a pixel before its centre."""
    x, y, width, height = (number(value) for value in entry["bbox"])
    shape = entry.get("segmentation") or []
    mask = _decode(shape, size) if isinstance(shape, dict) else None
    polygons = [_corners(polygon) for polygon in shape] if isinstance(shape, list) else []
    if len(polygons) > 1:
        mask = np.logical_or.reduce([_filled(polygon, size) for polygon in polygons])
    return Annotation(
        Box(x, y, x + width - 1, y + height - 1),
        kind=names[str(entry["category_id"])],
        polygon=tuple(Point(*corner) for corner in polygons[0]) if len(polygons) == 1 else (),
        ellipse=bool(entry.get("ellipse", False)),
        mask=mask,
        problem=bool(entry.get("problem", True)),
        groups=tuple(map(str, entry.get("groups", ()))),
    )


def _corners(polygon: list[float]) -> list[tuple[float, float]]:
    """The corners of a polygon, in coordinates that count from the centre of the first pixel."""
    numbers = [number(value) - EDGE for value in polygon]
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"a polygon of {len(numbers)} numbers")
    return list(zip(numbers[0::2], numbers[1::2], strict=True))


def _filled(corners: list[tuple[float, float]], size: tuple[int, int]) -> MaskArray:
    """The pixels whose centres lie inside a polygon."""
    from skimage.draw import polygon  # noqa: PLC0415 - only for objects of several polygons

    mask = np.zeros(size, dtype=bool)
    x, y = zip(*corners, strict=True)
    mask[polygon(y, x, size)] = True  # type: ignore[no-untyped-call]
    return mask


def _decode(segmentation: dict[str, Any], size: tuple[int, int]) -> MaskArray:
    """A mask from run lengths, which go down the columns and begin with background."""
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not isinstance(counts, list) or sum(counts) != size[0] * size[1] or min(counts, default=0) < 0:
        raise ValueError(
            f"segmentation runs, compressed or uncompressed, of {sum(counts):,} pixels for an image of "
            f"{size[0]} x {size[1]}"
        )
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(size, order="F")


def _unpacked(text: str) -> list[int]:
    """Run lengths from COCO's compressed text: five bits a character, from the fourth run on differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


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
        corners = [float(value) + EDGE for point in annotation.polygon for value in point]
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
