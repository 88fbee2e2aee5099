import base64
import io
import re

import pytest
from PIL import Image as Pillow
from tests.report.pages import page, rows_of

from xiqa.geometry import Box, Point
from xiqa.report import html
from xiqa.report.encoding import jpeg
from xiqa.types import Finding, Verdict


def test_it_asks_the_network_for_nothing(make, unread):
    text = page(make("a.png")[0], unread("b.png"))
    assert not re.search(r"""(?:src|href|url\(|import)\s*=?\s*["'(]?\s*(?:https?:|//|file:)""", text)
    assert "default-src 'none'" in text


def test_names_and_reasons_cannot_leave_their_data(make):
    bad = "</script><script>alert(1)</script><!--"
    text = page(make(f"{bad}.png", reason=bad, provenance={"model": bad, "notes": [bad]})[0])
    assert bad not in text
    assert "<!--" not in text
    (row,) = rows_of(text)
    assert (row["name"], row["reason"], row["notes"]) == ("script><!--.png", bad, [bad])
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in text  # the model's name, in the header


def test_a_file_name_of_any_kind_is_one_row(make):
    names = ["@rows@.png", '"},{".png', "\u2028.png", "é😀.png"]
    found = rows_of(page(*(make(name, 0.9 - n / 10)[0] for n, name in enumerate(names))))
    assert [row["name"] for row in found] == [names[0], names[1], "\\x2028.png", names[3]]


def test_boxes_cover_whole_pixels_and_places_are_in_words(make):
    (row,) = rows_of(page(make("a.png")[0]))
    assert row["size"] == [40, 60]
    (place,) = row["places"]
    assert (place["box"], place["peak"]) == ([24.5, 14.5, 10.0, 10.0], [30.0, 20.0])
    assert place["words"] == "middle right, 10 × 10 px"


@pytest.mark.parametrize(("verdict", "shown"), [(v, 3) for v in ("reacquire", "review")] + [("accept", 1)])
def test_an_accepted_image_shows_its_strongest_place_alone(make, verdict, shown):
    scores = (0.25, 1.0, 0.5)  # whatever their order
    findings = tuple(
        Finding(Point(10.0 * n, 20.0), Box(10 * n, 15, 10 * n + 4, 24), score)
        for n, score in enumerate(scores, 1)
    )
    one, _ = make("a.png", 0.1, Verdict(verdict), findings=findings)
    (row,) = rows_of(page(one))
    assert len(row["places"]) == shown
    assert [20.0, 20.0] in [place["peak"] for place in row["places"]]
    assert len(one.findings) == 3  # the table keeps them all


def test_what_differs_between_images_is_not_told_as_one(make):
    text = page(
        make("a.png", provenance={"method": "fem"})[0], make("b.png", provenance={"method": "cam"})[0]
    )
    assert "several (2)" in text


def test_no_image_at_all_is_a_page_too():
    assert rows_of(page()) == []


@pytest.mark.parametrize(
    ("probability", "shown"), [(0.99999, "over 99"), (0.0001, "under 0.1"), (1.0, "100"), (0.096, "9.6")]
)
def test_near_certainty_is_not_rounded_up(make, probability, shown):
    (row,) = rows_of(page(make("a.png", probability)[0]))
    assert row["percent"] == shown


def test_why_the_limit_is_where_it_is(make):
    wanted = {"sensitivity_wanted": 0.98}
    text = page(make("a.png", provenance=wanted)[0], make("b.png", provenance=wanted)[0])
    assert "at least 98 % of the poor images of the validation set" in text
    differs = page(
        make("a.png", provenance=wanted)[0], make("b.png", provenance={"sensitivity_wanted": 0.9})[0]
    )
    assert "of the validation set" not in differs


def test_all_pictures_stay_within_the_page(monkeypatch, make):
    noise = jpeg(Pillow.effect_noise((700, 500), 90))
    made = [make(f"{n}.png", 0.9 - n / 100)[0] for n in range(20)]
    monkeypatch.setattr(html, "PAGE_BYTES", 400_000)
    found = rows_of(page(*made, pictures=lambda stem: (noise, None)))
    assert all(row["image"].startswith("data:image/jpeg;base64,") for row in found)
    assert 60_000 < sum(len(row["image"]) for row in found) < 400_000 * 4 / 3


def test_the_worst_have_pictures_and_the_page_says_so(monkeypatch, make, unread):
    small = jpeg(Pillow.new("L", (30, 20), 90))
    monkeypatch.setattr(html, "PICTURED", 2)
    made = [make(f"{n}.png", 0.5 + n / 100)[0] for n in range(4)]
    text = page(*made, unread("x.png"), pictures=lambda stem: (small, small))
    found = rows_of(text)
    assert [row["name"] for row in found if "image" in row] == ["3.png", "2.png"]
    assert [row["percent"] for row in found[2:4]] == ["51", "50"]
    assert "The worst 2 images have pictures here" in text
    assert "have pictures here" not in page(made[0])


def test_a_picture_that_fits_is_kept_as_it_is(make):
    small = jpeg(Pillow.linear_gradient("L").resize((30, 20)))
    (row,) = rows_of(page(make("a.png")[0], pictures=lambda stem: (small, None)))
    content = base64.b64decode(row["image"].partition(",")[2])
    assert content == small
    assert Pillow.open(io.BytesIO(content)).size == (30, 20)
    assert "heat" not in row


def test_a_long_run_lists_the_worst_and_counts_the_rest(make, monkeypatch):
    monkeypatch.setattr(html, "LISTED", 3)
    made = [make(f"{number}.png", number / 10)[0] for number in range(1, 8)]
    text = page(*made)
    assert [row["name"] for row in rows_of(text)] == ["7.png", "6.png", "5.png"]
    assert "The worst 3 of 7 images are listed" in text
    assert "7 images" in text
    assert "are listed here" not in page(*made[:3])
