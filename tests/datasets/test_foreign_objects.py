"""The boxed chest radiographs: labels, splits, what is removable, and how a wrong table is told."""

import csv

import pytest

from xiqa.datasets import by_split, read_foreign_objects
from xiqa.datasets.groups import members
from xiqa.errors import DatasetError
from xiqa.geometry import Box
from xiqa.simulation.chest.groups import COMPACT_KINDS

IMAGES = """image,patient,split,label,nih_finding,outside_surveyed
a.jpg,1,train,foreign,none,0
b.jpg,1,train,clean,none,0
c.jpg,2,val,foreign,none,1
d.jpg,3,test,uncertain,none,0
"""
OBJECTS = """image,x0,y0,x1,y1,kind,removable,zone
a.jpg,1,2,3,4,electrode,1,thorax
a.jpg,5,6,9,9,port,0,thorax
c.jpg,1,1,2,2,lead,1,outside
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images.csv").write_text(IMAGES)
    (tmp_path / "objects.csv").write_text(OBJECTS)
    return tmp_path


def test_uncertain_images_are_left_out_and_the_rest_keeps_its_order(folder):
    samples = read_foreign_objects(folder)
    assert [(s.key, s.split, s.label, s.patient) for s in samples] == [
        ("a.jpg", "train", 1, "1"),
        ("b.jpg", "train", 0, "1"),
        ("c.jpg", "val", 1, "2"),
    ]
    assert [s.key for s in by_split(samples, "val")] == ["c.jpg"]


def test_objects_keep_kind_use_and_place(folder):
    first, clean, last = read_foreign_objects(folder)
    electrode, port = first.annotations
    assert (electrode.box, electrode.kind) == (Box(1, 2, 3, 4), "electrode")
    assert (electrode.problem, electrode.groups) == (True, ("removable", "compact"))
    assert (port.kind, port.problem, port.groups) == ("port", False, ())
    assert clean.annotations == ()
    assert "outside" in last.annotations[0].groups
    assert (first.surveyed, last.surveyed) == ("problems", "all")


@pytest.mark.parametrize(
    ("table", "old", "new", "told"),
    [
        ("images.csv", "clean", "tidy", "tidy"),
        ("images.csv", "val", "holdout", "holdout"),
        ("images.csv", "patient,", "person,", "lacks columns"),
        ("objects.csv", "1,2,3,4", "1,2,x,4", "not a number"),
        ("objects.csv", "1,2,3,4", "1,2,nan,4", "not a number"),
    ],
)
def test_a_wrong_table_is_told(folder, table, old, new, told):
    path = folder / table
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=told):
        read_foreign_objects(folder)


def test_an_absent_table_is_told(tmp_path):
    with pytest.raises(DatasetError, match=r"objects\.csv"):
        read_foreign_objects(tmp_path)


@pytest.mark.realdata
def test_the_real_set_has_the_documented_counts_and_no_patient_in_two_splits(real_images):
    samples = read_foreign_objects(real_images)
    counts = {
        split: [sum(s.label == label for s in by_split(samples, split)) for label in (1, 0)]
        for split in ("train", "val", "test")
    }
    assert counts == {"train": [212, 315], "val": [54, 75], "test": [70, 97]}
    train, val, test = ({s.patient for s in by_split(samples, split)} for split in ("train", "val", "test"))
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)
    with (real_images / "test.csv").open(newline="") as lines:
        official = {row["image_name"]: row["annotation"] for row in csv.DictReader(lines)}
    for sample in by_split(samples, "test"):
        thoracic = members(sample.annotations)
        assert len(thoracic) == len([part for part in official[sample.key].split(";") if part])
    kinds = {a.kind for s in samples for a in s.annotations}
    assert kinds >= COMPACT_KINDS
