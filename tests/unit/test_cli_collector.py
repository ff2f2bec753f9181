"""What the streams add up to: ids count once, incarnations are summed, money is exact."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from shared.histogram import bucket_of
from shared.messages.arb import NearMiss
from shared.messages.base import BookState, Certainty, Side, TradingState
from shared.messages.control import Heartbeat
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    ExecutorReady,
    Fill,
    OrderEvent,
    OrderStatus,
    PlanDone,
    PlanOutcome,
    RiskReport,
)
from shared.messages.market import VenueStatus
from shared.watch.collector import Collector, Remembered
from shared.watch.report import Ending, build_report
from tests.decision_builders import make_beat, make_order, order_of
from tests.ledger_builders import of_risk

D = Decimal


def beat(service: str, started: int, ts: int = 1, instance: str = "1", **parts: dict) -> Heartbeat:
    return make_beat(service, ts, started, instance=instance, **parts)


def fill(trade_id: str, side: Side, qty: str, **changes: object) -> Fill:
    one = Fill(
        ts_ns=1,
        plan_id="p",
        client_order_id=f"c-{side}",
        venue="v",
        instrument="BTC/USDT",
        side=side,
        trade_id=trade_id,
        price=D(100),
        qty=D(qty),
    )
    return msgspec.structs.replace(one, **changes)


def order(client_order_id: str, status: OrderStatus) -> OrderEvent:
    return make_order(client_order_id=client_order_id, status=status)


def plan(plan_id: str) -> ApprovedPlan:
    return ApprovedPlan(
        ts_ns=1,
        plan_id=plan_id,
        opportunity_id="o",
        base="BTC",
        quote="USDT",
        legs=[],
        net_expected=D(1),
        loss_cap=D(1),
        ts_recv_ns=1,
        ts_depth_ns=1,
        ts_opportunity_ns=1,
        ts_expire_ns=2,
    )


def done(plan_id: str, outcome: PlanOutcome, realized: str) -> PlanDone:
    return PlanDone(
        ts_ns=1,
        plan_id=plan_id,
        outcome=outcome,
        base="BTC",
        quote="USDT",
        realized=D(realized),
        fees=D("0.1"),
        certainty=Certainty.KNOWN,
    )


def folded(*messages: object) -> Collector:
    collector = Collector()
    for message in messages:
        if isinstance(message, Fill):
            collector.on_message(order_of(message))
        collector.on_message(message)
    return collector


def test_counters_of_all_incarnations_are_summed_and_repeats_are_not() -> None:
    collector = folded(
        beat("ingestor", 1, counters={"frames": 5}),
        beat("ingestor", 1, ts=2, counters={"frames": 9}),
        beat("ingestor", 3, ts=3, counters={"frames": 2}),
        beat("orderbook", 1, counters={"frames": 100}),
    )
    assert collector.counter("ingestor", "frames") == 11
    assert collector.counter("ingestor", "never") == 0


def test_histograms_of_all_incarnations_are_merged() -> None:
    slow, fast = bucket_of(2_000_000), bucket_of(50_000)
    collector = folded(
        beat("risk", 1, latency={"tick_to_plan": {fast: 98}}),
        beat("risk", 2, latency={"tick_to_plan": {slow: 2}}),
    )
    record = build_report(collector, {}, Ending())["latency_us"]["tick_to_plan"]
    assert record["n"] == 100
    assert record["p50"] == pytest.approx(50, rel=0.05)
    assert record["p99"] == pytest.approx(2_000, rel=0.05)
    assert build_report(collector, {}, Ending())["latency_us"]["tick_to_order"]["p50"] is None


def test_gauges_forget_an_instance_that_went_silent() -> None:
    collector = folded(
        beat("orderbook", 1, ts=1, instance="old", gauges={"books_live": 4.0}),
        beat("orderbook", 2, ts=60_000_000_000, instance="new", gauges={"books_live": 3.0}),
    )
    assert collector.gauge("orderbook", "books_live") == 3


def test_a_fill_told_twice_counts_once_and_its_fee_is_corrected() -> None:
    collector = folded(
        fill("1", Side.BUY, "2"),
        fill("1", Side.BUY, "2"),
        fill("2", Side.SELL, "1.5", fee=D("0.1"), fee_asset="USDT"),
    )
    assert collector.books.exposure == {"BTC": D("0.5")}
    assert collector.books.results["USDT"].fees_missing == 1
    collector.on_message(fill("1", Side.BUY, "2", fee=D("0.5"), fee_asset="BTC"))
    assert collector.books.exposure == {"BTC": D(0)}, "a fee in the base reduces what was bought"
    assert (collector.books.results["USDT"].fees_missing, len(collector.fills)) == (0, 2)


def test_the_same_trade_id_at_another_venue_is_another_fill() -> None:
    collector = folded(
        fill("1", Side.BUY, "1"), fill("1", Side.SELL, "1", venue="w", client_order_id="w")
    )
    assert len(collector.fills) == 2
    assert collector.books.exposure == {"BTC": D(0)}


def test_a_fill_without_an_order_is_no_money_and_is_counted() -> None:
    collector = Collector()
    collector.on_message(fill("1", Side.BUY, "1"))
    collector.on_message(order_of(fill("1", Side.BUY, "1"), qty="1.5"))
    for trade_id in ("1", "1", "2"):
        collector.on_message(fill(trade_id, Side.BUY, "1"))
    assert collector.books.exposure == {"BTC": D(1)}
    report = build_report(collector, {}, Ending())
    assert (report["fills"], report["fills_unowned"]) == (1, 2)


def test_an_order_counts_by_its_last_status_and_the_unsettled_are_unknown() -> None:
    collector = folded(
        *(order("a", status) for status in (OrderStatus.SUBMITTED, OrderStatus.FILLED)),
        *(order("b", status) for status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN)),
        order("c", OrderStatus.SUBMITTED),
        order("d", OrderStatus.REJECTED),
    )
    counts = collector.order_counts()
    assert (counts["submitted"], counts["filled"], counts["rejected"], counts["unknown"]) == (
        4,
        1,
        1,
        2,
    )


def test_a_plan_that_ends_again_counts_once() -> None:
    collector = folded(
        plan("p"),
        plan("q"),
        done("p", PlanOutcome.UNFILLED, "0"),
        done("p", PlanOutcome.HEDGED, "-3"),
    )
    assert +collector.outcomes == {"HEDGED": 1}
    assert collector.in_flight() == ["q"]


def test_near_misses_and_denials_by_their_code() -> None:
    miss = NearMiss(
        ts_ns=1,
        detector="d",
        buy_venue="a",
        buy_instrument="i",
        sell_venue="b",
        sell_instrument="i",
        gate="FEES",
        count=7,
        ts_from_ns=0,
    )
    collector = folded(miss, miss, Denied(ts_ns=1, opportunity_id="o", reason="HALTED", context={}))
    report = build_report(collector, {}, Ending())
    assert report["near_misses"] == {"FEES": 14}
    assert report["plans"]["denied"] == {"HALTED": 1}


def quiet_parts(ts: int, **executor: int) -> tuple[RiskReport, ExecutorReady]:
    return (
        msgspec.structs.replace(of_risk(ts, D(0), None), state=TradingState.HALTED),
        ExecutorReady(
            ts_ns=ts,
            ready=True,
            mode="paper",
            open_plans=executor.get("open_plans", 0),
            unknown_orders=executor.get("unknown_orders", 0),
        ),
    )


def test_quiet_when_nothing_was_ever_begun() -> None:
    assert folded().is_quiet(5)


def test_quiet_only_when_everybody_says_so_after_the_halt() -> None:
    ended = (plan("p"), done("p", PlanOutcome.FILLED, "1"))
    assert folded(*ended, *quiet_parts(ts=10)).is_quiet(since_ns=5)
    assert not folded(*ended).is_quiet(since_ns=5), "nobody said so"
    assert not folded(*ended, *quiet_parts(ts=10)).is_quiet(since_ns=10), "said before the halt"
    assert not folded(*ended, *quiet_parts(10, open_plans=1)).is_quiet(5)
    assert not folded(*ended, *quiet_parts(10, unknown_orders=1)).is_quiet(5)
    assert not folded(plan("p"), *quiet_parts(10)).is_quiet(5), "a plan without an end"
    assert not folded(*ended, fill("1", Side.BUY, "1"), *quiet_parts(10)).is_quiet(5), "exposure"


def test_what_is_remembered_is_bounded_but_counted() -> None:
    memory: Remembered[int] = Remembered(bound=3)
    for number in range(5):
        memory.put(number, number)
    assert list(memory.items) == [2, 3, 4]
    assert len(memory) == 5


def status(instrument: str, state: BookState, reason: str) -> VenueStatus:
    return VenueStatus(
        ts_ns=1, venue="v", instrument=instrument, state=state, epoch=1, reason=reason
    )


def test_a_book_that_was_live_once_is_synced_whatever_came_after() -> None:
    collector = Collector()
    collector.on_message(status("", BookState.LIVE, "connected"))
    assert collector.never_synced("v", "BTC/USDT") == "its feed reported nothing about it"
    collector.on_message(status("BTC/USDT", BookState.SYNCING, "waiting for the snapshot"))
    collector.on_message(status("ETH/USDT", BookState.GAP, "expected 5, got 7"))
    assert collector.never_synced("v", "BTC/USDT") == "waiting for the snapshot"
    collector.on_message(status("BTC/USDT", BookState.LIVE, "snapshot joined"))
    collector.on_message(status("BTC/USDT", BookState.GAP, "expected 9, got 11"))
    assert collector.never_synced("v", "BTC/USDT") is None
    assert collector.never_synced("v", "ETH/USDT") == "expected 5, got 7"


def test_processes_of_one_name_are_told_apart_and_a_successor_replaces() -> None:
    collector = Collector()
    first = msgspec.structs.replace(beat("risk", started=10, ts=100), process="risk@h/p/1/1")
    twin = msgspec.structs.replace(beat("risk", started=50, ts=101), process="risk@h/p/2/2")
    for message in (first, twin, msgspec.structs.replace(first, ts_ns=102)):
        collector.on_message(message)
    assert [one.process for one in collector.alive()] == ["risk@h/p/1/1", "risk@h/p/2/2"]
    again = msgspec.structs.replace(beat("risk", started=103, ts=104), process="risk@h/p/3/3")
    collector.on_message(again)
    assert list(collector.latest_beat.values()) == [again]
    collector.on_message(beat("scanner", started=10, ts=100))  # of an older version
    collector.on_message(beat("scanner", started=10, ts=101))
    assert len(collector.alive()) == 2
