"""What tabs of the dashboard cost tick-to-order: periods without, with clients, with Chromium.

The five processes trade at a steady rate, and the dashboard runs all the time. Periods alternate,
in another order each round, because machines are noisy:

- ``none``: nobody looks;
- ``clients``: light clients over WebSocket ask for what tabs ask for and acknowledge each frame:
  what looking from elsewhere costs the trading host;
- ``tabs``: tabs of Chromium on the same machine. It draws with what the others leave of the
  processors (SCHED_IDLE), as an operator's browser draws elsewhere; with ``--drawing`` it gets the
  same share as every process.

    python -m tests.bench.dashboard_cost [--rounds 6] [--seconds 6] [--looking 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import msgspec
import psutil

from services.cli.stack import free_port
from shared import histogram
from shared.cancel import cancel_and_wait
from tests.bench.tick_to_order import Running, heartbeats, running
from tests.soak.tabs import SCREENS, Tabs, open_tabs
from tests.support import eventually, why_no_browser

MEASURE = "tick_to_order"
SETTLE_S = 3.0
NONE, CLIENTS, TABS = "none", "clients", "tabs"
TOPICS = {
    "overview": ["overview", "alerts", "plans"],
    "books": ["overview", "books"],
    "spreads": ["overview", "spreads", "near_misses"],
    "charts": ["overview", "charts"],
    "health": ["overview", "health"],
}
"""What the page asks for on each screen (static/js/pages.js)."""
CONFIG = """
[dashboard]
enabled = true
port = {port}
"""
Switch = Callable[[], Awaitable[object]]


class _Frame(msgspec.Struct):
    n: int = 0


class Clients:
    """Light clients: each acknowledges a frame as soon as it has it."""

    def __init__(self, url: str, token: str, count: int) -> None:
        self._url, self._token, self._count = url, token, count
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        screens = [SCREENS[number % len(SCREENS)] for number in range(self._count)]
        self._tasks = [asyncio.create_task(self._look(screen)) for screen in screens]

    async def leave(self) -> None:
        await cancel_and_wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    async def _look(self, screen: str) -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            await sign_in(http, self._url, self._token)
            live = f"{self._url}/api/v1/live"
            async with http.ws_connect(live, headers={"Origin": self._url}) as socket:
                await socket.send_json({"type": "sub", "topics": TOPICS[screen]})
                async for message in socket:
                    if n := msgspec.json.decode(message.data, type=_Frame).n:
                        await socket.send_json({"type": "ack", "n": n})


async def sign_in(http: aiohttp.ClientSession, url: str, token: str) -> None:
    """Open a session with a token."""
    own = {"Origin": url, "X-Arb": "1"}
    async with http.post(f"{url}/api/v1/session", json={"token": token}, headers=own) as reply:
        assert reply.status == 204, reply.status


async def _period(stack: Running, seconds: float, browser: bool) -> dict[str, Any]:
    """Measure for some seconds."""
    before, cpu_s, drawn_s = heartbeats(stack.client), stack.cpu_s(), _browser_s(browser)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    after, elapsed = heartbeats(stack.client), time.monotonic() - began
    used = {name: (s - cpu_s[name]) / elapsed for name, s in stack.cpu_s().items()}
    buckets = histogram.subtract(
        after["executor"].latency.get(MEASURE, {}), before["executor"].latency.get(MEASURE, {})
    )
    return {
        "buckets": buckets,
        "dashboard_cores": used["dashboard"],
        "system_cores": sum(used.values()) - used["dashboard"] - used["source"],
        "browser_cores": (_browser_s(browser) - drawn_s) / elapsed,
        "busy_percent": psutil.cpu_percent(),
    }


def _browser_s(browser: bool) -> float:
    """Return the processor time of Chromium's processes that live."""
    if not browser:
        return 0.0
    used = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            if "chrom" in child.name():
                used += sum(child.cpu_times()[:2])
        except psutil.Error:
            continue
    return used


