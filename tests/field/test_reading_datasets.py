"""Tables and annotation files of other people's tools."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image as Raster

from tests.datasets import layouts
from tests.datasets.layouts import NIH_HEADER as NIH
from tests.datasets.layouts import png
from tests.imaging.dicom_files import radiograph
from xiqa.datasets.check import check_dataset
from xiqa.datasets.coco import read_coco, write_coco
from xiqa.datasets.detect import read_dataset
from xiqa.datasets.folder import read_csv
from xiqa.datasets.lvot import read_lvot
from xiqa.datasets.nih_chestxray14 import read_nih_chestxray14
from xiqa.errors import DatasetError, ImageReadError
from xiqa.metrics.truth import object_mask

SIZE = (40, 60)
SQUARE = [5, 6, 15, 6, 15, 16, 5, 16]
TRIANGLE = [30, 20, 50, 20, 50, 35]


def coco(folder, annotations, images=None):
    Raster.fromarray(radiograph(*SIZE, bits=8)).save(folder / "a.png")
    images = images or [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}]
    defaults = {"category_id": 3, "image_id": 1, "bbox": [5, 6, 10, 10]}
    entries = [{"id": 10 + n, **defaults, **entry} for n, entry in enumerate(annotations)]
    content = {"images": images, "annotations": entries, "categories": [{"id": 3, "name": "button"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json"


def centres_inside(polygon) -> np.ndarray:
    """Pixels whose centres lie in a polygon of COCO's coordinates, by crossings, in loops."""
    mask = np.zeros(SIZE, bool)
    corners = list(zip(polygon[::2], polygon[1::2], strict=True))
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            x, y, inside = column + 0.5, row + 0.5, False
            for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
                if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
                    inside = not inside
            mask[row, column] = inside
    return mask


def the_mask(file) -> np.ndarray:
    (annotation,) = read_coco(file).samples[0].annotations
    return object_mask(annotation, SIZE)


