"""A venue that begins to refuse while it is traded: what it costs, what is said, who trades on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from services.executor.standdown import REFUSALS_MAX
from shared import streams
from shared.codec import FIELD, decode
from shared.config import load_bus_config
from shared.config_limits import RiskConfig
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.execution import ApprovedPlan, ExecutorReady, OrderEvent, OrderStatus, PlanDone
from tests.e2e.up import CLEAN, arb, prepared, trading
from tests.support import eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

VENUE, INSTRUMENT, OTHERS = "binance", "BTC/USDT", ("ETH/USDT", "SOL/USDT")
CROSSING_S = 120
"""For a plan in one instrument of one venue: its prices cross those of others every 20 s or so."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with prepared(tmp_path):
        yield tmp_path


class Bus:
    """What the streams say, read beside the services."""

    def __init__(self, folder: Path) -> None:
        url = load_bus_config(str(folder / "arb.toml"), {}).url
        self._redis = redis.Redis(unix_socket_path=url.removeprefix("unix://"))

    def published(self, kind: type[Message]) -> list[Any]:
        spec = streams.STREAM_OF[kind]
        return [
            message
            for _, entry in self._redis.xrange(spec.key())
            for message in decode(spec, entry[FIELD])
            if isinstance(message, kind)
        ]

    def venues_down(self) -> dict[str, str]:
        """As the executor reports it; `arb status` shows the same, and takes a second to start."""
        spec = streams.STREAM_OF[ExecutorReady]
        for _, entry in self._redis.xrevrange(spec.key(), count=200):
            for message in reversed(decode(spec, entry[FIELD])):
                if isinstance(message, ExecutorReady):
                    return message.venues_down
        return {}

    def refused(self) -> list[OrderEvent]:
        return [e for e in self.published(OrderEvent) if e.status is OrderStatus.REJECTED]

    def even_since(self, ts_ns: int, *instruments: str) -> list[str]:
        """Plans that ended even, with a leg that was filled at the venue since then."""
        filled = {
            e.plan_id
            for e in self.published(OrderEvent)
            if e.venue == VENUE
            and e.instrument in instruments
            and e.status is OrderStatus.FILLED
            and e.ts_ns > ts_ns
        }
        ended = {d.plan_id for d in self.published(PlanDone) if not d.residual}
        return sorted(filled & ended)


def fault(folder: Path, method: str = "POST", **body: Any) -> None:
    url = (folder / "control").read_text() + "/fault"
    asked = urllib.request.Request(url, json.dumps(body).encode(), method=method)
    with urllib.request.urlopen(asked, timeout=5):
        pass


def test_a_venue_that_begins_to_refuse_stands_down_before_it_costs_much(folder: Path) -> None:
    with trading(folder):
        bus = Bus(folder)
        eventually_sync(
            lambda: bus.even_since(0, INSTRUMENT), timeout_s=CROSSING_S, every_s=0.5, what="trades"
        )

        # One instrument is refused: it stands down, the venue's others are traded.
        fault(folder, kind="reject", venue=VENUE, instrument=INSTRUMENT, count=100_000)
        place = f"{VENUE}|{INSTRUMENT}"
        eventually_sync(
            lambda: len(bus.refused()) >= REFUSALS_MAX,
            timeout_s=REFUSALS_MAX * CROSSING_S,
            every_s=0.5,
            what="orders that are refused",
        )
        eventually_sync(lambda: place in bus.venues_down(), timeout_s=10, what=place)
        since_ns = time.time_ns()
        eventually_sync(
            lambda: bus.even_since(since_ns, *OTHERS),
            timeout_s=CROSSING_S,
            every_s=0.5,
            what="trades in others",
        )
        assert VENUE not in bus.venues_down()

        # Everything is: the venue stands down, nothing else.
        fault(folder, kind="reject", venue=VENUE, count=100_000)
        eventually_sync(lambda: VENUE in bus.venues_down(), timeout_s=CROSSING_S, what=VENUE)
        found = arb(folder, "status")[1]["trading"]
        assert found["state"] == "ACTIVE"
        assert VENUE in found["venues_down"]
        critical = {a.code for a in bus.published(Alert) if a.severity is Severity.CRITICAL}
        assert critical == {"INSTRUMENT_STANDS_DOWN", "VENUE_STANDS_DOWN"}
        shown = subprocess.run(
            [sys.executable, "-m", "services.cli.main", "status"],
            cwd=folder,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        assert f"no new orders to {VENUE}: " in shown

        # It cost no more than the plans may, and no more orders than it takes to know.
        refused = bus.refused()
        assert len(refused) <= 2 * (REFUSALS_MAX + plans_at_once())
        caps = {plan.plan_id: plan.loss_cap for plan in bus.published(ApprovedPlan)}
        hit = {order.plan_id for order in refused}
        eventually_sync(
            lambda: hit <= {d.plan_id for d in bus.published(PlanDone)}, what="their ends"
        )
        for done in bus.published(PlanDone):
            if done.plan_id in hit:
                assert not done.residual
                assert done.realized >= -caps[done.plan_id]

        # Mended, it is traded again.
        fault(folder, "DELETE")
        assert arb(folder, "resume")[1]["state"] == "ACTIVE"
        since_ns = time.time_ns()
        eventually_sync(
            lambda: bus.even_since(since_ns, INSTRUMENT),
            timeout_s=CROSSING_S,
            every_s=0.5,
            what="trades again",
        )
        assert not arb(folder, "status")[1]["trading"]["venues_down"]


def plans_at_once() -> int:
    return int(RiskConfig().plans_in_flight_max)
