"""From any layout into COCO, a table or Object-CXR's tables, and back."""

import json

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.datasets import layouts
from typer.testing import CliRunner

from xiqa.cli import data
from xiqa.datasets.convert import convert, format_annotation
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.object_cxr import parse_annotation
from xiqa.errors import DatasetError
from xiqa.simulation.chest import simulate_chest
from xiqa.simulation.write import PhantomFolder

RUN = CliRunner()


def told(samples):
    return {
        s.path.resolve(): (s.label, s.split, [(a.box, a.polygon, a.ellipse) for a in s.annotations])
        for s in samples
    }


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("01"), st.lists(st.integers(0, 4000), min_size=4, max_size=4)),
            st.tuples(st.just("2"), st.lists(st.integers(0, 4000), min_size=6, max_size=6)),
        ),
        max_size=5,
    )
)
def test_the_grammar_round_trips(objects):
    text = ";".join(" ".join([shape, *map(str, numbers)]) for shape, numbers in objects)
    once = parse_annotation(text)
    again = parse_annotation(format_annotation(once))
    assert [(a.box, a.polygon, a.ellipse) for a in again] == [(a.box, a.polygon, a.ellipse) for a in once]


@pytest.mark.parametrize("middle", ["coco.json", "tables"])
def test_object_cxr_round_trips_through_coco_and_its_own_tables(tmp_path, middle):
    source = read_dataset(layouts.object_cxr(tmp_path))
    convert(source, tmp_path / "first" / "coco.json")
    between = read_dataset(tmp_path / "first" / "coco.json")
    convert(between, tmp_path / "second" / middle)
    back = read_dataset(tmp_path / "second" / middle)
    assert told(back.samples) == told(source.samples)


def test_simulated_images_as_object_cxr_have_the_removable_objects_of_the_thorax(tmp_path):
    with PhantomFolder(tmp_path / "images") as folder:
        for seed in range(7, 11):
            folder.add(simulate_chest(seed, size=(64, 64)))
    source = read_dataset(tmp_path / "images")
    convert(source, tmp_path / "tables")
    back = {s.path.name: s for s in read_dataset(tmp_path / "tables").samples}
    for sample in source.samples:
        wanted = [a.box for a in sample.annotations if a.problem]
        assert [a.box for a in back[sample.key].annotations] == wanted
        assert back[sample.key].label == sample.label


def test_a_table_keeps_labels_patients_splits_and_tags(tmp_path):
    source = read_dataset(layouts.nih(tmp_path))
    convert(source, tmp_path / "list.csv")
    back = read_dataset(tmp_path / "list.csv")
    assert sorted(back.classes) == sorted(source.classes)
    for before, after in zip(source.samples, back.samples, strict=True):
        assert back.classes[after.label] == source.classes[before.label]
        assert (after.patient, after.split, after.tags) == (before.patient, before.split, before.tags)
        assert after.path.is_file()


def test_what_a_layout_cannot_hold_is_told(tmp_path):
    source = read_dataset(layouts.nih(tmp_path))
    with pytest.raises(DatasetError, match="cannot tell the class"):
        convert(source, tmp_path / "tables")
    with pytest.raises(DatasetError, match="unknown layout to write"):
        convert(source, tmp_path / "list.xml")
    for kind, values in (("images", np.ones((8, 8, 2))), ("masks", np.ones((8, 8, 2)))):
        file = tmp_path / "mr" / kind / "P1" / "cine.nii"
        file.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.eye(4)), file)
    with pytest.raises(DatasetError, match="slices of a volume"):
        convert(read_dataset(tmp_path / "mr"), tmp_path / "mr.json")


def test_command_does_not_overwrite_unless_asked(tmp_path):
    layouts.object_cxr(tmp_path)
    for out in ("new.json", "new.csv", "tables"):
        arguments = ["convert", str(tmp_path), "--out", str(tmp_path / "out" / out)]
        assert RUN.invoke(data.app, arguments, catch_exceptions=False).exit_code == 0
        assert "exists" in str(RUN.invoke(data.app, arguments).exception)
        assert RUN.invoke(data.app, [*arguments, "--force"]).exit_code == 0


def test_coco_keeps_its_published_fields(tmp_path):
    convert(read_dataset(layouts.object_cxr(tmp_path)), tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert {"images", "annotations", "categories"} <= set(content)
    assert {"id", "file_name", "height", "width"} <= set(content["images"][0])
    for entry in content["annotations"]:
        assert {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"} <= set(entry)