def test_an_image_of_another_size_than_the_annotated_one_is_refused(tmp_path):
    half = {"id": 1, "file_name": "a.png", "height": SIZE[0] // 2, "width": SIZE[1] // 2}
    collection = read_coco(coco(tmp_path, [{}], [half]))
    (sample,) = collection.samples
    with pytest.raises(ImageReadError, match=r"a\.png has another size.*20 x 30.*40 x 60"):
        sample.read()
    assert "another size" in check_dataset(collection).broken["a.png"]
    turned = {**half, "height": SIZE[1], "width": SIZE[0]}
    with pytest.raises(ImageReadError, match="60 x 40"):
        read_coco(coco(tmp_path, [{}], [turned])).samples[0].read()
    assert read_coco(coco(tmp_path, [{}])).samples[0].read().size == SIZE
    assert read_coco(coco(tmp_path, [], [half])).samples[0].read().size == SIZE  # nothing lies elsewhere


def test_a_coco_polygon_has_its_own_size(tmp_path):
    """A square of 10 pixels had 121."""
    mask = the_mask(coco(tmp_path, [{"segmentation": [SQUARE]}]))
    assert mask.sum() == 100
    np.testing.assert_array_equal(mask, centres_inside(SQUARE))
    box = the_mask(coco(tmp_path, [{}]))
    np.testing.assert_array_equal(mask, box)


def test_several_polygons_are_no_bounding_box(tmp_path):
    mask = the_mask(coco(tmp_path, [{"segmentation": [SQUARE, TRIANGLE], "bbox": [5, 6, 45, 29]}]))
    np.testing.assert_array_equal(mask, centres_inside(SQUARE) | centres_inside(TRIANGLE))


@pytest.mark.parametrize("shape", [[SQUARE], [SQUARE, TRIANGLE], [[30.5, 2.25, 44, 3, 40.75, 30]]])
def test_what_is_written_is_read_again(tmp_path, shape):
    file = coco(tmp_path, [{"segmentation": shape}])
    before = the_mask(file)
    write_coco(read_coco(file), tmp_path / "again" / "annotations.json")
    np.testing.assert_array_equal(the_mask(tmp_path / "again" / "annotations.json"), before)


def compressed(mask) -> str:
    """COCO's compressed runs, from the description of its format."""
    flat = mask.flatten(order="F").astype(int)
    runs, value = [], 0
    for pixel in flat:
        if len(runs) == 0 or pixel != value:
            runs += [0] * (1 if runs or pixel == 0 else 2)
            value = pixel
        runs[-1] += 1
    text = ""
    for number, run in enumerate(runs):
        rest, more = run - (runs[number - 2] if number > 2 else 0), True
        while more:
            bits, rest = rest & 31, rest >> 5
            more = not ((rest == 0 and not bits & 16) or (rest == -1 and bits & 16))
            text += chr(48 + (bits | (32 if more else 0)))
    return text


def test_compressed_runs(tmp_path):
    mask = np.random.default_rng(2).random(SIZE) > 0.7
    mask[:30, 20:40] = True
    runs = {"size": list(SIZE), "counts": compressed(mask)}
    np.testing.assert_array_equal(the_mask(coco(tmp_path, [{"segmentation": runs}])), mask)


def test_ids_as_text_and_as_numbers_are_the_same(tmp_path):
    images = [{"id": "1", "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}]
    collection = read_coco(coco(tmp_path, [{}, {"image_id": "1", "category_id": "3"}], images))
    assert [annotation.kind for annotation in collection.samples[0].annotations] == ["button", "button"]


def test_annotations_of_unlisted_images_are_left_out_with_a_note(tmp_path):
    """It was `KeyError: 77`."""
    collection = read_coco(coco(tmp_path, [{}, {"image_id": 77}, {"image_id": 77}]))
    assert len(collection.samples[0].annotations) == 1
    assert "annotations.json: 2 annotations were left out" in collection.notes[0]
    assert "77" in collection.notes[0]


@pytest.mark.parametrize(
    "entry",
    [
        {"segmentation": {"size": [9, 9], "counts": [40, 41]}},
        {"category_id": 8},
        {"bbox": [1, 2, 3]},
        {"segmentation": [[1, 2, 3, 4]]},
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path, entry):
    with pytest.raises(DatasetError, match=r"annotations\.json, annotation 11 of image 1: .*; mend"):
        read_coco(coco(tmp_path, [{}, entry]))


def test_images_listed_twice(tmp_path):
    image = {"file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    for images in ([{"id": 1, **image}, {"id": 2, **image}], [{"id": 1, **image}, {"id": "1", **image}]):
        with pytest.raises(DatasetError, match=r"annotations\.json lists an image twice.*keep one"):
            read_coco(coco(tmp_path, [], images))
    (tmp_path / "t.csv").write_text("image,label\na.png,good\nb.png,good\na.png,poor\n")
    with pytest.raises(DatasetError, match=r"t\.csv lists an image twice.*a\.png in lines 2, 4.*keep one"):
        read_csv(tmp_path / "t.csv")


TABLE = [
    ["Image", " LABEL", "Patient", "note"],
    ["a.png", "good", "p1", "x, y; z"],
    ["b.png", "poor", "p2", ""],
]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep"])
def test_tables_of_any_separator_and_capitals(tmp_path, mark, encoding, first):
    lines = [mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in TABLE]
    if first:
        lines.insert(0, f"sep={mark}")
    (tmp_path / "t.csv").write_text("\r\n".join(lines), encoding=encoding)
    collection = read_csv(tmp_path / "t.csv")
    assert collection.classes == ("good", "poor")
    assert [(s.key, s.patient) for s in collection.samples] == [("a.png", "p1"), ("b.png", "p2")]


def test_a_row_of_too_many_cells_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("image,label\na.png,good\nb.png,poor,left\n")
    with pytest.raises(DatasetError, match=r"t\.csv, line 3: more cells than columns"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_object_cxr_of_other_separators(tmp_path, mark):
    (tmp_path / "train.csv").write_text(
        f'Image_Name{mark}Annotation\na.png{mark}"0 1 2 3 4;2 1 1 5 1 3 6"\nb.png{mark}\n'
    )
    collection = read_dataset(tmp_path)
    assert collection.name == "object_cxr"
    assert [(s.key, s.label, len(s.annotations)) for s in collection.samples] == [
        ("a.png", 1, 2),
        ("b.png", 0, 0),
    ]


def test_a_test_table_without_annotations_is_left_out_with_a_note(tmp_path):
    (tmp_path / "train.csv").write_text("image_name,annotation\na.png,0 1 2 3 4\nb.png,\n")
    (tmp_path / "test.csv").write_text("image_path\ntest/c.png\ntest/d.png\n")
    collection = read_dataset(tmp_path)
    assert [sample.key for sample in collection.samples] == ["a.png", "b.png"]
    assert collection.notes == ("test.csv has no column annotation: its 2 images are left out",)


@pytest.mark.parametrize(("few", "many"), [(3, 200), (10, 90), (25, 25), (7, 13)])
@pytest.mark.parametrize("layout", ["folders", "csv", "coco"])
def test_splits_hold_in_each_class(tmp_path, layout, few, many):
    """A test split had one class alone."""
    names = [("few", n) for n in range(few)] + [("many", n) for n in range(many)]
    if layout == "folders":
        for name, n in names:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{n}.png").touch()
        collection = read_dataset(tmp_path)
    elif layout == "csv":
        rows = [f"{name}{n}.png,{name}" for name, n in names]
        (tmp_path / "t.csv").write_text("\n".join(["image,label", *rows]))
        collection = read_csv(tmp_path / "t.csv")
    else:
        images = [
            {"id": i, "file_name": f"{name}{n}.png", "height": 9, "width": 9, "label": int(name == "many")}
            for i, (name, n) in enumerate(names)
        ]
        collection = read_coco(coco(tmp_path, [], images))
    counts = Counter((sample.label, sample.split) for sample in collection.samples)
    for label, total in ((0, few), (1, many)):
        for split, part in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
            assert counts[label, split] >= 1
            assert abs(counts[label, split] - part * total) <= 1.5


def test_splits_hold_in_each_class_of_hearts(tmp_path):
    """Of 20 patients three show the tract: without strata they may all be in one split."""
    for patient in range(20):
        png(tmp_path / "images" / f"P{patient:02d}" / "slice0.png", patient)
    for patient in (3, 8, 15):
        png(tmp_path / "masks" / f"P{patient:02d}" / "slice0.png", patient)
    for seed in range(5):
        samples = read_lvot(tmp_path, seed=seed).samples
        assert {sample.split for sample in samples if sample.label} == {"train", "val", "test"}
        assert Counter(sample.split for sample in samples if not sample.label)["train"] in (13, 14)


def test_splits_hold_in_each_class_of_findings(tmp_path):
    """The hospital names what is for testing; of the rest, each class is in training and validation."""
    layouts.nih(tmp_path)
    rows = [f"{n:08d}_000.png,{'Hernia' if n % 10 == 5 else 'No Finding'},0,{n}" for n in range(10, 110)]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join([NIH, *rows]))
    (tmp_path / "train_val_list.txt").write_text("\n".join(row.split(",")[0] for row in rows))
    (tmp_path / "test_list.txt").write_text("")
    for row in rows:
        png(tmp_path / "images_001" / "images" / row.split(",")[0], 1)
    for seed in range(5):
        samples = read_nih_chestxray14(tmp_path, val_fraction=0.1, seed=seed).samples
        assert Counter(sample.split for sample in samples if sample.label) == {"train": 9, "val": 1}
        assert Counter(sample.split for sample in samples if not sample.label) == {"train": 81, "val": 9}
