import base64
import io
import re

import numpy as np
import pytest
from PIL import Image as Pillow

from xiqa.geometry import Box, Point
from xiqa.report import html
from xiqa.report.html import data_uri, report_html
from xiqa.report.journal import Entry
from xiqa.types import Finding, Verdict


def page(*assessments, pictures=lambda stem: None, **options):
    entries = [Entry(one.file, one.disclosed(), one.file) for one in assessments]
    return report_html(entries, pictures, **options)


def test_it_asks_the_network_for_nothing(make, unread):
    text = page(make("a.png")[0], unread("b.png"))
    assert not re.search(r"""(?:src|href|url\(|import)\s*=?\s*["'(]?\s*(?:https?:|//|file:)""", text)
    assert "default-src 'none'" in text


def test_names_and_reasons_are_escaped(make):
    bad = "<script>alert(1)</script>"
    text = page(make(f"{bad}.png", reason=bad, provenance={"model": bad, "notes": [bad]})[0])
    assert bad not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_a_verdict_is_a_word_not_only_a_colour(make, unread):
    made = [make(f"{v}.png", 0.5, v)[0] for v in Verdict if v is not Verdict.NOT_ASSESSED]
    text = page(*made, unread("x.png"))
    for word in ("Re-acquire", "Review", "Accept", "Not assessed"):
        assert re.search(rf'<span class="badge">.*</svg>{word}</span>', text)


def test_boxes_cover_whole_pixels(make):
    text = page(make("a.png")[0], pictures=lambda stem: (Pillow.new("L", (40, 60)), None))
    assert 'viewBox="-0.5 -0.5 40 60"' in text
    assert '<rect class="line" x="24.5" y="14.5" width="10.0" height="10.0"/>' in text


@pytest.mark.parametrize(("verdict", "shown"), [(v, 3) for v in ("reacquire", "review")] + [("accept", 1)])
def test_an_accepted_image_shows_its_strongest_place_alone(make, verdict, shown):
    scores = (0.25, 1.0, 0.5)  # whatever their order
    findings = tuple(
        Finding(Point(10.0 * n, 20.0), Box(10 * n, 15, 10 * n + 4, 24), score)
        for n, score in enumerate(scores, 1)
    )
    one, _ = make("a.png", 0.1, Verdict(verdict), findings=findings)
    text = page(one, pictures=lambda stem: (Pillow.new("L", (40, 60)), None))
    assert text.count('<g class="mark"') == text.count("<li data-place=") == shown
    assert "<b>(20, 20)</b> px" in text
    assert len(one.findings) == 3  # the table keeps them all


def test_what_differs_between_images_is_not_told_as_one(make):
    text = page(
        make("a.png", provenance={"method": "fem"})[0], make("b.png", provenance={"method": "cam"})[0]
    )
    assert "several (2)" in text


def test_no_image_at_all_is_a_page_too():
    assert "0 images" in page()


@pytest.mark.parametrize(
    ("probability", "shown"), [(0.99999, "99.9"), (0.0001, "0.1"), (1.0, "100"), (0.5, "50")]
)
def test_near_certainty_is_not_rounded_up(make, probability, shown):
    assert f"<b>{shown}&nbsp;%</b>" in page(make("a.png", probability)[0])


def test_pictures_shrink_to_their_share(monkeypatch, make):
    rng = np.random.default_rng(0)
    noise = Pillow.fromarray(rng.integers(0, 255, (1024, 1024), dtype=np.uint8))
    assert data_uri(noise, 10) is None
    sizes = []
    for budget in (2_000_000, 100_000, 20_000):
        address = data_uri(noise, budget)
        content = base64.b64decode(address.partition(",")[2])
        assert len(content) <= budget
        sizes.append(Pillow.open(io.BytesIO(content)).width)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 1024
    monkeypatch.setattr(html, "PAGE_BYTES", 400_000)
    made = [make(f"{n}.png")[0] for n in range(20)]
    assert len(page(*made, pictures=lambda stem: (noise, None))) < 400_000 * 4 / 3 + 20 * 6000 + 60_000


def test_a_small_picture_is_not_enlarged():
    small = Pillow.new("L", (30, 20))
    content = base64.b64decode(data_uri(small, 10_000).partition(",")[2])
    assert Pillow.open(io.BytesIO(content)).size == (30, 20)
