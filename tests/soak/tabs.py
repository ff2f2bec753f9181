"""Tabs of the dashboard in Chromium: their heap and what they receive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tests.soak.record import TabSample
from tests.support import find_chromium

if TYPE_CHECKING:  # the extra [browser] may be missing where no tab is asked for
    from playwright.async_api import BrowserContext, CDPSession, Page

SCREENS = ("overview", "books", "spreads", "charts", "health")
PATIENT_MS = 30_000
COUNT_FRAMES = """(() => {
  const Native = window.WebSocket;
  window.soak = { received: 0, frames: 0 };
  window.WebSocket = class extends Native {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", (event) => {
        window.soak.received += event.data.length;
        window.soak.frames += 1;
      });
    }
  };
})();"""
LOOK = """() => ({ ...window.soak, isSignedIn: !!document.querySelector("nav a"),
  banner: (document.querySelector(".banner")?.innerText ?? "").slice(0, 200) })"""


class Tab:
    """One tab on one screen; it signs in again where its session has ended."""

    def __init__(self, page: Page, session: CDPSession, url: str, token: str, screen: str) -> None:
        self.screen = screen
        self._page, self._session, self._url, self._token = page, session, url, token
        self._epoch = 0
        page.on("load", lambda _: self._count_load())

    def _count_load(self) -> None:
        self._epoch += 1

    async def open(self) -> None:
        """Sign in and show the screen."""
        await self._page.goto(f"{self._url}/#token={self._token}")
        await self._page.wait_for_selector("main h1")
        await self._page.goto(f"{self._url}/#/{self.screen}")

    async def leave(self) -> None:
        """Show an empty page, which costs nothing."""
        await self._page.goto("about:blank")

    async def sample(self) -> TabSample:
        """Collect garbage and measure."""
        await self._session.send("HeapProfiler.collectGarbage")
        used = await self._session.send("Runtime.getHeapUsage")
        seen: dict[str, Any] = await self._page.evaluate(LOOK)
        epoch = self._epoch
        if not seen["isSignedIn"]:
            await self.open()
        return TabSample(
            epoch=epoch,
            heap_mb=round(used["usedSize"] / 1e6, 3),
            received=seen["received"],
            frames=seen["frames"],
            banner=seen["banner"],
        )


class Tabs:
    """Several tabs of one browser; failures are told, never raised."""

    def __init__(self, context: BrowserContext, url: str, token: str, tell: Any) -> None:
        self._context, self._url, self._token, self._tell = context, url, token, tell
        self._tabs: dict[str, Tab] = {}

    async def open(self, screens: Sequence[str]) -> None:
        for number, screen in enumerate(screens, 1):
            page = await self._context.new_page()
            session = await self._context.new_cdp_session(page)
            tab = Tab(page, session, self._url, self._token, screen)
            await tab.open()
            self._tabs[f"{number} {screen}"] = tab

    async def leave(self) -> None:
        """Show empty pages in all tabs."""
        for tab in self._tabs.values():
            await tab.leave()

    async def come_back(self) -> None:
        """Show the screens again."""
        for tab in self._tabs.values():
            await tab.open()

    async def sample(self) -> dict[str, TabSample]:
        """Measure every tab; one that does not answer is missing."""
        from playwright.async_api import Error

        found = {}
        for name, tab in self._tabs.items():
            try:
                found[name] = await tab.sample()
            except Error as error:
                self._tell(f"tab {name}: {str(error).splitlines()[0][:200]}")
        return found


@asynccontextmanager
async def open_tabs(
    url: str, token: str, count: int, tell: Any = lambda _: None
) -> AsyncIterator[Tabs]:
    """Open ``count`` tabs of a dashboard, on different screens."""
    from playwright.async_api import Error, async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"]
        )
        context = await browser.new_context(viewport={"width": 1600, "height": 1000})
        context.set_default_timeout(PATIENT_MS)
        await context.add_init_script(COUNT_FRAMES)
        tabs = Tabs(context, url, token, tell)
        await tabs.open([SCREENS[number % len(SCREENS)] for number in range(count)])
        try:
            yield tabs
        finally:
            with suppress(Error):
                await browser.close()
