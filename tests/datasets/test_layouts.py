import json

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture
from tests.datasets import layouts
from typer.testing import CliRunner

from xiqa.cli import data
from xiqa.datasets.check import check_dataset
from xiqa.datasets.coco import read_coco, write_coco
from xiqa.datasets.covid_radiography import read_covid_radiography
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.folder import read_class_folders, read_csv
from xiqa.datasets.lvot import read_lvot
from xiqa.datasets.nih_chestxray14 import read_nih_chestxray14
from xiqa.errors import DatasetError


@pytest.mark.parametrize("column", ["image_name", "image_path"])
def test_object_cxr(tmp_path, column):
    found = read_dataset(layouts.object_cxr(tmp_path, column))
    assert found.name == "object_cxr"
    assert {s.key: (s.label, s.split) for s in found.samples} == {
        "a.jpg": (0, "train"),
        "b.jpg": (1, "train"),
        "c.jpg": (1, "val"),
        "d.jpg": (0, "test"),
    }
    box, ellipse = found.samples[1].annotations
    assert box.box == (2, 3, 7, 9)
    assert ellipse.ellipse
    (polygon,) = found.samples[2].annotations
    assert polygon.box == (1, 1, 9, 8)
    assert polygon.polygon[2] == (5, 8)
    assert all(s.path.is_file() for s in found.samples)


def test_nih(tmp_path):
    found = read_dataset(layouts.nih(tmp_path))
    by_key = {s.key: s for s in found.samples}
    assert found.name == "nih_chestxray14"
    assert by_key["00000001_001.png"].tags == ("Cardiomegaly", "Emphysema")
    assert by_key["00000001_000.png"].annotations[0].box == (3, 4.5, 12, 9.5)
    assert by_key["00000002_000.png"].split == "test"
    assert by_key["00000002_000.png"].label == 0
    assert by_key["00000001_000.png"].split == by_key["00000001_001.png"].split != "test"


def test_nih_errors(tmp_path):
    layouts.nih(tmp_path)
    table = tmp_path / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Hernia", "Cough"))
    with pytest.raises(DatasetError, match=r"unknown finding.*Cough"):
        read_nih_chestxray14(tmp_path)
    (tmp_path / "test_list.txt").unlink()
    with pytest.raises(DatasetError, match="test list"):
        read_nih_chestxray14(tmp_path)
    table.unlink()
    with pytest.raises(DatasetError, match=r"no table.*Data_Entry_2017\.csv"):
        read_nih_chestxray14(tmp_path)


def test_covid(tmp_path):
    found = read_dataset(layouts.covid(tmp_path))
    assert found.classes == ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    normal = [s for s in found.samples if s.label == 2]
    assert [sum(s.split == part for s in normal) for part in ("train", "val", "test")] == [8, 1, 1]
    assert all(s.organ_mask and s.organ_mask.is_file() for s in found.samples)
    for file in (tmp_path / "Normal" / "images").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="no image of class Normal"):
        read_covid_radiography(tmp_path)


def test_lvot_masks_labels_and_patients(tmp_path):
    found = read_dataset(layouts.lvot(tmp_path))
    assert found.name == "lvot"
    with_mask = [s for s in found.samples if s.key.endswith("slice0.png")]
    assert all(s.label == 1 and s.annotations[0].box == (3, 5, 6, 8) for s in with_mask)
    assert all(s.label == 0 for s in found.samples if s.key.endswith("slice1.png"))
    splits = {}
    for s in found.samples:
        assert splits.setdefault(s.patient, s.split) == s.split
    assert sorted(splits.values()).count("train") == 8
    (tmp_path / "labels.csv").write_text("image,label\nP00/slice1.png,1\n")
    assert {s.key: s.label for s in read_lvot(tmp_path).samples}["P00/slice1.png"] == 1
    (tmp_path / "labels.csv").write_text("image,label\nP00/slice1.png,yes\n")
    with pytest.raises(DatasetError, match="label 0 or 1"):
        read_lvot(tmp_path)


def test_lvot_volume_gives_every_slice(tmp_path):
    volume = np.random.default_rng(0).random((20, 24, 3)).astype(np.float32)
    for kind, values in (
        ("images", volume),
        ("masks", (volume > 0.99).astype(np.uint8) * np.array([0, 1, 0])),
    ):
        file = tmp_path / kind / "P1" / "cine.nii.gz"
        file.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.eye(4)), file)
    samples = read_lvot(tmp_path).samples
    assert [s.key for s in samples] == [f"P1/cine.nii.gz#{i}" for i in range(3)]
    assert [s.label for s in samples] == [0, 1, 0]
    assert samples[0].read().size == samples[1].annotations[0].mask.shape


