import pytest

from xiqa.errors import Code
from xiqa.geometry import Box, Point
from xiqa.report.words import headline, limit_reason, zone
from xiqa.types import Finding, Verdict


def at(x, y, score=1.0):
    return Finding(Point(x, y), Box(x - 1, y - 1, x + 1, y + 1), score)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (0, 0, "upper left"),
        (39, 0, "upper right"),
        (20, 30, "centre"),
        (20, 59, "lower centre"),
        (1, 30, "middle left"),
        (12.7, 19.4, "upper left"),  # the last places of the first third: pixels have a width
        (12.9, 19.6, "centre"),
    ],
)
def test_which_ninth_of_the_picture(x, y, words):
    assert zone(at(x, y), (60, 40)) == words


def test_what_to_do_in_one_line(make):
    foreign = {"target": "foreign"}
    places = (at(2, 3, 0.5), at(38, 58), at(20, 30, 0.3))
    poor = make("a", findings=places, provenance=foreign)[0]
    assert headline(poor) == (
        "A foreign object at the lower right of the picture and 2 other places: remove and repeat"
    )
    unnamed = make("a", findings=places[:1], provenance={"target": "foreign", "problem": "cut_off"})[0]
    assert headline(unnamed) == "Cut off at the upper left of the picture: repeat"
    assert headline(make("a", findings=(), provenance={})[0]) == "Poor quality: repeat"


def test_what_is_under_review_is_not_called_poor(make):
    foreign = {"target": "foreign"}
    near = make("a", 0.5, Verdict.REVIEW, code=Code.REVIEW_BAND, findings=(), provenance=foreign)[0]
    assert headline(near) == "Not clear: perhaps a foreign object. Please look"
    unlike = make("a", 0.99, Verdict.REVIEW, code=Code.UNLIKE_TRAINING, provenance=foreign)[0]
    assert headline(unlike) == "The model was not made for an image like this. Please look"
    assert headline(make("a", 0.1, Verdict.ACCEPT, provenance=foreign)[0]) == "A foreign object is unlikely"


def test_the_limit_is_explained_where_its_reason_is_known():
    assert limit_reason(0.98).startswith("set so that at least 98 % of the poor images")
    assert limit_reason(None) == ""
