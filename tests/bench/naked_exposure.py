"""How long an uneven fill leaves a plan naked: the real executor at simulated venues 20 ms away.

    python -m tests.bench naked_exposure                            (of several benchmarks)
    python -m tests.bench.naked_exposure [--plans N] [--json]

An executor process trades one asset between two simulated venues, with account streams. Every byte
between them passes a proxy that holds it for half the round trip, each way. One order of each plan
is made uneven at the venue: it fills to a half or to nothing; the other one fills. By
the venues' own fills, stamped by one clock in milliseconds, the time counts from the first fill
that leaves the two sides apart to the fill that makes them even again. What a plan evens by going
back (an unwind) counts as well; a plan that stays uneven is counted apart, and should not be.
``by_orders`` divides the times by how many orders it took to even the plan out: an order that finds
no price is followed by a pause of 50 ms before the next one, then of 100 ms, ... (``plans.py``).

``leases_lost`` tells why the executor began anew. One that ends is started again at once, as a
supervisor does after its pause; ``restarts`` tells why it ended, after what time it was ready
again, and how long its plan was uneven, which counts in the other figures as well. A plan that does
not end stops the benchmark: it reports what there is, ``stopped`` why, and exits with 1.
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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

from shared.codec import FIELD, decode
from shared.embedded import EmbeddedServer
from shared.messages.execution import OrderEvent, PlanDone
from shared.streams import EXEC_EVENT
from tests.bench.fill_known import at
from tests.integration.executor_stack import PLACES, Stack
from tests.support import ROOT, eventually_sync

ROUND_TRIP_MS = 20.0
LEGS = 2
BETWEEN_S = 0.3
"""From the end of a plan to the next: venues count requests."""
PAIRS = (("binance", "kraken"), ("kraken", "binance"))
"""Bought at, sold at; in turn, so that no account runs dry."""
# Refusals would stand the venue down, and plans there would be refused.
UNEVEN: tuple[dict[str, Any], ...] = (
    {"kind": "partial_fill", "fraction": 0.5},
    {"kind": "partial_fill", "fraction": 1e-9},
)
END_WITHIN_S = 60
"""Above a restart on a machine that is busy with other things."""


class DelayProxy(threading.Thread):
    """A port that hands every byte on to another one after a while, in both directions."""

    def __init__(self, port: int, delay_s: float) -> None:
        super().__init__(daemon=True)
        self._target, self._delay_s = port, delay_s
        self.port = 0
        self._ready = threading.Event()
        self.start()
        self._ready.wait()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self.join()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        with contextlib.suppress(asyncio.CancelledError):  # the end of the benchmark
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            with contextlib.suppress(ConnectionError):
                if data := await reader.read(65_536):
                    self._loop.call_later(self._delay_s, writer.write, data)
                    continue
            self._loop.call_later(self._delay_s, writer.close)
            return


class DelayedStack(Stack):
    """An executor that reaches the venues through the proxy, and follows its accounts there."""

    def _write_config(self) -> None:
        super()._write_config()
        path = self.folder / "arb.toml"
        http = self.described["http"]
        ws = http.replace("http://", "ws://")
        path.write_text(path.read_text().replace(f'"{http}"', f'"{http}"\nws_url = "{ws}"'))

    def restarted(self) -> dict[str, Any] | None:
        """Start the executor again if it has ended; return why it did, and the time it took."""
        assert self.executor is not None
        code = self.executor.poll()
        if code is None:
            return None
        begun_s = time.monotonic()
        words = self.last_words()
        self.start_ready()
        ready_after_s = round(time.monotonic() - begun_s, 1)
        return {"exit_code": code, "reason": words, "ready_after_s": ready_after_s}

    def logged(self, event: str = "") -> list[str]:
        """Return the lines of the executor's log, or those of one event."""
        lines = (self.folder / "executor.log").read_text().splitlines()
        return [line for line in lines if f'"event":"{event}' in line]

    def last_words(self) -> str:
        """Return why the executor's log says that it failed, or else its last line."""
        found = self.logged("service_failed") or self.logged() or ["its log is empty"]
        return found[-1][:400]

    def news(self, since: bytes) -> tuple[bytes, list[Any]]:
        """Return what the executor said since, and where that ends."""
        found: list[Any] = []
        newest = since
        for _, entries in self.redis.xread({EXEC_EVENT.key(): since}, block=500) or ():
            for entry_id, fields in entries:
                newest = entry_id
                found += decode(EXEC_EVENT, fields[FIELD])
        return newest, found


