"""The exporter's figures: what is exposed, under which labels, and when it is absent."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as older_format

from services.executor.request_counts import KINDS
from services.exporter.engine import ExporterEngine
from services.exporter.exposition import exposition
from services.exporter.metrics_page import ALL, COMMAND, render_markdown
from shared.config_sections import Config, VenueConfig
from shared.histogram import Histogram
from shared.measure_names import (
    BUDGET_GAUGE,
    CPU,
    OPEN_FILES,
    OPEN_FILES_MAX,
    REQUEST_COUNTER,
    REQUEST_LATENCY,
    RESIDENT,
)
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Certainty, TradingState
from shared.messages.control import Alert, Heartbeat, Severity
from shared.messages.execution import (
    ExecutorReady,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanOutcome,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.market import DepthView, VenueStatus
from shared.messages.position_reports import PositionReport
from shared.metrics import host_metrics, notify_metrics, venue_metrics
from shared.metrics import table as metrics
from shared.metrics.host_reader import pressure_of, read_host
from shared.metrics.metric import Kind
from shared.metrics.requests import (
    BooksRead,
    HostRead,
    ReadBooks,
    ReadFailed,
    ReadHost,
    ReadStreams,
    StreamsRead,
)
from shared.streams import ALL as STREAMS
from shared.watch.lags import foremost_of, lags_of
from tests.contract.examples import example
from tests.decision_builders import make_beat
from tests.support import ROOT

NOW = 1_700_000_000_000_000_000
S = 1_000_000_000
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
Figures = dict[tuple[str, tuple[str, ...]], float]


def engine(*venues: str) -> ExporterEngine:
    section = VenueConfig(instruments=["BTC/USDT"])
    return ExporterEngine(Config(venues=dict.fromkeys(venues or ("kraken", "binance"), section)))


def figures(made: ExporterEngine, now_ns: int = NOW) -> Figures:
    """What a scrape shows, by name and label values in the table's order."""
    labels = {row.name.removesuffix("_total"): row.labels for row in ALL}
    _, text = exposition(made.samples(now_ns, "1.2"), OPEN_METRICS)
    found: Figures = {}
    for family in open_metrics(text.decode()):
        for sample in family.samples:
            names = labels[family.name]
            rest = [v for k, v in sample.labels.items() if k not in names]
            found[sample.name, (*(sample.labels[n] for n in names), *rest)] = sample.value
    return found


def beat(
    service: str = "risk",
    instance: str = "a",
    *,
    at_ns: int = NOW,
    since_ns: int = NOW,
    **more: Any,
) -> Heartbeat:
    return make_beat(service, at_ns, since_ns, instance=instance, **more)


def report(**more: Any) -> RiskReport:
    given: dict[str, Any] = {
        "exposure": {},
        "realized": {},
        "fees": {},
        "realized_today": {},
        **more,
    }
    return RiskReport(
        ts_ns=given.pop("ts_ns", NOW),
        state=TradingState.ACTIVE,
        reserved=Decimal(0),
        plans_in_flight=given.pop("plans_in_flight", 0),
        certainty=given.pop("certainty", Certainty.KNOWN),
        **given,
    )


def view(venue: str, instrument: str, state: BookState = BookState.LIVE, **more: Any) -> DepthView:
    given = {"ts_recv_ns": NOW - S, "ts_ns": NOW, **more}
    return DepthView(
        venue=venue, instrument=instrument, state=state, epoch=1, seq=1, bids=(), asks=(), **given
    )


def read(made: ExporterEngine, now_ns: int = NOW, **more: Any) -> None:
    told = {"sizes": {}, "lags_ms": {}, "dead": {}, **more}
    made.on_message(StreamsRead(**told), now_ns)


def names(found: Figures) -> set[str]:
    return {name for name, _ in found}


# The table


def test_the_document_is_current() -> None:
    path = ROOT / "docs" / "metrics.md"
    assert path.read_text(encoding="utf-8") == render_markdown(), f"run: {COMMAND}"


