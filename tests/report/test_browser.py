"""The page in a real browser: it runs, asks for nothing, and its controls work."""

import csv
import http.server
import shutil
import subprocess
import threading

import pytest
from tests.report.pages import rows_of

from xiqa.report.folder import ResultsFolder
from xiqa.types import Verdict

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: the page was not tried")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium found: the page was not tried in a browser"),
]
PATIENCE = 60_000  # milliseconds: a loaded machine is slow and not wrong
FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def report(tmp_path_factory, make, unread):
    out = tmp_path_factory.mktemp("report")
    with ResultsFolder.open(out, {}) as folder:
        folder.add(*make("poor.png", 0.97, size=(600, 400)))
        folder.add(*make("unsure.png", 0.5, Verdict.REVIEW, size=(300, 700)))
        for number in range(60):
            folder.add(*make(f"good{number}.png", 0.02, Verdict.ACCEPT))
        folder.add(unread("<img src=x onerror=window.hurt=1><script>window.hurt=1</script>.dcm"), None)
        folder.finish()
    return out / "report.html"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE
        )
        yield browser
        browser.close()


class Opened:
    """The page in a window, with all that it asked for and all that went wrong in it."""

    def __init__(self, browser, address, *, width=1400, scheme="light", touch=False):
        self.context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme=scheme, has_touch=touch
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked, self.faults = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self.said)
        self.page.goto(address)
        self.page.wait_for_selector("canvas[data-ready]")
        self.address = address

    def said(self, message):
        if message.type == "error":  # a broken security policy is told so too
            self.faults.append(message.text)

    def names(self):
        return self.page.locator(".card .name").all_inner_texts()

    def enlarge(self, number=0):
        self.page.locator(".card").nth(number).click()
        self.page.wait_for_selector("#marked[data-ready]")

    def settled(self):
        """Wait until sizes and input that are on their way have arrived."""
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def view(self):
        self.settled()
        return list(map(float, self.page.locator("#marked").get_attribute("data-view").split()))

    def pixels(self):
        """What the canvas shows, to see that it changed."""
        self.settled()
        return self.page.evaluate("document.querySelector('#marked').toDataURL()")

    def unharmed(self):
        elsewhere = [
            url for url in self.asked if url != self.address and not url.startswith(("data:", "blob:"))
        ]
        return (elsewhere, self.faults, self.page.evaluate("window.hurt ?? 0")) == ([], [], 0)


@pytest.fixture
def opened(chromium, report):
    windows = []

    def open_it(**options):
        windows.append(Opened(chromium, report.as_uri(), **options))
        return windows[-1]

    yield open_it
    for window in windows:
        window.context.close()


def test_pages_verdicts_and_words_choose_what_is_shown(opened):
    window = opened()
    page = window.page
    assert window.names()[:2] == ["poor.png", "unsure.png"]
    assert len(window.names()) == 48
    page.get_by_role("button", name="Next ›").click()
    assert len(window.names()) == 15
    page.keyboard.press("2")
    assert window.names() == ["unsure.png"]
    page.keyboard.press("0")
    page.locator("#search").fill("SCRIPT")
    assert window.names() == ["script>.dcm"]
    page.locator("#search").fill("")
    page.locator("#sort").select_option("best")
    assert window.names()[0].startswith("good")
    page.locator("#sort").select_option("limit")
    assert window.names()[0] == "unsure.png"
    page.locator("#range").select_option("90-100")
    assert window.names() == ["poor.png"]
    assert window.unharmed()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (400, "light")])
def test_the_enlarged_image_zooms_moves_and_windows(opened, width, scheme):
    window = opened(width=width, scheme=scheme, touch=width == 400)
    page = window.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.enlarge()
    assert page.locator("#resolution").inner_text() == "400 × 600 pixels, shown in full"
    whole, before = window.view(), window.pixels()
    box = page.locator("#marked").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"document.querySelector('#marked').dataset.view.split(' ')[2] > {1.5 * whole[2]}")
    zoomed = window.view()
    # what lies below the pointer stays there
    assert (x - box["x"] - whole[0]) / whole[2] == pytest.approx(
        (x - box["x"] - zoomed[0]) / zoomed[2], abs=1
    )
    page.mouse.down()
    page.mouse.move(x + 40, y + 10)
    page.mouse.up()
    assert window.view()[:2] == pytest.approx([zoomed[0] + 40, zoomed[1] + 10], abs=0.01)
    page.locator("[data-do=fit]").click()
    assert window.view() == whole
    assert window.pixels() == before
    page.locator("[data-do=invert]").click()
    assert window.pixels() != before
    page.locator("[data-do=reset]").click()
    for control in ("#evidence", "#boxes"):
        shown = window.pixels()
        page.locator(control).select_option("none") if control == "#evidence" else page.uncheck(control)
        assert window.pixels() != shown
    page.locator("[data-do=side]").click()
    assert page.locator("#plain").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert window.unharmed()


def test_opinions_are_exported_and_no_cell_is_a_formula(opened, tmp_path):
    window = opened()
    page = window.page
    window.enlarge()
    page.keyboard.press("a")
    page.locator("#note").fill(FORMULA)
    page.locator("[data-do=next]").click()
    page.locator("[data-opinion=disagree]").click()
    page.locator("[data-do=close]").click()
    page.get_by_text("✗ disagreed").wait_for()
    assert page.locator(".card .opinion").all_inner_texts()[:2] == ["✓ agreed", "✗ disagreed"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Export notes (2)").click()
    download.value.save_as(tmp_path / "notes.csv")
    with (tmp_path / "notes.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["file"], first["opinion"], first["note"]) == ("poor.png", "agree", f"'{FORMULA}")
    assert (second["file"], second["opinion"], second["probability"]) == ("unsure.png", "disagree", "0.5")
    assert window.unharmed()


def test_the_page_asks_its_server_for_nothing_else(chromium, report):
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=report.parent)

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        window = Opened(chromium, f"http://127.0.0.1:{server.server_port}/report.html")
        assert window.names()[0] == "poor.png"
        window.context.close()
        server.shutdown()
    assert set(asked) - {"/favicon.ico"} == {"/report.html"}  # a browser asks for the icon by itself


def test_every_picture_is_there(report):
    found = rows_of(report.read_text())
    assert sum("image" in row and "heat" in row for row in found) == 62


def test_it_prints(report, tmp_path):
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={tmp_path / 'report.pdf'}"]
    subprocess.run([BROWSER, *options, report.as_uri()], capture_output=True, timeout=120, check=False)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
