"""`python -m tests.drill` on two venues; and it objects to what is planted on the running stack."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.messages.base import BookState
from shared.messages.market import DepthView
from tests.decision_builders import make_opportunity
from tests.drill.drill import Drill, Wanted, run
from tests.drill.faults import EVERY, OF_ORDERS
from tests.drill.record import Record
from tests.support import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(500)]
VENUES = ("binance", "kraken")


def test_every_fault_heals_at_two_venues_and_nothing_is_priced_wrong(tmp_path: Path) -> None:
    asked = [part for venue in VENUES for part in ("--venue", venue)]
    file = tmp_path / "drill.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.drill", *asked, "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-3_000:], done.stderr[-3_000:])
    record = json.loads(file.read_text())
    assert record["opportunities"] > 0
    assert record["views"]["RIGHT"] > 0
    met = {(one["venue"], one["fault"]) for one in record["healed"]}
    not_met = {tuple(pair) for pair in record["not_met"]}
    assert met | not_met == {(venue, fault.name) for venue in VENUES for fault in EVERY}
    for fault in ("drop", "reorder", "delay 3 s", "disconnect", "close 1000", "stall, venue"):
        assert {(venue, fault) for venue in VENUES} <= met
    assert ("binance", "http_429") in met
    assert ("binance", "checksum") in not_met
    assert all(name in done.stdout for name in (*VENUES, *OF_ORDERS, "not met"))


def test_a_planted_wrong_view_and_what_is_priced_from_it_are_objected_to() -> None:
    record = Record(1, 0, 30.0, list(VENUES), [])
    planted: list[str] = []

    async def plant(drill: Drill) -> None:
        now_ns = SystemClock.now_ns()
        found = make_opportunity(
            buy=("binance", "BTC/USDT"), sell=("kraken", "BTC/USDT"), now_ns=now_ns
        )
        leg = found.legs[0]
        price = float(leg.price_limit)
        epoch, seq = (int(part) for part in leg.book_id.split("|")[2:])
        view = DepthView(
            venue=leg.venue,
            instrument=leg.instrument,
            state=BookState.LIVE,
            epoch=epoch,
            seq=seq,
            bids=[(price - 1, 1.0)],
            asks=[(price, 1.0)],
            ts_recv_ns=now_ns,
            ts_ns=now_ns,
        )
        bus = await open_bus(drill.config.bus, service="scanner", instance="planted")
        try:
            await bus.publish([view, msgspec.structs.replace(found, ts_ns=now_ns)])
        finally:
            await bus.close()
        planted.append(found.opportunity_id)

    wanted = Wanted(1, 0, (), ())
    asyncio.run(run(wanted, record, lambda line: None, plant))
    about = [problem for problem in record.problems if planted[0] in problem]
    assert any("binance BTC/USDT: its book was WRONG" in problem for problem in about)
    assert any("no LIVE view kraken|BTC/USDT" in problem for problem in about)
    assert len(about) == len(record.problems) == 2
