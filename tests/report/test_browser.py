"""The page in a real browser: it runs, asks for nothing, and its controls work."""

import http.server
import json
import re
import shutil
import subprocess
import threading

import pytest

from xiqa.report.folder import ResultsFolder
from xiqa.types import Verdict

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium found: the page was not tried in a browser"),
]

# Presses keys as a person would and writes down what the page then shows.
DRIVER = """
const seen = {};
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const shown = () => [...document.querySelectorAll(".case")].filter((c) => !c.hidden).length;
const heat = () => getComputedStyle(document.querySelector(".reacquire .heat")).opacity;
const pictures = [...document.querySelectorAll("image")].map((image) => {
  const picture = new Image();
  picture.src = image.getAttribute("href");
  return picture;
});
function look() {
  seen.pictures = pictures.filter((picture) => picture.naturalWidth > 0).length;
  seen.order = [...document.querySelectorAll(".badge")].map((badge) => badge.textContent);
  seen.all = shown(); press("1"); seen.one = shown(); press("0"); seen.again = shown();
  seen.heat = heat(); press("h"); seen.noHeat = heat(); press("h");
  press("b"); seen.marks = getComputedStyle(document.querySelector(".marks")).display; press("b");
  press("j"); press("j"); seen.current = document.activeElement.id;
  press("k"); press("Enter"); seen.enlarged = document.querySelector("#zoom").open; press("Enter");
  const before = getComputedStyle(document.body).backgroundColor;
  press("t"); seen.themed = before !== getComputedStyle(document.body).backgroundColor;
  const search = document.querySelector("#search");
  search.value = "SCRIPT"; search.dispatchEvent(new Event("input")); seen.found = shown();
  seen.hurt = window.hurt || 0;
  seen.errors = window.errors;
  const asked = performance.getEntriesByType("resource").map((entry) => entry.name);
  seen.requests = asked.filter((name) => !name.startsWith("data:"));
}
addEventListener("load", () => {
  try { look(); } catch (error) { seen.failed = String(error); }
  document.body.replaceChildren(document.createTextNode("SEEN" + JSON.stringify(seen) + "END"));
});
"""
WATCH = """
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory, make, unread):
    out = tmp_path_factory.mktemp("report")
    with ResultsFolder.open(out, {}) as folder:
        folder.add(*make("poor.png", 0.97, size=(600, 400)))
        folder.add(*make("unsure.png", 0.5, Verdict.REVIEW, size=(300, 700)))
        folder.add(*make("good.png", 0.02, Verdict.ACCEPT))
        folder.add(unread("<script>window.hurt = 1</script>.dcm"), None)
        folder.finish()
    return out / "report.html"


def browse(address, *options):
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *options, address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_the_page_runs_and_its_keys_work(report, tmp_path):
    page = report.read_text()
    # the driver is our own guest: it may run beside the page's script, everything else stays forbidden
    page = page.replace("script-src '", "script-src 'nonce-driver' '")
    page = page.replace("<style>", f"<script nonce=driver>{WATCH}</script><style>")
    page = page.replace("</body>", f"<script nonce=driver>{DRIVER}</script></body>")
    (tmp_path / "driven.html").write_text(page)
    text = browse(f"file://{tmp_path}/driven.html", "--dump-dom")
    found = re.search(r"SEEN(\{.*\})END", text)
    assert found, text[-2000:]
    seen = json.loads(found.group(1).replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert seen == {
        "pictures": 6,
        "order": ["Re-acquire", "Review", "Not assessed", "Accept"],
        "all": 4,
        "one": 1,
        "again": 4,
        "heat": "0.7",
        "noHeat": "0",
        "marks": "none",
        "current": "case-2",
        "enlarged": True,
        "themed": True,
        "found": 1,
        "hurt": 0,
        "errors": [],
        "requests": [],
    }


def test_the_page_asks_its_server_for_nothing_else(report):
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=report.parent)

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = browse(f"http://127.0.0.1:{server.server_port}/report.html", "--dump-dom")
        server.shutdown()
    assert "poor.png" in text
    assert set(asked) - {"/favicon.ico"} == {"/report.html"}  # a browser asks for the icon by itself


def test_it_prints(report, tmp_path):
    browse(f"file://{report}", f"--print-to-pdf={tmp_path / 'report.pdf'}")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
