"""The dashboard's own server with many books that all move, and what a browser costs that looks.

python -m tests.browser.many_books 600   # seconds: says the rate of the live channel, and the heap
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.dashboard.__main__ import serve
from services.dashboard.engine import DashboardEngine
from shared.clock import SystemClock
from shared.config import parse_config
from shared.messages.base import BookState
from shared.messages.market import DepthView
from tests.ports import free_ports
from tests.support import find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

VENUES = ("binance", "bybit", "kraken", "kucoin", "okx")
MOVE_EVERY_S = 0.25
LEVELS = 5
WARM_UP_MS = 8_000
"""All rows come once before only those in view do."""
SAMPLE_MS = 10_000


class ManyBooks:
    """Runs in a thread of its own until closed."""

    def __init__(self, folder: Path, books: int) -> None:
        os.environ["ARB_DASHBOARD_DIR"] = str(folder)
        self.port = free_ports(1)[0]
        assets = [f"A{n:03}/USDT" for n in range(books // len(VENUES))]
        names = ", ".join(f'"{asset}"' for asset in assets)
        venues = "".join(f"[venues.{venue}]\ninstruments = [{names}]\n" for venue in VENUES)
        config = parse_config(f"[dashboard]\nport = {self.port}\n{venues}", "arb.toml")
        self._engine, self._clock = DashboardEngine(config), SystemClock()
        self._server, _ = serve(config, self._engine, self._clock)  # there is no bus to audit on
        self.token = (folder / "viewer.token").read_text().strip()
        self._markets = [(venue, asset) for venue in VENUES for asset in assets]
        self._loop = asyncio.new_event_loop()
        self._main = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._until_closed, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(10)
        self._loop.close()

    def _until_closed(self) -> None:
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            self._loop.run_until_complete(self._server.close())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.serve())
            group.create_task(self._move())

    async def _move(self) -> None:
        rng, seq = random.Random(1), 0
        while True:
            seq += 1
            for venue, instrument in self._markets:
                now_ns = self._clock.now_ns()
                mid = 100 + rng.random()
                made = DepthView(
                    venue=venue,
                    instrument=instrument,
                    state=BookState.LIVE,
                    epoch=1,
                    seq=seq,
                    bids=[(round(mid - 0.01 * n, 4), 1.5) for n in range(1, LEVELS)],
                    asks=[(round(mid + 0.01 * n, 4), 2.5) for n in range(1, LEVELS)],
                    ts_recv_ns=now_ns,
                    ts_ns=now_ns,
                )
                self._engine.on_message(made, now_ns)
            await asyncio.sleep(MOVE_EVERY_S)


class Meter:
    """Counts what the live channel brings a page, and its heap."""

    def __init__(self, page: Page) -> None:
        self.page, self.received = page, 0
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.on("Network.webSocketFrameReceived", self._count)
        self._devtools.send("Network.enable")

    def bytes_per_s(self, ms: int = SAMPLE_MS) -> float:
        """Return the rate over a while."""
        before, began_ns = self.received, SystemClock().monotonic_ns()
        self.page.wait_for_timeout(ms)
        return (self.received - before) * 1e9 / (SystemClock().monotonic_ns() - began_ns)

    def heap_bytes(self) -> int:
        """Return what is in use after everything that can be freed was."""
        self._devtools.send("HeapProfiler.collectGarbage")
        return int(self._devtools.send("Runtime.getHeapUsage")["usedSize"])

    def _count(self, event: dict[str, Any]) -> None:
        self.received += len(event["response"]["payloadData"].encode())


def main(seconds: int, books: int = 500) -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        server = ManyBooks(Path(folder), books)
        found = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = found.new_context(viewport={"width": 1600, "height": 1000}).new_page()
        meter = Meter(page)
        page.goto(f"{server.url}/#token={server.token}")
        for name in ("books", "spreads"):
            page.wait_for_selector("main h1")
            page.goto(f"{server.url}/#/{name}")
            page.wait_for_selector("main table")
            page.wait_for_timeout(WARM_UP_MS)
            first = meter.heap_bytes()
            print(f"{name}: heap {first / 1e6:.2f} MB", flush=True)
            for _ in range(max(1, seconds * 1000 // 2 // SAMPLE_MS)):
                print(f"{name}: {meter.bytes_per_s() / 1e3:.1f} KB/s", end="", flush=True)
                print(f", heap {meter.heap_bytes() / 1e6:.2f} MB", flush=True)
        found.close()
        server.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
