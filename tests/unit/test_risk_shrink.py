"""Plans beyond a limit on size are made smaller: to the right size, together, and only those."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import SHRINKING, DenyReason
from services.risk.shrink import shrink
from shared.config_limits import AssetLimits
from shared.domain.fees import edge_bps
from shared.domain.quantities import base_of
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Denied
from shared.messages.terms import Shrunk
from tests.decision_builders import (
    T0,
    make_balances,
    make_config,
    make_fill,
    make_info,
    make_leg,
    make_offer,
    make_risk,
    make_rules,
)
from tests.unit.test_risk_limits import GOOD, TRIANGLE, approved, decision, denied, to_gamma
from tests.unit.test_risk_rounds import closing, config, decide, execute, opening


def engine_with(**limits: Any) -> RiskEngine:
    return make_risk(make_config(shrink_share_min=0.1, **limits))


def qtys(plan: ApprovedPlan) -> list[D]:
    return [leg.qty for leg in plan.legs]


def test_an_order_beyond_the_limit_becomes_one_at_the_limit() -> None:
    """0.1 at 10,050 is 1,005; 603 are 0.06. Fees of 0.1 % each: 600 bought, 603 sold."""
    engine = engine_with(order_notional_max=D(603))
    plan = approved(engine, GOOD)
    assert qtys(plan) == [D("0.06"), D("0.06")]
    assert plan.shrunk == Shrunk(qty=D("0.1"), notional=D(1000), limits=["ORDER_NOTIONAL"])
    assert plan.net_expected == D("603") - D("600") - D("0.6") - D("0.603")
    assert plan.legs[0].cash_flow == D("-600.6")
    assert plan.legs[1].cash_flow == D("602.397")
    assert plan.opportunity_id == GOOD.opportunity_id
    held = engine.ledger.reservations[plan.plan_id]
    assert held.notional == D(603)
    assert [leg.amount for leg in held.legs] == [D("600.6"), D("0.06")]
    assert plan.loss_cap == D(603) * 50 / 10_000


def test_a_plan_within_all_limits_says_nothing_of_its_size() -> None:
    plan = approved(engine_with(), GOOD)
    assert (plan.shrunk, qtys(plan)) == (None, [D("0.1"), D("0.1")])


def test_several_limits_are_kept_one_after_the_other() -> None:
    """0.08 by the order, 0.05 of BTC at beta by its balance."""
    engine = engine_with(order_notional_max=D(804))
    engine.on_message(make_balances("beta", T0 + 1, USDT=100_000, BTC="0.05"), T0 + 1)
    plan = approved(engine, GOOD, T0 + 1)
    assert plan.shrunk is not None
    assert plan.shrunk.limits == ["ORDER_NOTIONAL", "BALANCE"]
    assert qtys(plan) == [D("0.05"), D("0.05")]


LIMITS: list[tuple[DenyReason, dict[str, Any], str]] = [
    (DenyReason.ORDER_NOTIONAL, {"order_notional_max": D("502.5")}, "0.05"),
    (DenyReason.INSTRUMENT_NOTIONAL, {"instrument_notional_max": D("502.5")}, "0.05"),
    (DenyReason.VENUE_NOTIONAL, {"venue_notional_max": D("502.5")}, "0.05"),
    (DenyReason.TOTAL_NOTIONAL, {"total_notional_max": D("502.5")}, "0.05"),
    (DenyReason.NET_NOTIONAL, {"net_notional_max": D("502.5")}, "0.05"),
    (DenyReason.ASSET_NET, {"per_asset": {"BTC": AssetLimits(net_max=D("0.05"))}}, "0.05"),
    (DenyReason.ASSET_GROSS, {"per_asset": {"BTC": AssetLimits(gross_max=D("0.05"))}}, "0.05"),
]


@pytest.mark.parametrize(("reason", "limits", "qty"), LIMITS, ids=lambda value: str(value))
def test_every_limit_on_size_leaves_the_largest_plan_within_it(
    reason: DenyReason, limits: dict[str, Any], qty: str
) -> None:
    assert denied(make_risk(make_config(**limits)), GOOD) is reason, "without it, it is denied"
    plan = approved(engine_with(**limits), GOOD)
    assert plan.shrunk is not None
    assert plan.shrunk.limits == [reason.value]
    assert qtys(plan) == [D(qty), D(qty)]


def test_what_is_in_flight_leaves_the_rest() -> None:
    """1,005 are reserved of 1,507.5: 502.5 are left."""
    engine = engine_with(total_notional_max=D("1507.5"))
    approved(engine, GOOD)
    assert qtys(approved(engine, to_gamma())) == [D("0.05"), D("0.05")]


def test_a_round_opens_smaller_and_closes_in_full() -> None:
    """0.1 at 10,020 is 1,002; 801.6 are 0.08."""
    whole = config(shrink_share_min=0.1, order_notional_max=D("801.6"))
    engine = make_risk(whole)
    plan = decide(engine, opening(perp="10020"))
    assert isinstance(plan, ApprovedPlan)
    assert qtys(plan) == [D("0.08"), D("0.08")]
    execute(engine, plan)
    answer = decide(engine, closing("0.08"))
    assert isinstance(answer, ApprovedPlan)
    assert answer.shrunk is None


def test_what_is_bought_at_two_venues_is_what_is_sold_at_a_third() -> None:
    """Half of 0.033 twice and of 0.066 are 0.016 twice in whole lots, and 0.033: one lot more."""
    legs = [make_leg(venue, Side.BUY, "0.033", "10000") for venue in ("alpha", "beta")]
    legs.append(make_leg("gamma", Side.SELL, "0.066", "10050"))
    plan = approved(engine_with(total_notional_max=D("331.65")), make_offer(legs))
    assert qtys(plan) == [D("0.016"), D("0.016"), D("0.032")]


def test_quantities_are_whole_lots_of_both_venues() -> None:
    """Lots of 0.02 and 0.03 have 0.06 in common: 0.24 shrinks to 0.2, and so to 0.18."""
    engine = engine_with(order_notional_max=D(2010))
    for venue, lot in (("alpha", "0.02"), ("beta", "0.03")):
        engine.on_message(make_info(venue, lot_size=D(lot)), T0)
    found = make_offer(
        [make_leg("alpha", Side.BUY, "0.24", "10000"), make_leg("beta", Side.SELL, "0.24", "10050")]
    )
    assert qtys(approved(engine, found)) == [D("0.18"), D("0.18")]


def test_a_share_without_end_takes_no_lot_away() -> None:
    """1,005 of 3,015 are a third: of 0.3 it is 0.1, and not the 0.099 below 0.0999..."""
    found = make_offer(
        [make_leg("alpha", Side.BUY, "0.3", "10000"), make_leg("beta", Side.SELL, "0.3", "10050")]
    )
    assert qtys(approved(engine_with(total_notional_max=D(1005)), found)) == [D("0.1"), D("0.1")]


def test_an_order_limit_is_named_once_though_both_legs_exceed_it() -> None:
    """0.7 at 10,050 are 7,035; by the leg that is bought at 10,000 it would be 0.201 at first."""
    found = make_offer(
        [make_leg("alpha", Side.BUY, "0.7", "10000"), make_leg("beta", Side.SELL, "0.7", "10050")]
    )
    plan = approved(engine_with(order_notional_max=D(2010)), found)
    assert qtys(plan) == [D("0.2"), D("0.2")]
    assert plan.shrunk is not None
    assert plan.shrunk.limits == ["ORDER_NOTIONAL"]
    answer = decision(engine_with(order_notional_max=D(600)), found)
    assert isinstance(answer, Denied)
    assert answer.context == {"notional": "7035.0", "max": "600"}


def test_less_than_the_least_share_is_denied_for_the_limit() -> None:
    for limit, is_denied in (("100.6", False), ("100.4", True)):
        answer = decision(engine_with(order_notional_max=D(limit)), GOOD)
        assert isinstance(answer, Denied) is is_denied, answer
        if isinstance(answer, Denied):
            assert (answer.reason, answer.context["max"]) == ("ORDER_NOTIONAL", limit)


def test_less_than_a_venue_takes_is_denied_for_the_limit() -> None:
    engine = engine_with(order_notional_max=D(603))
    engine.on_message(make_info("beta", notional_min=D(604)), T0)
    assert denied(engine, GOOD) is DenyReason.ORDER_NOTIONAL


def test_what_another_rule_denies_is_denied_for_the_first_reason() -> None:
    engine = engine_with(order_notional_max=D(1000))
    approved(engine, GOOD)
    again = msgspec.structs.replace(GOOD, opportunity_id="other")
    assert denied(engine, again) is DenyReason.ORDER_NOTIONAL
    assert len(engine.ledger.reservations) == 1


def test_a_limit_that_is_reached_leaves_nothing() -> None:
    engine = engine_with(net_notional_max=D(1005))
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1"), T0)
    assert denied(engine, GOOD) is DenyReason.NET_NOTIONAL


def test_a_plan_of_several_assets_is_denied() -> None:
    """It is no way from dollars to dollars without its values: nothing makes it smaller."""
    engine = engine_with(order_notional_max=D(603))
    assert isinstance(decision(engine, TRIANGLE), Denied)


def test_the_codes_that_shrink_are_those_on_size() -> None:
    """Each is reached by a test here or, with a budget or a share, in its own test file."""
    reached = {reason for reason, *_ in LIMITS}
    others = {
        DenyReason.BALANCE,
        DenyReason.PORTFOLIO_SHARE,
        DenyReason.STRATEGY_NOTIONAL,
        DenyReason.DIRECTIONAL_BUDGET,
    }
    assert set(SHRINKING) == reached | others


def test_contracts_in_coins_follow_to_the_nearest_lot() -> None:
    """0.1 against 1,000 contracts of a dollar at 10,000; a third of it is 0.033 against 330."""
    spot = make_leg("alpha", Side.BUY, "0.1", "10000", instrument="BTC/USD")
    perp = make_leg("gamma", Side.SELL, "1000", "10000", instrument="BTC/USD:BTC")
    rules = {
        ("alpha", "BTC/USD"): make_rules("alpha", "BTC/USD", lot_size=D("0.003")),
        ("gamma", "BTC/USD:BTC"): make_rules("gamma", "BTC/USD:BTC", lot_size=D(100)),
    }
    found = msgspec.structs.replace(make_offer([spot, perp]), net=D(-2))
    smaller = shrink(found, D(1) / 3, rules)
    assert smaller is not None
    assert [leg.qty for leg in smaller.legs] == [D("0.033"), D(300)]
    assert (smaller.qty, smaller.notional) == (D("0.033"), D(330))
    assert smaller.net == D(300) - D(330) - D("0.33") - D("0.3")
    assert smaller.edge_bps == edge_bps(smaller.net, D(330))
    assert base_of("BTC/USD:BTC", D(300), D(10_000)) == D("0.03")


def test_a_profit_that_rounding_takes_is_denied() -> None:
    """Fees are rounded up to 1e-8: of a plan that earns less than that nothing is left."""
    legs = [
        make_leg("alpha", Side.BUY, "0.1", "10000", fee_bps=D(0), fee=D(0), cash_flow=D(-1000)),
        make_leg("beta", Side.SELL, "0.1", "10000", fee_bps=D(0), fee=D(0), cash_flow=D(1000)),
    ]
    found = msgspec.structs.replace(make_offer(legs), net=D("0.00000001"))
    rules = {(venue, "BTC/USDT"): make_rules(venue) for venue in ("alpha", "beta")}
    assert shrink(found, D("0.5"), rules) is None


def test_shrunk_plans_are_counted() -> None:
    engine = engine_with(order_notional_max=D(603))
    approved(engine, GOOD)
    counted = engine.counters()
    assert (counted["plans_approved"], counted["plans_shrunk"]) == (1, 1)
