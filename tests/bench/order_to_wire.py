"""How long an order takes from its decision to the wire, and what of that is ccxt's.

    python -m tests.bench order_to_wire                            (of several benchmarks)
    python -m tests.bench.order_to_wire [--orders N] [--json]

Times end where a proxy, a process of its own, receives the first byte of the order's request.
``executor``: from the time of an approved plan, through the bus and the record that is written
ahead, to the first order of that plan, by a real executor process. ``gateway``: from the call of
the venue's gateway (ccxt signs, aiohttp writes) in a process that does nothing else. ``bare``: the
same request's length written to an open socket, which is the floor of this measure.
``ccxt_ms`` is what the gateway takes above that. All of them on loopback: the way to a real venue
and its encryption are not in them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

from shared.accounts.gateway import OrderRequest
from shared.accounts.opening import open_account
from shared.clock import SystemClock
from shared.config_sections import Config, ExecutorConfig, VenueConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import Side
from shared.messages.terms import OrderTerms
from tests.integration.executor_stack import PLACES, Stack
from tests.support import ROOT, eventually_sync

D = Decimal
PATHS = {
    "binance": "/api/v3/order",
    "binanceusdm": "/fapi/v1/order",
    "kraken": "/0/private/AddOrder",
}
"""Venue -> where its orders are posted."""
BARE = "/nothing"
BARE_BYTES = 700
"""About the length of a signed order with its headers."""
PAUSE_S = {"kraken": 1.3}
"""Between two orders: a counter there falls by less than one a second."""
LEAST_PAUSE_S = 0.15
PAIRS = (("binance", "kraken"), ("kraken", "binance"))


class Stamps(threading.Thread):
    """The proxy in its process, and what it has told."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._proxy = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.stamping_proxy", str(port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self._proxy.stdout is not None
        self._lines = self._proxy.stdout
        self.port = int(self._lines.readline())
        self.seen: list[tuple[str, int]] = []
        self.start()

    def run(self) -> None:
        for line in self._lines:
            stamp = json.loads(line)
            self.seen.append((stamp["path"], stamp["ns"]))

    def first(self, path: str, since_ns: int) -> int:
        """Wait for the first request to a path since a time; return when it came, ns."""

        def found() -> int:
            return next((ns for seen, ns in self.seen if seen == path and ns >= since_ns), 0)

        return eventually_sync(found, every_s=0.002, what=f"a request to {path}")

    def stop(self) -> None:
        self._proxy.kill()
        self._proxy.wait()
        self.join()
        self._lines.close()


@contextlib.contextmanager
def venues_up() -> Iterator[tuple[dict[str, Any], Stamps]]:
    """Simulated venues behind the proxy."""
    venues = subprocess.Popen(
        [sys.executable, "-m", "services.venuesim", "--seed", "5", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert venues.stdout is not None
    described = json.loads(venues.stdout.readline())
    stamps = Stamps(int(described["http"].rpartition(":")[2]))
    described["http"] = f"http://127.0.0.1:{stamps.port}"
    try:
        yield described, stamps
    finally:
        stamps.stop()
        venues.terminate()
        venues.wait(10)
        venues.stdout.close()


def summary(times_ns: list[int]) -> dict[str, Any]:
    ordered = sorted(round(ns / 1e6, 3) for ns in times_ns)
    p50, p99 = (ordered[int(share * len(ordered))] for share in (0.5, 0.99))
    return {"n": len(ordered), "p50": p50, "p99": p99, "max": ordered[-1]}


async def timed(
    send: Callable[[int], Awaitable[object]], stamps: Stamps, path: str, orders: int, pause_s: float
) -> dict[str, Any]:
    """Send that many, one after another."""
    times = []
    for number in range(orders + 1):
        begun_ns = time.time_ns()
        await send(number)
        came_ns = await asyncio.to_thread(stamps.first, path, begun_ns)
        times.append(came_ns - begun_ns)
        await asyncio.sleep(pause_s)
    return summary(times[1:])  # the first one opened the connection


async def measure_gateway(
    described: dict[str, Any], stamps: Stamps, venue: str, orders: int
) -> dict[str, Any]:
    """Return the times of one venue's gateway, nothing else going on; its orders find no taker."""
    place = f"{described['control']}/books?limit=1"
    with urllib.request.urlopen(place, timeout=5) as answer:
        best = json.load(answer)[venue][PLACES[venue]]["bids"][0][0]
    keys = described["credentials"][venue]
    environ = {
        f"ARB_{venue.upper()}_API_KEY": keys["apiKey"],
        f"ARB_{venue.upper()}_API_SECRET": keys["secret"],
    }
    config = Config(
        executor=ExecutorConfig(mode="simulated"),
        venues={venue: VenueConfig(instruments=[PLACES[venue]], rest_url=described["http"])},
    )
    gateway = open_account(venue, config, SystemClock(), environ)
    terms = OrderTerms(
        venue=venue,
        instrument=PLACES[venue],
        side=Side.BUY,
        qty=D("0.01"),
        price_limit=(D(str(best)) * D("0.99")).quantize(D(1)),
    )

    async def send(number: int) -> None:
        name = f"abbench{number:06d}000"
        await gateway.submit(OrderRequest(client_order_id=name, terms=terms))

    try:
        await gateway.start()
        pause_s = PAUSE_S.get(venue, LEAST_PAUSE_S)
        return await timed(send, stamps, PATHS[venue], orders, pause_s)
    finally:
        await gateway.close()


async def measure_bare(stamps: Stamps, orders: int) -> dict[str, Any]:
    """Return the times of bytes that are written to an open socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stamps.port)
    head = f"POST {BARE} HTTP/1.1\r\nHost: venue\r\nContent-Length: {BARE_BYTES}\r\n\r\n"
    request = head.encode() + b"x" * BARE_BYTES

    async def send(number: int) -> None:
        writer.write(request)
        await reader.read(65_536)

    try:
        return await timed(send, stamps, BARE, orders, LEAST_PAUSE_S)
    finally:
        writer.close()


def measure_executor(
    described: dict[str, Any], stamps: Stamps, folder: Path, plans: int
) -> dict[str, Any]:
    """Return the time from an approved plan to its first order at a venue."""
    times: list[int] = []
    with EmbeddedServer(folder / "valkey") as server:
        stack = Stack(server, described, folder)
        try:
            eventually_sync(lambda: stack.books, what="books")
            stack.start_ready()
            for _, pair in zip(range(plans + 1), cycle(PAIRS), strict=False):
                plan = stack.make_plan(*pair)
                since_ns = time.time_ns()
                stack.publish(plan)
                times.append(min(stamps.first(PATHS[venue], since_ns) for venue in pair) - since_ns)
                stack.end_of(plan)
                time.sleep(PAUSE_S["kraken"])
        finally:
            stack.close()
    return summary(times[1:])


def measure(orders: int) -> dict[str, Any]:
    report: dict[str, Any] = {"unit": "ms", "gateway": {}}
    with tempfile.TemporaryDirectory(prefix="arb-bench-") as folder, venues_up() as up:
        described, stamps = up
        bare = report["bare"] = uvloop.run(measure_bare(stamps, orders))
        for venue in PATHS:
            count = orders // 3 if venue in PAUSE_S else orders
            found = uvloop.run(measure_gateway(described, stamps, venue, count))
            found["ccxt_ms"] = round(found["p50"] - bare["p50"], 3)
            report["gateway"][venue] = found
        report["executor"] = measure_executor(described, stamps, Path(folder), orders // 3)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.order_to_wire", description=__doc__)
    parser.add_argument("--json", action="store_true", help="it is JSON in any case")
    parser.add_argument("--orders", type=int, default=120)
    print(json.dumps(measure(parser.parse_args().orders)))


if __name__ == "__main__":
    main()
