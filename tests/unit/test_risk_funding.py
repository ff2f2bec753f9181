"""Funding payments in risk: booked once, to account, strategy and round; unknown until told."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec

from services.risk.engine import RiskEngine
from services.risk.exposure import DAY_NS
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.domain.strategy_books import UNKNOWN, Payment, StrategyBooks
from shared.messages.base import Certainty, Side
from shared.messages.control import Alert
from shared.messages.execution import FundingKnown, FundingPaid, RiskReport
from shared.messages.rounds import RoundState, StrategyPosition
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    T0,
    announce,
    feed_market,
    make_done,
    make_risk,
)
from tests.unit.test_risk_rounds import BASIS, approve, closing, config, execute, fills_of, opening


def paid(amount: str, ts_ns: int, payment_id: str = "f1", now_ns: int = T0) -> FundingPaid:
    return FundingPaid(
        ts_ns=now_ns,
        venue="gamma",
        instrument=PERP,
        payment_id=payment_id,
        amount=D(amount),
        asset="USDT",
        ts_funding_ns=ts_ns,
    )


def known(ts_ns: int, reason: str = "") -> FundingKnown:
    return FundingKnown(ts_ns=ts_ns, venue="gamma", ts_known_ns=ts_ns, reason=reason)


def told(engine: RiskEngine, now_ns: int = T0) -> tuple[StrategyPosition, RiskReport]:
    out = engine.on_timer(now_ns + SECOND).messages
    (position,) = [m for m in out if isinstance(m, StrategyPosition)]
    (report,) = [m for m in out if isinstance(m, RiskReport)]
    return position, report


def test_funding_is_booked_once_to_account_strategy_and_round() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    execute(engine, plan)
    position, report = told(engine)
    assert position.funding_certainty is Certainty.UNKNOWN
    assert report.funding_unknown == {"gamma": "its payments were never read"}
    assert report.certainty is Certainty.UNKNOWN
    before = report.realized["USDT"]
    engine.on_message(known(T0 + SECOND, "what it paid is not told yet"), T0)
    for _ in range(2):  # delivered again
        engine.on_message(paid("0.3", T0 + SECOND), T0)
    assert told(engine)[0].funding_certainty is Certainty.UNKNOWN
    engine.on_message(known(T0 + 2 * SECOND), T0)
    restored = RiskEngine(config())
    restored.start(engine.checkpoints(), T0)
    restored.on_message(paid("0.3", T0 + SECOND), T0)
    for each in (engine, restored):
        feed_market(each)
        position, report = told(each)
        assert (position.funding, position.funding_certainty) == (
            {"USDT": D("0.3")},
            Certainty.KNOWN,
        )
        assert (report.funding, report.funding_unknown) == ({"USDT": D("0.3")}, {})
        assert report.realized["USDT"] == before + D("0.3")
        assert report.by_strategy[BASIS].funding == {"USDT": D("0.3")}


def test_a_late_payment_reaches_the_round_that_held_the_position() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    execute(engine, plan)
    closes = approve(engine, closing())
    announce(engine, closes)
    for fill in fills_of(closes, ts_venue_ns=T0 + 10 * SECOND):
        engine.on_message(fill, T0)
    engine.on_message(make_done(closes.plan_id), T0)
    engine.on_message(known(T0 + SECOND, "it cannot be asked"), T0 + 11 * SECOND)
    assert told(engine, T0 + 11 * SECOND)[0].funding_certainty is Certainty.UNKNOWN
    engine.on_message(paid("-0.2", T0 + 5 * SECOND), T0 + 60 * SECOND)
    engine.on_message(known(T0 + 60 * SECOND), T0 + 60 * SECOND)
    position, _ = told(engine, T0 + 60 * SECOND)
    assert position.state is RoundState.CLOSED
    assert (position.funding, position.funding_certainty) == ({"USDT": D("-0.2")}, Certainty.KNOWN)
    engine.on_message(known(T0 + 60 * SECOND, "the next one is not told"), T0 + 90 * SECOND)
    position, _ = told(engine, T0 + 90 * SECOND)
    assert position.funding_certainty is Certainty.KNOWN, "it held nothing any more"


def test_who_came_after_the_settlement_is_paid_nothing_however_many_its_fills() -> None:
    """An order that walks through forty levels is forty executions within a second."""
    whole, strategies = Books(), StrategyBooks()

    def trade(strategy: str, qty: D, ts_ns: int) -> None:
        done = Execution(
            venue="gamma",
            instrument=PERP,
            side=Side.SELL,
            qty=qty,
            cost=qty * 10_000,
            fee=D(0),
            ts_ns=ts_ns,
        )
        whole.trade(done)
        strategies.trade(done, strategy)

    trade("early", D(1), T0)
    settled_ns = T0 + 5 * SECOND
    for number in range(40):
        trade("late", D("0.025"), settled_ns + SECOND + number * MS)
    assert whole.held_at("gamma", PERP, settled_ns) == -1
    strategies.fund(Payment("gamma", PERP, D("0.4"), "USDT", settled_ns + 3 * MS), whole)
    assert strategies.accounts["early"].result("USDT").funding == D("0.4")
    assert strategies.accounts["late"].result("USDT").funding == 0


def test_a_payment_booked_after_the_round_was_closed_is_still_the_rounds() -> None:
    """The venue books some seconds after the settlement; by then nobody holds anything."""
    engine = make_risk(config())
    plan = approve(engine, opening())
    execute(engine, plan)
    closes = approve(engine, closing())
    announce(engine, closes)
    settled_ns = T0 + 8 * SECOND
    for fill in fills_of(closes, ts_venue_ns=settled_ns + SECOND):
        engine.on_message(fill, T0)
    engine.on_message(make_done(closes.plan_id), T0)
    late = paid("0.2", settled_ns + 5 * SECOND)
    engine.on_message(msgspec.structs.replace(late, ts_settled_ns=settled_ns), T0 + 14 * SECOND)
    position, report = told(engine, T0 + 14 * SECOND)
    assert position.funding == {"USDT": D("0.2")}
    assert report.by_strategy[BASIS].funding == {"USDT": D("0.2")}
    assert UNKNOWN not in report.by_strategy


def test_a_payment_counts_to_the_day_on_which_it_settled() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    execute(engine, plan)
    midnight_ns = (T0 // DAY_NS + 1) * DAY_NS
    before = told(engine, midnight_ns - 2 * SECOND)[1].realized["USDT"]
    told(engine, midnight_ns + SECOND)
    late = paid("-7", midnight_ns + 5 * SECOND, now_ns=midnight_ns + 9 * SECOND)
    late = msgspec.structs.replace(late, ts_settled_ns=midnight_ns - 10 * SECOND)
    published = engine.on_message(late, midnight_ns + 9 * SECOND).messages
    (alert,) = [m for m in published if isinstance(m, Alert)]
    assert alert.code == "FUNDING_OF_EARLIER_DAY"
    assert "2023-11-14" in alert.text
    _, report = told(engine, midnight_ns + 10 * SECOND)
    assert (report.realized["USDT"], report.realized_today["USDT"]) == (before - 7, 0)
    engine.on_message(
        paid("-2", midnight_ns + 15 * SECOND, "f2", midnight_ns + 20 * SECOND),
        midnight_ns + 20 * SECOND,
    )
    assert told(engine, midnight_ns + 21 * SECOND)[1].realized_today["USDT"] == -2
