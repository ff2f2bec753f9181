"""Signals: sized by risk for what they may lose, closed and reversed by what their round holds."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from services.scanner.engine import StrategyHost
from shared.config import load_config
from shared.config_sections import Config, StrategyConfig
from shared.errors import ConfigError
from shared.messages.arb import Signal, Target
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.rounds import Intent, RoundState, RoundsTold, StrategyPosition
from shared.strategies.signals import Conviction, make_signal
from tests.decision_builders import (
    PERP,
    SECOND,
    SPOT,
    T0,
    announce,
    make_config,
    make_done,
    make_fill,
    make_info,
    make_risk,
    make_view,
)
from tests.strategy_files import host_of, write_config, write_strategy

_seqs = iter(range(100, 10**6))


def config(**entry: Any) -> Config:
    values: dict[str, Any] = {
        "directional_notional_max": D(50_000),
        "directional_equity": D(100_000),
    }
    strategy = StrategyConfig(id="mom", class_="cross_venue", **{**values, **entry})
    plain = make_config(
        order_notional_max=D(60_000),
        instrument_notional_max=D(10**6),
        loss_cap_bps=D(50),
        daily_loss_max=D(10**6),  # spot is at 10,000 here, and prices what the perpetual cannot
    )
    return Config(venues=plain.venues, risk=plain.risk, strategies=[strategy])


def risk(**entry: Any) -> RiskEngine:
    """Risk whose perpetual is at 60,000, with fees of 5 bps."""
    engine = make_risk(config(**entry))
    engine.on_message(make_info("gamma", PERP, taker_fee_bps=D(5)), T0)
    show(engine, 60_000.0)
    return engine


def show(engine: RiskEngine, price: float, size: float = 10.0) -> None:
    view = make_view("gamma", PERP, bids=[(price, size)], asks=[(price, size)], seq=next(_seqs))
    engine.on_message(msgspec.structs.replace(view, bids=[(price - 0.1, size)]), T0)


def signal(target: Target, *, stop: str = "200", round_id: str = "r1", **changes: Any) -> Signal:
    view = make_view("gamma", PERP, seq=next(_seqs))
    wanted = Conviction(target, D(stop))
    return msgspec.structs.replace(make_signal("mom", round_id, view, wanted, now_ns=T0), **changes)


def decide(engine: RiskEngine, given: Signal) -> ApprovedPlan | Denied:
    out = engine.on_message(given, T0).messages
    return next(m for m in out if isinstance(m, ApprovedPlan | Denied))


def approve(engine: RiskEngine, given: Signal) -> ApprovedPlan:
    answer = decide(engine, given)
    assert isinstance(answer, ApprovedPlan), answer
    return answer


def denial(engine: RiskEngine, given: Signal) -> tuple[DenyReason, dict[str, str]]:
    answer = decide(engine, given)
    assert isinstance(answer, Denied), answer
    assert answer.opportunity_id == given.signal_id
    return DenyReason(answer.reason), answer.context


def execute(engine: RiskEngine, plan: ApprovedPlan) -> None:
    announce(engine, plan)
    (leg,) = plan.legs
    fill = make_fill(
        plan.plan_id,
        leg.venue,
        leg.side,
        str(leg.qty),
        instrument=leg.instrument,
        price=leg.price_expected,
        strategy=plan.strategy,
        round_id=plan.round_id,
    )
    engine.on_message(fill, T0)
    engine.on_message(make_done(plan.plan_id), T0)


def position(engine: RiskEngine) -> StrategyPosition:
    out = engine.on_timer(T0).messages
    return next(m for m in out if isinstance(m, StrategyPosition))


def test_the_size_is_what_may_be_lost_at_the_stop() -> None:
    """0.5 % of 100,000 over 60,000 * (2 % + 5 + 5 + 5 bps) is 0.38759."""
    plan = approve(risk(), signal(Target.LONG))
    (leg,) = plan.legs
    assert (leg.side, leg.qty, plan.intent) == (Side.BUY, D("0.387"), Intent.OPEN)
    assert plan.is_directional


def test_half_the_strength_is_half_the_size() -> None:
    plan = approve(risk(), signal(Target.SHORT, strength=D("0.5")))
    assert (plan.legs[0].side, plan.legs[0].qty) == (Side.SELL, D("0.193"))


def test_no_conviction_is_above_one() -> None:
    assert approve(risk(), signal(Target.LONG, strength=D(7))).legs[0].qty == D("0.387")


def test_a_cap_and_a_thin_book_bound_the_size() -> None:
    engine = risk(directional_notional_max=D(6_000))
    assert approve(engine, signal(Target.LONG)).legs[0].qty == D("0.1")
    engine = risk()
    show(engine, 60_000.0, size=0.05)
    assert approve(engine, signal(Target.LONG)).legs[0].qty == D("0.05")


def test_all_open_rounds_together_lose_no_more() -> None:
    engine = risk()
    plan = approve(engine, signal(Target.LONG, strength=D("0.5")))
    execute(engine, plan)
    plan = approve(engine, signal(Target.LONG, round_id="r2"))
    assert plan.legs[0].qty == D("0.194")  # the other half, and what rounding left
    execute(engine, plan)
    reason, context = denial(engine, signal(Target.LONG, round_id="r3"))
    assert reason is DenyReason.DIRECTIONAL_SIZE
    assert context["bound"] == "risk"


def test_a_signal_the_other_way_closes_first_and_opens_then() -> None:
    engine = risk()
    execute(engine, approve(engine, signal(Target.LONG)))
    assert denial(engine, signal(Target.LONG))[0] is DenyReason.ROUND_STATE
    plan = approve(engine, signal(Target.SHORT))
    assert (plan.intent, plan.legs[0].side, plan.legs[0].qty) == (
        Intent.CLOSE,
        Side.SELL,
        D("0.387"),
    )
    execute(engine, plan)
    assert position(engine).state is RoundState.CLOSED
    plan = approve(engine, signal(Target.SHORT, round_id="r2"))
    assert (plan.intent, plan.legs[0].side) == (Intent.OPEN, Side.SELL)


def test_flat_closes_what_is_held_and_nothing_else() -> None:
    engine = risk()
    assert denial(engine, signal(Target.FLAT))[0] is DenyReason.ROUND_STATE
    execute(engine, approve(engine, signal(Target.SHORT)))
    plan = approve(engine, signal(Target.FLAT))
    assert (plan.intent, plan.legs[0].side) == (Intent.CLOSE, Side.BUY)


@pytest.mark.parametrize(
    ("given", "entry", "reason"),
    [
        (signal(Target.LONG), {"directional_notional_max": D(0)}, DenyReason.DIRECTIONAL_SIZE),
        (signal(Target.LONG), {"directional_equity": D(0)}, DenyReason.DIRECTIONAL_SIZE),
        (signal(Target.LONG, stop="0"), {}, DenyReason.DIRECTIONAL_STOP),
        (signal(Target.LONG, stop="10000"), {}, DenyReason.DIRECTIONAL_STOP),
        (signal(Target.LONG, strategy_id="nobody"), {}, DenyReason.DIRECTIONAL_SIZE),
        (
            signal(Target.SHORT, venue="alpha", instrument=SPOT),
            {},
            DenyReason.MALFORMED,
        ),
        (signal(Target.LONG, venue="zeta"), {}, DenyReason.BOOK_UNKNOWN),
        (signal(Target.LONG, instrument="BTC/USD:BTC"), {}, DenyReason.MALFORMED),
        (signal(Target.LONG, ts_expire_ns=T0 - 1), {}, DenyReason.EXPIRED),
        (signal(Target.LONG, ts_ns=T0 - 2 * SECOND), {}, DenyReason.OPPORTUNITY_AGE),
    ],
)
def test_what_is_denied_says_why(given: Signal, entry: dict[str, Any], reason: DenyReason) -> None:
    assert denial(risk(**entry), given)[0] is reason


def test_the_same_signal_is_followed_once() -> None:
    engine, given = risk(), signal(Target.LONG)
    plan = approve(engine, given)
    announce(engine, plan)
    engine.on_message(make_done(plan.plan_id), T0)
    assert denial(engine, given)[0] is DenyReason.DUPLICATE


SIGNALS = """
    def on_depth(self, view, now_ns):
        from decimal import Decimal
        wanted = Conviction(Target.LONG, Decimal(200))
        return [make_signal(self.id, "r1", view, wanted, now_ns=now_ns)]
