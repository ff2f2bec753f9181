"""Rules on exposure, open orders, leverage and liquidation: what they count, with which figures."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.margin_limits import Margined, _away_bps
from services.risk.reasons import DenyReason
from shared.config import parse_config
from shared.config_sections import Config
from shared.domain.contracts import Contract
from shared.domain.instrument import InstrumentKind
from shared.domain.margin import Isolated, distance_bps
from shared.errors import ConfigError
from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.execution import BalanceReport, Denied
from shared.messages.rounds import Intent
from tests.decision_builders import (
    PERP,
    T0,
    make_balances,
    make_config,
    make_fill,
    make_leg,
    make_offer,
    make_opportunity,
    make_risk,
    make_view,
)
from tests.unit.test_risk_limits import BETA, GOOD, approved, decision, to_gamma
from tests.unit.test_risk_rounds import approve, closing, config, decide, execute, opening, single


def told(answer: object) -> tuple[str, dict[str, str]]:
    assert isinstance(answer, Denied), answer
    return answer.reason, answer.context


def of_strategy(notional_max: str) -> Config:
    whole = config()
    first, *others = whole.strategies
    own = msgspec.structs.replace(first, notional_max=D(notional_max))
    return msgspec.structs.replace(whole, strategies=[own, *others])


def test_a_strategy_holds_no_more_than_its_own_limit() -> None:
    """A round of 0.1 at 10,001 and 10,020 counts its dearer side, at the books: 0.1 * 10,020."""
    for limit, is_denied in (("2004", False), ("2003.9", True)):
        engine = make_risk(of_strategy(limit))
        execute(engine, approve(engine, opening()))
        answer = decide(engine, opening(round_id="r2"))
        assert isinstance(answer, Denied) is is_denied, answer
        if is_denied:
            reason, context = told(answer)
            assert reason == DenyReason.STRATEGY_NOTIONAL.value
            assert (D(context["held"]), D(context["notional"])) == (D(1002), D(2004))


def test_what_a_strategy_has_in_flight_counts_and_others_do_not() -> None:
    engine = make_risk(of_strategy("1500"))
    approve(engine, opening())
    assert told(decide(engine, opening(round_id="r2")))[0] == "STRATEGY_NOTIONAL"
    another = opening(round_id="r3", strategy_id="other")
    assert told(decide(engine, another))[0] == "PAIR_IN_FLIGHT"  # asked after it


def test_a_strategy_beyond_its_limit_may_close() -> None:
    engine = make_risk(of_strategy("1002"))
    execute(engine, approve(engine, opening()))
    assert told(decide(engine, opening("0.05", round_id="r2")))[0] == "STRATEGY_NOTIONAL"
    approve(engine, closing())


def test_what_nothing_hedges_is_added_up_with_one_side_of_all_in_flight() -> None:
    """0.1 unhedged, at its dearest price, 10,050 of the last fill; 1,005 each of the plans."""
    for limit, is_denied in (("3015", False), ("3014.9", True)):
        engine = make_risk(make_config(net_notional_max=D(limit)))
        engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1"), T0)
        approved(engine, GOOD)
        answer = decision(engine, to_gamma())
        assert isinstance(answer, Denied) is is_denied, answer
        if is_denied:
            reason, context = told(answer)
            assert reason == DenyReason.NET_NOTIONAL.value
            figures = [D(context[name]) for name in ("unhedged", "reserved", "notional")]
            assert figures == [D(1005), D(1005), D(3015)]


def test_a_venue_has_no_more_orders_than_allowed() -> None:
    engine = make_risk(make_config(open_orders_max=1))
    approved(engine, GOOD)
    reason, context = told(decision(engine, to_gamma()))
    assert (reason, context) == ("OPEN_ORDERS", {"venue": "alpha", "orders": "2", "max": "1"})
    approved(make_risk(make_config(open_orders_max=2)), GOOD)


def margined(used: str = "0", free: str = "10000", **limits: Any) -> RiskEngine:
    """Risk whose account at gamma holds that much USDT; the perpetual trades there."""
    engine = make_risk(config(**limits))
    balances = {"USDT": Balance(free=D(free), used=D(used)), "BTC": Balance(free=D(1), used=D(0))}
    engine.on_message(BalanceReport(ts_ns=T0, venue="gamma", balances=balances), T0)
    return engine


def test_leverage_counts_what_is_held_in_flight_and_wanted_against_the_balance() -> None:
    """0.2 and 0.1 of the perpetual at 10,020, 3,006 in all, against 2,004 free or used: 1.5."""
    for limit, is_denied in ((1.5, False), (1.49, True)):
        engine = margined("500", "1504", leverage_max=limit)
        engine.on_message(make_fill("p", "gamma", Side.SELL, "0.2", instrument="BTC/USDT:USDT"), T0)
        answer = decide(engine, opening(perp="10020"))
        assert isinstance(answer, Denied) is is_denied, answer
        if is_denied:
            reason, context = told(answer)
            assert reason == DenyReason.LEVERAGE.value
            assert (context["venue"], context["settled_in"]) == ("gamma", "USDT")
            assert D(context["leverage"]) == D("1.5")


def test_an_account_without_money_is_denied_for_that_before_its_leverage() -> None:
    engine = margined(leverage_max=100)
    engine.on_message(make_balances("gamma", now_ns=T0 + 1, BTC=1), T0 + 1)
    assert told(decide(engine, opening()))[0] == "BALANCE"


def test_what_reduces_a_position_needs_no_margin() -> None:
    engine = margined("0", "3000", leverage_max=0.4)
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.3", instrument="BTC/USDT:USDT"), T0)
    approve(engine, opening())  # it sells 0.1 of 0.3
    engine = margined("0", "3000", leverage_max=0.3)
    assert told(decide(engine, opening()))[0] == "LEVERAGE"


@pytest.mark.parametrize(("min_bps", "is_denied"), [(9_881, False), (9_882, True)])
def test_liquidation_stays_as_far_away_as_asked(min_bps: float, is_denied: bool) -> None:
    """1,002 short against 1,010, with 1 % maintenance: (1,010 / 1,002 - 0.01) / 1.01 = 0.9881."""
    engine = margined("0", "1010", liquidation_bps_min=min_bps)
    answer = decide(engine, opening())
    assert isinstance(answer, Denied) is is_denied, answer


@pytest.mark.parametrize("times", [1, 2, 3, 10])
@pytest.mark.parametrize("kind", [InstrumentKind.INVERSE, InstrumentKind.LINEAR])
def test_the_distance_is_that_of_the_nearest_position(kind: InstrumentKind, times: int) -> None:
    """Of coins a long, of money a short: as a position of its own with all of the margin has it."""
    price, maintenance = D(10_000), D("0.01")
    is_coins = kind is InstrumentKind.INVERSE
    held = D(10_000) if is_coins else D(-1)
    margin = D(1) / times if is_coins else price / times
    alone = Isolated(Contract(kind), held, price, margin, maintenance)
    backed = Margined("v", "a", D(10_000), D(10_000) / times, is_coins)
    away_bps, exact_bps = _away_bps(backed, maintenance), distance_bps(alone, price)
    assert away_bps is not None and exact_bps is not None
    assert abs(away_bps - exact_bps) < D("1e-18")


GAMMA_SPOT = ("gamma", "BTC/USDT")


def test_what_a_plan_spends_of_the_balance_is_no_margin() -> None:
    """One account for both: 2,100, of which 1,002 go into spot; 1,002 of the perpetual at most."""
    for limit, is_denied in ((0.92, False), (0.9, True)):
        engine = margined("0", "2100", leverage_max=limit)
        legs = [
            make_leg("gamma", Side.BUY, "0.1", "10001", seq=9901),
            make_leg("gamma", Side.SELL, "0.1", "10020", PERP, 9902),
        ]
        engine.on_message(make_view(*GAMMA_SPOT, seq=9901), T0)
        found = make_offer(legs, strategy_id="basis", round_id="r1", intent=Intent.OPEN)
        answer = decide(engine, found)
        assert isinstance(answer, Denied) is is_denied, answer


def test_nor_may_a_plan_for_instant_profit_spend_what_positions_need() -> None:
    for limit, is_denied in ((1.9, False), (1.8, True)):
        engine = margined("0", "2100", leverage_max=limit)
        engine.on_message(make_fill("p", "gamma", Side.SELL, "0.2", instrument=PERP), T0)
        answer = decision(engine, make_opportunity(buy=GAMMA_SPOT, sell=BETA))
        assert isinstance(answer, Denied) is is_denied, answer
        if is_denied:
            assert told(answer)[0] == "LEVERAGE"


def test_a_round_is_closed_whatever_leverage_there_is() -> None:
    engine = margined(leverage_max=5, liquidation_bps_min=100, net_notional_max=D(5_000))
    execute(engine, approve(engine, opening()))
    engine.on_message(make_balances("gamma", now_ns=T0 + 1, USDT=1, BTC=1), T0 + 1)
    assert isinstance(decide(engine, opening(round_id="r2"), T0 + 1), Denied)
    approve(engine, closing(), T0 + 1)


def test_a_directional_leg_is_asked_too() -> None:
    engine = margined("0", "2000", leverage_max=0.5)
    approve(engine, single(Side.BUY, "0.09", Intent.OPEN))
    engine = margined("0", "2000", leverage_max=0.4)
    assert told(decide(engine, single(Side.BUY, "0.09", Intent.OPEN)))[0] == "LEVERAGE"


def test_the_limits_are_read_and_checked() -> None:
    text = "[risk]\nnet_notional_max = 0\nleverage_max = 3\nopen_orders_max = 8\n"
    read = parse_config(text, "arb.toml").risk
    assert (read.leverage_max, read.open_orders_max, read.net_notional_max) == (3, 8, 0)
    with pytest.raises(ConfigError, match=r"risk\.net_notional_max = -1; give a number above 0"):
        parse_config("[risk]\nnet_notional_max = -1\n", "arb.toml")
    with pytest.raises(ConfigError, match="leverage_max"):
        parse_config("[risk]\nleverage_max = -1\n", "arb.toml")