def test_every_row_follows_the_rules_of_names() -> None:
    assert len({row.name for row in ALL}) == len(ALL)
    tables = (metrics, host_metrics, venue_metrics, notify_metrics)
    declared = {row for t in tables for row in vars(t).values() if isinstance(row, metrics.Metric)}
    assert declared == set(ALL), "every metric is in a group"
    for row in ALL:
        assert re.fullmatch(r"arb_[a-z]+(_[a-z]+)*", row.name)
        assert row.name.endswith("_total") == (row.kind is Kind.COUNTER)
        assert row.text != row.name and len(row.text) > 10
        assert not {"instrument", "pid", "id", "price", "text"} & set(row.labels)


# Processes


def test_what_heartbeats_count_has_labels_for_service_and_reason() -> None:
    made = engine()
    counted = {"plans_denied": 5, "plans_denied_HALTED": 3, "plans_denied_BOOK_AGE": 2, "fills": 7}
    made.on_message(beat(counters={**counted, "plans_approved": 4}), NOW)
    made.on_message(beat("scanner", counters={"near_misses": 9, "near_misses_FEES": 9}), NOW)
    made.on_message(beat("ingestor", counters={"frames": 11, "gaps": 1}), NOW)
    found = figures(made)
    assert found["arb_denials_total", ("risk", "risk-0", "HALTED")] == 3
    assert found["arb_denials_total", ("risk", "risk-0", "BOOK_AGE")] == 2
    assert found["arb_near_misses_total", ("scanner", "scanner-0", "FEES")] == 9
    assert found["arb_feed_frames_total", ("ingestor", "ingestor-0")] == 11
    assert found["arb_plans_approved_total", ("risk", "risk-0")] == 4
    events = {labels[2]: n for (name, labels), n in found.items() if name == "arb_events_total"}
    assert events == {"fills": 7}, "each counter has one metric"


def test_latencies_are_histograms_in_seconds() -> None:
    made, histogram = engine(), Histogram()
    histogram.record(1_500_000, count=99)
    histogram.record(20_000_000)
    made.on_message(beat("orderbook", latency={"tick_to_depth": histogram.buckets}), NOW)
    found = figures(made)
    place = "orderbook", "orderbook-0"
    for bound, count in (("0.001", 0), ("0.002", 99), ("0.05", 100), ("+Inf", 100)):
        assert found["arb_tick_to_depth_seconds_bucket", (*place, bound)] == count
    assert found["arb_tick_to_depth_seconds_count", place] == 100
    assert found["arb_tick_to_depth_seconds_sum", place] == pytest.approx(0.1685, rel=0.016)


def test_a_silent_process_keeps_only_its_heartbeats_time() -> None:
    made = engine()
    made.on_message(beat(counters={"fills": 1}), NOW)
    read(made, NOW + 4 * S)
    place = "risk", "risk-0"
    assert figures(made, NOW + 4 * S)["arb_ready", place] == 1
    later = figures(made, NOW + 5 * S)
    assert {name for name, labels in later if labels[:2] == place} == {
        "arb_heartbeat_timestamp_seconds",
        "arb_restarts_total",
    }
    assert later["arb_heartbeat_timestamp_seconds", place] == NOW / 1e9
    assert ("arb_heartbeat_timestamp_seconds", place) not in figures(made, NOW + 3600 * S)


def test_a_process_that_is_started_again_takes_its_slot() -> None:
    made = engine()
    made.on_message(beat(instance="risk-host-7"), NOW)
    made.on_message(beat(instance="risk-host-9", at_ns=NOW + 4 * S, since_ns=NOW + 3 * S), NOW)
    made.on_message(beat("executor", "e"), NOW)
    made.on_message(beat("executor", "e", at_ns=NOW + S, since_ns=NOW + S), NOW)
    read(made, NOW + 4 * S)
    found = figures(made, NOW + 4 * S)
    restarts = {labels: n for (name, labels), n in found.items() if name == "arb_restarts_total"}
    assert restarts == {("risk", "risk-0"): 1, ("executor", "executor-0"): 1}