"""


def test_a_strategy_returns_signals_under_its_own_name(tmp_path: Any) -> None:
    head = write_strategy.__defaults__[2].replace(
        "class MineParams",
        "from shared.messages.arb import Target\n"
        "from shared.strategies.signals import Conviction, make_signal\n\nclass MineParams",
    )
    write_strategy(tmp_path, SIGNALS, head=head)
    host: StrategyHost = host_of(tmp_path, 'id = "mine"\nclass = "mine.py"')[0]
    view = make_view("kraken", "BTC/USDT")
    assert host.on_message(view, T0).messages == []  # the open rounds are not known yet
    host.on_message(RoundsTold(ts_ns=T0, rounds=[]), T0)
    (found,) = host.on_message(view, T0).messages
    assert isinstance(found, Signal)
    assert (found.strategy_id, found.detector) == ("mine", "mine.py:Mine")
    assert found.strategy_hash


@pytest.mark.parametrize(
    "line", ["directional_equity = -1", "directional_notional_max = nan", "on_disable = 'sell'"]
)
def test_a_wrong_budget_is_one_line(tmp_path: Any, line: str) -> None:
    path = write_config(tmp_path, f'id = "cross"\nclass = "cross_venue"\n{line}')
    with pytest.raises(ConfigError, match=line.split(" ", maxsplit=1)[0]) as caught:
        load_config(path, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["BTC", "BTC/", "/USDT", "BTC/USDT:"])
def test_a_name_that_is_no_instrument_is_denied_like_an_opportunitys(name: str) -> None:
    given = msgspec.structs.replace(signal(Target.LONG), instrument=name)
    assert denial(risk(), given)[0] is DenyReason.MALFORMED
