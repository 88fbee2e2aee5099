"""The whole way in a real browser: a study arrives, is looked at and decided, and the archive is told."""

import json
from importlib.resources import files

import numpy as np
import pytest
from pydicom import dcmread

from tests.dicom.net.objects import radiograph
from tests.dicom.net.servers import send
from tests.service.nodes import all_done, settings, until
from tests.service.orthanc import orthanc
from tests.service.page.browsing import CHROMIUM, Window, chromium, served
from tests.service.page.visits import Visitor, accounts, row_of
from xiqa.imaging import read_image
from xiqa.report.overlay import picture_of
from xiqa.service.node import Node
from xiqa.service.page.site import Site

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found"),
]
MODEL = {"models": {"stub": {"call": "tests.service.models:bright_places"}}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory, archive):
    pacs = {"name": "pacs", "ae": "ORTHANC", "host": "127.0.0.1", "port": archive.dicom}
    wanted = settings(
        tmp_path_factory.mktemp("node"),
        peers=[{**pacs, "confirm": "find", "rejections": True}],
        page={"undo_minutes": 0.01},
        **MODEL,
    )
    node = Node(wanted)
    node.start()
    made = Site(node, accounts(node.store))
    yield made
    made.close()
    node.stop()


@pytest.fixture(scope="module")
def address(site):
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def arrive(site, seed: int, first: int, **more):
    """A radiograph whose first pixel makes the stand-in's verdict, sent by C-STORE and assessed."""
    ds = radiograph(rows=60, columns=80, seed=seed)
    values = np.frombuffer(ds.PixelData, np.uint16).copy()
    values[0] = first
    ds.PixelData = values.tobytes()
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    assert send(site.node.server.port, [ds]) == [0]
    return str(ds.SOPInstanceUID)


