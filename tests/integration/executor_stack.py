"""An executor process on an embedded server and simulated venues, fed by the test itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import redis

from shared import streams
from shared.bus.keys import load_keys
from shared.bus.signing import SIGNATURE
from shared.codec import FIELD, decode, encode
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import BookState, Message, Side, TradingState
from shared.messages.control import Command, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    ExecutorReady,
    Fill,
    OrderEvent,
    PlanDone,
    PlanLeg,
    TradingStateChanged,
)
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules
from tests.support import ROOT, eventually_sync

D = Decimal
PLACES = {"binance": "BTC/USDT", "binanceusdm": "BTC/USDT:USDT", "kraken": "BTC/USDT"}
GRID = {
    "binance": ("0.01", "0.00001", "5", "10"),
    "binanceusdm": ("0.1", "0.001", "50", "5"),
    "kraken": ("0.1", "0.00000001", "5", "25"),
}
"""Tick, lot, least notional, taker fee in basis points."""


class Stack:
    """What a test holds."""

    mode = "simulated"

    def __init__(
        self, server: EmbeddedServer, described: dict[str, Any], folder: Path, settings: str = ""
    ) -> None:
        self._settings = settings
        self.server, self.described, self.folder = server, described, folder
        self.redis = redis.Redis(unix_socket_path=server.url.removeprefix("unix://"))
        self.executor: subprocess.Popen[bytes] | None = None
        self.books: dict[str, Any] = {}
        self._stopped = threading.Event()
        self._plans = 0
        self._write_config()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    # The world around the executor.

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.described["control"] + path, data, timeout=5) as answer:
            return json.load(answer)

    def fault(self, kind: str, venue: str, **parameters: Any) -> None:
        self.control("/fault", {"kind": kind, "venue": venue, "count": 1, **parameters})

    def publish(self, message: Message) -> None:
        spec = streams.STREAM_OF[type(message)]
        payload = encode(spec, [message])
        entry: dict[Any, Any] = {FIELD: payload}
        if spec.signed_with:  # as risk, or an operator
            entry[SIGNATURE] = load_keys("risk", BusConfig()).sign(spec, payload)
        self.redis.xadd(spec.key(), entry, maxlen=1_000)

    def command(self, kind: CommandKind) -> None:
        now_ns = time.time_ns()
        self.publish(Command(ts_ns=now_ns, command_id=f"c{now_ns}", kind=kind, operator="test"))

    def _feed(self) -> None:
        """Say what the rest of the system would say: rules, books, trading state."""
        while not self._stopped.wait(0.1):
            with contextlib.suppress(redis.RedisError, OSError):
                self.books = self.control("/books?limit=20")
                now_ns = time.time_ns()
                self.publish(
                    TradingStateChanged(
                        ts_ns=now_ns, state=TradingState.ACTIVE, reason="", ts_since_ns=now_ns
                    )
                )
                for venue, instruments in self.books.items():
                    for instrument, book in instruments.items():
                        self._feed_book(venue, instrument, book, now_ns)

    def _feed_book(self, venue: str, instrument: str, book: Any, now_ns: int) -> None:
        self.publish(
            DepthView(
                venue=venue,
                instrument=instrument,
                state=BookState.LIVE,
                epoch=1,
                seq=book["seq"],
                bids=[(float(p), float(q)) for p, q in book["bids"]],
                asks=[(float(p), float(q)) for p, q in book["asks"]],
                ts_recv_ns=now_ns,
                ts_ns=now_ns,
            )
        )
        if instrument == PLACES.get(venue):
            tick, lot, notional, fee = map(D, GRID[venue])
            rules = InstrumentRules(
                venue=venue,
                instrument=instrument,
                tick_size=tick,
                lot_size=lot,
                qty_min=lot,
                notional_min=notional,
                taker_fee_bps=fee,
                maker_fee_bps=fee,
            )
            self.publish(InstrumentInfo(ts_ns=now_ns, rules=rules))

    # The executor.

    def _write_config(self) -> None:
        lines = [
            f'[bus]\nurl = "{self.server.url}"',
            f'[executor]\nmode = "{self.mode}"\n{self._settings}',
            "[risk]\nloss_cap_bps = 500\nplan_ttl_ms = 60000",
        ]
        for venue, instrument in PLACES.items():
            lines.append(
                f'[venues.{venue}]\ninstruments = ["{instrument}"]\n'
                f'rest_url = "{self.described["http"]}"'
            )
        (self.folder / "arb.toml").write_text("\n".join(lines) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        environ = {
            **os.environ,
            "ARB_CONFIG": str(self.folder / "arb.toml"),
            "ARB_INSTANCE": "executor-test",
        }
        for venue, keys in self.described["credentials"].items():
            environ[f"ARB_{venue.upper()}_API_KEY"] = keys["apiKey"]
            environ[f"ARB_{venue.upper()}_API_SECRET"] = keys["secret"]
        with (self.folder / "executor.log").open("ab") as out:
            self.executor = subprocess.Popen(
                [sys.executable, "-m", "services.executor"],
                cwd=ROOT,
                env=environ,
                stdout=out,
                stderr=out,
            )
        return self.executor

    def start_ready(self) -> None:
        self.start()
        since_ns = time.time_ns()
        eventually_sync(
            lambda: any(m.ready and m.ts_ns > since_ns for m in self.published(ExecutorReady)),
            timeout_s=30,
            what="an executor that is ready",
        )

    def kill(self) -> None:
        assert self.executor is not None
        self.executor.send_signal(signal.SIGKILL)
        self.executor.wait(10)

    def published(self, kind: type[Message], **fields: Any) -> list[Any]:
        found = []
        for _, entry in self.redis.xrange(streams.STREAM_OF[kind].key()):
            for message in decode(streams.STREAM_OF[kind], entry[FIELD]):
                if isinstance(message, kind) and all(
                    getattr(message, name) == value for name, value in fields.items()
                ):
                    found.append(message)
        return found

    # Plans and what became of them.

    def make_plan(
        self, buy: str, sell: str, qty: str = "0.01", *, ttl_s: float = 30
    ) -> ApprovedPlan:
        self._plans += 1
        now_ns = time.time_ns()

        def leg(venue: str, side: Side) -> PlanLeg:
            book = self.books[venue][PLACES[venue]]
            best = D(str(book["asks" if side is Side.BUY else "bids"][0][0]))
            room = D("1.003") if side is Side.BUY else D("0.997")
            return PlanLeg(
                venue=venue,
                instrument=PLACES[venue],
                side=side,
                qty=D(qty),
                price_limit=best * room,
                price_expected=best,
                fee_bps=D(GRID[venue][3]),
            )

        return ApprovedPlan(
            ts_ns=now_ns,
            plan_id=f"{time.time_ns() % 10**11:011d}{self._plans % 10}",
            opportunity_id="o",
            base="BTC",
            quote="USDT",
            legs=[leg(buy, Side.BUY), leg(sell, Side.SELL)],
            net_expected=D(1),
            loss_cap=D(20),
            ts_recv_ns=now_ns,
            ts_depth_ns=now_ns,
            ts_opportunity_ns=now_ns,
            ts_expire_ns=now_ns + int(ttl_s * 1e9),
        )

    def send(self, buy: str, sell: str, qty: str = "0.01", **changes: Any) -> ApprovedPlan:
        plan = self.make_plan(buy, sell, qty, **changes)
        self.publish(plan)
        return plan

    def end_of(self, plan: ApprovedPlan, timeout_s: float = 20) -> PlanDone:
        ends = eventually_sync(
            lambda: self.published(PlanDone, plan_id=plan.plan_id),
            timeout_s=timeout_s,
            what=f"the end of plan {plan.plan_id}",
        )
        return ends[-1]

    def check_ledger(self) -> None:
        """Our record equals the venues' own: executions, no open order, no id twice."""

        def equal() -> bool:
            accounts = self.control("/accounts")
            ours = {(f.venue, f.trade_id) for f in self.published(Fill)}
            assert len(ours) == len(self.published(Fill)), "a fill was told twice"
            theirs = 0
            for venue, account in accounts.items():
                assert account["open_orders"] == []
                theirs += len(account["fills"])
                ids = [order["client_order_id"] for order in account["orders"]]
                assert len(ids) == len(set(ids)), "a client order id was used twice"
                assert {i for i in ids if i.startswith("ab")} <= {
                    e.client_order_id for e in self.published(OrderEvent)
                }, venue
            assert len(ours) == theirs
            return True

        eventually_sync(equal, timeout_s=15, what="a ledger equal to the venues'")

    def exposure(self) -> Decimal:
        """Net base over all fills told, less fees in base."""
        total = D(0)
        for fill in self.published(Fill):
            total += fill.qty if fill.side is Side.BUY else -fill.qty
            total -= fill.fee if fill.fee is not None and fill.fee_asset == "BTC" else D(0)
        return total

    def close(self) -> None:
        self._stopped.set()
        self._feeder.join(5)
        if self.executor is not None and self.executor.poll() is None:
            self.kill()
        self.redis.close()


@contextlib.contextmanager
def executor_stack(folder: Path, settings: str = "", kind: type[Stack] = Stack) -> Iterator[Stack]:
    with EmbeddedServer(folder / "valkey") as server:
        venuesim = subprocess.Popen(
            [sys.executable, "-m", "services.venuesim", "--seed", "5", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            assert venuesim.stdout is not None
            stack = kind(server, json.loads(venuesim.stdout.readline()), folder, settings)
            try:
                eventually_sync(lambda: stack.books, what="books")
                yield stack
            finally:
                stack.close()
        finally:
            venuesim.terminate()
            venuesim.wait(10)
            venuesim.stdout.close()
