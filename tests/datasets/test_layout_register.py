"""The register of layouts: one spelling, one list, and recognition by rank."""

import json

import pytest
from pydantic import ValidationError
from tests.datasets import layouts as build
from typer.testing import CliRunner

from xiqa.cli import data
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.layout import get_layout, layout, layout_names, layouts
from xiqa.errors import DatasetError
from xiqa.training.recipe import SIMULATED, Data


def csv(folder):
    for index, name in enumerate(("a", "b")):
        build.png(folder / f"{name}.png", index)
    (folder / "images.csv").write_text("image,label\na.png,dark\nb.png,fine\n")
    return folder


def coco(folder):
    build.png(folder / "images" / "a.png")
    images = [{"id": 7, "file_name": "a.png", "height": 24, "width": 20}]
    content = {"images": images, "annotations": [], "categories": []}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def class_folders(folder):
    for index in range(6):
        build.png(folder / ("fine" if index % 2 else "dark") / f"{index}.png", index)
    return folder


def foreign_objects(folder):
    build.png(folder / "images" / "a.png")
    (folder / "images.csv").write_text("image,patient,split,label,outside_surveyed\na.png,p,val,foreign,1\n")
    (folder / "objects.csv").write_text(
        "image,x0,y0,x1,y1,kind,removable,zone\na.png,1,2,5,9,button,1,thorax\n"
    )
    return folder


BUILDERS = {
    "csv": csv,
    "coco": coco,
    "class_folders": class_folders,
    "foreign_objects": foreign_objects,
    "object_cxr": build.object_cxr,
    "nih_chestxray14": build.nih,
    "covid_radiography": build.covid,
    "lvot": build.lvot,
}


@pytest.mark.parametrize("name", layout_names())
def test_a_layout_is_recognised_and_spelled_as_it_is_registered(name, tmp_path):
    path = BUILDERS[name](tmp_path)
    assert next(known.name for known in layouts() if known.recognise(path)) == name
    found = read_dataset(path)
    assert found.name == name
    assert [s.key for s in read_dataset(path, name).samples] == [s.key for s in found.samples]
    assert get_layout(name).summary
    assert Data(layout=name).layout == name


@pytest.mark.parametrize("name", layout_names())
def test_what_is_nothing_of_a_layout_is_not_recognised_by_it(name, tmp_path):
    assert not get_layout(name).recognise(tmp_path / "absent")
    (tmp_path / "x.txt").write_text("image\n")
    assert not get_layout(name).recognise(tmp_path / "x.txt")


def test_a_second_layout_of_one_name_is_refused():
    with pytest.raises(DatasetError, match=r"two layouts are named 'lvot'.*xiqa\.datasets\.lvot and"):
        layout("lvot", recognise=lambda path: True)(lambda path: None)


def test_an_unknown_or_another_layout_says_what_there_is(tmp_path):
    with pytest.raises(DatasetError, match=r"no layout is named 'dicomdir'.*object_cxr"):
        read_dataset(tmp_path, "dicomdir")
    with pytest.raises(DatasetError, match=r"another layout: expected lvot, got csv"):
        read_dataset(csv(tmp_path), "lvot")
    with pytest.raises(ValidationError, match=r"auto.*lvot.*simulated_chest"):
        Data(layout="object-cxr")
    assert {*SIMULATED, "auto"}.isdisjoint(layout_names())


def test_the_command_lists_the_layouts_and_reads_a_named_one(tmp_path):
    listed = CliRunner().invoke(data.app, ["layouts"])
    # a summary that goes on in the next line is indented
    names = [line.split()[0] for line in listed.output.splitlines()[1:] if not line.startswith(" ")]
    assert names == list(layout_names())
    path = csv(tmp_path)
    assert "csv: 2 images" in CliRunner().invoke(data.app, ["check", str(path), "--layout", "csv"]).output
    wrong = CliRunner().invoke(data.app, ["check", str(path), "--layout", "coco"])
    assert "expected coco, got csv" in str(wrong.exception)