def test_a_study_arrives_is_windowed_and_decided_and_the_archive_hides_it(site, address, browser, archive):
    window = Window(browser, address)
    page = window.page
    window.login("technologist")
    page.wait_for_selector(".dot.on")
    uid = arrive(site, 1, 4000)
    link = page.locator(f'a.open[href="/image/{uid}"]')
    link.wait_for()  # without a reload
    page.locator(".reacquire .open").first.wait_for()
    link.click()
    window.shown()
    assert page.evaluate("document.createElement('canvas').getContext('webgl')") is None

    # the image comes before what the model found
    assert page.locator(".later").first.is_hidden()
    assert not page.get_by_text("brightness").is_visible()
    image = read_image(site.node.spool.root / row_of(site.store, uid)["path"])
    page.keyboard.press("1")
    shown = canvas(page)
    expected = np.asarray(picture_of(image, 1000)).astype(int)
    left, top = (shown.shape[1] - 80) // 2, (shown.shape[0] - 60) // 2
    placed = shown[top - 2 : top + 64, left - 2 : left + 84]
    offsets = [
        (y, x) for y in range(5) for x in range(5) if np.array_equal(placed[y : y + 60, x : x + 80], expected)
    ]
    assert len(offsets) == 1, "the page's bytes are not the renderer's"

    page.keyboard.press("i")
    inverted = canvas(page)[top - 2 : top + 64, left - 2 : left + 84]
    (at,) = offsets
    assert np.array_equal(inverted[at[0] : at[0] + 60, at[1] : at[1] + 80], 255 - expected)
    page.keyboard.press("i")
    page.locator("#window").fill("16384")
    narrow = canvas(page)[top - 2 : top + 64, left - 2 : left + 84][at[0] : at[0] + 60, at[1] : at[1] + 80]
    values = np.floor(image.pixels.astype(float) * 65535 + 0.5)
    share = np.clip((values - 32768) / 16384 + 0.5, 0, 1)
    assert np.array_equal(narrow, np.floor(share * 255 + 0.5).astype(int))

    page.keyboard.press("o")
    page.get_by_text("brightness").wait_for()
    assert page.locator(".places li").count() == 1

    # a key chooses and decides nothing
    page.keyboard.press("Escape")
    page.locator("canvas").first.focus()
    page.keyboard.press("r")
    assert row_of(site.store, uid)["decision"] == ""
    page.keyboard.press("M")  # the list of reasons has the focus: Motion blur
    page.get_by_role("button", name="Decide as").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/**after={uid}")
    row = row_of(site.store, uid)
    assert (row["decision"], row["version"]) == ("reacquire", 1)

    # a second person's page is stale
    stale = Visitor(site, "lead").decide(uid, "accept", version=0, note="fine")
    assert stale.status_code == 409

    until(lambda: all_done(site.node, [uid]), 120)
    notes = [
        item
        for item in archive.qido(StudyInstanceUID=row["study_uid"])
        if item["00080060"]["Value"] == ["KO"]
    ]
    assert len(notes) == 1
    (number,) = archive.find(SOPInstanceUID=notes[0]["00080018"]["Value"][0])
    (site.node.settings.node.folder / "ko.dcm").write_bytes(archive.raw(f"/instances/{number}/file"))
    ko = dcmread(site.node.settings.node.folder / "ko.dcm")
    assert ko.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert ko.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "111210"
    referenced = ko.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert referenced.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uid
    assert window.faults == []
    assert window.elsewhere() == []
    window.context.close()


def canvas(page) -> np.ndarray:
    """The canvas's red channel."""
    text = page.evaluate(
        """() => {
          const canvas = document.querySelector(".viewer canvas");
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const red = Array.from({ length: data.length / 4 }, (_, n) => data[4 * n]);
          return JSON.stringify([canvas.width, canvas.height, red]);
        }"""
    )
    width, height, red = json.loads(text)
    return np.array(red).reshape(height, width)


def test_by_keyboard_alone_from_the_login_to_a_decision(site, address, browser):
    uid = arrive(site, 5, 4000, PatientID="KEYS")
    until(lambda: all_done(site.node, [uid]), 120)
    window = Window(browser, address, width=400, height=850)
    window.login("lead")
    page, press = window.page, window.page.keyboard.press
    page.wait_for_selector(f'a.open[href="/image/{uid}"]')
    press("j")
    assert page.evaluate("document.activeElement.className") == "open"
    page.locator(f'a.open[href="/image/{uid}"]').focus()
    press("Enter")
    window.shown()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    press("l")
    page.wait_for_url(f"{address}/limits")
    page.go_back()
    window.shown()
    press("a")
    page.keyboard.type("good enough")  # the note has the focus
    page.get_by_role("button", name="Decide as").focus()
    press("Enter")
    page.wait_for_url(f"{address}/**after={uid}")
    assert row_of(site.store, uid)["decision"] == "accept"
    assert window.faults == []
    window.context.close()


def test_an_earlier_image_of_the_patient_stands_beside(site, address, browser):
    first = arrive(site, 7, 100, PatientID="SAME")
    until(lambda: all_done(site.node, [first]), 120)
    second = arrive(site, 8, 4000, PatientID="SAME")
    until(lambda: all_done(site.node, [second]), 120)
    window = Window(browser, address, scheme="light")
    window.login("viewer")
    window.page.goto(f"/image/{second}")
    window.page.locator(".facts a[href*=beside]").first.click()
    window.page.locator(".viewer[data-ready]").nth(1).wait_for()
    assert [figure.get_attribute("data-uid") for figure in window.page.locator(".viewer").all()] == [
        second,
        first,
    ]
    assert window.page.locator("#decision").count() == 0
    assert window.faults == []
    window.context.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_no_serious_fault(site, address, browser, scheme, axe):
    uid = arrive(site, 11, 4000, PatientID="AXE")
    until(lambda: all_done(site.node, [uid]), 120)
    window = Window(browser, address, scheme=scheme)
    window.page.goto("/login")
    found = {"/login": faults(window.page, axe)}
    window.login("technologist")
    for path in ("/", f"/image/{uid}", "/limits", "/?state=decided"):
        window.page.goto(path)
        if path.startswith("/image"):
            window.shown()
            window.page.keyboard.press("o")
        found[path] = faults(window.page, axe)
    assert {path: items for path, items in found.items() if items} == {}
    window.context.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core, the accessibility checker."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def faults(page, axe: str) -> list[str]:
    """Serious and critical faults; the script is brought in by the driver, past the page's policy."""
    page.evaluate(axe)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 5  # it has looked
    rows = found["violations"]
    return [
        f"{row['id']}: {row['nodes'][0]['html'][:200]}"
        for row in rows
        if row["impact"] in ("serious", "critical")
    ]
