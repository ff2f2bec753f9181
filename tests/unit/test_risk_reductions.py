"""What a venue closed by itself: the round it reduces is HALTED, uneven, and may only be closed."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.unowned import opened_text
from shared.messages.base import Message, Side, TradingState
from shared.messages.control import Alert, CommandKind, Severity
from shared.messages.execution import Fill, TradingStateChanged
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from tests.decision_builders import (
    PERP,
    SECOND,
    T0,
    announce,
    feed_market,
    make_command,
    make_done,
    make_fill,
    make_risk,
)
from tests.unit.test_risk_rounds import (
    approve,
    closing,
    config,
    decide,
    execute,
    fills_of,
    offer,
    opening,
)

ADL = "auto-deleveraging"


def reduction(qty: str, trade_id: str = "own1", side: Side = Side.BUY) -> Fill:
    made = make_fill("venue-77", "gamma", side, qty, instrument=PERP, price=D(10_050))
    return msgspec.structs.replace(
        made, trade_id=trade_id, client_order_id="adl_autoclose", reduced_by=ADL, ts_venue_ns=T0
    )


def held_round() -> RiskEngine:
    engine = make_risk(config())
    execute(engine, approve(engine, opening()))
    return engine


def take(engine: RiskEngine, fill: Fill) -> list[Message]:
    return engine.on_message(fill, T0).messages


def position(engine: RiskEngine) -> StrategyPosition:
    out = engine.on_timer(T0 + SECOND).messages
    (found,) = [m for m in out if isinstance(m, StrategyPosition)]
    return found


def test_the_round_that_is_reduced_is_halted_uneven_and_told() -> None:
    engine = held_round()
    before = position(engine)
    assert before.state is RoundState.OPEN
    out = take(engine, reduction("0.06"))
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert (alert.code, alert.severity) == ("ROUND_REDUCED", Severity.CRITICAL)
    for word in ("basis|r1", "gamma", PERP, "0.06", "10050", ADL):
        assert word in alert.text
    now = position(engine)
    assert now.state is RoundState.HALTED
    assert ADL in now.reason
    assert now.unhedged == before.unhedged + D("0.06")
    assert engine.ledger.positions[f"gamma|{PERP}"] == D("-0.04")
    assert not any(isinstance(m, TradingStateChanged) for m in out), "the others go on"


def test_it_counts_once_and_survives_a_restart() -> None:
    engine = held_round()
    take(engine, reduction("0.06"))
    assert not take(engine, reduction("0.06"))
    restored = RiskEngine(config())
    restored.start(engine.checkpoints(), T0)
    assert not any(isinstance(m, Alert) for m in take(restored, reduction("0.06")))
    assert restored.ledger.positions[f"gamma|{PERP}"] == D("-0.04")
    assert position(restored).state is RoundState.HALTED


def test_what_is_left_may_be_closed_by_its_strategy() -> None:
    engine = held_round()
    take(engine, reduction("0.1"))
    feed_market(engine)
    rest = engine.ledger.rounds.get("basis", "r1")
    assert rest is not None
    qty = str(rest.net.quantize(D("0.001")))
    more = offer(
        ("alpha", Side.BUY, qty, "10001"), ("gamma", Side.SELL, qty, "10020"), intent=Intent.OPEN
    )
    assert not hasattr(decide(engine, more), "legs"), "nothing is added to it"
    assert approve(engine, offer(("alpha", Side.SELL, "0.09", "9999"), intent=Intent.CLOSE))


def test_an_operators_resume_releases_the_round() -> None:
    engine = held_round()
    take(engine, reduction("0.06"))
    engine.on_message(make_command(CommandKind.RESUME), T0)
    assert position(engine).state is RoundState.OPEN


def test_it_is_judged_by_what_was_held_then_although_it_is_told_later() -> None:
    engine = held_round()
    closing = make_fill("venue-76", "gamma", Side.BUY, "0.1", instrument=PERP, price=D(10_050))
    later = msgspec.structs.replace(
        closing, client_order_id="settlement", reduced_by=ADL, ts_venue_ns=T0 + SECOND
    )
    take(engine, later)
    assert engine.ledger.positions[f"gamma|{PERP}"] == 0
    out = take(engine, reduction("0.06"))
    assert not [m for m in out if isinstance(m, Alert) and m.code == "FILL_UNOWNED"]
    assert engine.ledger.positions[f"gamma|{PERP}"] == D("0.06")


def test_one_that_does_more_than_close_what_is_held_halts_everything() -> None:
    for fill in (reduction("0.2"), reduction("0.05", side=Side.SELL)):
        engine = held_round()
        out = take(engine, fill)
        assert [m.code for m in out if isinstance(m, Alert)] == ["FILL_UNOWNED"]
        assert engine.ledger.positions[f"gamma|{PERP}"] == D("-0.1")


def test_what_a_plan_without_a_round_had_opened_closes_no_round() -> None:
    engine = held_round()
    fill = msgspec.structs.replace(reduction("0.06"), of_no_round=D("0.05"))
    take(engine, fill)
    assert engine.ledger.positions[f"gamma|{PERP}"] == D("-0.04")
    assert [leg.qty for leg in position(engine).legs] == [D("0.1"), D("-0.09")]
    fill = msgspec.structs.replace(reduction("0.02", "own2"), of_no_round=D("0.02"))
    out = take(engine, fill)
    assert not [m for m in out if isinstance(m, Alert) and m.code == "ROUND_REDUCED"]
    assert [leg.qty for leg in position(engine).legs] == [D("0.1"), D("-0.09")]


@pytest.mark.parametrize(
    ("qty", "of_rounds", "left"),
    [
        ("0.06", {}, {"r1": "-0.04", "r2": "-0.1"}),
        ("0.06", {"basis|r1": "0"}, {"r1": "-0.1", "r2": "-0.04"}),
        ("0.06", {"basis|r2": "0.06"}, {"r1": "-0.1", "r2": "-0.04"}),
        ("0.06", {"basis|r1": "0.02"}, {"r1": "-0.08", "r2": "-0.06"}),
        ("0.15", {"basis|r1": "0"}, {"r1": "-0.05"}),
        ("0.06", {"basis|r1": "0", "basis|r2": "0"}, {"r1": "-0.04", "r2": "-0.1"}),
        ("0.06", {"basis|gone": "0.06"}, {"r1": "-0.04", "r2": "-0.1"}),
    ],
)
def test_it_closes_the_rounds_that_the_executor_says_it_did(
    qty: str, of_rounds: dict[str, str], left: dict[str, str]
) -> None:
    engine = held_round()
    execute(engine, approve(engine, opening(round_id="r2")))
    parts = {key: D(part) for key, part in of_rounds.items()}
    out = take(engine, msgspec.structs.replace(reduction(qty), of_rounds=parts))
    rounds = engine.ledger.rounds.rounds.values()
    key = f"gamma|{PERP}"
    assert {each.round_id: each.held[key] for each in rounds if key in each.held} == {
        name: D(held) for name, held in left.items()
    }
    told = [m.subject for m in out if isinstance(m, Alert) and m.code == "ROUND_REDUCED"]
    halted = [each.key for each in rounds if each.halted]
    assert (
        sorted(told)
        == sorted(halted)
        == [each.key for each in rounds if each.held.get(key) != D("-0.1")]
    )


def closed_round() -> RiskEngine:
    """Its close was filled a second after the venue's own close, which nobody has told yet."""
    engine = held_round()
    close = closing()
    plan = approve(engine, close)
    announce(engine, plan, T0)
    for each in fills_of(plan, ts_venue_ns=T0 + SECOND):
        take(engine, each)
    engine.on_message(make_done(plan.plan_id, T0), T0)
    assert engine.ledger.positions[f"gamma|{PERP}"] == 0
    return engine


