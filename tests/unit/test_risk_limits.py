"""Risk's rules, one by one: each stops what it should, and nothing stops a good plan."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.decision_context import DecisionContext
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from services.risk.judgement import ASKED_WHERE_SET, OFFER_RULES, RULES
from services.risk.limits import balances, executor_ready
from services.risk.reasons import DenyReason, render_markdown
from services.risk.reservations import reserve_leg
from services.risk.settling import BALANCE_LAG_NS
from shared.config_limits import QuoteLimits, RiskConfig
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import BookState, Side, TradingState
from shared.messages.control import CommandKind
from shared.messages.execution import ApprovedPlan, Denied, OrderPurpose
from shared.messages.terms import OrderType, TimeInForce
from tests.decision_builders import (
    BOOKS,
    MS,
    SECOND,
    T0,
    announce,
    make_balances,
    make_command,
    make_config,
    make_done,
    make_fill,
    make_info,
    make_leg,
    make_offer,
    make_opportunity,
    make_order,
    make_ready,
    make_result,
    make_risk,
    make_view,
)
from tests.support import ROOT

ALPHA, BETA, GAMMA, GAMMA_SPOT = BOOKS
Change = Callable[[RiskEngine], object]


def decision(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> ApprovedPlan | Denied:
    out = engine.on_message(found, now_ns).messages
    (decided,) = [m for m in out if isinstance(m, ApprovedPlan | Denied)]
    return decided


def denied(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> DenyReason:
    answer = decision(engine, found, now_ns)
    assert isinstance(answer, Denied), answer
    assert answer.opportunity_id == found.opportunity_id
    return DenyReason(answer.reason)


def approved(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> ApprovedPlan:
    answer = decision(engine, found, now_ns)
    assert isinstance(answer, ApprovedPlan), answer
    return answer


def with_leg(found: Opportunity, index: int, **changes: Any) -> Opportunity:
    legs = list(found.legs)
    legs[index] = msgspec.structs.replace(legs[index], **changes)
    return msgspec.structs.replace(found, legs=legs)


def test_a_good_opportunity_becomes_a_plan() -> None:
    engine, found = make_risk(), make_opportunity()
    plan = approved(engine, found, T0 + MS)
    assert plan.opportunity_id == found.opportunity_id
    assert plan.plan_id.isalnum()
    assert len(plan.plan_id) <= 12
    assert [leg.side for leg in plan.legs] == [Side.BUY, Side.SELL]
    assert plan.legs[0].price_limit == D("10000")
    assert plan.net_expected == found.net
    assert plan.loss_cap == D("0.1") * D("10050") * 50 / 10_000
    assert plan.ts_expire_ns == T0 + MS + 1_000 * MS
    assert (plan.ts_recv_ns, plan.ts_opportunity_ns) == (found.ts_recv_ns, found.ts_ns)
    held = engine.ledger.reservations[plan.plan_id]
    assert [(leg.asset, leg.amount) for leg in held.legs] == [
        ("USDT", D("1000") * D("1.001")),
        ("BTC", D("0.1")),
    ]


def bought(qty: str, venue: str = "alpha", **changes: Any) -> OpportunityLeg:
    return make_leg(venue, Side.BUY, qty, "10000", **changes)


def sold(venue: str, qty: str, **changes: Any) -> OpportunityLeg:
    return make_leg(venue, Side.SELL, qty, "10050", **changes)


TRIANGLE = make_offer(
    [
        make_leg("alpha", Side.BUY, "0.1", "10000"),
        make_leg("alpha", Side.BUY, "1", "0.0999", "ETH/BTC"),
        make_leg("alpha", Side.SELL, "1", "1005", "ETH/USDT"),
    ]
)
"""Dollars to BTC to ETH to dollars."""
GOOD = make_opportunity()
BUY, SELL = GOOD.legs

# reason -> (limits, what is done to the engine, the opportunity, when)
CASES: dict[DenyReason, list[tuple[dict[str, Any], Change, Opportunity, int]]] = {
    DenyReason.MALFORMED: [
        ({}, lambda e: None, msgspec.structs.replace(GOOD, legs=[BUY]), 0),
        ({}, lambda e: None, msgspec.structs.replace(GOOD, legs=[SELL, BUY]), 0),
        ({}, lambda e: None, msgspec.structs.replace(GOOD, base="ETH"), 0),
        ({}, lambda e: None, msgspec.structs.replace(GOOD, quote="USD"), 0),
        ({}, lambda e: None, with_leg(GOOD, 0, qty=D("0.2")), 0),
        ({}, lambda e: None, with_leg(GOOD, 0, price_avg=D("NaN")), 0),
        ({}, lambda e: None, with_leg(GOOD, 0, fee_bps=D("-1")), 0),
        ({}, lambda e: None, with_leg(GOOD, 0, instrument="BTC"), 0),
        ({}, lambda e: None, with_leg(GOOD, 0, instrument="BTC/USDT:BTC"), 0),
        ({}, lambda e: None, with_leg(GOOD, 1, venue="alpha"), 0),
    ],
    DenyReason.SEVERAL_ASSETS: [
        ({}, lambda e: None, TRIANGLE, 0),
        ({}, lambda e: None, with_leg(GOOD, 1, instrument="BTC/USDC"), 0),
        ({}, lambda e: None, with_leg(GOOD, 1, instrument="ETH/USDT"), 0),
    ],
    DenyReason.ORDER_KIND: [
        ({}, lambda e, kind=kind: None, with_leg(GOOD, 1, **kind), 0)
        for kind in (
            {"order_type": OrderType.MARKET},
            {"time_in_force": TimeInForce.GTC},
            {"time_in_force": TimeInForce.FOK},
        )
    ],
    DenyReason.HALTED: [
        ({}, lambda e: e.on_message(make_command(CommandKind.HALT), T0).messages, GOOD, 0),
        ({}, lambda e: e.on_message(make_command(CommandKind.FLATTEN), T0).messages, GOOD, 0),
        ({"start_active": False}, lambda e: None, GOOD, 0),
        ({}, lambda e: e.on_message(make_ready(T0, ready=False, reason="x"), T0).messages, GOOD, 0),
    ],
    DenyReason.REDUCING: [
        ({}, lambda e: e.on_message(make_command(CommandKind.REDUCE), T0).messages, GOOD, 0),
    ],
    DenyReason.VENUE_NOT_TRADED: [({}, lambda e: None, with_leg(GOOD, 1, venue="delta"), 0)],
    DenyReason.VENUE_DOWN: [
        (
            {},
            lambda e, down=down: e.on_message(make_ready(venues_down={down: "no"}), T0).messages,
            GOOD,
            0,
        )
        for down in ("beta", f"alpha|{ALPHA[1]}")
    ],
    DenyReason.DUPLICATE: [
        (
            {},
            lambda e: (approved(e, GOOD), e.on_message(make_done(plan_id(GOOD)), T0).messages),
            GOOD,
            0,
        ),
        # Its approval was lost, not what became of it.
        ({}, lambda e: e.on_message(make_done(plan_id(GOOD)), T0), GOOD, 0),
    ],
    DenyReason.EXPIRED: [({}, lambda e: None, GOOD, 500 * MS + 1)],
    DenyReason.OPPORTUNITY_AGE: [({"opportunity_age_ms_max": 100}, lambda e: None, GOOD, 101 * MS)],
    DenyReason.ARITHMETIC: [
        ({}, lambda e: None, msgspec.structs.replace(GOOD, **{name: D("1")}), 0)
        for name in ("notional", "gross", "fees", "net", "edge_bps")
    ]
    + [
        ({}, lambda e: None, with_leg(GOOD, 0, fee=D("0.5")), 0),
        ({}, lambda e: None, with_leg(GOOD, 1, cash_flow=D("1005")), 0),
    ],
    DenyReason.EDGE_MAX: [({"edge_bps_max": 29.9}, lambda e: None, GOOD, 0)],
    DenyReason.BOOK_NOT_LIVE: [
        ({}, lambda e, s=s: e.on_message(make_view(*BETA, state=s), T0).messages, GOOD, 0)
        for s in BookState
        if s is not BookState.LIVE
    ],
    DenyReason.BOOK_AGE: [
        ({"book_age_ms_max": 50}, lambda e: None, GOOD, 51 * MS),
    ],
    DenyReason.NO_RULES: [
        ({}, lambda e: e.on_message(make_info(*ALPHA, active=False), T0).messages, GOOD, 0)
    ],
    DenyReason.LOT: [
        ({}, lambda e: e.on_message(make_info(*BETA, lot_size=D("0.03")), T0).messages, GOOD, 0),
        ({}, lambda e: e.on_message(make_info(*BETA, qty_min=D("0.2")), T0).messages, GOOD, 0),
    ],
    DenyReason.TICK: [
        ({}, lambda e: e.on_message(make_info(*BETA, tick_size=D("7")), T0).messages, GOOD, 0)
    ],
    DenyReason.NOTIONAL_MIN: [
        (
            {},
            lambda e: e.on_message(make_info(*ALPHA, notional_min=D("1000.01")), T0).messages,
            GOOD,
            0,
        )
    ],
    DenyReason.UNHEDGED: [
        ({}, lambda e: None, make_offer([bought("0.1"), sold("beta", "0.099")]), 0),
        (
            {"edge_bps_max": 20_000},
            lambda e: None,
            make_offer([bought("0.1"), sold("beta", "0.1"), sold("gamma", "0.1")]),
            0,
        ),
    ],
    DenyReason.ORDER_NOTIONAL: [({"order_notional_max": D("1004.99")}, lambda e: None, GOOD, 0)],
    DenyReason.INSTRUMENT_NOTIONAL: [
        ({"instrument_notional_max": D("1004.99")}, lambda e: None, GOOD, 0)
    ],
    DenyReason.VENUE_NOTIONAL: [({"venue_notional_max": D("1004.99")}, lambda e: None, GOOD, 0)],
    DenyReason.TOTAL_NOTIONAL: [({"total_notional_max": D("1004.99")}, lambda e: None, GOOD, 0)],
    DenyReason.PLANS_IN_FLIGHT: [
        ({"plans_in_flight_max": 1}, lambda e: approved(e, to_gamma()), GOOD, 0)
    ],
    DenyReason.PAIR_IN_FLIGHT: [
        ({}, lambda e: approved(e, make_opportunity(seq=2)), GOOD, 0),
    ],
    DenyReason.DAILY_LOSS: [
        ({"daily_loss_max": D("5.02")}, lambda e: None, GOOD, 0),
        (
            {"daily_loss_max": D("9")},
            lambda e: lose(e, "4"),
            GOOD,
            0,
        ),
        ({"daily_loss_max": D("9")}, lambda e: approved(e, to_gamma()), GOOD, 0),
    ],
    DenyReason.ROLLING_LOSS: [({"rolling_loss_max": D("5.02")}, lambda e: None, GOOD, 0)],
    DenyReason.DRAWDOWN: [
        ({"drawdown_max": D("5.02")}, lambda e: None, GOOD, 0),
        ({"drawdown_max": D("9")}, lambda e: lose(e, "4"), GOOD, 0),
    ],
    DenyReason.LOSS_CAP: [
        ({"loss_cap_bps": D("19.8")}, lambda e: None, GOOD, 0),  # fees are 10 bps, twice
        ({}, lambda e: e.on_message(make_info(*BETA, taker_fee_bps=D(26)), T0).messages, GOOD, 0),
    ],
    DenyReason.OPENS_POSITION: [
        ({}, lambda e: None, make_opportunity(sell=GAMMA), 0),
        ({}, lambda e: None, make_opportunity(buy=GAMMA, sell=BETA), 0),
        (
            {},
            lambda e: (
                e.on_message(
                    make_fill("p", "gamma", Side.BUY, "0.06", instrument=GAMMA[1]), T0
                ).messages
            ),
            make_opportunity(sell=GAMMA),
            0,
        ),
    ],
    DenyReason.BALANCE: [
        ({}, lambda e: e.on_message(make_balances("alpha", USDT="1000.99"), T0).messages, GOOD, 0),
        (
            {},
            lambda e: e.on_message(make_balances("beta", BTC="0.0999", USDT=9), T0).messages,
            GOOD,
            0,
        ),
        ({}, lambda e: e.on_message(make_balances("alpha", BTC=9), T0).messages, GOOD, 0),
    ],
}
OF_ROUNDS = {
    DenyReason.ROUND_UNKNOWN,
    DenyReason.ROUND_STATE,
    DenyReason.ROUNDS_OPEN,
    DenyReason.DIRECTIONAL_BUDGET,
    DenyReason.DIRECTIONAL_SIZE,
    DenyReason.DIRECTIONAL_STOP,
    DenyReason.OPENING_COST,
    DenyReason.REDUCE_ONLY,
}
"""In test_risk_rounds.py and test_risk_signals.py."""
ELSEWHERE = OF_ROUNDS | {
    DenyReason.EXECUTOR_NOT_READY,
    DenyReason.BOOK_UNKNOWN,
    DenyReason.BALANCE_UNKNOWN,
    DenyReason.ASSET_VALUE,  # in test_path_plans.py
    DenyReason.QUOTE_LIMITS,  # in test_quote_limits.py
    DenyReason.EQUITY_UNKNOWN,  # in test_risk_losses.py
    DenyReason.LOSING_STREAK,
    DenyReason.RESTING_ORDERS,  # in test_risk_resting.py
    DenyReason.SELF_TRADE,
    DenyReason.VENUE_MAINTENANCE,  # in test_risk_venue_limits.py
    DenyReason.CLOCK_SKEW,
    DenyReason.ORDER_RATE,
    DenyReason.PORTFOLIO_SHARE,
    DenyReason.ASSET_NET,  # in test_risk_asset_limits.py
    DenyReason.ASSET_GROSS,
    DenyReason.NET_NOTIONAL,  # in test_risk_exposure_limits.py
    DenyReason.STRATEGY_NOTIONAL,
    DenyReason.OPEN_ORDERS,
    DenyReason.LEVERAGE,
    DenyReason.LIQUIDATION,
    DenyReason.DEPEG,
    DenyReason.PRICE_BAND,  # in test_risk_price_limits.py
    DenyReason.INVENTORY_UNKNOWN,  # in test_risk_inventory.py
    DenyReason.INVENTORY_BAND,
    DenyReason.INVENTORY_EDGE,
}


def plan_id(found: Opportunity) -> str:
    return approved(make_risk(), found).plan_id


def to_gamma() -> Opportunity:
    return make_opportunity(sell=GAMMA_SPOT)


def lose(engine: RiskEngine, amount: str) -> None:
    for fill in make_result("other", f"-{amount}"):
        engine.on_message(fill, T0)


@pytest.mark.parametrize(
    ("reason", "limits", "change", "found", "later_ns"),
    [
        pytest.param(reason, *case, id=f"{reason}-{number}")
        for reason, cases in CASES.items()
        for number, case in enumerate(cases)
    ],
)
def test_rule_stops(
    reason: DenyReason, limits: dict[str, Any], change: Change, found: Opportunity, later_ns: int
) -> None:
    engine = make_risk(make_config(**limits))
    change(engine)
    before = len(engine.ledger.reservations)
    assert denied(engine, found, T0 + later_ns) is reason
    assert len(engine.ledger.reservations) == before
    assert engine.counters()[f"plans_denied_{reason}"] == 1


def test_every_reason_has_a_case() -> None:
    assert set(CASES) | ELSEWHERE == set(DenyReason)
    for rules in RULES.values():
        assert len({*OFFER_RULES, *rules}) == len(OFFER_RULES + rules)


def test_rules_left_out_have_no_limit_as_shipped_but_that_on_clocks() -> None:
    shipped = RiskConfig()
    are_set = {name for name in ASKED_WHERE_SET.values() if getattr(shipped, name)}
    assert are_set == {"clock_skew_ms_max"}


def test_a_limit_that_only_one_quote_asset_has_is_asked_for() -> None:
    dollars = RiskConfig()
    names = [field.name for field in msgspec.structs.fields(QuoteLimits)]
    own = {name: getattr(dollars, name) for name in names}
    engine = make_risk(make_config(per_quote={"USDT": QuoteLimits(**own | {"drawdown_max": D(5)})}))
    assert denied(engine, GOOD) is DenyReason.DRAWDOWN


@pytest.mark.parametrize(
    "limits",
    [
        {"order_notional_max": D("1005")},
        {"instrument_notional_max": D("1005")},
        {"venue_notional_max": D("1005")},
        {"total_notional_max": D("1005")},
        {"daily_loss_max": D("5.025")},
        {"rolling_loss_max": D("5.025")},
        {"drawdown_max": D("5.025")},
        {"edge_bps_max": 29.95},
        {"plans_in_flight_max": 1},
    ],
)
def test_a_limit_that_is_just_reached_passes(limits: dict[str, Any]) -> None:
    approved(make_risk(make_config(**limits)), GOOD)


def test_nothing_known_means_halted() -> None:
    assert denied(RiskEngine(make_config()), GOOD) is DenyReason.HALTED


def test_a_book_that_risk_has_not_seen_is_not_traded() -> None:
    engine = RiskEngine(make_config())
    engine.on_message(make_ready(), T0)
    for venue, _ in BOOKS:
        engine.on_message(make_balances(venue), T0)
    assert denied(engine, GOOD) is DenyReason.BOOK_UNKNOWN


def make_case(**changes: Any) -> DecisionContext:
    values: dict[str, Any] = {
        "opportunity": GOOD,
        "now_ns": T0,
        "config": make_config().risk,
        "ledger": Ledger(),
        "state": TradingState.ACTIVE,
        "state_reason": "",
        "executor_obstacle": "",
        "venues": frozenset(),
        "venues_down": {},
        "views": {},
        "rules": {},
    }
    return DecisionContext(**{**values, **changes})


def test_second_line_of_defence_behind_the_trading_state() -> None:
    """The state is HALTED in these cases already; the rules hold on their own."""
    found = executor_ready(make_case(executor_obstacle="gone"))
    assert found is not None
    assert found.reason is DenyReason.EXECUTOR_NOT_READY
    case = make_case()
    case.look_up_legs()
    found = balances(case)
    assert found is not None
    assert found.reason is DenyReason.BALANCE_UNKNOWN


def test_reserved_balance_is_not_spent_twice() -> None:
    engine = make_risk()
    engine.on_message(make_balances("alpha", USDT="1500", BTC=1), T0)
    plan = approved(engine, GOOD)
    assert denied(engine, to_gamma()) is DenyReason.BALANCE
    engine.on_message(make_done(plan.plan_id, outcome="UNFILLED", realized=D(0)), T0)
    approved(engine, to_gamma())


def test_what_was_spent_stays_out_of_reach_until_the_venue_says_so() -> None:
    engine = make_risk()
    engine.on_message(make_balances("alpha", T0, USDT="1500", BTC=1), T0)
    plan = approved(engine, GOOD)
    announce(engine, plan)
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, ts_ns=T0 + 5), T0)
    engine.on_message(make_done(plan.plan_id), T0)
    assert denied(engine, to_gamma()) is DenyReason.BALANCE
    soon, later = T0 + 4 + BALANCE_LAG_NS, T0 + 5 + BALANCE_LAG_NS
    engine.on_message(make_balances("alpha", soon, USDT="1400", BTC=1), T0)
    assert denied(engine, to_gamma()) is DenyReason.BALANCE, (
        "may have been looked up before the fill"
    )
    engine.on_message(make_balances("alpha", later, USDT="1400", BTC=1), T0)
    approved(engine, to_gamma())


def test_what_is_spent_without_a_reservation_is_out_of_reach_too() -> None:
    """What evens plans out is traded where its price is best; adopted orders hold nothing."""
    engine = make_risk()
    ledger = engine.ledger
    engine.on_message(make_balances("alpha", T0, USDT="2500", BTC=1), T0)
    ledger.apply_fill(make_fill("found", "alpha", Side.BUY, ts_ns=T0 + 5))
    assert ledger.available("alpha", "USDT") == 1500
    plan = approved(engine, GOOD)
    ledger.apply_fill(make_fill(plan.plan_id, "alpha", Side.SELL, "0.2", ts_ns=T0 + 6))
    assert ledger.available("alpha", "BTC") == D("0.8")
    ledger.apply_fill(make_fill("perpetual", "gamma", Side.BUY, instrument=GAMMA[1]))
    assert "gamma" not in ledger.settling, "the venue's margin says so"
    engine.on_message(make_balances("alpha", T0 + 6 + BALANCE_LAG_NS, USDT="1500", BTC="0.8"), T0)
    assert ledger.available("alpha", "BTC") == D("0.8")


def test_perpetual_needs_margin_for_what_it_opens_only() -> None:
    sold = make_opportunity(sell=GAMMA).legs[1]
    leg = reserve_leg(sold, D("1005"), D(0))
    assert (leg.asset, leg.amount) == ("USDT", D("1005") * D("1.001"))
    leg = reserve_leg(sold, D("1005"), D("0.06"))
    assert leg.amount == D("1005") * (D("0.4") + D("0.001"))


def test_reducing_lets_through_what_shrinks_a_position() -> None:
    engine = make_risk()
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.1", instrument=GAMMA[1]), T0)
    engine.on_message(make_command(CommandKind.REDUCE), T0)
    assert denied(engine, make_opportunity(buy=GAMMA, sell=BETA)) is DenyReason.REDUCING
    approved(engine, make_opportunity(sell=GAMMA))


def test_position_in_a_perpetual_counts_and_may_always_shrink() -> None:
    limit = make_config(instrument_notional_max=D(3_000))
    engine = make_risk(limit)
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.4", instrument=GAMMA[1]), T0)
    assert denied(engine, make_opportunity(buy=GAMMA, sell=BETA)) is DenyReason.INSTRUMENT_NOTIONAL
    approved(engine, make_opportunity(sell=GAMMA))


def test_unhedged_exposure_counts_in_the_total_and_hedged_inventory_does_not() -> None:
    engine = make_risk(make_config(total_notional_max=D(5_000)))
    engine.on_message(make_fill("p", "alpha", Side.BUY, "0.5"), T0)
    assert denied(engine, GOOD) is DenyReason.TOTAL_NOTIONAL
    engine.on_message(make_fill("p", "beta", Side.SELL, "0.5"), T0)
    approved(engine, GOOD)


def test_hedged_perpetual_counts_in_the_total() -> None:
    engine = make_risk(make_config(total_notional_max=D(5_000)))
    engine.on_message(make_fill("p", "alpha", Side.BUY, "0.5"), T0)
    engine.on_message(make_fill("p", "gamma", Side.SELL, "0.5", instrument=GAMMA[1]), T0)
    assert engine.ledger.exposure == {"BTC": 0}
    assert denied(engine, GOOD) is DenyReason.TOTAL_NOTIONAL


def test_short_position_grows_to_the_limit_only() -> None:
    engine = make_risk(make_config(instrument_notional_max=D(3_000)))
    engine.on_message(make_fill("p", "gamma", Side.SELL, "0.2", instrument=GAMMA[1]), T0)
    assert denied(engine, make_opportunity(sell=GAMMA)) is DenyReason.INSTRUMENT_NOTIONAL
    shrinks = make_opportunity(buy=GAMMA, sell=BETA)
    approved(engine, shrinks)


def test_venue_above_its_limit_may_shrink() -> None:
    engine = make_risk(make_config(venue_notional_max=D(3_000)))
    engine.on_message(make_fill("p", "gamma", Side.SELL, "0.4", instrument=GAMMA[1]), T0)
    assert denied(engine, make_opportunity(sell=GAMMA)) is DenyReason.VENUE_NOTIONAL
    approved(engine, make_opportunity(buy=GAMMA, sell=BETA))


def test_plans_in_flight_count_in_the_total() -> None:
    engine = make_risk(make_config(total_notional_max=D(2_009)))
    approved(engine, GOOD)
    assert denied(engine, to_gamma()) is DenyReason.TOTAL_NOTIONAL


def test_executor_that_fell_silent_gets_nothing() -> None:
    engine = make_risk()
    late = T0 + 3 * SECOND + 1
    found = make_opportunity(now_ns=late)
    answer = decision(engine, found, late)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.HALTED
    assert "silent" in answer.context["why"]


def test_page_of_codes_is_up_to_date() -> None:
    page = (ROOT / "docs" / "denials.md").read_text(encoding="utf-8")
    assert page == render_markdown(), "write render_markdown() to docs/denials.md"
    assert all(reason.explanation for reason in DenyReason)


def test_three_legs_are_one_plan_and_state_what_each_brings_in() -> None:
    """Buy two here, sell one there and one there."""
    engine = make_risk()
    sales = [sold("beta", "0.1"), sold("gamma", "0.1", price_limit=D(10_040))]
    found = make_offer([bought("0.2"), *sales])
    plan = approved(engine, found)
    assert [leg.cash_flow for leg in plan.legs] == [D("-2002"), D("1003.995"), D("1003.995")]
    assert sum(leg.cash_flow for leg in plan.legs) == plan.net_expected == found.net
    held = engine.ledger.reservations[plan.plan_id]
    assert [(leg.terms.venue, leg.asset, leg.amount) for leg in held.legs] == [
        ("alpha", "USDT", D("2002")),
        ("beta", "BTC", D("0.1")),
        ("gamma", "BTC", D("0.1")),
    ]
    assert held.notional == D("2010"), "both sales together are the dearer side"
    assert plan.loss_cap == D("2010") * 50 / 10_000


def test_two_plans_do_not_reduce_the_same_position() -> None:
    engine = make_risk()
    engine.on_message(make_fill("p", "gamma", Side.BUY, "0.15", instrument=GAMMA[1]), T0)
    first = approved(engine, make_opportunity(sell=GAMMA))
    second = make_opportunity(buy=BETA, sell=GAMMA, seq=2)
    assert denied(engine, second) is DenyReason.OPENS_POSITION
    engine.on_message(make_done(first.plan_id), T0)  # nothing was filled
    approved(engine, make_opportunity(buy=BETA, sell=GAMMA, seq=3))


def test_a_rest_below_one_lot_of_the_coarsest_leg_passes() -> None:
    engine = make_risk()
    engine.on_message(make_info(*BETA, lot_size=D("0.01")), T0)
    found = make_offer([bought("0.109"), sold("beta", "0.1")])
    assert approved(engine, found).legs[0].qty == D("0.109")
    engine = make_risk()
    engine.on_message(make_info(*BETA, lot_size=D("0.01")), T0)
    assert denied(engine, make_offer([bought("0.11"), sold("beta", "0.1")])) is DenyReason.UNHEDGED


def test_what_is_sold_beyond_what_is_bought_is_no_profit() -> None:
    """The 0.002 sold beyond it bring in 20, and are yet to be bought back."""
    engine = make_risk()
    engine.on_message(make_info("alpha", "BTC/USDT", lot_size=D("0.01")), T0)
    found = make_offer([bought("0.1"), sold("beta", "0.102")])
    assert found.net > 20
    assert denied(engine, found) is DenyReason.UNHEDGED


def test_legs_of_one_account_are_paid_for_together() -> None:
    engine = make_risk()
    engine.on_message(make_balances("gamma", USDT=100_000, BTC="0.15"), T0)
    engine.on_message(make_balances("alpha", USDT=1_500, BTC=1), T0)
    legs = [bought("0.1"), bought("0.1", "beta"), sold("gamma", "0.2")]
    assert denied(engine, make_offer(legs)) is DenyReason.BALANCE


def test_the_loss_cap_pays_for_all_legs_of_the_dearer_side() -> None:
    legs = [bought("0.2"), sold("beta", "0.1"), sold("gamma", "0.1")]
    for taker_bps, reason in ((30, None), (80, DenyReason.LOSS_CAP)):
        engine = make_risk()  # 50 bps of both sales: one may cost 2 * 80 bps of half, not both
        for book in (BETA, GAMMA_SPOT) if taker_bps == 80 else (BETA,):
            engine.on_message(make_info(*book, taker_fee_bps=D(taker_bps)), T0)
        if reason is None:
            approved(engine, make_offer(legs))
        else:
            assert denied(engine, make_offer(legs)) is reason


def test_a_plan_that_does_more_than_the_one_in_flight_takes_its_prices_too() -> None:
    engine = make_risk()
    plan = approved(engine, make_offer([bought("0.1"), sold("gamma", "0.1")]))
    more = [bought("0.2", seq=2), sold("beta", "0.1", seq=2), sold("gamma", "0.1", seq=2)]
    assert denied(engine, make_offer(more)) is DenyReason.PAIR_IN_FLIGHT
    engine.on_message(make_done(plan.plan_id), T0)
    more = [bought("0.2", seq=3), sold("beta", "0.1", seq=3), sold("gamma", "0.1", seq=3)]
    approved(engine, make_offer(more))


def test_the_same_books_in_another_way_are_not_the_plan_in_flight() -> None:
    engine = make_risk()
    plan = approved(engine, make_offer([bought("0.2"), sold("beta", "0.1"), sold("gamma", "0.1")]))
    again = [bought("0.2", seq=2), sold("gamma", "0.1", seq=2), sold("beta", "0.1", seq=2)]
    assert denied(engine, make_offer(again)) is DenyReason.PAIR_IN_FLIGHT
    part = [bought("0.2", seq=2), sold("gamma", "0.2", seq=2)]
    assert denied(engine, make_offer(part)) is DenyReason.PAIR_IN_FLIGHT
    other = [bought("0.1", seq=3), bought("0.1", "beta", seq=3), sold("gamma", "0.2", seq=3)]
    assert approved(engine, make_offer(other)).plan_id != plan.plan_id


def test_rebalancing_orders_of_a_plan_of_three_legs_are_its_own() -> None:
    engine = make_risk()
    plan = approved(engine, make_offer([bought("0.2"), sold("beta", "0.1"), sold("gamma", "0.1")]))
    announce(engine, plan)
    own = make_order(
        plan.plan_id,
        client_order_id="even",
        leg_index=3,
        attempt=1,
        purpose=OrderPurpose.HEDGE,
        venue="beta",
        side=Side.SELL,
        qty=D("0.1"),
    )
    assert not engine.ledger.refuses(own)
    wrong = msgspec.structs.replace(own, leg_index=2, purpose=OrderPurpose.LEG)
    assert engine.ledger.refuses(wrong) == "its leg is sell 0.1 BTC/USDT at gamma"
    assert not engine.ledger.refuses_end(make_done(plan.plan_id))
