"""What the dashboard shows of what the bus says: right values and ages, nothing unknown as zero."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from services.dashboard.channel import Client
from services.dashboard.charts import Charts, Ring
from services.dashboard.engine import AGE_MS_MAX, ENGINE, DashboardEngine
from services.dashboard.requests import (
    DecisionsRead,
    ReadDecisions,
    ReadFailed,
    ReadStreams,
    StreamsRead,
)
from services.dashboard.topic import Reader
from shared.config import parse_config
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Certainty, Message, TradingState
from shared.messages.control import Alert, Command, Heartbeat
from shared.messages.execution import (
    ApprovedPlan,
    Balance,
    BalanceReport,
    Denied,
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
from shared.messages.market import DepthView, Funding, InstrumentInfo, VenueStatus
from shared.messages.position_reports import PositionReport
from shared.messages.rounds import Intent
from shared.messages.rules import InstrumentRules
from shared.services import SERVICES
from tests.contract.examples import example
from tests.ledger_builders import approved, done, fill

S = 1_000_000_000
NOW = 1_800_000_000 * S
CONFIG = parse_config(
    '[venues.kraken]\ninstruments = ["BTC/USDT"]\n[venues.binance]\ninstruments = ["BTC/USDT"]\n'
    "taker_fee_bps = 10\n",
    "arb.toml",
)


def engine() -> DashboardEngine:
    made = DashboardEngine(CONFIG)
    made.start({}, NOW)
    return made


def told(made: DashboardEngine, *messages: Message, at: int = NOW) -> None:
    for message in messages:
        assert not made.on_message(message, at).messages


def shown(made: DashboardEngine, name: str, at: int = NOW) -> dict[str, Any]:
    """What a page that has just subscribed shows."""
    made.refresh({name: None}, at)
    patch = json.loads(made.topics[name].patch(Reader(), None, 10**7).body)
    assert patch["is_snapshot"]
    found: dict[str, Any] = patch.get("rows", patch.get("cells"))
    return found


def view(venue: str, bid: float, ask: float, at: int = NOW, **changes: Any) -> DepthView:
    made = DepthView(
        venue=venue,
        instrument="BTC/USDT",
        state=BookState.LIVE,
        epoch=1,
        seq=1,
        bids=[(bid, 2.0)],
        asks=[(ask, 0.5)],
        ts_recv_ns=at,
        ts_ns=at,
    )
    return replace(made, **changes)


def rules(venue: str, fee_bps: str) -> InstrumentInfo:
    found = InstrumentRules(
        venue=venue,
        instrument="BTC/USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        qty_min=Decimal(0),
        notional_min=Decimal(0),
        taker_fee_bps=Decimal(fee_bps),
        maker_fee_bps=Decimal(0),
    )
    return InstrumentInfo(ts_ns=NOW, rules=found)


def report(at: int = NOW, **changes: Any) -> RiskReport:
    made = RiskReport(
        ts_ns=at,
        state=TradingState.ACTIVE,
        exposure={"BTC": Decimal("0.50"), "ETH": Decimal(0)},
        realized={"USDT": Decimal("70.10")},
        fees={"USDT": Decimal("9.9")},
        realized_today={},
        reserved=Decimal(0),
        plans_in_flight=1,
        certainty=Certainty.KNOWN,
        unrealized={"USDT": Decimal(1)},
        funding={"USDT": Decimal("-2")},
        today={"USDT": Decimal("71.1")},
        equity={"USDT": Decimal("71.1")},
        drawdown={"USDT": Decimal(0)},
    )
    return replace(made, **changes)


def test_before_anything_is_heard_all_is_unknown() -> None:
    cells = shown(engine(), "overview")
    for name in ("state", "cause", "money_as_of_ms", "exposure", "is_executor_ready"):
        assert cells[name] is None, name
    assert (cells["mode"], cells["result"], cells["is_bus_read"]) == ("unknown", [], False)
    assert [row["service"] for row in cells["processes"]] == list(SERVICES)
    assert all(row["is_silent"] and row["as_of_ms"] is None for row in cells["processes"])
    assert [row["feed"] for row in cells["venues"]] == [None, None]
    for name in DashboardEngine(CONFIG).topics:
        shown(engine(), name)


def test_books_have_their_prices_state_and_age() -> None:
    made = engine()
    told(made, view("kraken", 64000.1, 64000.2), view("nowhere", 1.0, 2.0))
    told(made, view("binance", 1.0, 2.0, bids=[], state=BookState.GAP, reason="missed one"))
    rows = shown(made, "books")
    assert rows.keys() == {"kraken|BTC/USDT", "binance|BTC/USDT"}
    assert rows["kraken|BTC/USDT"] == {
        "venue": "kraken",
        "instrument": "BTC/USDT",
        "state": "LIVE",
        "reason": "",
        "bid": "64000.1",
        "bid_qty": "2",
        "ask": "64000.2",
        "ask_qty": "0.5",
        "mid": "64000.15",
        "spread_bps": 0.02,
        "changed_ms": NOW // 1_000_000,
        "as_of_ms": NOW // 1_000_000,
    }
    gap = rows["binance|BTC/USDT"]
    assert (gap["state"], gap["reason"], gap["bid"], gap["mid"]) == (
        "GAP",
        "missed one",
        None,
        None,
    )
    made.refresh({"depth": frozenset(["kraken|BTC/USDT"])}, NOW)
    depth = json.loads(made.topics["depth"].patch(Reader(), None, 10**6).body)["rows"]
    assert depth["kraken|BTC/USDT"]["bids"] == [["64000.1", "2"]]


@pytest.mark.parametrize(("in_view", "bytes_per_s_max"), [(60, 40_000), (None, 150_000)])
def test_five_hundred_books_that_all_move(in_view: int | None, bytes_per_s_max: int) -> None:
    names = [f"A{number}/USDT" for number in range(500)]
    made = DashboardEngine(
        parse_config(f"[venues.kraken]\ninstruments = {json.dumps(names)}\n", "arb.toml")
    )
    rows = [f"kraken|{name}" for name in names[:in_view]]
    client = Client(made.topics)
    asked: dict[str, Any] = {"type": "sub", "topics": ["books"]}
    client.on_text(json.dumps(asked | ({"rows": {"books": rows}} if in_view else {})))
    ages: dict[str, int] = {}
    sent, seconds = 0, 12
    for turn in range(4 * seconds):
        now_ns = NOW + turn * S // 4
        bid = 64000.5 + turn
        for name in names:
            made.on_message(view("kraken", bid, bid + 0.7, now_ns, instrument=name), now_ns)
        made.refresh({"books": None}, now_ns)
        if (frame := client.next_frame(now_ns)) is not None:
            client.on_text(json.dumps({"type": "ack", "n": json.loads(frame)["n"]}))
            told_rows = json.loads(frame)["topics"]["books"]["rows"]
            ages |= {key: row["as_of_ms"] for key, row in told_rows.items()}
            sent += len(frame) if turn >= 8 else 0
    assert sent / (seconds - 2) <= bytes_per_s_max
    assert ages.keys() == set(rows)
    oldest_ms = now_ns // 1_000_000 - min(ages.values())
    assert oldest_ms <= (AGE_MS_MAX["books"] or 0), "no row is old for want of room"


def test_an_edge_is_net_of_both_fees() -> None:
    made = engine()
    told(made, view("kraken", 99.0, 100.0), view("binance", 101.0, 102.0))
    key = "BTC/USDT|kraken BTC/USDT|binance BTC/USDT"
    row = shown(made, "spreads")[key]
    assert (row["gross_bps"], row["net_bps"], row["fees_bps"]) == (100.0, None, None)
    told(made, rules("kraken", "20"), rules("binance", "40"))  # configured: 10
    row = shown(made, "spreads", NOW + S)[key]
    # 101 less 10 bps are 100.899; 100 and 20 bps are 100.2
    assert (row["net_bps"], row["fees_bps"], row["qty"]) == (69.9, 30.1, "0.5")
    assert (row["is_trusted"], row["why_not"]) == (True, "")
    row = shown(made, "spreads", NOW + 3 * S)[key]
    assert (row["is_trusted"], row["why_not"]) == (False, "kraken SILENT")
    assert row["as_of_ms"] == NOW // 1_000_000, "its age is that of the books"


def test_an_opportunity_says_what_became_of_it_whatever_is_heard_first() -> None:
    made = engine()
    found = replace(example(Opportunity), ts_ns=NOW, ts_expire_ns=NOW + S)
    names = ("waits", "denied", "early", "planned")
    opportunities = {name: replace(found, opportunity_id=name) for name in names}
    no = replace(example(Denied), ts_ns=NOW, reason="HALTED", context={"state": "HALTED"})
    plan = replace(example(ApprovedPlan), ts_ns=NOW, opportunity_id="planned", plan_id="p1")
    told(made, replace(no, opportunity_id="early"), plan)
    told(made, *opportunities.values(), *opportunities.values())
    told(made, replace(no, opportunity_id="denied"))
    rows = shown(made, "opportunities")
    fates = {name: row["fate"] for name, row in rows.items()}
    assert fates == {
        "waits": "waiting",
        "denied": "denied",
        "early": "denied",
        "planned": "planned",
    }
    assert rows["denied"]["denied_context"] == {"state": "HALTED"}
    assert rows["planned"]["plan_id"] == "p1"
    assert shown(made, "opportunities", NOW + 9 * S)["waits"]["fate"] == "expired"
    cells = shown(made, "overview")
    assert cells["quiet"]["opportunities"] == len(names), "each counts once"
    assert cells["denied"] == {"HALTED": 2}


def test_near_misses_are_summed_up_by_pair_and_gate() -> None:
    made = engine()
    miss = replace(
        example(NearMiss), ts_ns=NOW, gate="FEES", count=3, edge_bps_best=-1.3, needs_bps=2.0
    )
    told(made, miss, replace(miss, edge_bps_best=-2.0), replace(miss, gate="AGE", count=1))
    rows = shown(made, "near_misses")
    assert sorted((row["gate"], row["count"]) for row in rows.values()) == [("AGE", 1), ("FEES", 6)]
    quiet = shown(made, "overview")["quiet"]
    assert (quiet["gate"], quiet["best_bps"], quiet["near_misses"]) == ("AGE", -1.3, 7)


def test_a_plan_has_its_orders_fills_and_end() -> None:
    made = engine()
    plan = replace(example(ApprovedPlan), ts_ns=NOW, plan_id="p1")
    order = replace(example(OrderEvent), ts_ns=NOW + 2, plan_id="p1", status=OrderStatus.FILLED)
    fill = replace(example(Fill), ts_ns=NOW, plan_id="p1", fee=None)
    told(made, plan)
    row = shown(made, "plans")["p1"]
    assert (row["outcome"], row["ended_ms"]) == (None, None)
    assert row["realized"] == {"value": None, "certainty": "unknown"}
    told(made, order, replace(order, ts_ns=NOW + 1, status=OrderStatus.SUBMITTED), fill, fill)
    done = replace(
        example(PlanDone),
        ts_ns=NOW + S,
        plan_id="p1",
        outcome=PlanOutcome.HEDGED,
        realized=Decimal("1.50"),
        certainty=Certainty.ESTIMATED,
    )
    told(made, done)
    row = shown(made, "plans")["p1"]
    assert [each["status"] for each in row["orders"]] == ["FILLED"], (
        "an older state changes nothing"
    )
    assert [each["fee"] for each in row["fills"]] == [None]
    assert (row["outcome"], row["realized"]) == (
        "HEDGED",
        {"value": "1.5", "certainty": "estimated"},
    )
    for number in range(150):
        told(made, replace(plan, plan_id=f"n{number}", ts_ns=NOW + number + 1))
    assert len(shown(made, "plans")) == 100
    told(made, replace(order, plan_id="p1"))
    assert "p1" not in shown(made, "plans"), "what is forgotten does not come back"


def test_results_add_up_and_are_as_certain_as_told() -> None:
    made = engine()
    told(made, report())
    row = shown(made, "pnl")["total|USDT"]
    steps = {step["step"]: step["amount"]["value"] for step in row["waterfall"]}
    assert steps == {"spread": "82", "fees": "-9.9", "funding": "-2", "realized": "70.1"}
    assert row["today"] == {"value": "71.1", "certainty": "known"}
    assert row["as_of_ms"] == NOW // 1_000_000
    told(made, report(NOW + S, unrealized={"USDT": None}, funding_unknown={"kraken": "why"}))
    row = shown(made, "pnl", NOW + S)["total|USDT"]
    assert row["unrealized"] == {"value": None, "certainty": "unknown"}
    assert row["funding"]["certainty"] == row["equity"]["certainty"] == "unknown"
    assert row["drawdown"]["value"] is None, "an unknown figure is not shown as zero"
    told(made, report(NOW, realized={"USDT": Decimal(9)}))
    assert shown(made, "pnl", NOW + 2 * S)["total|USDT"]["realized"]["value"] == "70.1"


def test_positions_exposure_and_balances() -> None:
    made = engine()
    balances = {"USDT": Balance(free=Decimal(90), used=Decimal(10))}
    held = BalanceReport(ts_ns=NOW, venue="kraken", balances=balances)
    told(made, report(), held)
    more = {"USDT": Balance(free=Decimal(95), used=Decimal(10))}
    told(made, replace(held, ts_ns=NOW + S, balances=more))
    rows = shown(made, "positions")
    assert rows["exposure|BTC"]["qty"] == "0.5"
    balance = rows["balance|kraken|USDT"]
    assert (balance["free"], balance["used"], balance["change"]) == ("95", "10", "5")
    assert balance["as_of_ms"] == (NOW + S) // 1_000_000
    assert balance["age_ms_max"] == 60_000
    assert shown(made, "overview")["exposure"] == [{"asset": "BTC", "qty": "0.5"}]


def test_funding_has_basis_and_hours_to_break_even() -> None:
    made = engine()
    spot = rules("kraken", "20")
    perp = replace(rules("binance", "5"), rules=replace(spot.rules, instrument="BTC/USDT:USDT"))
    funding = Funding(
        venue="kraken",
        instrument="BTC/USDT:USDT",
        mark_price=101.0,
        index_price=100.0,
        rate=0.001,
        ts_funding_ns=NOW + S,
        ts_recv_ns=NOW,
        interval_ns=8 * 3_600 * S,
    )
    told(made, spot, perp, funding)
    row = shown(made, "funding")["kraken|BTC/USDT:USDT"]
    assert (row["rate"], row["interval_h"], row["basis_bps"]) == ("0.001", 8.0, 100.0)
    assert row["annual_pct"] == 109.5
    assert row["break_even_h"] == 64.0, "twice 20 and 20 bps, at 10 bps in eight hours"
    told(made, replace(funding, interval_ns=None, ts_recv_ns=NOW + 2))
    row = shown(made, "funding", NOW + S)["kraken|BTC/USDT:USDT"]
    assert row["annual_pct"] is row["break_even_h"] is row["interval_h"] is None


def test_figures_keep_their_age_when_nobody_speaks_and_redis_is_gone() -> None:
    made = engine()
    state = TradingStateChanged(ts_ns=NOW, state=TradingState.ACTIVE, reason="", ts_since_ns=NOW)
    ready = ExecutorReady(ts_ns=NOW, ready=True, mode="paper", open_plans=0, unknown_orders=0)
    beat = replace(example(Heartbeat), ts_ns=NOW, service="risk", instance="risk-1", ready=True)
    told(made, state, ready, report(), beat, view("kraken", 1.0, 2.0))
    made.on_message(DecisionsRead(()), NOW)
    assert shown(made, "overview")["is_bus_read"]
    later = NOW + 60 * S
    made.on_message(ReadFailed(ReadDecisions(), "lost Redis"), later)
    cells = shown(made, "overview", later)
    assert (cells["is_bus_read"], cells["bus_reason"]) == (False, "lost Redis")
    assert cells["bus_as_of_ms"] == cells["money_as_of_ms"] == NOW // 1_000_000
    assert cells["state_as_of_ms"] == cells["executor_as_of_ms"] == NOW // 1_000_000
    (risk,) = [row for row in cells["processes"] if row["service"] == "risk"]
    assert (risk["is_silent"], risk["as_of_ms"]) == (True, NOW // 1_000_000)
    assert shown(made, "books", later)["kraken|BTC/USDT"]["as_of_ms"] == NOW // 1_000_000
    made.on_message(DecisionsRead(()), later + S)
    assert shown(made, "overview", later + S)["is_bus_read"], "it heals by itself"


def state(at: int, told_state: TradingState) -> TradingStateChanged:
    return TradingStateChanged(ts_ns=at, state=told_state, reason="r", ts_since_ns=at)


def test_a_clock_set_back_an_hour_freezes_nothing() -> None:
    made = engine()
    active, halted = TradingState.ACTIVE, TradingState.HALTED
    before = (report(), state(NOW, active), view("kraken", 1.0, 2.0), example(ApprovedPlan))
    told(made, *before, DecisionsRead(()), StreamsRead({}, {}, {}))
    assert shown(made, "positions") and shown(made, "books")
    now = NOW - 3_600 * S
    cells = shown(made, "overview", now)
    assert (cells["state"], cells["money_as_of_ms"], cells["exposure"]) == (None, None, None)
    assert not shown(made, "books", now)
    asked = made.on_timer(now).at_once
    assert {type(action) for action in asked} == {ReadDecisions, ReadStreams}
    told(made, *before, at=now)  # what was under way
    told(made, DecisionsRead(()), at=now)
    made.on_timer(now := now + S)
    told(made, report(now, plans_in_flight=7), state(now, halted), at=now)
    told(made, view("kraken", 5.0, 6.0, now), at=now)
    cells = shown(made, "overview", now)
    assert (cells["state"], cells["plans_in_flight"]) == ("HALTED", 7)
    assert cells["state_as_of_ms"] == now // 1_000_000
    assert shown(made, "books", now)["kraken|BTC/USDT"]["bid"] == "5"
    assert "exposure|BTC" in shown(made, "positions", now)


def test_who_reads_one_page_delays_no_other() -> None:
    made = engine()
    for turn in range(20):
        now = NOW + turn * S // 4
        told(made, view("kraken", 1.0 + turn, 2.0, now), view("binance", 1.0, 2.0, now), at=now)
        made.refresh({"pnl": None}, now)
        made.refresh({"spreads": None}, now + 1)
    rows = json.loads(made.topics["spreads"].patch(Reader(), None, 10**6).body)["rows"]
    assert min(row["as_of_ms"] for row in rows.values()) > (now - S) // 1_000_000


def test_depth_is_kept_for_who_has_named_a_book() -> None:
    made = engine()
    told(made, view("kraken", 1.0, 2.0))
    unknown = {f"a{number}|BTC/USDT" for number in range(200)}
    made.refresh({"depth": {*unknown, "kraken|BTC/USDT"}}, NOW)
    assert len(made.topics["depth"]) == 1
    made.refresh({"depth": None}, NOW)
    assert len(made.topics["depth"]) == 1, "a snapshot names none"


def test_a_book_that_is_told_no_more_is_not_live() -> None:
    made = engine()
    told(made, view("kraken", 1.0, 2.0))

    def live(at: int) -> list[int]:
        rows = shown(made, "overview", at)["venues"]
        return [row["books_live"] for row in rows if row["venue"] == "kraken"]

    assert (live(NOW), live(NOW + 60 * S)) == ([1], [0])


def test_what_is_read_is_asked_for_again() -> None:
    made = DashboardEngine(CONFIG)
    asked = made.start({}, NOW).at_once
    assert [type(action) for action in asked] == [ReadDecisions, ReadStreams]
    assert made.on_timer(NOW + S).at_once == []
    made.on_message(DecisionsRead(()), NOW + S)
    made.on_message(ReadFailed(ReadStreams(), "why"), NOW + S)
    asked = made.on_timer(NOW + 6 * S).at_once
    assert [type(action) for action in asked] == [ReadDecisions, ReadStreams]
    assert made.next_deadline_ns() > NOW + 6 * S
    assert made.counters() == {"readings_failed": 1}


def test_health_has_processes_streams_hops_and_feeds() -> None:
    made = engine()
    beat = replace(
        example(Heartbeat),
        ts_ns=NOW,
        service="risk",
        instance="risk-1",
        latency={"tick_to_plan": {40: 3}},
    )
    again = replace(beat, ts_ns=NOW + S, ts_started_ns=beat.ts_started_ns + 1)
    status = VenueStatus(
        ts_ns=NOW, venue="kraken", instrument="", state=BookState.DOWN, epoch=1, reason="gone"
    )
    read = StreamsRead({"md.depth": (5, 700)}, {("md.depth", "risk"): 3}, {"exec.plan": 0})
    told(made, beat, again, status)
    made.on_message(read, NOW)
    rows = shown(made, "health")
    assert rows["process|risk|risk-1"]["restarts"] == 1
    assert rows["hop|tick_to_plan"]["n"] == 6
    assert rows["hop|tick_to_order"]["p50_us"] is None
    depth = rows["stream|md.depth"]
    assert (depth["entries"], depth["bytes"], depth["lag_ms"]) == (5, 700, {"risk": 3})
    (feed,) = [row for row in rows.values() if row["kind"] == "feed"]
    assert (feed["state"], feed["reason"]) == ("DOWN", "gone")
    assert shown(made, "overview")["venues"][0]["feed"] == "DOWN"


def test_alerts_and_the_log_tell_each_event_once() -> None:
    made = engine()
    alert = replace(example(Alert), ts_ns=NOW, code="FEED_DOWN")
    state = TradingStateChanged(
        ts_ns=NOW, state=TradingState.HALTED, reason="OPERATOR: me", ts_since_ns=NOW
    )
    command = replace(example(Command), ts_ns=NOW)
    again = replace(state, ts_ns=NOW + S)
    told(made, alert, alert, state, again, command, command)
    assert len(shown(made, "alerts")) == 1
    events = [row["event"] for row in shown(made, "log").values()]
    assert sorted(events) == ["FEED_DOWN", "command", "state HALTED"]
    assert shown(made, "overview")["alerts"][str(alert.severity)] == 1


def test_a_ring_has_holes_where_nothing_was_known() -> None:
    ring = Ring(1, 4)
    ring.put(10 * S, 1.0)
    ring.put(12 * S, 3.0)
    assert ring.window(12 * S) == (9_000, [None, 1.0, None, 3.0])
    assert ring.window(13 * S) == (9_000, [None, 1.0, None, 3.0]), "this second is not over"
    assert ring.window(14 * S) == (11_000, [None, 3.0, None, None])
    ring.put(5 * S, 9.0)
    assert ring.window(12 * S) == (9_000, [None, 1.0, None, 3.0]), "a clock set back"
    ring.put(100 * S, 7.0)
    assert ring.window(100 * S) == (97_000, [None, None, None, 7.0])


def test_charts_hold_money_edges_prices_and_latencies() -> None:
    made = engine()
    told(made, report(), rules("kraken", "20"), rules("binance", "40"))
    told(made, view("kraken", 99.0, 100.0), view("binance", 101.0, 102.0))
    made.on_timer(NOW + S)
    units = {row["id"]: row["unit"] for row in made.charts.series()}
    assert units["price|kraken|BTC/USDT"] == "price"
    values = {name: made.charts.window(name, 1, NOW + S)["values"][-1] for name in units}
    assert values["equity|USDT"] == 71.1
    assert values["spread|BTC/USDT"] == 69.9
    assert values["price|kraken|BTC/USDT"] == 99.5
    assert values["latency|tick_to_order|p99"] is None
    made.on_timer(NOW + 9 * S)  # all is old by now
    for name in ("equity|USDT", "spread|BTC/USDT", "price|kraken|BTC/USDT"):
        assert made.charts.window(name, 1, NOW + 9 * S)["values"][-1] is None, name
    assert made.charts.window("none", 1, NOW) is made.charts.window("equity|USDT", 7, NOW) is None


def test_a_result_that_is_not_known_is_a_hole_in_its_chart() -> None:
    made = engine()
    told(made, report(unrealized={"USDT": None}))
    made.on_timer(NOW + S)
    assert shown(made, "charts", NOW + S)["equity|USDT"]["value"] is None
    told(made, report(NOW + S))
    made.on_timer(NOW + 2 * S)
    assert shown(made, "charts", NOW + 2 * S)["equity|USDT"]["value"] == 71.1


def test_the_number_of_series_is_bounded() -> None:
    charts = Charts()
    charts.put("price", {f"price|{number}": 1.0 for number in range(700)}, NOW)
    series = charts.series()
    assert len(series) == 600
    assert sum(row["is_long"] for row in series) == 50


def test_the_engine_is_made_of_a_configuration() -> None:
    assert ENGINE.checkpoints == ()
    made = engine()
    assert made.checkpoints() == {} == made.gauges()


def test_a_plan_of_one_leg_that_changes_a_position_expects_nothing() -> None:
    made, plan, end = engine(), example(ApprovedPlan), example(PlanDone)
    for name, intent, legs in (
        ("at once", Intent.INSTANT, plan.legs[:1] * 2),
        ("opens", Intent.OPEN, plan.legs[:1]),
        ("closes", Intent.CLOSE, plan.legs[:1]),
    ):
        net = Decimal("-1000.5") if intent is Intent.OPEN else Decimal("1.5")
        told(
            made,
            replace(plan, plan_id=name, intent=intent, legs=legs, net_expected=net, quote="USDT"),
            replace(end, plan_id=name, realized=Decimal(1), certainty=Certainty.KNOWN),
        )
    told(made, report())
    plans = shown(made, "pnl")["total|USDT"]["plans"]
    assert (plans["count"], plans["directional"]) == (1, 2)
    assert (plans["expected"], plans["realized"]["value"]) == ("1.5", "1")
    rows = shown(made, "plans")
    assert [rows[name]["is_directional"] for name in ("at once", "opens", "closes")] == [
        False,
        True,
        True,
    ]


def test_a_plan_that_ended_has_the_steps_from_expected_to_realized() -> None:
    made, plan = engine(), approved(1, NOW)
    order = replace(example(OrderEvent), plan_id=plan.plan_id, purpose=OrderPurpose.LEG)
    fills = [fill(plan, 0, Decimal(10_010)), fill(plan, 1, Decimal(10_045))]
    for index, each in enumerate(fills):
        event = replace(order, client_order_id=each.client_order_id, leg_index=index)
        told(made, replace(event, price_arrival=Decimal(0)), each)
    end = done(plan, Decimal("1.4945"), Decimal("2.0055"))
    told(made, plan, end)
    steps = shown(made, "plans")[plan.plan_id]["waterfall"]
    found = {each["step"]: each["amount"]["value"] for each in steps}
    assert found == {
        "expected edge": "2.995",
        "expected fees": "2.005",
        "latency drift": None,
        "slippage": "-1.5",
        "fees": "-2.0055",
        "realized": "1.4945",
    }
    told(made, replace(end, ts_ns=end.ts_ns + 1, realized=Decimal(2)))
    assert shown(made, "plans")[plan.plan_id]["waterfall"] == [], "a fill was not seen"


def test_what_flattening_costs_is_estimated_or_said_to_be_unknown() -> None:
    made = engine()

    def cost() -> Any:
        return shown(made, "overview")["flatten_cost"]

    assert cost() is None, "before risk is heard"
    told(made, report())
    assert cost() == {"totals": [], "unknown": []}, "nothing is held"
    spot = PositionReport(venue="", instrument="BTC/USDT", qty=Decimal("1.5"), entry=Decimal(90))
    told(made, report(NOW + 1, positions=[spot]))
    assert [each["why"] for each in cost()["unknown"]] == ["no LIVE book prices it"]
    told(made, view("binance", 99.0, 101.0), rules("binance", "10"), view("kraken", 90.0, 110.0))
    (total,) = cost()["totals"]
    assert total == {
        "quote": "USDT",
        "cost": {"value": "1.6485", "certainty": "estimated"},
        "spread": "1.5",
        "fees": "0.1485",
    }, "sold at binance's bid; kraken's fee is not known"
    told(made, report(NOW + 2, positions=[replace(spot, qty=Decimal(9))]))
    (total,) = cost()["totals"]
    assert total["cost"] == {"value": None, "certainty": "unknown"}
    assert cost()["unknown"] == [
        {
            "venue": "",
            "instrument": "BTC/USDT",
            "qty": "9",
            "why": "the books seen do not hold so much",
        }
    ]
