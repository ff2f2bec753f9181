"""What `arb top` is shown in tests: a system that trades, at a moment."""

from __future__ import annotations

from decimal import Decimal as D

from services.cli.top.watched import Watched
from shared.measure_names import CPU, OPEN_FILES, RESIDENT
from shared.messages.arb import NearMiss
from shared.messages.base import BookState, Certainty, Side, TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    PlanLeg,
    RiskReport,
    TradingStateChanged,
)
from shared.messages.market import Funding
from shared.messages.position_reports import PositionReport
from shared.services import SERVICES
from tests.decision_builders import (
    PERP,
    SECOND,
    SPOT,
    T0,
    make_beat,
    make_done,
    make_info,
    make_leg,
    make_offer,
    make_ready,
    make_terms,
    make_view,
)


def make_report(**changes: object) -> RiskReport:
    given = {
        "ts_ns": T0,
        "state": TradingState.ACTIVE,
        "exposure": {"BTC": D("0.50")},
        "realized": {"USDT": D("12.5")},
        "fees": {"USDT": D("1.5")},
        "realized_today": {"USDT": D("12.5")},
        "reserved": D(0),
        "plans_in_flight": 1,
        "certainty": Certainty.KNOWN,
        "today": {"USDT": D("-3")},
        "equity": {"USDT": D("12.5")},
        "drawdown": {"USDT": D(0)},
        "positions": [
            PositionReport(
                venue="gamma",
                instrument=PERP,
                qty=D("0.500"),
                entry=D(10_000),
                close_price=None,
                unrealized=None,
            )
        ],
        **changes,
    }
    return RiskReport(**given)  # type: ignore[arg-type]


def trading_system() -> Watched:
    """Everything that every screen shows, told at ``T0``."""
    watched = Watched()
    watched.on_connected("redis://here:6379/0")
    for number, name in enumerate(SERVICES):
        for second in (-1, 0):
            used = {CPU: 10.0 + second * 0.25, RESIDENT: 5e7, OPEN_FILES: 30.0 + number}
            watched.on_message(
                make_beat(name, T0 + second * SECOND, since_ns=T0 - 90 * SECOND, gauges=used)
            )
    state = TradingStateChanged(
        ts_ns=T0, state=TradingState.ACTIVE, reason="", ts_since_ns=T0 - SECOND
    )
    bought = make_leg("alpha", Side.BUY, "1", "10000")
    offer = make_offer([bought, make_leg("beta", Side.SELL, "1", "10030")])
    legs = [PlanLeg.of(make_terms(), price_expected=D(10_000), fee_bps=D(10))]
    times = dict.fromkeys(("ts_ns", "ts_recv_ns", "ts_depth_ns", "ts_opportunity_ns"), T0)
    plan = ApprovedPlan(
        plan_id="plan-1",
        opportunity_id=offer.opportunity_id,
        base="BTC",
        quote="USDT",
        legs=legs,
        net_expected=D(2),
        loss_cap=D(5),
        ts_expire_ns=T0 + SECOND,
        **times,
    )
    near = NearMiss(
        ts_ns=T0,
        detector="cross_venue",
        buy_venue="alpha",
        buy_instrument=SPOT,
        sell_venue="beta",
        sell_instrument=SPOT,
        gate="FEES",
        count=1_234,
        ts_from_ns=T0 - SECOND,
    )
    denied = Denied(ts_ns=T0, opportunity_id="other", reason="BOOK_AGE", context={})
    alert = Alert(
        ts_ns=T0, service="risk", severity=Severity.WARNING, code="SLOW", text="late\nby 5 s"
    )
    for message in (make_report(), state, make_ready(), offer, near, denied, plan, alert):
        watched.on_message(message)
    watched.on_message(make_done("plan-1"))
    watched.on_books(
        [
            make_view("alpha", bids=[(9_999.0, 1.0)], asks=[(10_000.0, 1.0)], ts_ns=T0),
            make_view("beta", bids=[(10_030.0, 1.0)], asks=[(10_031.0, 1.0)], ts_ns=T0),
            make_view("gamma", PERP, state=BookState.GAP, bids=[], asks=[], ts_ns=T0),
        ],
        T0,
    )
    watched.on_rules([make_info("alpha"), make_info("beta")])
    rate = Funding(
        venue="gamma",
        instrument=PERP,
        mark_price=10_010.0,
        index_price=10_000.0,
        rate=0.0001,
        ts_funding_ns=T0 + 3_700 * SECOND,
        ts_recv_ns=T0,
        interval_ns=8 * 3_600 * SECOND,
    )
    watched.on_funding([rate], T0)
    return watched
