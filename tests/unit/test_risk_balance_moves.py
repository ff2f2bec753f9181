"""Balances that moved beside trading, in risk: no result, alerted, halted for where lost."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.risk.balance_moves import STARTS_MAX
from services.risk.engine import RiskEngine
from services.risk.exposure import DAY_NS
from shared.messages.balances import BalanceMoved
from shared.messages.base import BookState, Message, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import ApprovedPlan, RiskReport, TradingStateChanged
from tests.decision_builders import (
    BOOKS,
    SECOND,
    T0,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_opportunity,
    make_ready,
    make_risk,
    make_view,
)


def moved(amount: str, asset: str = "USDT", at_ns: int = T0 + SECOND) -> BalanceMoved:
    return BalanceMoved(ts_ns=at_ns, venue="alpha", asset=asset, amount=D(amount))


def tell(engine: RiskEngine, told: BalanceMoved) -> list[Message]:
    return list(engine.on_message(told, told.ts_ns).messages)


def state_of(engine: RiskEngine, now_ns: int) -> tuple[TradingState, str]:
    engine.on_message(make_ready(now_ns), now_ns)
    out = engine.on_timer(now_ns).messages
    found = [m for m in out if isinstance(m, TradingStateChanged)][-1]
    return found.state, found.reason


def alerts(out: list[Message]) -> list[tuple[str, Severity]]:
    return [(m.code, m.severity) for m in out if isinstance(m, Alert)]


@pytest.mark.parametrize("amount", ["50000", "-999"])
def test_what_came_in_or_is_within_the_limit_is_only_alerted(amount: str) -> None:
    engine = make_risk()
    assert alerts(tell(engine, moved(amount))) == [("BALANCE_MOVED", Severity.WARNING)]
    assert engine.ledger.books.transfers == {"alpha|USDT": D(amount)}
    assert state_of(engine, T0 + 2 * SECOND)[0] is TradingState.ACTIVE


def test_it_is_no_profit_and_no_loss() -> None:
    engine = make_risk(make_config(daily_loss_max=D(50), drawdown_max=D(50)))
    tell(engine, moved("5000"))
    tell(engine, moved("-900", at_ns=T0 + 2 * SECOND))
    assert state_of(engine, T0 + 3 * SECOND)[0] is TradingState.ACTIVE
    (report,) = [m for m in engine.on_timer(T0 + 5 * SECOND).messages if isinstance(m, RiskReport)]
    assert (report.realized, report.today, report.drawdown) == ({}, {}, {})


def test_it_is_booked_once() -> None:
    engine = make_risk()
    tell(engine, moved("-10"))
    assert tell(engine, moved("-10")) == []
    assert engine.ledger.books.transfers == {"alpha|USDT": D(-10)}


@pytest.mark.parametrize(
    ("amount", "asset", "why"),
    [
        ("-1001", "USDT", "1001 USDT lost there today are worth 1001.00, the limit is 1000"),
        ("-0.2", "BTC", "0.2 BTC lost there today are worth "),
    ],
)
def test_a_loss_beyond_the_limit_halts_until_an_operator_resumes(
    amount: str, asset: str, why: str
) -> None:
    engine = make_risk()
    out = tell(engine, moved(amount, asset))
    assert alerts(out) == [("BALANCE_LOSS", Severity.CRITICAL)]
    state, reason = state_of(engine, T0 + 2 * SECOND)
    assert state is TradingState.HALTED
    assert why in reason
    saved = engine.checkpoints()
    restored = RiskEngine(make_config())
    restored.start(saved, T0 + 3 * SECOND)
    assert "BALANCE_LOSS" in restored.state.trading.trips
    engine.on_message(make_command(CommandKind.RESUME, T0 + 4 * SECOND), T0 + 4 * SECOND)
    assert state_of(engine, T0 + 5 * SECOND)[0] is TradingState.ACTIVE
    tell(engine, moved("-1", "USDT", T0 + 6 * SECOND))
    assert state_of(engine, T0 + 7 * SECOND)[0] is TradingState.ACTIVE, "it was accepted"


def wait(engine: RiskEngine, begin_ns: int, seconds: int) -> list[Message]:
    """The clock goes on, second by second, with the executor alive."""
    out: list[Message] = []
    for number in range(seconds + 1):
        now_ns = begin_ns + number * SECOND
        engine.on_message(make_ready(now_ns), now_ns)
        out += engine.on_timer(now_ns).messages
    return [m for m in out if isinstance(m, Alert) and m.code == "BALANCE_LOSS"]


def test_a_loss_that_nothing_prices_halts_after_a_minute_and_says_so() -> None:
    engine = make_risk()
    out = tell(engine, moved("-3", "XYZ"))
    assert alerts(out) == [("BALANCE_MOVED", Severity.WARNING)]
    assert "trading halts if none does within 60 s" in out[0].text
    assert wait(engine, T0 + SECOND, 59) == []
    assert state_of(engine, T0 + 60 * SECOND)[0] is TradingState.ACTIVE
    assert len(wait(engine, T0 + 61 * SECOND, 90)) == 1
    state, reason = state_of(engine, T0 + 200 * SECOND)
    assert state is TradingState.HALTED
    assert "for 60 s no book and no fill told what 3 XYZ are worth" in reason
    engine.on_message(make_command(CommandKind.RESUME, T0 + 201 * SECOND), T0 + 201 * SECOND)
    assert wait(engine, T0 + 202 * SECOND, 90) == [], "the operator knows"
    assert state_of(engine, T0 + 300 * SECOND)[0] is TradingState.ACTIVE


@pytest.mark.parametrize(("amount", "halts"), [("-0.001", False), ("-0.2", True)])
def test_a_loss_told_before_any_book_is_judged_once_there_is_one(amount: str, halts: bool) -> None:
    engine = RiskEngine(make_config())
    engine.on_message(make_ready(T0), T0)
    assert alerts(tell(engine, moved(amount, "BTC")))[-1] == ("BALANCE_MOVED", Severity.WARNING)
    assert wait(engine, T0 + 2 * SECOND, 10) == []
    feed_market(engine, T0 + 13 * SECOND)
    assert len(wait(engine, T0 + 13 * SECOND, 2)) == halts
    assert wait(engine, T0 + 16 * SECOND, 90) == [], "it was judged"


def test_the_wait_for_a_price_begins_anew_with_risk_and_a_new_day_forgives_nothing() -> None:
    engine = make_risk()
    tell(engine, moved("-3", "XYZ"))
    assert wait(engine, T0 + SECOND, 40) == []
    restored = RiskEngine(make_config())
    restored.start(engine.checkpoints(), T0 + DAY_NS)
    assert wait(restored, T0 + DAY_NS, 59) == [], "no book is there yet after a start"
    assert len(wait(restored, T0 + DAY_NS + 60 * SECOND, 1)) == 1


def test_a_risk_that_is_started_again_and_again_does_not_wait_for_ever() -> None:
    engine, now_ns = make_risk(), T0 + 2 * SECOND
    tell(engine, moved("-3", "XYZ"))
    saved = dict(engine.checkpoints())
    halts = []
    for _ in range(STARTS_MAX + 1):
        halts += wait(engine, now_ns, 50)
        saved |= engine.checkpoints()
        now_ns += 55 * SECOND
        engine = RiskEngine(make_config())
        engine.start(saved, now_ns)
    assert [m.text for m in halts] == []
    assert len(wait(engine, now_ns, 1)) == 1
    assert state_of(engine, now_ns + 2 * SECOND)[0] is TradingState.HALTED


def test_what_came_back_is_not_waited_for() -> None:
    engine = make_risk()
    tell(engine, moved("-3", "XYZ"))
    tell(engine, moved("3", "XYZ", T0 + 2 * SECOND))
    assert wait(engine, T0 + 3 * SECOND, 90) == []


def test_what_is_waited_for_is_said_as_it_is() -> None:
    engine = make_risk()
    tell(engine, moved("-3", "XYZ"))
    out = tell(engine, moved("1", "XYZ", T0 + 2 * SECOND))
    (text,) = [m.text for m in out if isinstance(m, Alert)]
    assert "what 2 XYZ are worth" in text
    out = tell(engine, moved("2", "XYZ", T0 + 3 * SECOND))
    (text,) = [m.text for m in out if isinstance(m, Alert)]
    assert "worth" not in text, "nothing is lost any more"


def test_a_later_loss_is_waited_for_as_long_as_the_first() -> None:
    """The first got its price with another one that was told before it was looked for."""
    engine = RiskEngine(make_config())
    engine.on_message(make_ready(T0), T0)
    tell(engine, moved("-0.001", "BTC"))
    assert wait(engine, T0 + 2 * SECOND, 3) == []
    feed_market(engine, T0 + 6 * SECOND)
    tell(engine, moved("-0.001", "BTC", T0 + 6 * SECOND))
    assert wait(engine, T0 + 7 * SECOND, 90) == []
    for venue, instrument in BOOKS:
        gone = make_view(
            venue, instrument, state=BookState.GAP, bids=[], asks=[], ts_ns=T0 + 98 * SECOND
        )
        engine.on_message(gone, T0 + 98 * SECOND)
    tell(engine, moved("-0.001", "BTC", T0 + 99 * SECOND))
    assert wait(engine, T0 + 100 * SECOND, 59) == []
    assert len(wait(engine, T0 + 160 * SECOND, 1)) == 1


def test_small_losses_add_up_within_a_day() -> None:
    engine = make_risk()
    for number in range(4):
        assert alerts(tell(engine, moved("-240", at_ns=T0 + number)))[0][0] == "BALANCE_MOVED"
    assert alerts(tell(engine, moved("-240", at_ns=T0 + 9)))[0][0] == "BALANCE_LOSS"
    engine = make_risk()
    tell(engine, moved("-900"))
    assert alerts(tell(engine, moved("-900", at_ns=T0 + DAY_NS)))[0][0] == "BALANCE_MOVED"


def test_what_is_taken_back_counts_for_nothing() -> None:
    engine = make_risk()
    tell(engine, moved("-900"))
    tell(engine, moved("900", at_ns=T0 + 2 * SECOND))
    assert alerts(tell(engine, moved("-900", at_ns=T0 + 3 * SECOND)))[0][0] == "BALANCE_MOVED"


@pytest.mark.parametrize(("later_ns", "is_lost"), [(20 * SECOND, False), (3_600 * SECOND, True)])
def test_a_deposit_of_the_day_hides_no_later_loss(later_ns: int, is_lost: bool) -> None:
    """What is taken back soon was a fill that was told late, over a restart of risk too."""
    engine = make_risk()
    tell(engine, moved("50000"))
    restored = RiskEngine(make_config())
    restored.start(engine.checkpoints(), T0 + 2 * SECOND)
    out = tell(restored, moved("-40000", at_ns=T0 + SECOND + later_ns))
    assert (alerts(out)[0][0] == "BALANCE_LOSS") is is_lost
    restored.on_message(make_command(CommandKind.RESUME, T0 + later_ns * 2), T0 + later_ns * 2)
    out = tell(restored, moved("-900", at_ns=T0 + later_ns * 3))
    assert alerts(out)[0][0] == "BALANCE_MOVED", "it was accepted"


def test_without_a_limit_it_is_only_alerted() -> None:
    engine = make_risk(make_config(unexplained_loss_max=D(0)))
    assert alerts(tell(engine, moved("-9000")))[0][0] == "BALANCE_MOVED"


def test_what_plans_in_flight_have_reserved_halts_whatever_it_is_worth() -> None:
    engine = make_risk(make_config(unexplained_loss_max=D(0)))
    out = engine.on_message(make_opportunity(), T0).messages
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    assert plan.legs[0].venue == "alpha"
    engine.on_message(make_balances("alpha", T0 + SECOND, USDT=100, BTC=1), T0 + SECOND)
    out = tell(engine, moved("-5000"))
    assert alerts(out) == [("BALANCE_LOSS", Severity.CRITICAL)]
    assert "plans in flight have reserved" in state_of(engine, T0 + 2 * SECOND)[1]


def test_another_venue_than_those_traded_is_left_alone() -> None:
    engine = make_risk()
    told = BalanceMoved(ts_ns=T0, venue="omega", asset="USDT", amount=D(-5000))
    assert tell(engine, told) == []
    assert engine.ledger.books.transfers == {}
