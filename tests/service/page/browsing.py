"""Debian's Chromium, driven by Playwright, without WebGL."""

import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from tests.service.page.visits import PASSWORD
from xiqa.service.api.app import WebServer, make_app
from xiqa.service.page.routes import page_routes

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60_000  # milliseconds: a loaded machine is slow and not wrong


@contextmanager
def served(site):
    """The address at which a site answers."""
    server = WebServer(make_app(site.node, page_routes(site)), site.node.settings.api)
    server.start(60)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        site.node.stopping.set()
        server.stop()


@contextmanager
def chromium():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-webgl", "--disable-3d-apis"],
            timeout=PATIENCE,
        )
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A browser's window with all that it asked for and all that went wrong in it."""

    def __init__(self, browser, address: str, *, width: int = 1400, height: int = 900, scheme: str = "dark"):
        self.address = address
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, base_url=address
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked, self.faults = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._said)

    def _said(self, message) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def login(self, name: str) -> None:
        self.page.goto("/login")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"{self.address}/")

    def shown(self) -> None:
        """Wait until the image is drawn."""
        self.page.wait_for_selector(".viewer[data-ready]")

    def elsewhere(self) -> list[str]:
        """What was asked of others."""
        return [url for url in self.asked if not url.startswith((self.address, "blob:", "data:"))]
