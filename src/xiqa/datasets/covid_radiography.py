"""COVID-19 Radiography Database: four classes, lung masks for every image.

The layout is the published one::

    COVID/images/COVID-1.png             COVID/masks/COVID-1.png
    Lung_Opacity/images/...              Lung_Opacity/masks/...
    Normal/images/...                    Normal/masks/...
    Viral Pneumonia/images/...           Viral Pneumonia/masks/...

Images have 299 x 299 pixels, masks 256 x 256. Patients are not named, so every image stands for its own;
the images are split 80/10/10 within each class.
"""

from __future__ import annotations

from pathlib import Path

from xiqa.datasets.collection import Collection, assign_splits
from xiqa.datasets.layout import layout
from xiqa.datasets.sample import Sample
from xiqa.errors import DatasetError

__all__ = ["CLASSES", "read_covid_radiography"]

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


@layout("covid_radiography", recognise=lambda path: (path / "COVID" / "images").is_dir())
def read_covid_radiography(folder: Path, *, seed: int = 0) -> Collection:
    """The images of the four classes.

    Args:
        folder: The folder that holds the four class folders.
        seed: Of the split.

    Returns:
        Samples with `organ_mask` set where the mask file exists.

    Raises:
        DatasetError: A class folder is absent or holds no PNG.
    """
    samples: list[Sample] = []
    for label, name in enumerate(CLASSES):
        files = sorted((folder / name / "images").glob("*.png"))
        if not files:
            raise DatasetError(f"no image of class {name}", expected=str(folder / name / "images" / "*.png"))
        splits = assign_splits([file.name for file in files], seed=seed)
        for file, split in zip(files, splits, strict=True):
            mask = folder / name / "masks" / file.name
            samples.append(
                Sample(
                    key=f"{name}/{file.name}",
                    path=file,
                    label=label,
                    split=split,
                    patient=file.stem,
                    surveyed="none",
                    organ_mask=mask if mask.is_file() else None,
                )
            )
    return Collection(
        "covid_radiography",
        CLASSES,
        tuple(samples),
        ("patients are not named: every image is its own patient",),
    )
