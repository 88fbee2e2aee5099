"""Tiny data sets in the published layouts."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def png(path: Path, seed: int = 0, size=(24, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).random((4, 4))
    pixels = np.kron(coarse, np.ones((size[0] // 4, size[1] // 4)))
    Picture.fromarray((pixels * 255).astype(np.uint8)).save(path)
    return path


def object_cxr(folder: Path, name_column: str = "image_name") -> Path:
    rows = {
        "train.csv": ["a.jpg,", "b.jpg,0 2 3 7 9;1 4 4 10 8"],
        "dev.csv": ["c.jpg,2 1 1 9 1 5 8"],
        "test.csv": ["d.jpg,"],
    }
    seed = 0
    for table, lines in rows.items():
        (folder / table).write_text("\n".join([f"{name_column},annotation", *lines]) + "\n")
        for line in lines:
            seed += 1
            png(folder / table.removesuffix(".csv") / line.split(",")[0], seed)
    return folder


def nih(folder: Path) -> Path:
    rows = [
        "00000001_000.png,Cardiomegaly,0,1,58,M,PA,2682,2749,0.143,0.143,",
        "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143,",
        "00000002_000.png,No Finding,0,2,81,M,PA,2500,2048,0.171,0.171,",
        "00000003_000.png,Hernia,0,3,74,F,PA,2500,2048,0.168,0.168,",
    ]
    (folder / "Data_Entry_2017.csv").write_text("\n".join([NIH_HEADER, *rows]) + "\n")
    (folder / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n00000003_000.png\n")
    (folder / "test_list.txt").write_text("00000002_000.png\n")
    (folder / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Cardiomegaly,3,4.5,10,6,,,\n"
    )
    for index, row in enumerate(rows):
        png(folder / "images_001" / "images" / row.split(",")[0], index)
    return folder


def covid(folder: Path) -> Path:
    prefixes = {
        "COVID": "COVID",
        "Lung_Opacity": "Lung_Opacity",
        "Normal": "Normal",
        "Viral Pneumonia": "Viral Pneumonia",
    }
    for number, (name, prefix) in enumerate(prefixes.items()):
        for index in range(10 if name == "Normal" else 5):
            png(folder / name / "images" / f"{prefix}-{index + 1}.png", 100 * number + index)
            png(folder / name / "masks" / f"{prefix}-{index + 1}.png", index)
    return folder


def lvot(folder: Path) -> Path:
    for patient in range(10):
        for index in range(2):
            png(folder / "images" / f"P{patient:02d}" / f"slice{index}.png", 10 * patient + index)
        mask = np.zeros((24, 20), np.uint8)
        mask[5:9, 3:7] = 255
        target = folder / "masks" / f"P{patient:02d}" / "slice0.png"
        target.parent.mkdir(parents=True)
        Picture.fromarray(mask).save(target)
    return folder