def test_what_was_closed_already_and_nobody_trades_back_halts() -> None:
    engine = closed_round()
    out = take(engine, reduction("0.06"))
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert (alert.code, alert.severity) == ("POSITION_UNOWNED", Severity.CRITICAL)
    assert f" leaves 0.06 {PERP} at gamma, which no round holds" in alert.text
    (state,) = [m for m in out if isinstance(m, TradingStateChanged)]
    assert (state.state, "POSITION_UNOWNED" in state.reason) == (TradingState.HALTED, True)
    again = msgspec.structs.replace(reduction("0.06"), fee=D("0.1"))
    assert not [m for m in take(engine, again) if isinstance(m, Alert)], "once"
    restored = RiskEngine(config())
    restored.start(engine.checkpoints(), T0)
    assert "POSITION_UNOWNED" in restored.state.trading.trips


def test_what_the_executor_trades_back_halts_nothing() -> None:
    engine = closed_round()
    out = take(engine, msgspec.structs.replace(reduction("0.06"), of_no_round=D("0.06")))
    assert not [m for m in out if isinstance(m, Alert)]
    out = take(engine, msgspec.structs.replace(reduction("0.04", "own2"), of_no_round=D("0.01")))
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert f" leaves 0.03 {PERP} at gamma, " in alert.text


@pytest.mark.parametrize(("none_held", "left"), [("-0.1", ""), ("-0.02", "0.04"), ("0.02", "0.06")])
def test_what_it_closes_of_a_position_that_no_round_held_opens_nothing(
    none_held: str, left: str
) -> None:
    fill = reduction("0.06")
    text = opened_text(fill, D(none_held), D(none_held) + D("0.06"))
    assert text == "" if not left else f" leaves {left} {PERP} at gamma, " in text
