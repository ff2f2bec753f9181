"""Plans of which a leg rests: who may have one, how many, what they hold, when they are late."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from services.risk.trading import PLAN_OVERDUE_NS
from shared.config_sections import Config, StrategyConfig
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import OrderPurpose
from shared.messages.rounds import Intent
from shared.messages.terms import LegPolicy, Resting, TimeInForce
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    T0,
    make_balances,
    make_config,
    make_done,
    make_fill,
    make_leg,
    make_offer,
    make_opportunity,
    make_order,
    make_ready,
    make_risk,
)
from tests.unit.test_risk_limits import approved, denied

BUY, SELL = Side.BUY, Side.SELL
RESTS = {"time_in_force": TimeInForce.PO}
REST_MS = 2_000


def config(legs: str = "maker-taker", **limits: Any) -> Config:
    made = make_config(**limits)
    mine = StrategyConfig(id="mm", class_="market_making", legs=legs)
    return msgspec.structs.replace(made, strategies=[mine])


def bid(
    *, maker: str = "alpha", taker: str = "beta", price: str = "9990", seq: int = 1, **changes: Any
) -> Opportunity:
    """Rests a purchase on one venue, to be sold on the other at 10050."""
    legs = [
        make_leg(maker, BUY, "0.1", price, seq=seq, **RESTS),
        make_leg(taker, SELL, "0.1", "10050", seq=seq),
    ]
    return offer(legs, **changes)


def ask(*, maker: str = "alpha", taker: str = "beta", price: str = "10060") -> Opportunity:
    legs = [
        make_leg(taker, BUY, "0.1", "10000", seq=7),
        make_leg(maker, SELL, "0.1", price, seq=7, **RESTS),
    ]
    return offer(legs)


def offer(legs: list[Any], **changes: Any) -> Opportunity:
    values = {"strategy_id": "mm", "resting": Resting(rest_ms=REST_MS), **changes}
    return make_offer(legs, **values)


def test_a_quote_becomes_a_plan_that_rests() -> None:
    plan = approved(make_risk(config()), bid())
    assert plan.policy is LegPolicy.MAKER_TAKER
    assert plan.resting == Resting(rest_ms=REST_MS)
    assert [leg.time_in_force for leg in plan.legs] == [TimeInForce.PO, TimeInForce.IOC]


def test_it_rests_no_longer_than_risk_allows() -> None:
    found = bid(resting=Resting(rest_ms=90_000, better_bps=D(2)))
    plan = approved(make_risk(config(rest_ms_max=500)), found)
    assert plan.resting == Resting(rest_ms=500, better_bps=D(2))


@pytest.mark.parametrize("legs", ["concurrent", "sequential"])
def test_a_strategy_that_is_not_configured_for_it_rests_nothing(legs: str) -> None:
    assert denied(make_risk(config(legs)), bid()) is DenyReason.ORDER_KIND


def test_any_other_shape_rests_nothing() -> None:
    engine = make_risk(config())
    post_only, ioc = bid().legs
    both = msgspec.structs.replace(ioc, **RESTS)
    good_till_canceled = msgspec.structs.replace(post_only, time_in_force=TimeInForce.GTC)
    third = make_leg("gamma", SELL, "0.05", "10050")
    half = make_leg("beta", SELL, "0.05", "10050")
    perp = make_leg("gamma", SELL, "0.1", "10050", PERP)
    for legs in (
        [post_only, both],
        [good_till_canceled, ioc],
        [post_only, half, third],
        [post_only, perp],
        [msgspec.structs.replace(post_only, time_in_force=TimeInForce.IOC), ioc],
    ):
        assert denied(engine, offer(legs)) is DenyReason.ORDER_KIND
    assert denied(engine, bid(resting=None)) is DenyReason.ORDER_KIND
    opens = bid(intent=Intent.OPEN, round_id="r")
    assert denied(engine, opens) is DenyReason.ORDER_KIND


def test_one_order_rests_on_a_side_of_a_book_until_its_plan_has_ended() -> None:
    engine = make_risk(config())
    plan = approved(engine, bid())
    assert denied(engine, bid(price="9980", seq=2)) is DenyReason.RESTING_ORDERS
    assert denied(engine, bid(taker="gamma", seq=2)) is DenyReason.RESTING_ORDERS
    approved(engine, ask())
    engine.on_message(make_done(plan.plan_id), T0)
    approved(engine, bid(price="9980", seq=2))


def test_only_so_many_orders_rest() -> None:
    engine = make_risk(config(resting_orders_max=2))
    approved(engine, bid())
    approved(engine, ask())
    assert denied(engine, bid(maker="beta", taker="gamma")) is DenyReason.RESTING_ORDERS


def test_what_rests_keeps_no_place_and_no_pair_from_others() -> None:
    engine = make_risk(config(plans_in_flight_max=1))
    approved(engine, bid())
    approved(engine, make_opportunity(seq=3))  # buys on alpha, sells on beta
    assert denied(engine, make_opportunity(seq=4, sell=("gamma", "BTC/USDT"))) is (
        DenyReason.PLANS_IN_FLIGHT
    )
    approved(engine, ask())


@pytest.mark.parametrize(("price", "meets"), [("9990", True), ("9990.1", False)])
def test_nothing_is_sent_that_would_trade_with_an_order_of_ours(price: str, meets: bool) -> None:
    engine = make_risk(config())
    approved(engine, bid(price="9990"))
    legs = [
        make_leg("gamma", BUY, "0.1", "9950", seq=5),
        make_leg("alpha", SELL, "0.1", price, seq=5),
    ]
    if meets:
        assert denied(engine, make_offer(legs)) is DenyReason.SELF_TRADE
    else:
        approved(engine, make_offer(legs))


def test_nothing_rests_that_orders_under_way_would_meet() -> None:
    engine = make_risk(config())
    approved(engine, make_opportunity())  # buys on alpha at 10000 at most
    meets = ask(price="10000")
    assert denied(engine, meets) is DenyReason.SELF_TRADE
    approved(engine, ask(price="10000.1"))


@pytest.mark.parametrize(
    ("urls", "meets"),
    [
        (("", ""), True),
        (("", "https://api.beta.com"), True),
        (("https://API.beta.com/", "https://api.beta.com"), True),
        (("http://127.0.0.1:1", "http://127.0.0.1:2"), False),
    ],
)
def test_another_account_at_the_same_venue_is_ours_too(urls: tuple[str, str], meets: bool) -> None:
    made = config()
    beta = msgspec.structs.replace(made.venues["beta"], rest_url=urls[0])
    same = msgspec.structs.replace(made.venues["gamma"], adapter="beta", rest_url=urls[1])
    venues = made.venues | {"beta": beta, "gamma": same}
    engine = make_risk(msgspec.structs.replace(made, venues=venues))
    approved(engine, bid(maker="gamma", taker="alpha", price="10050"))
    legs = [
        make_leg("alpha", BUY, "0.1", "10000", seq=5),
        make_leg("beta", SELL, "0.1", "10050", seq=5),
    ]
    answer = make_offer(legs)
    if meets:
        assert denied(engine, answer) is DenyReason.SELF_TRADE
    else:
        approved(engine, answer)


def test_a_hedge_is_not_to_meet_a_quote_of_ours_either() -> None:
    engine = make_risk(config())
    approved(engine, bid(maker="beta", taker="gamma", price="10055"))
    assert denied(engine, bid()) is DenyReason.SELF_TRADE  # it would sell on beta at 10050


def test_fills_give_back_what_the_plan_holds_and_balances_learn_of_them() -> None:
    engine = make_risk(config())
    before = engine.ledger.available("alpha", "USDT")
    assert before is not None
    plan = approved(engine, bid())
    held = engine.ledger.reservations[plan.plan_id]
    whole = held.legs[0].amount
    for leg in (0, 1):
        engine.on_message(
            make_order(
                plan.plan_id,
                leg_index=leg,
                venue=plan.legs[leg].venue,
                side=plan.legs[leg].side,
                qty=plan.legs[leg].qty,
            ),
            T0,
        )
    fill = make_fill(plan.plan_id, "alpha", BUY, "0.04")
    engine.on_message(fill, T0)
    engine.on_message(fill, T0)  # told twice
    assert held.legs[0].amount == whole * D("0.6")
    assert held.legs[1].amount == D("0.1")
    assert held.notional == D("1005")  # of the sale, which is not hedged yet
    assert engine.ledger.available("alpha", "USDT") == before - whole  # spent, or still held
    hedge = make_fill(plan.plan_id, "beta", SELL, "0.04")
    engine.on_message(hedge, T0)
    assert held.notional == D("603")
    later = T0 + 2 * SECOND
    engine.on_message(make_balances("alpha", later, USDT=before - 400, BTC=10), later)
    assert engine.ledger.available("alpha", "USDT") == before - 400 - whole * D("0.6")


def test_what_was_filled_of_it_is_still_held_back_after_a_restart() -> None:
    engine = make_risk(config())
    plan = approved(engine, bid())
    engine.on_message(make_order(plan.plan_id, qty=D("0.1")), T0)
    engine.on_message(make_fill(plan.plan_id, "alpha", BUY, "0.04"), T0)
    again = RiskEngine(config())
    again.start(engine.checkpoints(), T0)
    held = again.ledger.reservations[plan.plan_id]
    assert held.resting == plan.resting
    assert held.legs[0].filled_qty == D("0.04")
    assert held.legs == engine.ledger.reservations[plan.plan_id].legs


def test_a_plan_that_rests_is_late_only_after_it_may_have_rested() -> None:
    engine = make_risk(config(rest_ms_max=30_000))
    plan = approved(engine, bid(resting=Resting(rest_ms=30_000)))
    due_ns = plan.ts_expire_ns + 30_000 * MS + PLAN_OVERDUE_NS
    for now_ns, is_late in ((due_ns, False), (due_ns + 1, True)):
        engine.on_message(make_ready(now_ns, open_plans=1), now_ns)
        alerts = [m for m in engine.on_timer(now_ns).messages if isinstance(m, Alert)]
        assert [a.code for a in alerts if a.code == "PLAN_OVERDUE"] == ["PLAN_OVERDUE"] * is_late


def test_the_other_leg_may_trade_in_parts_and_the_resting_one_as_a_whole() -> None:
    engine = make_risk(config())
    plan = approved(engine, bid())
    sale = {"leg_index": 1, "venue": "beta", "side": SELL, "purpose": OrderPurpose.LEG}
    assert not engine.ledger.refuses(make_order(plan.plan_id, qty=D("0.1")))
    assert engine.ledger.refuses(make_order(plan.plan_id, qty=D("0.05")))
    assert not engine.ledger.refuses(make_order(plan.plan_id, **sale, qty=D("0.05")))
    assert engine.ledger.refuses(make_order(plan.plan_id, **sale, qty=D("0.11")))