def _let_others_go_first() -> None:
    """Give Chromium's threads, and those that they start, only what nobody else wants."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error, ProcessLookupError):
            for thread in child.threads() if "chrom" in child.name() else ():
                os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))


def percentiles_us(buckets: Mapping[int, int]) -> dict[str, Any]:
    """Return p50 and p99 in microseconds and how many orders they are of."""
    found: dict[str, Any] = {"n": sum(buckets.values())}
    for name, fraction in (("p50", 0.5), ("p99", 0.99)):
        value = histogram.percentile(buckets, fraction)
        found[name] = None if value is None else round(value / 1e3, 1)
    return found


def summary(rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the figures of each kind of period, and how they compare with nobody looking.

    ``ratio_p99`` is by round, against the same round's period without anybody: its median, least
    and most.
    """
    result: dict[str, Any] = {}
    for kind in rounds[0]:
        each = [percentiles_us(periods[kind]["buckets"]) for periods in rounds]
        row = {"all": percentiles_us(histogram.merge(p[kind]["buckets"] for p in rounds))}
        for name in ("p50", "p99"):
            row[f"{name}_by_round"] = _spread([found[name] for found in each])
            base = [percentiles_us(periods[NONE]["buckets"])[name] for periods in rounds]
            pairs = zip((found[name] for found in each), base, strict=True)
            row[f"ratio_{name}"] = _spread([a / b for a, b in pairs if a and b])
        for name in ("dashboard_cores", "system_cores", "browser_cores", "busy_percent"):
            row[name] = round(median(periods[kind][name] for periods in rounds), 3)
        result[kind] = row
    return result


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    figures = {"median": median(known), "least": min(known), "most": max(known)}
    return {name: round(value, 3) for name, value in figures.items()}


@asynccontextmanager
async def _looking(
    url: str, folder: Path, count: int, *, browser: bool, drawing: bool
) -> AsyncIterator[dict[str, tuple[Switch, Switch]]]:
    """Yield how each kind of period begins and ends."""
    token = folder / "dashboard" / "viewer.token"

    async def serves() -> bool:
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                await sign_in(http, url, token.read_text().strip())
        except (aiohttp.ClientConnectionError, FileNotFoundError):
            return False
        return True

    await eventually(serves, timeout_s=30, what="the dashboard")
    text = token.read_text().strip()
    clients = Clients(url, text, count)
    kinds: dict[str, tuple[Switch, Switch]] = {
        NONE: (_nothing, _nothing),
        CLIENTS: (clients.come, clients.leave),
    }
    async with AsyncExitStack() as opened:
        if browser:
            tabs: Tabs = await opened.enter_async_context(open_tabs(url, text, count))
            await tabs.leave()
            if not drawing:
                _let_others_go_first()
            kinds[TABS] = (tabs.come_back, tabs.leave)
        yield kinds


async def _nothing() -> None:
    return


async def measure(
    rounds: int,
    seconds: float,
    looking: int,
    rate: float,
    *,
    plain: bool,
    browser: bool,
    drawing: bool,
) -> dict[str, Any]:
    """Run it all and return the figures."""
    port = free_port()
    found = []
    config = CONFIG.format(port=port)
    with running(rate, plain=plain, config=config, beside=("dashboard",)) as stack:
        url = f"http://127.0.0.1:{port}"
        async with _looking(url, stack.folder, looking, browser=browser, drawing=drawing) as kinds:
            for number in range(rounds):
                turn = number % len(kinds)
                order = [*kinds][turn:] + [*kinds][:turn]
                periods = {}
                for kind in order:
                    begin, end = kinds[kind]
                    await begin()
                    await asyncio.sleep(SETTLE_S)
                    periods[kind] = await _period(stack, seconds, browser)
                    await end()
                found.append({kind: periods[kind] for kind in kinds})
    given = {"rounds": rounds, "seconds": seconds, "looking": looking, "rate": rate}
    return {**given, "plain": plain, "drawing": drawing, **summary(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each period")
    parser.add_argument("--looking", type=int, default=5, help="clients, and tabs")
    parser.add_argument("--rate", type=float, default=1000.0, help="frames per second")
    parser.add_argument("--plain", action="store_true", help="processors left to the kernel")
    parser.add_argument(
        "--no-browser", action="store_true", help="without Chromium; as where it is missing"
    )
    parser.add_argument("--drawing", action="store_true", help="Chromium's drawing has its share")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    why = "not asked for" if options.no_browser else why_no_browser()
    result = asyncio.run(
        measure(
            options.rounds,
            options.seconds,
            options.looking,
            options.rate,
            plain=options.plain,
            browser=not why,
            drawing=options.drawing,
        )
    )
    if why:
        result["no_tabs"] = why
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
