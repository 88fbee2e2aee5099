"""Object-CXR's annotation grammar and tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiqa.datasets import parse_annotation, read_object_cxr
from xiqa.errors import DatasetError
from xiqa.geometry import Box, Point


def test_the_three_shapes():
    rectangle, ellipse, polygon = parse_annotation("0 10 20 30 40;1 5 6 7 8;2 1 1 5 1 3 6")
    assert (rectangle.box, rectangle.ellipse, rectangle.polygon) == (Box(10, 20, 30, 40), False, ())
    assert (ellipse.box, ellipse.ellipse) == (Box(5, 6, 7, 8), True)
    assert (polygon.box, polygon.polygon) == (Box(1, 1, 5, 6), (Point(1, 1), Point(5, 1), Point(3, 6)))


def test_an_empty_cell_and_a_trailing_semicolon():
    assert parse_annotation("") == ()
    assert len(parse_annotation("0 1 2 3 4;")) == 1


def test_corners_may_come_in_any_order():
    assert parse_annotation("0 30 40 10 20")[0].box == Box(10, 20, 30, 40)


@pytest.mark.parametrize(
    "text",
    [
        "3 1 2 3 4",
        "0 1 2 3",
        "0 1 2 3 4 5",
        "2 1 1 2 2",
        "2 1 1 2 2 3",
        "0 a b c d",
        "0 1 2 nan 4",
        "1 1 2 3 inf",
    ],
)
def test_what_is_no_shape_is_told_with_its_text(text):
    with pytest.raises(DatasetError, match=text):
        parse_annotation(text)


@given(
    st.lists(
        st.tuples(*[st.integers(0, 4000)] * 4).filter(lambda c: c[0] <= c[2] and c[1] <= c[3]), max_size=8
    )
)
def test_boxes_come_back(boxes):
    text = ";".join("0 " + " ".join(map(str, box)) for box in boxes)
    assert [tuple(a.box) for a in parse_annotation(text)] == boxes


@pytest.mark.parametrize("column", ["image_name", "image_path"])
def test_a_table_becomes_samples(tmp_path, column):
    table = tmp_path / "dev.csv"
    table.write_text(f"{column},annotation\n1.jpg,\n2.jpg,0 1 2 3 4;1 5 6 7 8\n")
    clean, poor = read_object_cxr(table, tmp_path / "images", "val")
    assert (clean.label, clean.annotations, clean.split) == (0, (), "val")
    assert (poor.label, len(poor.annotations), poor.path) == (1, 2, tmp_path / "images" / "2.jpg")


def test_a_bad_row_is_told_with_its_line(tmp_path):
    table = tmp_path / "dev.csv"
    table.write_text("image_name,annotation\n1.jpg,\n2.jpg,9 1 2 3 4\n")
    with pytest.raises(DatasetError, match=r"dev\.csv, line 3"):
        read_object_cxr(table, tmp_path, "val")


@pytest.mark.parametrize("text", ["name,label\n1.jpg,0\n", ""])
def test_another_table_is_told(tmp_path, text):
    table = tmp_path / "dev.csv"
    table.write_text(text)
    with pytest.raises(DatasetError, match="Object-CXR"):
        read_object_cxr(table, tmp_path, "val")
