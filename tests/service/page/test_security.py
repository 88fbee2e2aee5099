"""What an attacker tries."""

from dataclasses import replace

import pytest

from tests.dicom.net.objects import encode, instance, radiograph
from tests.service.page.visits import PASSWORD, Visitor, add, assessed_row, row_of
from xiqa.dicom.net.instance import part10
from xiqa.service.page.site import Site
from xiqa.service.records.people import Role

pytestmark = pytest.mark.long

SCRIPT = "<script>alert(1)</script>"
EVIL = f'"><img src=x onerror=alert(1)>{SCRIPT}'


@pytest.fixture
def technologist(site):
    add(site.store, assessed_row(1), assessed_row(2))
    return Visitor(site, "technologist")


def test_headers_of_every_kind_of_answer(site, technologist):
    for path in ("/", "/image/1.2.1", "/login", "/static/page.css", "/image/9.9", "/static/none", "/limits"):
        headers = technologist.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "geolocation=()" in headers["permissions-policy"]
        assert ("no-store" in headers["cache-control"]) == (not path.startswith("/static/page"))
        assert "server" not in headers


def test_the_cookie_is_for_this_site_alone(site):
    visitor = Visitor(site)
    cookie = visitor.login("viewer").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    site.secure = True
    answer = visitor.login("viewer")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "max-age" in answer.headers["strict-transport-security"]


def test_text_of_a_hostile_object_is_text(site):
    ds = radiograph("1.2.826.1")
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyDescription"):
        setattr(ds, keyword, SCRIPT if keyword != "AccessionNumber" else "<b>1</b>")
    ds.StationName, ds.ManufacturerModelName, ds.BodyPartExamined = "<b>st</b>", EVIL, "<I>A</I>"
    ds.ViewPosition = "<U>PA</U>"
    made = replace(instance("1.2.826.1"), content=encode(ds))
    site.node.take_in(part10(made) + made.content, "EVIL")
    site.node.intake.reconcile()
    row = row_of(site.store, "1.2.826.1")
    assert row["device"] == EVIL[:64]
    add(site.store, assessed_row(2, problem=EVIL[:64], reason=EVIL, device=EVIL[:64]))
    visitor = Visitor(site, "technologist")
    assert visitor.decide("1.2.2", "reacquire", reason="111215", note=EVIL).status_code == 303
    for path in ("/", "/rows", "/image/1.2.826.1", "/image/1.2.2", "/?state=decided", f"/?device={EVIL}"):
        text = visitor.get(path).text
        for part in (SCRIPT, "<img", "<b>st", "<I>A", "<U>PA"):
            assert part not in text, (path, part)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in visitor.get("/image/1.2.826.1").text


def test_a_form_from_elsewhere_changes_nothing(site, technologist):
    form = {"action": "accept", "version": "0", "note": "x"}
    client, path = technologist.client, "/image/1.2.1/decide"
    assert client.post(path, data=form).status_code == 403
    assert client.post(path, data=form | {"csrf": "0" * 64}).status_code == 403
    other = Visitor(site, "lead")
    assert client.post(path, data=form | {"csrf": other.word()}).status_code == 403
    good = form | {"csrf": technologist.word()}
    elsewhere = {"Origin": "http://evil.example"}
    assert client.post(path, data=good, headers=elsewhere).status_code == 403
    assert client.post(path, data=good, headers={"Origin": "null"}).status_code == 403
    assert client.get(path).status_code == 405
    assert row_of(site.store, "1.2.1")["version"] == 0
    assert client.post(path, data=good, headers={"Origin": "http://localhost"}).status_code == 303


def test_a_session_that_was_planted_is_worth_nothing(site):
    visitor = Visitor(site)
    visitor.client.cookies.set("xiqa_session", "planted", domain="localhost.local")
    assert visitor.get("/").status_code == 303
    answer = visitor.login("technologist")
    token = answer.cookies["xiqa_session"]
    assert token != "planted"
    assert len(token) >= 43
    again = Visitor(site)
    again.client.cookies.set("xiqa_session", "planted", domain="localhost.local")
    assert again.get("/").headers["location"] == "/login"


def test_after_logout_the_token_opens_nothing(site, technologist):
    token = technologist.client.cookies["xiqa_session"]
    assert technologist.post("/logout").status_code == 303
    technologist.client.cookies.set("xiqa_session", token, domain="localhost.local")
    assert technologist.get("/").headers["location"] == "/login"


def test_brute_force_is_slowed_by_account_and_by_address(site):
    visitor = Visitor(site)
    codes = [visitor.login("lead", f"guess number {n}").status_code for n in range(21)]
    assert codes == [403] * 20 + [429]
    assert site.people.login("lead", PASSWORD) is None  # locked after five
    assert visitor.login("viewer").status_code == 429


def test_answers_do_not_tell_which_names_exist(site):
    known, unknown = (Visitor(site).login(name, "wrong password") for name in ("lead", "nobody"))
    assert known.status_code == unknown.status_code == 403
    assert known.text.replace("lead", "") == unknown.text.replace("nobody", "")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../site.py",
        "/static/..%2fsite.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/static/page.css%00.js",
        "/image/..%2f..%2fetc%2fpasswd/pixels",
        "/image/1.2.1%00/pixels",
        "/image/" + "1." * 400 + "1",
    ],
)
def test_no_path_leads_out(technologist, path):
    answer = technologist.get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text
    assert "SECURITY" not in answer.text


def test_what_is_too_long_is_refused(site, technologist):
    word = technologist.word()
    form = {"csrf": word, "action": "accept", "version": "0", "note": "x" * 70_000}
    assert technologist.client.post("/image/1.2.1/decide", data=form).status_code == 413
    form["note"] = "x" * 2000
    assert technologist.client.post("/image/1.2.1/decide", data=form).status_code == 422
    files = {"note": ("a.txt", b"x" * 100)}
    answer = technologist.client.post("/image/1.2.1/decide", data={"csrf": word}, files=files)
    assert answer.status_code == 400
    many = {"csrf": word} | {f"f{n}": "1" for n in range(60)}
    assert technologist.client.post("/image/1.2.1/decide", data=many).status_code == 400
    assert row_of(site.store, "1.2.1")["version"] == 0


@pytest.mark.parametrize("version", ["", "-1", "1e3", "99999999999999999999", "x", "٣"])
def test_a_version_that_is_none(technologist, version):
    assert technologist.decide("1.2.1", "accept", version=version, note="x").status_code == 422


@pytest.mark.parametrize("query", ["page=-1", "page=999999999999", "page=x", "state='--", "day=2026-99-99"])
def test_a_query_that_is_nonsense_is_ignored(technologist, query):
    assert technologist.get(f"/?{query}").status_code == 200


def test_a_role_that_is_taken_away_ends_at_once(site, technologist):
    site.people.change("technologist", role=Role.VIEWER.word)
    assert technologist.get("/").headers["location"] == "/login"


def test_another_name_of_the_host_is_turned_away(site, technologist):
    assert technologist.client.get("/", headers={"Host": "evil.example"}).status_code == 421


def test_the_trail_names_who_looked_and_who_decided(site: Site, technologist):
    technologist.get("/image/1.2.1")
    technologist.decide("1.2.1", "reacquire", reason="111210")
    with site.store.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT code, actor, subject, detail FROM audit ORDER BY id").all()
    assert ("110103", "technologist", "1.2.1", "") in rows
    assert ("110100", "technologist", "1.2.1", "decided: reacquire 111210") in rows
    assert site.store.trail.broken() is None
