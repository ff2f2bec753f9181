"""Scanner and risk as processes over an embedded server: views in, plans out, and kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from decimal import Decimal as D
from pathlib import Path
from typing import TypeVar

from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Bus, Input
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Message, Side, TradingState
from shared.messages.control import Alert, CommandKind, Heartbeat
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.market import DepthView
from tests.decision_builders import (
    BOOKS,
    make_balances,
    make_command,
    make_done,
    make_fill,
    make_info,
    make_orders,
    make_ready,
    make_view,
)
from tests.support import ROOT, eventually

M = TypeVar("M", bound=Message)

CONFIG = """
[bus]
url = "{url}"
shards = {shards}
[venues.alpha]
instruments = ["BTC/USDT"]
[venues.beta]
instruments = ["BTC/USDT"]
[venues.gamma]
instruments = ["BTC/USDT:USDT"]
[scanner]
cooldown_ms = 50
notional_max = 1000
[risk]
opportunity_age_ms_max = 500
"""


OPPORTUNITY_AGE_NS_MAX = 500_000_000
"""As in the configuration above."""


class World:
    """The rest of the system: it feeds the two services and reads what they say."""

    def __init__(self, buses: list[Bus], config: Path) -> None:
        self._feeding, self._listening, self._saying = buses  # one publisher per connection
        self._config = config
        self.seen: list[Message] = []
        self.executor_ready = True
        self.bid = 9_999.0
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._seq = 0

    async def spawn(self, service: str, name: str = "") -> None:
        environ = {**os.environ, "ARB_CONFIG": str(self._config), "ARB_INSTANCE": name or service}
        self.processes[name or service] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{service}",
            cwd=ROOT,
            env=environ,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def lease_holder(self, name: str) -> str:
        """Return who holds a lease."""
        return await self._saying.lease_holder(name)

    async def is_ready(self, name: str) -> Heartbeat:
        """Wait until a process says that it is up."""
        beats = await eventually(
            lambda: [m for m in self.all(Heartbeat) if m.instance == name and m.ready],
            timeout_s=20,
            what=f"{name} ready",
        )
        return beats[-1]

    async def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(15):
            return await process.wait()

    async def feed(self) -> None:
        """Views 50 times a second with a new state each time, the rest once in a while."""
        turn = 0
        while True:
            now_ns = SystemClock.now_ns()
            self._seq += 1
            out: list[Message] = [self.view(*book, now_ns) for book in BOOKS]
            if turn % 25 == 0:
                out += [make_info(*book) for book in BOOKS]
                out.append(make_ready(now_ns, ready=self.executor_ready))
                out += [make_balances(venue, now_ns) for venue, _ in BOOKS]
            await self._feeding.publish(out)
            turn += 1
            await asyncio.sleep(0.02)

    def view(self, venue: str, instrument: str, now_ns: int) -> DepthView:
        """Only alpha -> beta ever pays, and only where ``bid`` is high."""
        bid = self.bid if venue == "beta" else 9_999.0
        ask = {"alpha": 10_000.0, "beta": bid + 1, "gamma": 20_000.0}[venue]
        return make_view(
            venue, instrument, bids=[(bid, 1.0)], asks=[(ask, 1.0)], ts_ns=now_ns, seq=self._seq
        )

    async def listen(self) -> None:
        specs = (
            streams.ARB_OPPORTUNITY,
            streams.ARB_NEARMISS,
            streams.RISK_EVENT,
            streams.SYS_HEALTH,
            streams.ALERT,
        )
        inbox = await self._listening.open_inbox(
            [Input(spec) for spec in specs] + [Input(streams.EXEC_PLAN)],
            service="executor",
            instance="t",
        )
        try:
            while True:
                batch = await inbox.read(0.1)
                self.seen += batch.messages
                await self._listening.commit(batch, [])
        finally:
            await inbox.close()

    async def say(self, *messages: Message) -> None:
        await self._saying.publish(messages)

    def all(self, kind: type[M]) -> list[M]:
        return [m for m in self.seen if isinstance(m, kind)]

    def last(self, kind: type[M]) -> M:
        """Return the newest message of a kind; before there is one, ``eventually`` waits on."""
        found = self.all(kind)
        assert found, f"no {kind.__name__} yet"
        return found[-1]

    async def all_judged(self) -> None:
        """Wait until no opportunity can be approved any more: each is too old, or was answered.

        What was found before prices fell travels on another stream than the end of a plan.
        """

        def is_over() -> bool:
            newest_ns = max((found.ts_ns for found in self.all(Opportunity)), default=0)
            return self.last(RiskReport).ts_ns - newest_ns > OPPORTUNITY_AGE_NS_MAX

        await eventually(is_over, timeout_s=20, what="the last opportunity to be over")

    def state(self) -> TradingStateChanged | None:
        published = self.all(TradingStateChanged)
        return published[-1] if published else None

    async def becomes(self, state: TradingState) -> TradingStateChanged:
        def says() -> TradingStateChanged | None:
            last = self.state()
            return last if last is not None and last.state is state else None

        found = await eventually(says, timeout_s=20, what=f"{state}, not {self.state()}")
        assert found is not None
        return found

    async def next_plan(self) -> ApprovedPlan:
        known = len(self.all(ApprovedPlan))
        self.bid = 10_080.0
        plans = await eventually(
            lambda: self.all(ApprovedPlan)[known:], timeout_s=20, what="another plan"
        )
        self.bid = 9_999.0
        return plans[0]

    async def end(self, plan: ApprovedPlan, gain: str) -> Decimal:
        """Fill both legs, the sale by ``gain`` dearer per unit; return what that realized."""
        now_ns = SystemClock.now_ns()
        price = {Side.BUY: D(10_000), Side.SELL: D(10_000) + D(gain)}
        fills = [
            make_fill(
                plan.plan_id,
                leg.venue,
                leg.side,
                str(leg.qty),
                ts_ns=now_ns,
                trade_id=f"{plan.plan_id}{leg.venue}",
                price=price[leg.side],
                fee=D(0),
            )
            for leg in plan.legs
        ]
        await self.say(*make_orders(plan), *fills, make_done(plan.plan_id, now_ns))
        return D(gain) * plan.legs[0].qty


@contextlib.asynccontextmanager
async def world(url: str, directory: Path, shards: int = 1, more: str = "") -> AsyncIterator[World]:
    path = directory / "arb.toml"
    path.write_text(CONFIG.format(url=url, shards=shards) + more, encoding="utf-8")
    where = BusConfig(url=url, shards=shards)
    buses = [await open_bus(where, service="executor", instance="t") for _ in range(3)]
    world = World(list(buses), path)
    tasks = [asyncio.create_task(world.listen()), asyncio.create_task(world.feed())]
    try:
        yield world
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in list(world.processes):
            await world.stop(name, signal.SIGKILL)
        for bus in buses:
            await bus.close()


async def test_opportunity_becomes_one_plan_and_its_end_counts(url: str, tmp_path: Path) -> None:
    async with world(url, tmp_path) as w:
        await w.spawn("scanner")
        await w.spawn("risk")
        await w.becomes(TradingState.ACTIVE)
        plan = await w.next_plan()
        assert [(leg.venue, leg.side) for leg in plan.legs][1] == ("beta", Side.SELL)
        await eventually(lambda: w.all(Opportunity))  # on another stream than the plan
        w.bid = 10_080.0
        await eventually(lambda: [m for m in w.all(Denied) if m.reason == "PAIR_IN_FLIGHT"])
        w.bid = 9_999.0
        await w.all_judged()
        result = await w.end(plan, "25")

        def counted() -> bool:
            return w.last(RiskReport).realized == {"USDT": result}

        await eventually(counted)
        assert w.last(RiskReport).exposure == {"BTC": D(0)}
        ids = [p.plan_id for p in w.all(ApprovedPlan)]
        assert len(set(ids)) == len(ids)
        await eventually(lambda: [m for m in w.all(NearMiss) if m.gate == "COOLDOWN"])
        await w.is_ready("scanner")

        def measured() -> bool:
            beats = [m for m in w.all(Heartbeat) if m.instance == "risk"]
            assert beats
            beat = beats[-1]
            return (
                beat.counters["plans_approved"] == 1 == sum(beat.latency["tick_to_plan"].values())
            )

        await eventually(measured)
        assert await w.stop("scanner") == 0
        assert await w.stop("risk") == 0


async def test_killed_risk_remembers_its_plan_and_the_operator(url: str, tmp_path: Path) -> None:
    async with world(url, tmp_path) as w:
        await w.spawn("scanner")
        await w.spawn("risk")
        await w.becomes(TradingState.ACTIVE)
        plan = await w.next_plan()
        await w.stop("risk", signal.SIGKILL)
        result = await w.end(plan, "-10")  # while nobody listens
        await w.say(make_command(CommandKind.HALT, SystemClock.now_ns()))
        w.seen.clear()
        await w.spawn("risk")
        published = await w.becomes(TradingState.HALTED)
        await eventually(lambda: (s := w.state()) is not None and s.reason.startswith("OPERATOR"))
        assert published
        await eventually(lambda: w.last(RiskReport).realized == {"USDT": result})
        assert w.last(RiskReport).plans_in_flight == 0
        await w.stop("risk", signal.SIGKILL)
        await w.spawn("risk")
        w.seen.clear()
        await eventually(lambda: (s := w.state()) is not None and s.reason.startswith("OPERATOR"))
        await w.say(make_command(CommandKind.RESUME, SystemClock.now_ns()))
        await w.becomes(TradingState.ACTIVE)
        assert (await w.next_plan()).plan_id != plan.plan_id


async def test_second_risk_stands_by_and_takes_over(url: str, tmp_path: Path) -> None:
    async with world(url, tmp_path) as w:
        await w.spawn("scanner")
        await w.spawn("risk", "risk-a")
        await w.becomes(TradingState.ACTIVE)
        await w.spawn("risk", "risk-b")
        first = await w.next_plan()
        await w.stop("risk-a", signal.SIGKILL)
        w.seen.clear()
        await w.becomes(TradingState.ACTIVE)
        await eventually(lambda: w.last(RiskReport).plans_in_flight == 1)
        await w.end(first, "0")
        second = await w.next_plan()
        assert second.plan_id != first.plan_id
        await w.is_ready("risk-b")
        assert await w.stop("risk-b") == 0


async def test_scanner_with_two_shards_scans_all_and_hands_over(url: str, tmp_path: Path) -> None:
    async with world(url, tmp_path, shards=2) as w:
        for name in ("scanner-a", "scanner-b"):
            await w.spawn("scanner", name)
        owned = [(await w.is_ready(f"scanner-{name}")).gauges["shards_owned"] for name in "ab"]
        assert sum(owned) <= 2
        w.bid = 10_080.0
        await eventually(lambda: w.all(Opportunity), timeout_s=20)
        for name in ("scanner-a", "scanner-b"):
            assert await w.stop(name) == 0
            w.seen.clear()
            if name == "scanner-a":  # whichever owned the shard, the one left scans it
                await eventually(lambda: w.all(Opportunity), timeout_s=20)


async def test_a_storm_of_forged_ends_is_told_in_a_few_alerts(url: str, tmp_path: Path) -> None:
    async with world(url, tmp_path) as w:
        await w.spawn("risk")
        await w.is_ready("risk")
        forged = [make_done(f"forged{n}", SystemClock.now_ns()) for n in range(10_000)]
        for start in range(0, len(forged), 500):
            await w.say(*forged[start : start + 500])
        await w.say(make_fill("forged", "alpha", Side.BUY, ts_ns=SystemClock.now_ns()))

        def counted() -> bool:
            beats = [m for m in w.all(Heartbeat) if m.instance == "risk"]
            assert beats
            return beats[-1].counters.get("fills_unowned") == 1

        await eventually(counted, timeout_s=20, what="all of it handled")
        assert await w.stop("risk") == 0
        alerts_of = lambda code: [a for a in w.all(Alert) if a.code == code]  # noqa: E731
        await eventually(lambda: sum(a.count for a in alerts_of("PLAN_NOT_RESERVED")) == 10_000)
        assert len(alerts_of("FILL_UNOWNED")) == 1
        assert len(w.all(Alert)) < 30
