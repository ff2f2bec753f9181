"""A browser for the tests of a module, and pages that accept no error and no other host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser import scenes
from tests.browser.contract_server import ContractServer
from tests.support import find_chromium

if TYPE_CHECKING:  # a machine without the extra [browser] collects these tests and skips them
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

SIZES = {"phone": (390, 844), "tablet": (1024, 768), "desk": (1600, 1000)}
THEMES = ("dark", "light")
PATIENT_MS = 60_000
GOES_MAX = 10
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
"""What Chromium aborts requests with, local ones as well, when an interface comes or goes."""


@dataclass
class Screen:
    """A page of the browser, with what went wrong in it."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    """All that the browser's console says, also of a server that is away."""
    crashes: list[str] = field(default_factory=list)
    """The page's own."""
    hosts: set[str] = field(default_factory=set)

    def open(self, name: str = "overview") -> None:
        """Go to a page of the dashboard and wait until it shows figures."""
        self.go(f"{self.url}/#/{name}")
        self.page.wait_for_selector(f"nav a[aria-current][href='#/{name}']", state="attached")
        self.page.wait_for_selector("text=Waiting for the first figures", state="detached")

    def sign_in(self, role: str = "operator", name: str = "overview") -> None:
        """Sign in by the address that the dashboard prints, and open a page."""
        self.go(f"{self.url}/#token={role}-token")
        self.page.wait_for_selector("main h1")
        self.open(name)

    def go(self, url: str) -> None:
        """Go to an address, again where the network changed on the way."""
        from playwright.sync_api import Error

        for _ in range(GOES_MAX):
            try:
                self.page.goto(url)
                return
            except Error as error:
                if NETWORK_CHANGED not in error.message:
                    raise
        self.page.goto(url)

    def see(self, text: str, within: str = "body") -> None:
        """Wait until a text is on the screen."""
        self.page.locator(within).get_by_text(text).first.wait_for()

    def text(self, selector: str = "main") -> str:
        return self.page.locator(selector).inner_text()

    def overflow_px(self) -> int:
        """Return by how much the page is wider than its window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))


class OpenScreen:
    """Opens pages of a size and theme, and closes them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def __call__(self, url: str, size: str = "desk", theme: str = "dark") -> Screen:
        width, height = SIZES[size]
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme
        )
        context.set_default_timeout(PATIENT_MS)
        self._contexts.append(context)
        page = context.new_page()
        screen = Screen(page, url)
        page.on("pageerror", lambda error: screen.crashes.append(str(error)))
        page.on("console", lambda said: _keep(screen, said))
        page.on("request", lambda request: screen.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: screen.hosts.add(urlsplit(socket.url).netloc))
        return screen

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Open a browser for one module: while its driver runs, no other event loop may."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def server() -> Iterator[ContractServer]:
    """Serve a system that trades."""
    running = ContractServer(scenes.full())
    running.charts = scenes.chart_values()
    yield running
    running.close()


@pytest.fixture
def open_screen(browser: Browser) -> Iterator[OpenScreen]:
    opener = OpenScreen(browser)
    yield opener
    opener.close()


@pytest.fixture
def screen(open_screen: OpenScreen, server: ContractServer) -> Screen:
    return open_screen(server.url)


def _keep(screen: Screen, said: ConsoleMessage) -> None:
    if said.type in {"error", "warning"} and NETWORK_CHANGED not in said.text:
        screen.errors.append(f"{said.text} ({said.location.get('url', '')})")
