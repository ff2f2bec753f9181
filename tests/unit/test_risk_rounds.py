"""Rounds: what opens and closes them, what risk says they hold, and that nothing loses them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.exposure import has_open_rounds
from services.risk.reasons import DenyReason
from services.risk.round_limits import LATE_FILL_PAUSE_NS
from services.risk.rounds import ROUNDS_CLOSED_MAX, ROUNDS_OPEN_MAX
from shared.config_sections import Config, StrategyConfig
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Certainty, Message, Side, TradingState
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import (
    OPERATOR_STRATEGY,
    ApprovedPlan,
    Denied,
    Fill,
    OrderPurpose,
    PlanOutcome,
    TradingStateChanged,
)
from shared.messages.rounds import (
    MARKETS_OF_ROUND_MAX,
    Intent,
    RoundState,
    RoundsTold,
    StrategyPosition,
)
from tests.decision_builders import (
    PERP,
    SECOND,
    SPOT,
    T0,
    announce,
    feed_market,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_leg,
    make_offer,
    make_ready,
    make_result,
    make_risk,
    make_view,
    order_of,
)

BASIS = "basis"
MARKETS = {"alpha": SPOT, "beta": SPOT, "gamma": PERP}
_numbers = iter(range(1, 1_000_000))


def config(**limits: Any) -> Config:
    entry = StrategyConfig(id=BASIS, class_="cross_venue", directional_notional_max=D(2_000))
    other = StrategyConfig(id="other", class_="cross_venue")
    return msgspec.structs.replace(make_config(**limits), strategies=[entry, other])


def offer(*legs: tuple[str, Side, str, str], **changes: Any) -> Opportunity:
    """An opportunity of (venue, side, quantity, price); gamma is the perpetual."""
    seq = next(_numbers)
    made = [
        make_leg(venue, side, qty, price, MARKETS[venue], seq) for venue, side, qty, price in legs
    ]
    made.sort(key=lambda leg: leg.side is Side.SELL)
    found = make_offer(made, **{"strategy_id": BASIS, "round_id": "r1", **changes})
    if all(leg.side is Side.SELL for leg in made):
        qty = sum((leg.qty for leg in made), D(0))
        worth = sum((leg.qty * leg.price_avg for leg in made), D(0))
        edge = (found.net / worth * 10_000).quantize(D("0.0001"))
        found = msgspec.structs.replace(found, qty=qty, notional=worth, edge_bps=edge)
    return found


def opening(
    qty: str = "0.1", spot: str = "10001", perp: str = "10020", **changes: Any
) -> Opportunity:
    legs = ("alpha", Side.BUY, qty, spot), ("gamma", Side.SELL, qty, perp)
    return offer(*legs, **{"intent": Intent.OPEN, **changes})


def closing(
    qty: str = "0.1", spot: str = "9999", perp: str = "10001", **changes: Any
) -> Opportunity:
    legs = ("gamma", Side.BUY, qty, perp), ("alpha", Side.SELL, qty, spot)
    return offer(*legs, **{"intent": Intent.CLOSE, **changes})


def single(side: Side, qty: str, intent: Intent, **changes: Any) -> Opportunity:
    price = "10001" if side is Side.BUY else "9999"
    stop = {"stop_bps": D(50)} if intent is Intent.OPEN else {}
    return offer(("gamma", side, qty, price), **{"intent": intent, **stop, **changes})


def decide(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> ApprovedPlan | Denied:
    out = engine.on_message(msgspec.structs.replace(found, ts_ns=now_ns), now_ns).messages
    return next(m for m in out if isinstance(m, ApprovedPlan | Denied))


def approve(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> ApprovedPlan:
    answer = decide(engine, found, now_ns)
    assert isinstance(answer, ApprovedPlan), answer
    return answer


def denial(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> DenyReason:
    answer = decide(engine, found, now_ns)
    assert isinstance(answer, Denied), answer
    return DenyReason(answer.reason)


def fills_of(plan: ApprovedPlan, share: str = "1", **changes: Any) -> list[Fill]:
    return [
        make_fill(
            plan.plan_id,
            leg.venue,
            leg.side,
            str(leg.qty * D(share)),
            instrument=leg.instrument,
            price=leg.price_expected,
            strategy=plan.strategy,
            round_id=plan.round_id,
            **changes,
        )
        for leg in plan.legs
    ]


def execute(engine: RiskEngine, plan: ApprovedPlan, now_ns: int = T0, **done: Any) -> list[Message]:
    announce(engine, plan, now_ns)
    out: list[Message] = []
    for fill in fills_of(plan):
        out += engine.on_message(fill, now_ns).messages
    return [*out, *engine.on_message(make_done(plan.plan_id, now_ns, **done), now_ns).messages]


def told(engine: RiskEngine, now_ns: int = T0, round_id: str = "r1") -> StrategyPosition:
    out = engine.on_timer(now_ns).messages
    (found,) = [m for m in out if isinstance(m, StrategyPosition) and m.round_id == round_id]
    return found


def realized_by_rounds(engine: RiskEngine) -> D:
    rounds = engine.ledger.rounds.rounds.values()
    return sum((each.books.result("USDT").realized for each in rounds), D(0))


def opened(**limits: Any) -> RiskEngine:
    """Risk with an open round r1: 0.1 of spot against the perpetual."""
    engine = make_risk(config(**limits))
    execute(engine, approve(engine, opening()))
    return engine


def alerts(messages: Sequence[Message]) -> list[Alert]:
    return [m for m in messages if isinstance(m, Alert)]


def codes(messages: Sequence[Message]) -> list[str]:
    return [each.code for each in alerts(messages)]


def test_a_round_opens_and_closes_and_says_what_it_earned() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening(horizon_ns=SECOND))
    assert (plan.intent, plan.round_id, plan.opening) == (Intent.OPEN, "r1", D(0))
    assert told(engine).state is RoundState.OPENING
    execute(engine, plan)
    now = told(engine)
    assert (now.state, now.horizon_ns, now.unhedged) == (RoundState.OPEN, SECOND, D(0))
    spot, perp = now.legs
    assert (spot.venue, spot.qty, spot.entry, spot.fees) == (
        "alpha",
        D("0.1"),
        D(10001),
        {"USDT": D(1)},
    )
    assert (perp.venue, perp.qty, perp.entry, perp.fees) == (
        "gamma",
        D("-0.1"),
        D(10020),
        {"USDT": D(1)},
    )
    assert now.realized == {"USDT": D(-2)}
    assert now.funding_certainty is Certainty.UNKNOWN  # a perpetual was held, nobody has told
    plan = approve(engine, closing())
    assert told(engine).state is RoundState.CLOSING
    execute(engine, plan)
    now = told(engine)
    assert now.state is RoundState.CLOSED
    assert [leg.qty for leg in now.legs] == [D(0), D(0)]
    # (9999 - 10001) * 0.1 + (10020 - 10001) * 0.1 - 4 of fees
    assert now.realized == {"USDT": D("-2.3")}
    assert engine.ledger.exposure["BTC"] == 0


def test_every_change_is_told_at_once_and_the_list_names_what_is_open() -> None:
    engine = make_risk(config())
    out = engine.on_message(opening(), T0).messages
    assert [m.state for m in out if isinstance(m, StrategyPosition)] == [RoundState.OPENING]
    (plan,) = [m for m in out if isinstance(m, ApprovedPlan)]
    out = execute(engine, plan)
    states = [m.state for m in out if isinstance(m, StrategyPosition)]
    assert states == [RoundState.OPENING, RoundState.OPENING, RoundState.OPEN]
    (rounds,) = [m for m in engine.on_timer(T0).messages if isinstance(m, RoundsTold)]
    assert rounds.rounds == ["basis|r1"]
    execute(engine, approve(engine, closing()))
    (rounds,) = [m for m in engine.on_timer(T0).messages if isinstance(m, RoundsTold)]
    assert rounds.rounds == []


def test_what_comes_twice_changes_nothing() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    announce(engine, plan)
    for _ in range(2):
        for fill in fills_of(plan):
            engine.on_message(fill, T0, redelivered=True)
    for _ in range(2):
        engine.on_message(make_done(plan.plan_id), T0, redelivered=True)
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]
    assert told(engine).realized == {"USDT": D(-2)}


@pytest.mark.parametrize("cut", range(5))
def test_a_restart_at_any_step_keeps_the_round(cut: int) -> None:
    """Risk dies after some of its inputs; the rest, and the last before, comes to the next one."""
    engine = make_risk(config())
    plan = approve(engine, opening())
    inputs: list[Any] = [
        *[order_of(fill) for fill in fills_of(plan)],
        *fills_of(plan),
        make_done(plan.plan_id),
    ]
    for order, leg in zip(inputs, plan.legs, strict=False):
        inputs[inputs.index(order)] = msgspec.structs.replace(
            order, qty=leg.qty, leg_index=plan.legs.index(leg)
        )
    for message in inputs[:cut]:
        engine.on_message(message, T0)
    saved = dict(engine.checkpoints())
    again = RiskEngine(config())
    again.start(saved, T0)
    for message in inputs[max(0, cut - 1) :]:
        again.on_message(message, T0, redelivered=True)
    now = told(again)
    assert now.state is RoundState.OPEN
    assert [leg.qty for leg in now.legs] == [D("0.1"), D("-0.1")]
    assert now.realized == {"USDT": D(-2)}


def test_a_late_fill_reopens_a_closed_round_and_alerts() -> None:
    engine = opened()
    plan = approve(engine, closing())
    announce(engine, plan)
    own: dict[str, Any] = {"strategy": BASIS, "round_id": "r1"}
    perp, spot = fills_of(plan)
    hedge = make_fill(plan.plan_id, "beta", Side.SELL, "0.02", **own)
    order = msgspec.structs.replace(order_of(hedge, "0.02"), purpose=OrderPurpose.HEDGE, attempt=1)
    engine.on_message(order, T0)
    for fill in (perp, msgspec.structs.replace(spot, qty=D("0.08")), hedge):
        engine.on_message(fill, T0)
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.HEDGED), T0)
    assert told(engine).state is RoundState.CLOSED
    late = msgspec.structs.replace(spot, qty=D("0.02"), trade_id="late")
    out = engine.on_message(late, T0).messages
    assert codes(out) == ["ROUND_REOPENED"]
    now = told(engine)
    assert (now.state, now.unhedged) == (RoundState.OPEN, D("-0.02"))
    # The executor evens it out by a plan of its own, which carries the round on.
    back = make_fill("p", "alpha", Side.BUY, "0.02", trade_id="back", **own)
    assert codes(engine.on_message(back, T0).messages) == []
    engine.on_message(make_done("p"), T0)
    assert told(engine).state is RoundState.CLOSED


def test_what_a_late_fill_left_is_closed_by_the_executor_alone() -> None:
    """A close that seemed to fill nothing was filled: a second one would close it twice."""
    engine = opened()
    plan = approve(engine, closing())
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.UNFILLED), T0)
    perp, _ = fills_of(plan)
    engine.on_message(perp, T0)
    assert told(engine).unhedged == D("0.1")
    rest = offer(("alpha", Side.SELL, "0.1", "9999"), intent=Intent.CLOSE)
    assert denial(engine, rest) is DenyReason.ROUND_STATE
    back = make_fill("p", "gamma", Side.SELL, "0.1", strategy=BASIS, round_id="r1")
    engine.on_message(back, T0)
    assert told(engine).unhedged == D(0)
    engine.on_message(make_done("p"), T0)
    assert denial(engine, closing()) is DenyReason.ROUND_STATE


def test_a_late_fill_of_long_ago_keeps_no_round_from_being_closed() -> None:
    engine = opened()
    own: dict[str, Any] = {"strategy": BASIS, "round_id": "r1"}
    then = T0 - LATE_FILL_PAUSE_NS
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1", ts_ns=then, **own), T0)
    engine.on_message(make_fill("p", "gamma", Side.SELL, "0.1", ts_ns=then, **own), T0)
    approve(engine, closing())


def test_a_round_whose_plan_opened_nothing_is_closed_and_may_be_tried_again() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id, outcome=PlanOutcome.UNFILLED, realized=D(0)), T0)
    assert told(engine).state is RoundState.CLOSED
    execute(engine, approve(engine, opening()))
    assert told(engine).state is RoundState.OPEN


def test_an_uneven_end_is_told_as_it_is_and_halts_the_round() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    announce(engine, plan)
    engine.on_message(fills_of(plan)[0], T0)
    failed = make_done(plan.plan_id, outcome=PlanOutcome.FAILED, residual={"BTC": D("0.1")})
    engine.on_message(failed, T0)
    now = told(engine)
    assert (now.state, now.unhedged) == (RoundState.HALTED, D("0.1"))
    assert "left over: 0.1 BTC" in now.reason
    engine.on_message(make_command(CommandKind.RESUME), T0)
    assert told(engine).state is RoundState.OPEN
    # It can be closed by its one leg: nothing but the rest is traded.
    plan = approve(engine, offer(("alpha", Side.SELL, "0.1", "9999"), intent=Intent.CLOSE))
    assert plan.is_directional
    execute(engine, plan)
    assert told(engine).state is RoundState.CLOSED


def test_an_operators_flatten_closes_rounds_as_well() -> None:
    engine = opened()
    spot = make_fill("p", "beta", Side.SELL, "0.1", strategy=OPERATOR_STRATEGY)
    perp = make_fill("p", "gamma", Side.BUY, "0.1", strategy=OPERATOR_STRATEGY, instrument=PERP)
    engine.on_message(spot, T0)
    assert told(engine).unhedged == D("-0.1")
    engine.on_message(perp, T0)
    assert told(engine).state is RoundState.CLOSED
    assert told(engine).realized == {"USDT": D("-2.1") + D("2") - D(2)}


def test_flatten_ends_what_rounds_hold_against_each_other() -> None:
    """It closes the net that a venue shows; of the rest the venue shows nothing to close."""
    engine = opened()
    execute(engine, approve(engine, single(Side.BUY, "0.15", Intent.OPEN, round_id="r2")))
    before = realized_by_rounds(engine)
    engine.on_message(make_command(CommandKind.FLATTEN), T0)
    held = {key: each.held for key, each in engine.ledger.rounds.rounds.items()}
    assert held == {
        f"{BASIS}|r1": {"BTC/USDT": D("0.1")},
        f"{BASIS}|r2": {f"gamma|{PERP}": D("0.05")},
    }
    after = realized_by_rounds(engine)
    assert after - before == D("0.1") * (10_020 - 10_001)  # r1 sold at 10,020; no fee
    spot = make_fill("p", "beta", Side.SELL, "0.1", strategy=OPERATOR_STRATEGY)
    perp = make_fill("p", "gamma", Side.SELL, "0.05", strategy=OPERATOR_STRATEGY, instrument=PERP)
    for fill in (spot, perp):
        engine.on_message(fill, T0)
    assert not has_open_rounds(engine.ledger)
    assert not engine.ledger.books.opened()


def test_rounds_that_oppose_each_other_end_once_their_plans_have_ended() -> None:
    engine = opened()
    execute(engine, approve(engine, single(Side.BUY, "0.1", Intent.OPEN, round_id="r2")))
    plan = approve(engine, single(Side.SELL, "0.02", Intent.CLOSE, round_id="r2"))
    engine.on_message(make_command(CommandKind.FLATTEN), T0)
    assert engine.ledger.rounds.rounds[f"{BASIS}|r2"].held == {f"gamma|{PERP}": D("0.1")}
    execute(engine, plan)
    assert engine.ledger.rounds.rounds[f"{BASIS}|r2"].held == {}
    assert engine.ledger.rounds.rounds[f"{BASIS}|r1"].held == {
        "BTC/USDT": D("0.1"),
        f"gamma|{PERP}": D("-0.02"),
    }


def test_a_flatten_that_ends_after_a_resume_ends_what_rounds_hold_against_each_other() -> None:
    """The executor may be away meanwhile; it closes the net that the venue shows then."""
    engine = opened()
    plan = approve(engine, single(Side.BUY, "0.15", Intent.OPEN, round_id="r2"))
    engine.on_message(make_command(CommandKind.FLATTEN), T0)
    engine.on_message(make_command(CommandKind.RESUME), T0)
    execute(engine, plan)
    spot = make_fill("p", "beta", Side.SELL, "0.1", strategy=OPERATOR_STRATEGY)
    perp = make_fill("p", "gamma", Side.SELL, "0.05", strategy=OPERATOR_STRATEGY, instrument=PERP)
    for fill in (spot, perp):
        engine.on_message(fill, T0)
    assert has_open_rounds(engine.ledger)
    engine.on_message(make_done("p", strategy=OPERATOR_STRATEGY, is_approved=False), T0)
    assert not has_open_rounds(engine.ledger)
    assert not engine.ledger.books.opened()


def test_without_flatten_rounds_hold_against_each_other() -> None:
    engine = opened()
    execute(engine, approve(engine, single(Side.BUY, "0.15", Intent.OPEN, round_id="r2")))
    spot = make_fill("p", "beta", Side.SELL, "0.1", strategy=OPERATOR_STRATEGY)
    perp = make_fill("p", "gamma", Side.SELL, "0.05", strategy=OPERATOR_STRATEGY, instrument=PERP)
    for fill in (spot, perp):
        engine.on_message(fill, T0)
    held = {key: each.held for key, each in engine.ledger.rounds.rounds.items()}
    key = f"gamma|{PERP}"
    assert held == {f"{BASIS}|r1": {key: D("-0.1")}, f"{BASIS}|r2": {key: D("0.1")}}
    assert not engine.ledger.books.opened()
    execute(engine, approve(engine, single(Side.BUY, "0.1", Intent.CLOSE)))
    execute(engine, approve(engine, single(Side.SELL, "0.1", Intent.CLOSE, round_id="r2")))
    assert not has_open_rounds(engine.ledger)
    assert not engine.ledger.books.opened()


def test_what_nobody_knows_the_owner_of_is_no_rounds() -> None:
    """A pair adopted after a loss of records is even in itself: its sale closes no round."""
    engine = opened()
    for message in make_result("p", "5"):
        engine.on_message(message, T0)
    assert [leg.qty for leg in told(engine).legs] == [D("0.1"), D("-0.1")]


def test_what_is_left_is_dust_only_where_nobody_takes_it() -> None:
    engine = opened()
    plan = approve(engine, closing("0.099"))
    execute(engine, plan)
    assert told(engine).state is RoundState.OPEN  # 0.001 can be traded: worth 10, on the grid
    plan = approve(engine, closing("0.001"))
    announce(engine, plan)
    for fill in fills_of(plan, "0.5"):
        engine.on_message(fill, T0)
    engine.on_message(make_done(plan.plan_id), T0)
    now = told(engine)
    assert now.state is RoundState.CLOSED
    assert [leg.qty for leg in now.legs] == [D("0.0005"), D("-0.0005")]


def test_a_close_passes_where_an_opening_would_not() -> None:
    """No limit on what is opened, no balance, no edge and no REDUCE keeps a position open."""
    engine = opened()
    for venue in ("alpha", "gamma"):
        engine.on_message(make_balances(venue, T0 + SECOND, USDT=0, BTC=0), T0)
    engine.on_message(make_command(CommandKind.REDUCE), T0)
    assert denial(engine, opening(round_id="r2")) is DenyReason.REDUCING
    plan = approve(engine, closing(spot="9800", perp="10200"))  # far below any edge
    assert plan.loss_cap > D("0.1") * (10200 - 9800)


def test_a_close_is_allowed_what_its_round_has_become_worth() -> None:
    engine = opened(order_notional_max=D("1005"))
    assert denial(engine, opening("0.2", round_id="r2")) is DenyReason.ORDER_NOTIONAL
    approve(engine, closing(spot="19999", perp="20001"))


def without(engine: RiskEngine, venue: str) -> RiskEngine:
    """The engine after a restart with one venue less in the configuration."""
    less = config()
    less = msgspec.structs.replace(
        less, venues={name: each for name, each in less.venues.items() if name != venue}
    )
    other = RiskEngine(less)
    other.start(engine.checkpoints(), T0)
    feed_market(other, T0)
    other.on_message(make_ready(T0), T0)
    return other


def test_what_a_round_holds_at_a_venue_that_was_removed_is_alerted_once() -> None:
    engine = opened()
    assert "ROUND_VENUE_NOT_TRADED" not in codes(engine.on_timer(T0).messages)
    engine = without(engine, "gamma")
    (told,) = [
        each
        for each in alerts(engine.on_timer(T0 + SECOND).messages)
        if each.code == "ROUND_VENUE_NOT_TRADED"
    ]
    assert (told.severity, told.subject) == ("critical", "basis|r1")
    assert f"round basis|r1 holds -0.1 of {PERP} at gamma" in told.text
    assert "configure it again" in told.text
    assert "ROUND_VENUE_NOT_TRADED" not in codes(engine.on_timer(T0 + 2 * SECOND).messages)


def test_a_close_at_a_venue_that_was_removed_is_alerted() -> None:
    engine = without(opened(), "gamma")
    denied, *told = [
        each
        for each in engine.on_message(closing(), T0).messages
        if isinstance(each, Denied | Alert)
    ]
    assert isinstance(denied, Denied) and denied.reason == DenyReason.VENUE_NOT_TRADED
    assert [(each.code, each.subject) for each in told if isinstance(each, Alert)] == [
        ("CLOSE_VENUE_NOT_TRADED", "basis|r1")
    ]
    opening_denied = engine.on_message(opening(round_id="r2"), T0).messages
    assert not alerts(opening_denied), "nothing of it is open"


def test_a_close_brings_a_round_to_no_more_markets_than_can_be_told() -> None:
    engine = opened()
    quantities = engine.ledger.rounds.rounds["basis|r1"].books.quantities
    for number in range(MARKETS_OF_ROUND_MAX - len(quantities)):
        quantities[f"old{number}|{SPOT}"] = D(0)
    assert len(quantities) == MARKETS_OF_ROUND_MAX
    elsewhere = offer(
        ("gamma", Side.BUY, "0.1", "10001"),
        ("beta", Side.SELL, "0.1", "9999"),
        intent=Intent.CLOSE,
    )
    assert denial(engine, elsewhere) is DenyReason.ROUND_STATE
    approve(engine, closing())


def test_nothing_is_closed_while_halted() -> None:
    engine = opened()
    engine.on_message(make_command(CommandKind.HALT), T0)
    assert denial(engine, closing()) is DenyReason.HALTED


def test_the_daily_loss_still_lets_rounds_be_closed() -> None:
    engine = opened(daily_loss_max=D(50))
    for message in make_result("p", "-60"):
        engine.on_message(message, T0)
    engine.on_message(make_done("p", realized=D(-60)), T0)
    states = [m for m in engine.on_timer(T0).messages if isinstance(m, TradingStateChanged)]
    assert [m.state for m in states] == [TradingState.REDUCING]
    assert states[0].reason.startswith("DAILY_LOSS: ")
    assert denial(engine, opening(round_id="r2")) is DenyReason.REDUCING
    execute(engine, approve(engine, closing()))
    states = [m for m in engine.on_timer(T0).messages if isinstance(m, TradingStateChanged)]
    assert [m.state for m in states] == [TradingState.HALTED]
    engine = opened(daily_loss_max=D(50))
    for message in make_result("p", "-60"):
        engine.on_message(message, T0)
    engine.on_message(make_done("p", realized=D(-60)), T0)
    engine.on_message(make_command(CommandKind.HALT), T0)
    assert denial(engine, closing()) is DenyReason.HALTED


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (closing("0.101"), DenyReason.REDUCE_ONLY),
        (opening(intent=Intent.CLOSE), DenyReason.REDUCE_ONLY),
        (closing(round_id="r9"), DenyReason.ROUND_UNKNOWN),
        (closing(strategy_id="other"), DenyReason.ROUND_UNKNOWN),
        (single(Side.BUY, "0.05", Intent.CLOSE), DenyReason.UNHEDGED),
        (single(Side.SELL, "0.05", Intent.OPEN), DenyReason.ROUND_STATE),
        (closing(round_id=""), DenyReason.MALFORMED),
        (opening(intent=Intent.INSTANT), DenyReason.MALFORMED),
        (opening(intent=Intent.INSTANT, round_id=""), DenyReason.OPENS_POSITION),
        (opening(round_id="r2", spot="10001", perp="9900"), DenyReason.OPENING_COST),
        (single(Side.BUY, "0.1", Intent.INSTANT, round_id=""), DenyReason.MALFORMED),
    ],
)
def test_what_is_denied_of_an_open_round(found: Opportunity, reason: DenyReason) -> None:
    assert denial(opened(), found) is reason


def test_an_instant_plan_takes_no_position_from_a_round() -> None:
    """The account is short by the round; buying that back would leave the round unhedged."""
    engine = opened()
    legs = ("gamma", Side.BUY, "0.1", "10001"), ("alpha", Side.SELL, "0.1", "10040")
    found = offer(*legs, round_id="", strategy_id="other")
    assert denial(engine, found) is DenyReason.OPENS_POSITION
    engine.on_message(make_command(CommandKind.REDUCE), T0)
    assert denial(engine, found) is DenyReason.REDUCING


def test_one_plan_of_a_round_at_a_time() -> None:
    engine = opened()
    approve(engine, closing("0.05"))
    assert denial(engine, closing("0.05")) is DenyReason.ROUND_STATE
    assert denial(engine, opening()) is DenyReason.ROUND_STATE


def test_a_closed_round_is_not_opened_again() -> None:
    engine = opened()
    execute(engine, approve(engine, closing()))
    assert denial(engine, opening()) is DenyReason.ROUND_STATE


def test_books_that_are_not_live_close_nothing() -> None:
    engine = opened()
    engine.on_message(make_view("gamma", PERP, state=BookState.STALE), T0)
    assert denial(engine, closing()) is DenyReason.BOOK_NOT_LIVE


def test_a_single_leg_needs_a_budget_of_its_own() -> None:
    engine = make_risk(config())
    assert (
        denial(engine, single(Side.BUY, "0.1", Intent.OPEN, strategy_id="other"))
        is DenyReason.DIRECTIONAL_BUDGET
    )
    plan = approve(engine, single(Side.BUY, "0.1", Intent.OPEN))
    assert plan.is_directional
    # In flight it counts, and so does what it holds afterwards.
    assert (
        denial(engine, single(Side.BUY, "0.101", Intent.OPEN, round_id="r2"))
        is DenyReason.DIRECTIONAL_BUDGET
    )
    execute(engine, plan)
    now = told(engine)
    assert (now.state, now.is_directional, now.unhedged) == (RoundState.OPEN, True, D("0.1"))
    assert (
        denial(engine, single(Side.SELL, "0.101", Intent.OPEN, round_id="r2"))
        is DenyReason.DIRECTIONAL_BUDGET
    )
    plan = approve(engine, single(Side.SELL, "0.06", Intent.CLOSE))
    execute(engine, plan)
    assert told(engine).unhedged == D("0.04")
    execute(engine, approve(engine, single(Side.SELL, "0.04", Intent.CLOSE)))
    assert told(engine).state is RoundState.CLOSED


@pytest.mark.parametrize("stop_bps", ["0", "-5", "10000"])
def test_a_single_leg_opens_nothing_without_a_stop(stop_bps: str) -> None:
    engine = make_risk(config())
    found = single(Side.BUY, "0.1", Intent.OPEN, stop_bps=D(stop_bps))
    assert denial(engine, found) is DenyReason.DIRECTIONAL_STOP
    assert not engine.ledger.rounds.rounds


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "9950.9"), (Side.SELL, "10049")])
def test_the_stop_of_a_single_leg_is_kept_with_its_round_as_a_signals_is(
    side: Side, stop: str
) -> None:
    engine = make_risk(config())
    execute(engine, approve(engine, single(side, "0.1", Intent.OPEN, stop_bps=D(50))))
    kept = told(engine).stop
    assert kept is not None
    assert abs(kept - D(stop)) <= 1
    # Its strategy does nothing any more; the price goes to the stop.
    at = {Side.BUY: (9_900.0, 9_901.0), Side.SELL: (10_100.0, 10_101.0)}[side]
    later_ns = T0 + SECOND
    view = make_view(
        "gamma", PERP, bids=[(at[0], 5.0)], asks=[(at[1], 5.0)], seq=99, ts_ns=later_ns
    )
    out = [*engine.on_message(view, later_ns).messages, *engine.on_timer(later_ns).messages]
    plans = [each for each in out if isinstance(each, ApprovedPlan)]
    assert [(plan.intent, plan.legs[0].side) for plan in plans] == [(Intent.CLOSE, side.opposite)]


def test_a_closing_by_pairs_evens_out_what_the_round_leaves_unhedged() -> None:
    """The base fee of spot was taken in coin: 0.0999 is held against 0.1."""
    engine = make_risk(config())
    plan = approve(engine, opening())
    announce(engine, plan)
    spot, perp = fills_of(plan)
    engine.on_message(msgspec.structs.replace(spot, fee=D("0.001"), fee_asset="BTC"), T0)
    engine.on_message(perp, T0)
    engine.on_message(make_done(plan.plan_id), T0)
    assert told(engine).unhedged == D("-0.001")
    legs = ("gamma", Side.BUY, "0.1", "10001"), ("alpha", Side.SELL, "0.099", "9999")
    plan = approve(engine, offer(*legs, intent=Intent.CLOSE))
    assert plan.opening == D("-0.001")
    execute(engine, plan)
    assert told(engine).state is RoundState.CLOSED


def test_rounds_are_bounded_open_and_closed() -> None:
    engine = make_risk(config(plans_in_flight_max=10_000))
    for number in range(ROUNDS_OPEN_MAX):
        now_ns = T0 + number * SECOND // 100
        execute(engine, approve(engine, opening("0.001", round_id=f"r{number}"), now_ns), now_ns)
    assert len(engine.ledger.rounds.rounds) == ROUNDS_OPEN_MAX
    assert denial(engine, opening("0.001", round_id="more")) is DenyReason.ROUNDS_OPEN
    for number in range(ROUNDS_OPEN_MAX):
        now_ns = T0 + number * SECOND // 100
        execute(engine, approve(engine, closing("0.001", round_id=f"r{number}"), now_ns), now_ns)
    assert len(engine.ledger.rounds.rounds) == ROUNDS_CLOSED_MAX


def test_a_fill_of_a_forgotten_round_is_told_as_open() -> None:
    """Its round is no longer known here: it was closed long ago."""
    engine = make_risk(config())
    late = make_fill("p", "alpha", Side.BUY, "0.1", strategy=BASIS, round_id="old")
    out = engine.on_message(late, T0).messages
    assert codes(out) == ["ROUND_REOPENED"]
    assert told(engine, round_id="old").unhedged == D("0.1")


def test_a_fee_told_later_is_the_rounds() -> None:
    engine = make_risk(config())
    plan = approve(engine, opening())
    announce(engine, plan)
    for fill in fills_of(plan):
        engine.on_message(msgspec.structs.replace(fill, fee=None, fee_quote=None), T0)
    assert told(engine).certainty is Certainty.UNKNOWN
    for fill in fills_of(plan):
        engine.on_message(fill, T0)
    now = told(engine)
    assert (now.certainty, now.realized) == (Certainty.KNOWN, {"USDT": D(-2)})
    assert now.legs[0].fees == {"USDT": D(1)}


def unwound(engine: RiskEngine) -> None:
    """The perpetual refuses: the spot that was bought is sold again, but for its fee in coins."""
    plan = approve(engine, opening())
    announce(engine, plan)
    of_round: dict[str, Any] = {"strategy": BASIS, "round_id": "r1"}
    in_coins: dict[str, Any] = {"fee": D("0.00005"), "fee_asset": "BTC", "fee_quote": D("0.5")}
    bought = make_fill(plan.plan_id, "alpha", Side.BUY, "0.1", **of_round, **in_coins)
    engine.on_message(bought, T0)
    sold = make_fill(plan.plan_id, "alpha", Side.SELL, "0.0995", **of_round)
    order = msgspec.structs.replace(order_of(sold, "0.0995"), purpose=OrderPurpose.UNWIND)
    engine.on_message(order, T0)
    engine.on_message(sold, T0)
    done = make_done(plan.plan_id, outcome=PlanOutcome.UNWOUND, dust={"BTC": D("0.00045")})
    engine.on_message(done, T0)


def test_dust_of_an_unwound_opening_leaves_no_round_open() -> None:
    engine = make_risk(config())
    unwound(engine)
    now = told(engine)
    assert [leg.qty for leg in now.legs] == [D("0.00045")]
    assert now.state is RoundState.CLOSED
    assert [m.rounds for m in engine.on_timer(T0).messages if isinstance(m, RoundsTold)] == [[]]


def test_dust_that_flatten_leaves_keeps_no_round_open() -> None:
    engine = opened()
    own: dict[str, Any] = {"strategy": OPERATOR_STRATEGY}
    engine.on_message(make_fill("p", "alpha", Side.SELL, "0.0995", **own), T0)
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1", instrument=PERP, **own), T0)
    assert told(engine).state is RoundState.OPEN
    done = make_done("p", outcome=PlanOutcome.UNWOUND, dust={"BTC": D("0.0005")}, **own)
    out = engine.on_message(done, T0).messages
    (now,) = [m for m in out if isinstance(m, StrategyPosition)]
    assert (now.state, now.unhedged) == (RoundState.CLOSED, D("0.0005"))


def test_what_flatten_began_with_and_closed_is_no_position_without_an_owner() -> None:
    engine = opened()
    own: dict[str, Any] = {"strategy": OPERATOR_STRATEGY}
    engine.on_message(make_command(CommandKind.FLATTEN), T0)
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1", instrument=PERP, **own), T0)
    began_with = {f"gamma|{PERP}": D("-0.1")}
    out = engine.on_message(make_done("p", began_with=began_with, **own), T0).messages
    assert "POSITION_UNOWNED" not in codes(out)


def test_a_resume_told_again_does_not_release_a_later_failure() -> None:
    engine = make_risk(config())
    resume = make_command(CommandKind.RESUME)
    engine.on_message(resume, T0)
    plan = approve(engine, opening())
    announce(engine, plan)
    engine.on_message(fills_of(plan)[0], T0)
    failed = make_done(plan.plan_id, outcome=PlanOutcome.FAILED, residual={"BTC": D("0.1")})
    engine.on_message(failed, T0)
    engine.on_message(resume, T0)
    assert told(engine).state is RoundState.HALTED


def test_the_budget_counts_what_is_held_at_what_it_costs_now() -> None:
    """A short whose price has doubled since is twice the bet."""
    engine = make_risk(config(instrument_notional_max=D(10**6)))
    execute(engine, approve(engine, single(Side.SELL, "0.1", Intent.OPEN)))
    view = make_view("gamma", PERP, bids=[(19_999.0, 5.0)], asks=[(20_000.0, 5.0)], seq=99)
    engine.on_message(view, T0)
    found = single(Side.SELL, "0.01", Intent.OPEN, round_id="r2")
    answer = decide(engine, found)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.DIRECTIONAL_BUDGET
    assert D(answer.context["held"]) == 2_000
