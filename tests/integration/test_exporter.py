"""The exporter as a process on a real server: every metric, a Redis that is away, a port taken."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from services.exporter.metrics_page import ALL
from shared.bus.opening import open_bus
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.measure_names import CPU, OPEN_FILES, OPEN_FILES_MAX, RESIDENT
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Certainty, FeedName, Message, TradingState
from shared.messages.control import Alert, Heartbeat, Severity
from shared.messages.execution import (
    ExecutorReady,
    Fill,
    OrderEvent,
    PlanDone,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.market import DepthView, VenueStatus
from shared.messages.position_reports import PositionReport
from shared.metrics import host_metrics
from shared.metrics.host_reader import read_host
from shared.metrics.metric import Metric
from shared.metrics.table import OVERFLOW
from tests.contract.examples import example
from tests.integration.processes import ServiceProcess
from tests.support import eventually

USAGE = (CPU, RESIDENT, OPEN_FILES, OPEN_FILES_MAX)
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CONFIG = (
    '[bus]\nurl = "{url}"\n[exporter]\nport = {port}\n[venues.kraken]\ninstruments = ["BTC/USDT"]\n'
    '[venues.binance]\ninstruments = ["BTC/USDT"]\ntwo_feeds = true\n'
    "[risk]\ndrawdown_max = 1000\n"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    yield made
    made.stop()


def exporter(tmp_path: Path, server: EmbeddedServer, port: int = 0) -> ServiceProcess:
    return ServiceProcess("exporter", tmp_path, CONFIG.format(url=server.url, port=port))


def scrape(running: ServiceProcess) -> dict[str, dict[tuple[str, ...], float]]:
    """What a scrape shows: metric -> values of its labels, by their names -> value."""
    (served,) = [e for e in running.events() if e["event"] == "metrics_served"] or [{}]
    assert served, "it listens"
    request = urllib.request.Request(served["url"], headers={"Accept": OPEN_METRICS})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def scraped(running: ServiceProcess) -> dict[str, dict[tuple[str, ...], float]]:
    return await asyncio.get_running_loop().run_in_executor(None, scrape, running)


def everything() -> list[Message]:
    """Messages that together make every metric of the table appear."""
    now_ns = SystemClock.now_ns()
    measures = ("depth", "opportunity", "plan", "order")
    latency = {"request/kraken": {40: 3}, **{f"tick_to_{what}": {40: 3} for what in measures}}
    counters: dict[str, dict[str, int]] = {
        "ingestor": {"frames": 5, "gaps": 1, "resyncs": 2, "reconnects": 3},
        "scanner": {"near_misses_FEES": 4},
        "risk": {"plans_approved": 2, "plans_shrunk": 1, "plans_denied_HALTED": 6, "fills": 1},
        "executor": {"request/kraken/submit/answered": 3},
    }
    beats = [
        msgspec.structs.replace(
            example(Heartbeat),
            ts_ns=now_ns,
            service=name,
            instance=f"{name}-1",
            counters=counted,
            latency=latency,
            gauges={
                **dict.fromkeys(USAGE, 1.0),
                "rate_budget_used/kraken": 0.5,
                "notify_last_ok/phone": 1.0,
                "notify_waiting/phone": 2.0,
            },
        )
        for name, counted in counters.items()
    ]
    amounts = {"USDT": Decimal("1.25")}
    report = RiskReport(
        ts_ns=now_ns,
        state=TradingState.ACTIVE,
        exposure={"BTC": Decimal("0.5")},
        realized=amounts,
        fees=amounts,
        realized_today=amounts,
        reserved=Decimal(0),
        plans_in_flight=1,
        certainty=Certainty.KNOWN,
        unrealized=dict(amounts),
        funding=amounts,
        today=amounts,
        drawdown=amounts,
        equity=amounts,
        positions=[
            PositionReport(
                venue="",
                instrument="BTC/USDT",
                qty=Decimal("0.5"),
                entry=Decimal(1),
                close_price=Decimal(100),
            )
        ],
    )
    book: dict[str, Any] = {"venue": "kraken", "instrument": "BTC/USDT", "state": BookState.LIVE}
    ready = ExecutorReady(ts_ns=now_ns, ready=True, mode="paper", open_plans=0, unknown_orders=0)
    return [
        *beats,
        report,
        TradingStateChanged(
            ts_ns=now_ns, state=TradingState.HALTED, reason="OPERATOR: HALT by me", ts_since_ns=1
        ),
        ready,
        VenueStatus(
            ts_ns=now_ns, venue="kraken", instrument="", state=BookState.LIVE, epoch=now_ns
        ),
        VenueStatus(
            ts_ns=now_ns,
            venue="binance",
            instrument="",
            state=BookState.LIVE,
            epoch=now_ns,
            source="b#1",
            feed=FeedName.B,
        ),
        DepthView(
            **book,
            epoch=now_ns,
            seq=1,
            bids=(),
            asks=(),
            ts_recv_ns=now_ns,
            ts_venue_ns=now_ns - 1,
            ts_ns=now_ns,
        ),
        example(Opportunity),
        example(OrderEvent),
        example(Fill),
        example(PlanDone),
        Alert(ts_ns=now_ns, service="risk", severity=Severity.INFO, code="TEST", text=""),
    ]


def untold() -> set[Metric]:
    """What the kernel of this machine does not tell."""
    told = read_host()
    metrics = set() if told.by_label["pressure"] else {host_metrics.HOST_PRESSURE}
    if "disk_io_bytes" not in told.by_label:
        metrics.add(host_metrics.HOST_DISK_IO)
    if "clock_synchronized" not in told.figures:
        metrics.add(host_metrics.HOST_CLOCK_SYNCED)
    if "clock_offset_s" not in told.figures:
        metrics |= {host_metrics.HOST_CLOCK_OFFSET, host_metrics.HOST_CLOCK_ERROR}
    return metrics


async def test_every_metric_of_the_table_appears(tmp_path: Path, server: EmbeddedServer) -> None:
    server.start()
    bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")
    with exporter(tmp_path, server) as running:

        async def is_complete() -> bool:
            await bus.publish(everything())
            found = await scraped(running)
            wanted = {
                f"{row.name}{'_count' if row.kind == 'histogram' else ''}"
                for row in ALL
                if row is not OVERFLOW and row not in untold()
            }
            assert wanted - found.keys() == set()
            assert ("TEST",) in {labels[:1] for labels in found["arb_alerts_total"]}
            return True

        await eventually(is_complete, timeout_s=20)
        found = await scraped(running)
        assert found["arb_up"] == {(): 1}
        assert found["arb_denials_total"] == {("risk-0", "HALTED", "risk"): 6}
        assert found["arb_position_value_quote"] == {("BTC", "USDT", "all"): 50}
        assert found["arb_books"]["LIVE", "kraken"] == 1
        assert found["arb_feed_of_two_up"] == {("a", "binance"): 0, ("b", "binance"): 1}
        assert found["arb_feed_up"] == {("kraken",): 1, ("binance",): 1}
        assert found["arb_dead_letters_total"][("exec.plan",)] == 0
        assert OVERFLOW.name not in found
        await bus.close()
        assert running.end(signal.SIGTERM) == 0


async def test_without_redis_it_answers_and_has_no_stale_figure(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    with exporter(tmp_path, server) as running:

        async def up(expected: float) -> bool:
            return (await scraped(running))["arb_up"] == {(): expected}

        await eventually(lambda: up(0), what="it answers before there is a Redis")
        server.start()
        bus = await open_bus(BusConfig(url=server.url), service="test", instance="t")

        async def knows() -> bool:
            await bus.publish(everything())
            return {"arb_realized_quote", "arb_books"} <= (await scraped(running)).keys()

        await eventually(knows, timeout_s=20)
        await eventually(lambda: up(1), timeout_s=20)
        await bus.close()
        server.kill()
        await eventually(lambda: up(0), timeout_s=20)

        async def is_bare() -> bool:
            found = (await scraped(running)).keys()
            assert {name for name in found if not name.startswith("arb_host_")} == {
                "arb_up",
                "arb_build_info",
                "arb_heartbeat_timestamp_seconds",
                "arb_risk_report_timestamp_seconds",
                "arb_last_opportunity_timestamp_seconds",
                "arb_stream_bytes_max",
                "arb_alerts_total",
            }
            return True

        await eventually(is_bare, timeout_s=30)
        server.start()
        await eventually(lambda: up(1), timeout_s=30, what="it goes on when Redis is back")
        assert running.process is not None and running.process.poll() is None


async def test_a_port_that_is_taken_is_said_and_tried_again(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = exporter(tmp_path, server, taken.getsockname()[1])
        with running:

            def said() -> bool:
                events = [e for e in running.events() if e["event"] == "metrics_not_served"]
                return bool(events) and "exporter.port" in events[0]["reason"]

            await eventually(said)
            taken.close()
            await eventually(lambda: scraped(running), what="it listens once the port is free")
            assert running.end(signal.SIGTERM) == 0