def test_who_stands_by_has_a_slot_of_its_own_and_old_heartbeats_change_nothing() -> None:
    made = engine()
    made.on_message(beat(instance="a", at_ns=NOW, since_ns=NOW - 9 * S), NOW)
    made.on_message(beat(instance="b", at_ns=NOW + S, since_ns=NOW + S // 2), NOW)
    made.on_message(beat(instance="a", at_ns=NOW - S, since_ns=NOW - 9 * S), NOW)
    made.on_message(beat(instance="long ago", at_ns=NOW - 3600 * S), NOW)
    found = figures(made, NOW + S)
    times = {lb: n for (name, lb), n in found.items() if name == "arb_heartbeat_timestamp_seconds"}
    assert times == {("risk", "risk-0"): NOW / 1e9, ("risk", "risk-1"): NOW / 1e9 + 1}


# Money


def position(instrument: str, qty: str, close: str | None, venue: str = "") -> PositionReport:
    return PositionReport(
        venue=venue,
        instrument=instrument,
        qty=Decimal(qty),
        entry=Decimal(1),
        close_price=None if close is None else Decimal(close),
    )


def test_money_is_told_as_risk_reports_it_and_the_unknown_is_absent() -> None:
    made = engine()
    made.on_message(
        report(
            exposure={"BTC": Decimal("-0.5")},
            realized={"USDT": Decimal("12.25")},
            unrealized={"USDT": Decimal("-1.5"), "EUR": None},
            equity={"USDT": Decimal("10.75"), "EUR": Decimal(-1)},
            drawdown={"USDT": Decimal(3)},
            positions=[
                position("BTC/USDT", "-0.5", "60000"),
                position("BTC/USDT:USDT", "2", "100", "kraken"),
                position("BTC/USDC:USDC", "1", None, "kraken"),
                position("ETH/USDT", "1", None),
            ],
            certainty=Certainty.ESTIMATED,
        ),
        NOW,
    )
    found = figures(made)
    assert found["arb_exposure_base", ("BTC",)] == -0.5
    assert found["arb_realized_quote", ("USDT",)] == 12.25
    assert found["arb_unrealized_quote", ("USDT",)] == -1.5
    assert ("arb_unrealized_quote", ("EUR",)) not in found
    assert found["arb_equity_quote", ("USDT",)] == 10.75
    assert found["arb_drawdown_quote", ("USDT",)] == 3
    assert found["arb_equity_peak_quote", ("USDT",)] == 13.75
    assert found["arb_equity_quote", ("EUR",)] == -1
    assert ("arb_equity_peak_quote", ("EUR",)) not in found, "it is not told how far it is below"
    assert ("arb_equity_quote", ("BTC",)) not in found
    assert found["arb_position_base", ("BTC", "all")] == -0.5
    assert found["arb_position_base", ("BTC", "kraken")] == 3
    assert found["arb_position_value_quote", ("BTC", "all", "USDT")] == -30_000
    assert found["arb_position_value_quote", ("BTC", "kraken", "USDT")] == 200
    assert ("arb_position_value_quote", ("BTC", "kraken", "USDC")) not in found
    assert ("arb_position_value_quote", ("ETH", "all", "USDT")) not in found
    certain = {c: found["arb_money_certainty", (c,)] for c in Certainty}
    assert certain == {Certainty.KNOWN: 0, Certainty.ESTIMATED: 1, Certainty.UNKNOWN: 0}
    assert found["arb_money_unknown", ()] == 1, "EUR has no price"


@pytest.mark.parametrize(
    ("more", "unknown"),
    [
        ({}, 0),
        ({"certainty": Certainty.UNKNOWN}, 1),
        ({"funding_unknown": {"kraken": "no answer"}}, 1),
        ({"fees_unpriced": {"USDT": {"BNB": Decimal(1)}}}, 1),
        ({"unrealized": {"USDT": Decimal(0)}}, 0),
    ],
)
def test_money_is_unknown_while_a_part_of_it_is(more: dict[str, Any], unknown: int) -> None:
    made = engine()
    made.on_message(report(**more), NOW)
    assert figures(made)["arb_money_unknown", ()] == unknown


def test_old_reports_are_not_told_but_their_time_is() -> None:
    made = engine()
    made.on_message(report(realized={"USDT": Decimal(1)}), NOW)
    made.on_message(
        TradingStateChanged(
            ts_ns=NOW, state=TradingState.HALTED, reason="DRAWDOWN: 7 of 5; LOSS", ts_since_ns=1
        ),
        NOW,
    )
    made.on_message(
        ExecutorReady(
            ts_ns=NOW,
            ready=True,
            mode="paper",
            open_plans=0,
            unknown_orders=2,
            venues_down={"kraken|BTC/USDT": "refused"},
        ),
        NOW,
    )
    made.on_message(
        VenueStatus(ts_ns=NOW, venue="kraken", instrument="", state=BookState.DOWN, epoch=1), NOW
    )
    found = figures(made)
    assert [found["arb_trading_state", (s,)] for s in TradingState] == [0, 0, 1]
    assert found["arb_halt_cause", ("DRAWDOWN",)] == 1
    assert found["arb_venue_orders_up", ("kraken",)] == 0
    assert found["arb_venue_orders_up", ("binance",)] == 1
    assert found["arb_orders_unsettled", ()] == 2
    assert found["arb_feed_up", ("kraken",)] == 0
    assert ("arb_feed_up", ("binance",)) not in found, "nothing was heard of it"
    assert found["arb_build_info", ("1.2", "paper")] == 1
    later = figures(made, NOW + 5 * S)
    assert names(later) == {
        "arb_up",
        "arb_build_info",
        "arb_risk_report_timestamp_seconds",
        "arb_stream_bytes_max",
    }
    assert later["arb_build_info", ("1.2", "unknown")] == 1


def test_the_feed_of_an_ingestor_that_started_often_is_told_as_well() -> None:
    made = engine()
    at = NOW
    for number in range(300):  # each start is a source of its own
        at += 60 * S
        made.on_message(
            VenueStatus(
                ts_ns=at,
                venue="kraken",
                instrument="",
                state=BookState.LIVE,
                epoch=1,
                source=f"ingestor-1#{number}",
            ),
            at,
        )
    assert figures(made, at)["arb_feed_up", ("kraken",)] == 1


# What happens


def order(number: int, status: OrderStatus) -> OrderEvent:
    made: OrderEvent = example(OrderEvent)
    return msgspec.structs.replace(
        made,
        client_order_id=f"o{number}",
        venue="kraken",
        purpose=OrderPurpose.HEDGE,
        status=status,
    )


def test_what_happens_is_counted_once() -> None:
    made = engine()
    read(made)
    found: Opportunity = example(Opportunity)
    done: PlanDone = msgspec.structs.replace(example(PlanDone), outcome=PlanOutcome.UNWOUND)
    fill: Fill = example(Fill)
    alert = Alert(
        ts_ns=NOW, service="risk", severity=Severity.WARNING, code="LOSS", text="", count=3
    )
    for _ in range(2):  # told again after a crash
        for message in (found, done, fill, order(1, OrderStatus.FILLED)):
            made.on_message(message, NOW)
    made.on_message(order(2, OrderStatus.FILLED), NOW)
    made.on_message(alert, NOW)
    told = figures(made)
    assert told["arb_opportunities_total", (found.detector,)] == 1
    assert told["arb_last_opportunity_timestamp_seconds", ()] == found.ts_ns / 1e9
    assert told["arb_plans_total", ("UNWOUND",)] == 1
    assert told["arb_plans_total", ("FILLED",)] == 0, "known to be none"
    assert told["arb_fills_total", (fill.venue,)] == 1
    assert told["arb_orders_total", ("kraken", "hedge", "FILLED")] == 2
    assert told["arb_alerts_total", ("risk", "warning", "LOSS")] == 3
    made.on_message(ReadFailed(ReadStreams(), "lost"), NOW)
    lost = figures(made)
    assert lost["arb_up", ()] == 0
    assert lost["arb_alerts_total", ("risk", "warning", "LOSS")] == 3, "or it would be new again"
    assert "arb_fills_total" not in names(lost)


# The bus


def test_books_are_told_by_state_and_the_silent_ones_as_that() -> None:
    made = engine()
    views = (
        view("kraken", "BTC/USDT"),
        view("kraken", "ETH/USDT", BookState.GAP, ts_recv_ns=NOW - 9 * S),
        view("kraken", "SOL/USDT", ts_ns=NOW - 16 * S),
        view("nowhere", "BTC/USDT"),
    )
    made.on_message(BooksRead(views), NOW)
    found = figures(made)
    states = Counter({lb[1]: n for (name, lb), n in found.items() if name == "arb_books"})
    assert +states == Counter(LIVE=1, GAP=1, SILENT=1)
    assert len(states) == len(BookState) + 1
    assert found["arb_book_oldest_timestamp_seconds", ("kraken",)] == NOW / 1e9 - 9
    assert not any("nowhere" in labels for _, labels in found)
    assert "arb_books" not in names(figures(made, NOW + 15 * S))


def test_streams_are_told_while_redis_is_read() -> None:
    made = engine()
    sizes, lags = {"exec.plan": (7, 900)}, {("exec.plan", "executor"): 250}
    made.on_message(beat(), NOW)
    read(made, sizes=sizes, lags_ms=lags, dead={"exec.plan": 1})
    found = figures(made)
    assert found["arb_up", ()] == 1
    assert found["arb_stream_entries", ("exec.plan",)] == 7
    assert found["arb_stream_bytes", ("exec.plan",)] == 900
    assert found["arb_stream_lag_seconds", ("exec.plan", "executor")] == 0.25
    assert found["arb_dead_letters_total", ("exec.plan",)] == 1
    made.on_message(ReadFailed(ReadStreams(), "away"), NOW + S)
    lost = figures(made, NOW + S)
    assert lost["arb_up", ()] == 0
    assert not {"arb_stream_entries", "arb_stream_lag_seconds", "arb_plans_total"} & names(lost)


def test_a_redis_that_hangs_is_told_within_the_limit() -> None:
    made = engine()
    assert figures(made)["arb_up", ()] == 0, "not read yet"
    read(made)
    assert figures(made, NOW + 5 * S)["arb_up", ()] == 0


def test_readings_are_asked_for_one_at_a_time() -> None:
    made = engine()
    assert made.start({}, NOW).at_once == [ReadStreams(), ReadBooks(), ReadHost()]
    assert made.next_deadline_ns() is None
    read(made, NOW)
    assert made.next_deadline_ns() == NOW + 2 * S
    assert made.on_timer(NOW + 2 * S).at_once == [ReadStreams()]
    made.on_message(ReadFailed(ReadBooks(), "away"), NOW + 2 * S)
    assert made.next_deadline_ns() == NOW + 7 * S
    assert made.counters()["readings_failed"] == 1


def test_the_slowest_shard_and_the_foremost_instance_count() -> None:
    keys = {"{0}:md.depth": "md.depth", "{1}:md.depth": "md.depth"}
    positions = {
        "scanner:a:{0}:md.depth": "4900-0",
        "scanner:b:{0}:md.depth": "1000-0",  # it owned that shard once
        "scanner:c:{0}:md.depth": "4900-1",
        "scanner:d:{0}:md.depth": "no position",
        "scanner:b:{1}:md.depth": "4000-0",
        "nobody:x:{1}:md.depth": "1-0",
        "scanner:b:{0}:md.book": "1-0",
    }
    foremost = foremost_of(keys, positions)
    assert foremost == {
        ("scanner", "{0}:md.depth"): "4900-1",
        ("scanner", "{1}:md.depth"): "4000-0",
    }
    waits_ms = {("scanner", "{0}:md.depth"): 0, ("scanner", "{1}:md.depth"): 1000}
    assert lags_of(keys, waits_ms) == {"scanner md.depth": 1000}
    assert lags_of(keys, {("scanner", "{0}:md.depth"): -5}) == {"scanner md.depth": 0}  # the clock


# Bounds


def test_what_finds_no_room_is_summed_up_and_counted() -> None:
    made = engine()
    read(made)
    for number in range(metrics.OPPORTUNITIES.series_max + 10):
        named = {"opportunity_id": f"o{number}", "detector": f"d{number}"}
        made.on_message(msgspec.structs.replace(example(Opportunity), **named), NOW)
    for _ in range(2):
        found = figures(made)
    rows = {lb[0]: n for (name, lb), n in found.items() if name == "arb_opportunities_total"}
    assert len(rows) == metrics.OPPORTUNITIES.series_max + 1
    assert rows["other"] == 10
    assert sum(rows.values()) == metrics.OPPORTUNITIES.series_max + 10
    assert found["arb_series_overflow_total", ("arb_opportunities_total",)] == 20
    assert made.counters()["series_overflow"] == 20


def test_a_gauge_leaves_out_what_finds_no_room() -> None:
    made = engine()
    many = {f"A{number}": Decimal(number) for number in range(metrics.EXPOSURE.series_max + 1)}
    made.on_message(report(exposure=many), NOW)
    found = figures(made)
    assert sum(name == "arb_exposure_base" for name, _ in found) == metrics.EXPOSURE.series_max
    assert found["arb_series_overflow_total", ("arb_exposure_base",)] == 1


def requesting(
    venues: list[str],
    counters: dict[str, int],
    latency: dict[str, dict[int, int]],
    usage: dict[str, float],
) -> Heartbeat:
    """A heartbeat of an executor that sent requests of every kind, and some failed."""
    sent = {
        REQUEST_COUNTER.format(venue, kind, result): 1
        for venue in venues
        for kind in KINDS.values()
        for result in ("answered", "failed")
    }
    took = {REQUEST_LATENCY.format(venue): {1: 1} for venue in venues}
    used = {BUDGET_GAUGE.format(venue): 0.5 for venue in venues}
    return beat(
        "executor",
        at_ns=NOW + 1,
        counters=counters | sent,
        latency=latency | took,
        gauges=usage | used,
    )


def test_ten_venues_and_five_hundred_books_stay_within_3000_series() -> None:
    venues = [f"venue{number}" for number in range(10)]
    made = engine(*venues)
    counters = {f"counter_{number}": number for number in range(40)}
    usage = dict.fromkeys((CPU, RESIDENT, OPEN_FILES, OPEN_FILES_MAX), 1.0)
    services = ("orderbook", "scanner", "risk", "executor", "recorder", "sentinel", "exporter")
    latency = {f"tick_to_{what}": {1: 1} for what in ("depth", "opportunity", "plan", "order")}
    for service in services:
        made.on_message(beat(service, counters=counters, latency=latency, gauges=usage), NOW)
    for number in range(10):
        made.on_message(beat("ingestor", f"i{number}", counters=counters, gauges=usage), NOW)
    made.on_message(requesting(venues, counters, latency, usage), NOW)
    made.on_message(read_host(), NOW)
    made.on_message(BooksRead(tuple(view(v, f"B{n}/USDT") for v in venues for n in range(50))), NOW)
    assets = {f"B{number}": Decimal(1) for number in range(50)}
    positions = [position(f"B{n}/USDT:USDT", "1", "2", v) for v in venues for n in range(20)]
    made.on_message(report(exposure=assets, positions=positions), NOW)
    number = 0
    for venue in venues:
        for purpose in OrderPurpose:
            for status in OrderStatus:
                number += 1
                placed = msgspec.structs.replace(order(number, status), venue=venue)
                made.on_message(msgspec.structs.replace(placed, purpose=purpose), NOW)
    sizes = {spec.name: (1, 1) for spec in STREAMS}
    lags = {(spec.name, service): 1 for spec in STREAMS for service in spec.consumers}
    read(made, sizes=sizes, lags_ms=lags, dead=dict.fromkeys(sizes, 0))
    found = figures(made)
    assert "arb_series_overflow_total" not in names(found)
    assert 1_500 < len(found) <= 3_000


def test_who_does_not_speak_openmetrics_is_answered_in_the_older_format() -> None:
    made = engine()
    made.on_message(beat(counters={"plans_approved": 4}), NOW)
    kind, text = exposition(made.samples(NOW, "1.2"), "text/plain")
    assert kind.startswith("text/plain")
    families = {family.name: family for family in older_format(text.decode())}
    assert families["arb_plans_approved"].samples[0].value == 4
    assert exposition(made.samples(NOW, "1.2"), OPEN_METRICS)[0].startswith(
        "application/openmetrics-text"
    )


# The machine and the venues' requests


def test_a_process_says_what_it_uses_of_the_machine() -> None:
    made = engine()
    used = {CPU: 1.5, RESIDENT: 2e6, OPEN_FILES: 7.0, OPEN_FILES_MAX: 1024.0, "other": 1.0}
    made.on_message(beat(gauges=used), NOW)
    found = figures(made)
    place = ("risk", "risk-0")
    assert found["arb_process_cpu_seconds_total", place] == 1.5
    assert found["arb_process_resident_bytes", place] == 2e6
    assert found["arb_process_open_files", place] == 7
    assert found["arb_process_open_files_max", place] == 1024


def test_requests_to_venues_are_counted_by_kind_and_result() -> None:
    made = engine()
    made.on_message(
        beat(
            "executor",
            counters={"request/kraken/submit/lost": 2, "request/odd": 1},
            gauges={"rate_budget_used/kraken": 0.25},
            latency={"request/kraken": {40: 3}},
        ),
        NOW,
    )
    found = figures(made)
    place = ("executor", "executor-0")
    assert found["arb_venue_requests_total", (*place, "kraken", "submit", "lost")] == 2
    assert found["arb_events_total", (*place, "request/odd")] == 1, "never a scrape that fails"
    assert found["arb_rate_budget_used_ratio", (*place, "kraken")] == 0.25
    assert found["arb_venue_request_duration_seconds_count", (*place, "kraken")] == 3


def test_a_venues_clock_is_told_by_its_quickest_book() -> None:
    made = engine()
    late = [view("kraken", f"B{n}/USDT", ts_venue_ns=NOW - n * S) for n in (2, 3)]
    ahead = view("binance", "BTC/USDT", ts_venue_ns=NOW)
    made.on_message(BooksRead((*late, ahead, view("binance", "ETH/USDT"))), NOW)
    found = figures(made)
    assert found["arb_venue_clock_offset_seconds", ("kraken",)] == 1
    assert found["arb_venue_clock_offset_seconds", ("binance",)] == -1
    made.on_message(BooksRead((view("kraken", "B2/USDT"),)), NOW + 20 * S)
    assert ("arb_venue_clock_offset_seconds", ("kraken",)) not in figures(made, NOW + 20 * S)


def test_the_host_is_absent_once_it_is_not_read_any_more() -> None:
    made = engine()
    made.on_message(HostRead({"cpus": 2.0}, {"pressure": {"cpu": 0.25}}), NOW)
    found = figures(made)
    assert found["arb_host_cpus", ()] == 2
    assert found["arb_host_pressure_ratio", ("cpu",)] == 0.25
    assert "arb_host_load" not in names(found), "what is not told is not zero"
    assert made.next_deadline_ns() == 0, "the others are still due"
    assert "arb_host_cpus" not in names(figures(made, NOW + 15 * S))


def test_a_host_that_cannot_be_read_is_asked_again() -> None:
    made = engine()
    made.start({}, NOW)
    made.on_message(ReadFailed(ReadHost(), "no /proc"), NOW)
    assert made.next_deadline_ns() == NOW + 5 * S
    assert made.counters()["readings_failed"] == 1


def test_this_machine_is_read() -> None:
    told = read_host()
    assert 0 < told.figures["memory_available_bytes"] <= told.figures["memory_bytes"]
    assert told.by_label["cpu_s"].keys() == {"user", "system", "iowait", "steal", "idle", "other"}
    for mount, free in told.by_label["disk_free_bytes"].items():
        assert 0 <= free <= told.by_label["disk_bytes"][mount]
    assert all(0 <= ratio <= 1 for ratio in told.by_label["pressure"].values())
    assert told.figures.get("clock_synchronized", 0.0) in {0.0, 1.0}


def test_what_a_machine_does_not_tell_is_absent_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untold(*_: object, **__: object) -> None:
        raise NotImplementedError("no such figure on this platform")

    for name in ("disk_io_counters", "net_io_counters", "virtual_memory"):
        monkeypatch.setattr(psutil, name, untold)
    told = read_host()
    assert "memory_bytes" not in told.figures and told.figures["cpus"] >= 1
    assert not {"disk_io_bytes", "network_bytes"} & told.by_label.keys()
    assert told.by_label["disk_bytes"]


def test_the_image_of_a_package_is_no_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snap's is always full: ArbHostDisk would fire for ever on each Ubuntu."""
    mounted = [
        SimpleNamespace(device=device, mountpoint=mount, fstype=fstype)
        for device, mount, fstype in (
            ("/dev/loop3", "/snap/core22/1", "squashfs"),
            ("/dev/vda", "/", "ext4"),
        )
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounted)
    monkeypatch.setattr(psutil, "disk_usage", lambda mount: SimpleNamespace(total=100, free=0))
    assert read_host().by_label["disk_bytes"] == {"/": 100.0}


def test_pressure_is_that_of_the_last_minute_in_which_some_task_waited() -> None:
    text = "some avg10=29.90 avg60=24.50 avg300=12.68 total=4\nfull avg10=0 avg60=1.00 avg300=0"
    assert pressure_of(text) == 0.245
