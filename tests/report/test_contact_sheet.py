import numpy as np
import pytest

from xiqa.errors import GeometryError
from xiqa.geometry import Box
from xiqa.report.contact_sheet import HARMLESS, PROBLEM, contact_sheet
from xiqa.types import Annotation, Image

GREY = Image(np.full((40, 20), 0.5, np.float32))


def has(picture, colour):
    return bool((np.asarray(picture) == colour).all(axis=2).any())


def test_rows_and_columns():
    assert contact_sheet([GREY] * 5, columns=2, cell=50).size == (2 * 52 + 2, 3 * 52 + 2)
    assert contact_sheet([GREY], columns=4, cell=50).size == (54, 54)


def test_images_keep_their_shape_and_grey():
    sheet = np.asarray(contact_sheet([GREY], cell=40))
    grey = (sheet == 128).all(axis=2)
    rows, columns = np.nonzero(grey)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 20)


def test_boxes_are_drawn_where_they_are_and_tell_their_kind():
    box = Box(5, 10, 14, 29)
    for expected, other, annotation in (
        (PROBLEM, HARMLESS, Annotation(box)),
        (HARMLESS, PROBLEM, Annotation(box, problem=False, groups=("removable", "outside"))),
    ):
        sheet = contact_sheet([GREY], annotations=[[annotation]], cell=40)
        assert (has(sheet, expected), has(sheet, other)) == (True, False)
        rows, columns = np.nonzero((np.asarray(sheet) == expected).all(axis=2))
        assert rows.min() == pytest.approx(2 + 10, abs=1)
        assert columns.max() == pytest.approx(2 + 10 + 14, abs=1)


def test_captions_are_written_and_cut():
    plain, told = (
        contact_sheet([GREY], captions=text, cell=60) for text in ((), ["a very long caption " * 9])
    )
    assert told.height > plain.height
    assert np.asarray(told)[-16:].max() > 200


def test_colour_images_are_shown():
    colours = np.zeros((30, 30, 3), np.float32)
    colours[..., 0] = 1
    assert has(contact_sheet([Image(colours)], cell=30), (255, 0, 0))


def test_wrong_numbers_are_refused():
    with pytest.raises(GeometryError, match="captions"):
        contact_sheet([GREY, GREY], captions=["one"])
    with pytest.raises(GeometryError, match="annotations"):
        contact_sheet([GREY], annotations=[[], []])
    with pytest.raises(GeometryError, match="empty"):
        contact_sheet([])
