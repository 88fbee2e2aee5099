"""The pages as a browser without scripts gets them."""

import pytest

from tests.dicom.net.objects import instance
from tests.service.page.visits import Visitor, add, assessed_row, row_of
from tests.service.rows import instance_row
from xiqa.dicom.net.instance import part10
from xiqa.imaging import read_image
from xiqa.report.overlay import picture_of
from xiqa.service.page.rendering import Renderer
from xiqa.service.page.routes import PLACES
from xiqa.service.records.people import Role
from xiqa.service.records.schema import WAITING


def links(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.split('class="open" href="/image/')[1:]]


def test_the_list_begins_with_what_needs_a_person_and_there_with_the_oldest(site):
    verdicts = ["accept", "review", "reacquire", "not_assessed", "reacquire", "review"]
    add(site.store, *(assessed_row(n, v, received=2e9 - n) for n, v in enumerate(verdicts)))
    add(site.store, instance_row(9) | {"urgency": WAITING})
    visitor = Visitor(site, "viewer")
    assert links(visitor.get("/").text) == [f"1.2.{n}" for n in (4, 2, 5, 1, 3, 9, 0)]
    assert links(visitor.get("/?state=review").text) == ["1.2.5", "1.2.1"]
    assert links(visitor.get("/?station=ROOM2").text) == ["1.2.2", "1.2.5"]
    assert links(visitor.get("/?day=2033-05-18").text) == [f"1.2.{n}" for n in (4, 2, 5, 1, 3, 0)]
    assert links(visitor.get("/?day=2033-05-17").text) == []
    assert '<span class="count">2</span> Re-acquire' in visitor.get("/").text


def test_a_decision_leaves_the_list_and_is_found_among_the_decided(site):
    add(site.store, assessed_row(1), assessed_row(2))
    visitor = Visitor(site, "technologist")
    answer = visitor.decide("1.2.1", "reacquire", reason="111210", note="moved", next="on")
    assert (answer.status_code, answer.headers["location"]) == (303, "/image/1.2.2?after=1.2.1")
    assert links(visitor.get("/").text) == ["1.2.2"]
    assert links(visitor.get("/?state=decided").text) == ["1.2.1"]
    page = visitor.get("/image/1.2.1").text
    assert "Technologist Person: <b>Re-acquire</b>, Motion blur<br>moved" in page
    assert visitor.decide("1.2.1", "accept", version=1, note="x").status_code == 409
    assert visitor.post("/image/1.2.1/undo", version=1).status_code == 303
    assert links(visitor.get("/").text) == ["1.2.1", "1.2.2"]


def test_a_stale_form_is_refused_in_words(site):
    add(site.store, assessed_row(1))
    first, second = Visitor(site, "technologist"), Visitor(site, "lead")
    assert first.decide("1.2.1", "reacquire", reason="111209").status_code == 303
    answer = second.decide("1.2.1", "accept", note="fine")
    assert answer.status_code == 409
    assert "decided already" in answer.text
    assert "reacquire by Technologist Person" in answer.text


def test_values_on_the_page_are_the_renderer_s(site, tmp_path):
    made = instance("1.2.826.5", rows=21, columns=33, seed=8)
    site.node.take_in(part10(made) + made.content, "TEST")
    site.node.intake.reconcile()
    visitor = Visitor(site, "viewer")
    answer = visitor.get("/image/1.2.826.5/pixels")
    assert answer.status_code == 200, answer.text
    assert [answer.headers[f"X-{name}"] for name in ("Rows", "Columns", "Channels")] == ["21", "33", "1"]
    numbers = [int.from_bytes(answer.content[i : i + 2], "little") for i in range(0, len(answer.content), 2)]
    row = row_of(site.store, "1.2.826.5")
    image = read_image(site.node.spool.root / row["path"])
    shown = [int(number * 255 / 65535 + 0.5) for number in numbers]  # what viewer.js does
    assert shown == list(picture_of(image, 100).tobytes())
    assert len(set(shown)) > 100
    assert "Phantom^Paula" in visitor.get("/image/1.2.826.5").text


def test_an_image_that_is_gone_or_broken_is_said_so(site):
    add(site.store, assessed_row(1) | {"spooled": False}, assessed_row(2) | {"path": "away.dcm"})
    visitor = Visitor(site, "viewer")
    gone, broken = (visitor.get(f"/image/1.2.{n}/pixels") for n in (1, 2))
    assert (gone.status_code, broken.status_code) == (422, 422)
    assert "has left this node" in gone.text
    assert "cannot be read" in broken.text
    assert str(site.node.settings.node.folder) not in broken.text
    assert visitor.get("/image/1.2.1").status_code == 200
    assert visitor.get("/image/1.2.3").status_code == 404
    assert visitor.get("/image/1.2.1/heat").status_code == 404


def test_every_place_is_closed_to_who_has_no_role(site):
    add(site.store, assessed_row(1))
    stranger, viewer = Visitor(site), Visitor(site, "viewer")
    form = {"csrf": viewer.word()}
    assert {place.method for place in PLACES} == {"GET", "POST"}
    for place in PLACES:
        path = place.path.format(uid="1.2.1", name="page.css")
        answer = stranger.client.request(place.method, path, headers={"Accept": "*/*"})
        if place.role is None:
            # the login form, files; a login without a name; no provider
            assert answer.status_code in (200, 403, 404), path
            continue
        assert answer.status_code == 401, path
        if place.role > Role.VIEWER:
            assert viewer.client.request(place.method, path, data=form).status_code == 403, path


def test_a_person_without_a_session_is_led_to_the_login(site):
    answer = Visitor(site).get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert Visitor(site).get("/stream").status_code == 401


def test_stopping_is_visible_and_forwarding_goes_on(site):
    visitor = Visitor(site, "technologist")
    assert "Assessing is stopped" not in visitor.get("/").text
    assert visitor.post("/assessing", value="off").status_code == 303
    assert site.store.switched("assessing") == "off"
    assert "Images are still received and forwarded" in visitor.get("/").text
    assert visitor.post("/assessing", value="perhaps").status_code == 422


@pytest.mark.long
def test_the_renderer_forgets_what_it_has_not_shown_for_long(site):
    renderer = Renderer(site.node.settings)
    for number in range(6):
        made = instance(f"1.2.840.{number}", seed=number)
        site.node.take_in(part10(made) + made.content, "TEST")
    site.node.intake.reconcile()
    for number in range(6):
        renderer.pixels(row_of(site.store, f"1.2.840.{number}"))
    assert len(renderer._kept) == 4
    renderer.close()