def test_lvot_without_truth_or_with_a_wrong_mask_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no slice under"):
        read_lvot(tmp_path)
    layouts.png(tmp_path / "images" / "P1" / "a.png")
    with pytest.raises(DatasetError, match="no label for"):
        read_lvot(tmp_path)
    layouts.png(tmp_path / "masks" / "P1" / "a.png", size=(12, 12))
    with pytest.raises(DatasetError, match="mask of"):
        read_lvot(tmp_path)


def test_class_folders_with_and_without_splits(tmp_path):
    for split in ("train", "val", "test"):
        for name in ("accept", "reacquire"):
            layouts.png(tmp_path / "given" / split / name / "x.png")
    given = read_dataset(tmp_path / "given")
    assert given.classes == ("accept", "reacquire")
    assert sorted(s.split for s in given.samples) == ["test", "test", "train", "train", "val", "val"]
    for index in range(20):
        layouts.png(tmp_path / "drawn" / ("accept" if index % 2 else "reacquire") / f"{index}.png", index)
    drawn = read_class_folders(tmp_path / "drawn")
    assert [sum(s.split == p for s in drawn.samples) for p in ("train", "val", "test")] == [16, 2, 2]
    assert any("patients are unknown" in note for note in drawn.notes)
    with pytest.raises(DatasetError, match="class folders"):
        read_class_folders(tmp_path / "drawn" / "accept")
    (tmp_path / "drawn" / "doubtful").mkdir()
    with pytest.raises(DatasetError, match="no image of class doubtful"):
        read_class_folders(tmp_path / "drawn")


def test_csv(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("image,label,patient\na.png,good,1\nb.png,poor,1\nc.png,good,2\n")
    found = read_csv(table)
    assert found.classes == ("good", "poor")
    assert found.samples[0].split == found.samples[1].split
    table.write_text("image,class,patient,split\na.png,10,1,train\nb.png,2,1,val\n")
    with pytest.raises(DatasetError, match="more than one split"):
        read_csv(table)
    table.write_text("image,class,patient,split\na.png,10,1,train\nb.png,2,2,val\n")
    assert read_csv(table).classes == ("2", "10")
    table.write_text("image,colour\na.png,red\n")
    with pytest.raises(DatasetError, match="label or class"):
        read_csv(table)
    table.write_text("image,label,split\na.png,1,training\n")
    with pytest.raises(DatasetError, match="unknown split"):
        read_csv(table)


def test_coco_round_trip_keeps_everything(tmp_path):
    source = read_dataset(layouts.object_cxr(tmp_path))
    write_coco(source, tmp_path / "annotations.json")
    back = read_coco(tmp_path / "annotations.json")
    for before, after in zip(source.samples, back.samples, strict=True):
        assert (before.label, before.split, before.patient) == (after.label, after.split, after.patient)
        assert before.path.resolve() == after.path.resolve()
        assert [(a.box, a.polygon, a.ellipse, a.kind) for a in before.annotations] == [
            (a.box, a.polygon, a.ellipse, a.kind) for a in after.annotations
        ]


def test_coco_masks_survive(tmp_path):
    source = read_lvot(layouts.lvot(tmp_path))
    write_coco(source, tmp_path / "annotations.json")
    back = read_coco(tmp_path / "annotations.json")
    for before, after in zip(source.samples, back.samples, strict=True):
        for a, b in zip(before.annotations, after.annotations, strict=True):
            assert np.array_equal(a.mask, b.mask)


def test_coco_errors(tmp_path):
    file = tmp_path / "annotations.json"
    file.write_text("{")
    with pytest.raises(DatasetError, match="cannot read"):
        read_coco(file)
    file.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DatasetError, match="categories"):
        read_coco(file)
    with pytest.raises(DatasetError, match="no COCO file"):
        read_coco(tmp_path / "nothing")


def test_unknown_places_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no data set"):
        read_dataset(tmp_path / "absent")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(DatasetError, match="got none that is known"):
        read_dataset(tmp_path / "x.txt")


def test_three_classes_of_the_real_set(data_folder):
    found = read_dataset(data_folder / "cxr-three-class")
    assert len(found.classes) == 3
    assert all(s.path.is_file() for s in found.samples)
    assert Picture.open(found.samples[0].path).size[0] <= 640