@contextlib.contextmanager
def stack_up(folder: Path) -> Iterator[DelayedStack]:
    with EmbeddedServer(folder / "valkey") as server:
        venues = subprocess.Popen(
            [sys.executable, "-m", "services.venuesim", "--seed", "5", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert venues.stdout is not None
        described = json.loads(venues.stdout.readline())
        port = int(described["http"].rpartition(":")[2])
        proxy = DelayProxy(port, ROUND_TRIP_MS / 2_000)
        described["http"] = f"http://127.0.0.1:{proxy.port}"
        stack = DelayedStack(server, described, folder, "account_streams = true")
        try:
            eventually_sync(lambda: stack.books, what="books")
            stack.start_ready()
            yield stack
        finally:
            stack.close()
            proxy.stop()
            venues.terminate()
            venues.wait(10)
            venues.stdout.close()


@dataclass
class Played:
    """What became of the plans: plan id -> its orders' ids, and how it ended."""

    orders: dict[str, set[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    restarts: dict[str, dict[str, Any]] = field(default_factory=dict)
    leases_lost: list[str] = field(default_factory=list)
    stopped: str = ""


def play(stack: DelayedStack, plans: int) -> Played:
    """Let plans come to grief one after the other, until one does not end."""
    played = Played()
    since = b"0"
    troubles = cycle((pair, fault, leg) for fault in UNEVEN for leg in (0, 1) for pair in PAIRS)
    for _, (pair, fault, leg) in zip(range(plans), troubles, strict=False):
        stack.control("/fault", {**fault, "venue": pair[leg], "count": 1})
        plan_id = stack.send(*pair).plan_id
        orders = played.orders[plan_id] = set()
        deadline = time.monotonic() + END_WITHIN_S
        while time.monotonic() < deadline and plan_id not in played.outcomes:
            if restart := stack.restarted():
                played.restarts[plan_id] = restart
            since, news = stack.news(since)
            mine = [each for each in news if getattr(each, "plan_id", "") == plan_id]
            orders |= {each.client_order_id for each in mine if isinstance(each, OrderEvent)}
            for end in (each for each in mine if isinstance(each, PlanDone)):
                played.outcomes[plan_id] = end.outcome.value
        if plan_id not in played.outcomes:
            played.stopped = (
                f"plan {plan_id} did not end within {END_WITHIN_S} s, {len(orders)} orders; "
                f"executor: {stack.last_words()}"
            )
            break
        time.sleep(BETWEEN_S)
    return played


def naked_ms(fills: list[dict[str, Any]]) -> float | None:
    """Return how long fills left the two sides apart; ``None`` if they still are."""
    begun_ms, apart, longest = 0, Decimal(0), 0
    for fill in sorted(fills, key=lambda each: each["ts_ms"]):
        if not apart:
            begun_ms = fill["ts_ms"]
        apart += Decimal(fill["qty"]) * (1 if fill["side"] == "buy" else -1)
        if not apart:
            longest = max(longest, fill["ts_ms"] - begun_ms)
    return None if apart else float(longest)


def measure(plans: int) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="arb-bench-") as folder,
        stack_up(Path(folder)) as stack,
    ):
        played = play(stack, plans)
        played.leases_lost = [json.loads(line)["reason"] for line in stack.logged("lease_lost")]
        accounts = stack.control("/accounts")
    return report(played, [fill for venue in PLACES for fill in accounts[venue]["fills"]])


def report(played: Played, fills: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of the plans, by the venues' own fills."""
    times: list[float] = []
    by_orders: dict[int, list[float]] = {}
    left = 0
    for plan_id, orders in played.orders.items():
        mine = [fill for fill in fills if fill["client_order_id"] in orders]
        span_ms = naked_ms(mine)
        if plan_id in played.restarts:
            played.restarts[plan_id]["naked_ms"] = span_ms
        if span_ms is None:
            left += 1
        elif mine:
            times.append(span_ms)
            by_orders.setdefault(len(orders) - LEGS, []).append(span_ms)
    return {
        "unit": "ms",
        "round_trip_ms": ROUND_TRIP_MS,
        "n": len(times),
        "left_uneven": left,
        "p50": at(times, 0.5) if times else None,
        "p99": at(times, 0.99) if times else None,
        "max": max(times, default=None),
        "outcomes": dict(Counter(played.outcomes.values())),
        "by_orders": {
            orders: {"n": len(spans), "p50": at(spans, 0.5), "max": max(spans)}
            for orders, spans in sorted(by_orders.items())
        },
        "leases_lost": played.leases_lost,
        "restarts": list(played.restarts.values()),
        "stopped": played.stopped,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.naked_exposure", description=__doc__)
    parser.add_argument("--json", action="store_true", help="it is JSON in any case")
    parser.add_argument("--plans", type=int, default=200)
    measured = measure(parser.parse_args().plans)
    print(json.dumps(measured))
    if measured["stopped"]:
        raise SystemExit(measured["stopped"])


if __name__ == "__main__":
    main()