def test_object_cxr_paths_of_another_machine_count_by_their_name(tmp_path):
    layouts.object_cxr(tmp_path, "image_path")
    table = tmp_path / "dev.csv"
    table.write_text("image_path,annotation\n/data/dev/c.jpg,2 1 1 9 1 5 8\n")
    (sample,) = [s for s in read_dataset(tmp_path).samples if s.split == "val"]
    assert sample.path == tmp_path / "dev" / "c.jpg"
    table.write_text("image_path,annotation\nc.jpg,\nc.jpg,\n")
    with pytest.raises(DatasetError, match=r"dev\.csv, line 3: c\.jpg is listed twice"):
        read_dataset(tmp_path)


def test_nih_table_of_2020_and_images_in_one_folder(tmp_path):
    layouts.nih(tmp_path)
    (tmp_path / "images_001" / "images").rename(tmp_path / "images")
    table = tmp_path / "Data_Entry_2017.csv"
    header = layouts.NIH_HEADER.rstrip(",")
    rows = [row.rstrip(",") for row in table.read_text().splitlines()[1:]]
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows]) + "\n")
    table.unlink()
    assert len(read_nih_chestxray14(tmp_path).samples) == 4
    (tmp_path / "images" / "00000003_000.png").unlink()
    found = read_nih_chestxray14(tmp_path)
    assert len(found.samples) == 3
    assert "1 images of the table are not in the folder" in found.notes
    boxes = tmp_path / "BBox_List_2017.csv"
    boxes.write_text(boxes.read_text().replace("4.5", "four"))
    with pytest.raises(DatasetError, match=r"BBox_List_2017\.csv, line 2"):
        read_nih_chestxray14(tmp_path)
    for radiograph in (tmp_path / "images").iterdir():
        radiograph.unlink()
    with pytest.raises(DatasetError, match="no image of the table"):
        read_nih_chestxray14(tmp_path)


def test_lvot_masks_of_another_format_names_and_broken_files(tmp_path):
    layouts.lvot(tmp_path)
    folder = tmp_path / "images" / "P00"
    pixels = np.asarray(Picture.open(folder / "slice0.png"))
    volume = nibabel.Nifti1Image(pixels.T[:, :, None].astype(np.float32), np.eye(4))
    nibabel.save(volume, folder / "slice0.nii")
    (folder / "slice0.png").unlink()
    by_key = {s.key: s for s in read_lvot(tmp_path).samples}
    assert by_key["P00/slice0.nii"].label == 1
    assert by_key["P00/slice0.nii"].annotations[0].box == (3, 5, 6, 8)
    (tmp_path / "labels.csv").write_text("image,label\nP00/slice0.nii#0,0\nP99/none.png,1\n")
    found = read_lvot(tmp_path)
    assert {s.key: s.label for s in found.samples}["P00/slice0.nii"] == 0
    assert found.notes == ("1 slices of labels.csv are not in the folder",)
    (folder / "slice1.png").write_bytes(b"broken")
    report = check_dataset(read_lvot(tmp_path))
    assert list(report.broken) == ["P00/slice1.png"]
    (tmp_path / "masks" / "P01" / "slice0.png").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="cannot read the mask of P01/slice0"):
        read_lvot(tmp_path)
    (tmp_path / "masks" / "P01" / "slice0.png").rename(tmp_path / "masks" / "P01" / "slice7.png")
    with pytest.raises(DatasetError, match=r"belong to no slice.*P01/slice7"):
        read_lvot(tmp_path)


def test_csv_degrees_tags_and_what_is_wrong_with_a_row(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("image,label,degree,tags\na.png,good,0,\nb.png,blur,0.75,blur|dark\n")
    good, poor = read_csv(table).samples
    assert (good.degree, good.tags) == (0, ())
    assert (poor.degree, poor.tags) == (0.75, ("blur", "dark"))
    wrong = {
        "image,label,degree\na.png,good,1.5\n": "degree: expected a number from 0 to 1",
        "image,label,degree\na.png,good,much\n": "degree: expected a number",
        "image,label\na.png,good\na.png,poor\n": "twice",
        "image,label\na.png,\n": "empty cell",
        "image,label,split\na.png,0,train\nb.png,1,\n": "some images have no split",
        "image,label\n": "lists no image",
    }
    for text, problem in wrong.items():
        table.write_text(text)
        with pytest.raises(DatasetError, match=problem):
            read_csv(table)
    table.write_text("image,label\na.png,good\n")
    with pytest.raises(DatasetError, match="expected grade"):
        read_csv(table, label="grade")


def test_coco_of_another_tool_without_extra_fields(tmp_path):
    """What pycocotools and annotation tools write: no label, patient or split; names by split."""
    content = {
        "info": {"year": 2024},
        "licenses": [],
        "categories": [{"id": 7, "name": "button", "supercategory": "object"}],
        "images": [
            {"id": 5, "file_name": "a.png", "height": 24, "width": 20},
            {"id": 9, "file_name": "b.png", "height": 24, "width": 20},
        ],
        "annotations": [
            {
                "id": 1, "image_id": 9, "category_id": 7, "bbox": [2, 3, 6, 5], "area": 30, "iscrowd": 0,
                "segmentation": [[2, 3, 8, 3, 8, 8]],
            },
            {
                "id": 2, "image_id": 9, "category_id": 7, "bbox": [0, 0, 1, 3], "area": 3, "iscrowd": 1,
                "segmentation": {"size": [24, 20], "counts": [0, 3, 477]},
            },
        ],
    }  # fmt: skip
    file = tmp_path / "annotations" / "instances_val.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    for index, name in enumerate(("a.png", "b.png")):
        layouts.png(tmp_path / "images" / name, index)
    a, b = read_dataset(tmp_path).samples
    assert (a.label, b.label, a.split, b.split) == (0, 1, "val", "val")
    assert b.path.is_file()
    polygon, mask = b.annotations
    assert polygon.box == (2, 3, 7, 7)
    assert polygon.polygon == ((1.5, 2.5), (7.5, 2.5), (7.5, 7.5))
    assert np.flatnonzero(mask.mask.any(axis=0)).tolist() == [0]
    assert mask.mask.sum() == 3
    for change, problem in (
        ({"category_id": 8}, "KeyError"),
        ({"segmentation": {"size": [24, 20], "counts": "abc"}}, "uncompressed"),
        ({"bbox": [1, 2, "x", 4]}, "ValueError"),
        ({"bbox": [1, 2, float("nan"), 4]}, "not finite"),
    ):
        file.write_text(json.dumps(content | {"annotations": [content["annotations"][0] | change]}))
        with pytest.raises(DatasetError, match=problem):
            read_dataset(tmp_path)
    images = [content["images"][0] | {"split": "holdout"}]
    file.write_text(json.dumps(content | {"images": images, "annotations": []}))
    with pytest.raises(DatasetError, match="holdout"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("layout", ["csv", "coco", "foreign_objects"])
def test_a_leak_is_refused_by_every_layout_that_names_patients_and_told_when_asked(tmp_path, layout):
    for index, name in enumerate(("a.png", "b.png")):
        layouts.png(tmp_path / "images" / name, index)
    path = tmp_path
    if layout == "csv":
        path = tmp_path / "list.csv"
        path.write_text("image,label,patient,split\nimages/a.png,0,p,train\nimages/b.png,1,p,test\n")
    elif layout == "coco":
        images = [
            {
                "id": k,
                "file_name": f"images/{name}.png",
                "height": 24,
                "width": 20,
                "patient": "p",
                "split": s,
            }
            for k, (name, s) in enumerate([("a", "train"), ("b", "test")])
        ]
        content = {"images": images, "annotations": [], "categories": []}
        path = tmp_path / "list.json"
        path.write_text(json.dumps(content).replace("images/", ""))
    else:
        (tmp_path / "images.csv").write_text(
            "image,patient,split,label,outside_surveyed\na.png,p,train,clean,1\nb.png,p,test,foreign,1\n"
        )
        (tmp_path / "objects.csv").write_text("image,x0,y0,x1,y1,kind,removable,zone\n")
    with pytest.raises(DatasetError, match="p \\(test\\+train\\)"):
        read_dataset(path)
    report = check_dataset(read_dataset(path, leaks=True))
    assert report.leaks == {"p": ("test", "train")}
    done = CliRunner().invoke(data.app, ["check", str(path)])
    assert done.exit_code == 1
    assert "patients in several splits: 1" in done.output


def test_annotations_outside_their_image_are_told(tmp_path):
    layouts.object_cxr(tmp_path)
    (tmp_path / "dev.csv").write_text("image_name,annotation\nc.jpg,0 3 4 90 12\n")
    assert check_dataset(read_dataset(tmp_path)).outside == ["c.jpg"]
