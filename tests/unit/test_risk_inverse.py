"""Rounds of spot against an inverse perpetual in risk: its quantity, what it hedges, its limits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from services.risk.reasons import DenyReason
from shared.config_sections import Config, StrategyConfig
from shared.domain.executions import Execution
from shared.domain.fees import cash_flow, edge_bps, fee_amount
from shared.domain.quantities import base_of, worth_of
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Denied, OrderPurpose
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from tests.decision_builders import (
    SPOT,
    T0,
    make_balances,
    make_config,
    make_done,
    make_fill,
    make_info,
    make_leg,
    make_offer,
    make_order,
    make_risk,
    make_view,
)

INVERSE = "BTC/USDT:BTC"
_numbers: Iterator[int] = iter(range(1, 1_000_000))


def leg(venue: str, side: Side, qty: str, price: str) -> OpportunityLeg:
    """Of delta's contracts, or of spot elsewhere."""
    instrument = INVERSE if venue == "delta" else SPOT
    made = make_leg(venue, side, qty, price, instrument, next(_numbers))
    worth = worth_of(instrument, D(qty), D(price))
    fee = fee_amount(worth, D(10))
    return msgspec.structs.replace(made, fee=fee, cash_flow=cash_flow(side, worth, fee))


def offer(intent: Intent, *legs: OpportunityLeg, **changes: Any) -> Opportunity:
    """With the arithmetic in quote units, and the quantity in coins."""
    first = [each for each in legs if each.side is legs[0].side]
    qty = sum((base_of(x.instrument, x.qty, x.price_avg) for x in first), D(0))
    notional = sum((worth_of(x.instrument, x.qty, x.price_avg) for x in first), D(0))
    found = make_offer(list(legs), strategy_id="basis", round_id="r1", intent=intent)
    edge = edge_bps(found.net, notional)
    return msgspec.structs.replace(found, qty=qty, notional=notional, edge_bps=edge, **changes)


def opening(contracts: str = "1002", coins: str = "0.1", price: str = "10020") -> Opportunity:
    return offer(
        Intent.OPEN,
        leg("alpha", Side.BUY, coins, "10001"),
        leg("delta", Side.SELL, contracts, price),
    )


def closing(contracts: str = "1002", coins: str = "0.1", price: str = "8000") -> Opportunity:
    return offer(
        Intent.CLOSE,
        leg("delta", Side.BUY, contracts, price),
        leg("alpha", Side.SELL, coins, "7999"),
    )


def config(**limits: Any) -> Config:
    made = make_config(**limits)
    entry = StrategyConfig(id="basis", class_="cross_venue")
    venues = {**made.venues, "delta": msgspec.structs.replace(made.venues["alpha"])}
    venues["delta"] = msgspec.structs.replace(venues["delta"], instruments=[INVERSE])
    return msgspec.structs.replace(made, strategies=[entry], venues=venues)


def risk(**limits: Any) -> RiskEngine:
    engine = make_risk(config(**limits))
    info = make_info("delta", INVERSE, lot_size=D(1), qty_min=D(1), notional_min=D(0))
    engine.on_message(info, T0)
    engine.on_message(make_balances("delta", BTC="0.5"), T0)
    show(engine, 10_020.0)
    return engine


def show(engine: RiskEngine, price: float) -> None:
    """All books at a price, a level each way of it."""
    spot = [(venue, SPOT, 5.0) for venue in ("alpha", "beta", "gamma")]
    for venue, instrument, size in (*spot, ("delta", INVERSE, 50_000.0)):
        view = make_view(
            venue, instrument, bids=[(price - 1, size)], asks=[(price + 1, size)], ts_ns=T0
        )
        engine.on_message(view, T0)


def decide(engine: RiskEngine, found: Opportunity) -> ApprovedPlan | Denied:
    out = engine.on_message(found, T0).messages
    return next(m for m in out if isinstance(m, ApprovedPlan | Denied))


def approve(engine: RiskEngine, found: Opportunity) -> ApprovedPlan:
    answer = decide(engine, found)
    assert isinstance(answer, ApprovedPlan), answer
    return answer


def reason(engine: RiskEngine, found: Opportunity) -> DenyReason:
    answer = decide(engine, found)
    assert isinstance(answer, Denied), answer
    return DenyReason(answer.reason)


def execute(engine: RiskEngine, plan: ApprovedPlan) -> None:
    """Every leg fills at the price that it expects; contracts are charged in coins."""
    for index, each in enumerate(plan.legs):
        in_coins = each.instrument == INVERSE
        worth = base_of(each.instrument, each.qty, each.price_expected) if in_coins else D(1_000)
        order = make_order(
            plan.plan_id,
            leg_index=index,
            venue=each.venue,
            instrument=each.instrument,
            side=each.side,
            qty=each.qty,
        )
        engine.on_message(order, T0)
        fill = make_fill(
            plan.plan_id,
            each.venue,
            each.side,
            str(each.qty),
            instrument=each.instrument,
            price=each.price_expected,
            fee=fee_amount(worth, D(10)),
            fee_asset="BTC" if in_coins else "USDT",
            fee_quote=D(1),
            strategy="basis",
            round_id="r1",
        )
        engine.on_message(fill, T0)
    engine.on_message(make_done(plan.plan_id), T0)


def told(engine: RiskEngine) -> StrategyPosition:
    (found,) = [m for m in engine.on_timer(T0).messages if isinstance(m, StrategyPosition)]
    return found


def test_a_round_of_contracts_opens_and_closes_with_its_result_in_both_assets() -> None:
    engine = risk()
    plan = approve(engine, opening())
    assert [each.inverse_entry for each in plan.legs] == [D(0), D(0)]
    execute(engine, plan)
    now = told(engine)
    assert (now.state, now.unhedged) == (RoundState.OPEN, D(0))
    spot, perp = now.legs
    assert (spot.qty, perp.qty, perp.entry) == (D("0.1"), D(-1002), D(10_020))
    assert perp.fees == {"BTC": D("0.0001")}
    show(engine, 8_000.0)
    plan = approve(engine, closing())
    assert [each.inverse_entry for each in plan.legs] == [D(10_020), D(0)]
    assert plan.opening == 0
    execute(engine, plan)
    now = told(engine)
    assert now.state is RoundState.CLOSED
    # 1002 / 8000 - 0.1 of coins gained, less the fees of both ends
    coins = D("0.12525") - D("0.1") - D("0.0001") - D("0.00012525")
    assert now.realized == {"USDT": D("-202.2"), "BTC": coins}
    assert engine.ledger.exposure["BTC"] == coins  # held from now on
    assert engine.ledger.positions["delta|" + INVERSE] == 0


def test_contracts_that_are_not_as_many_coins_as_spot_are_unhedged() -> None:
    assert reason(risk(), opening(contracts="1030")) is DenyReason.UNHEDGED
    assert reason(risk(), opening(contracts="1")) is DenyReason.UNHEDGED
    # Taken for coins, a tenth of a contract would hedge a tenth of a coin.
    assert reason(risk(), opening(contracts="0.1")) is DenyReason.LOT


def test_a_closing_takes_no_more_contracts_than_the_round_holds() -> None:
    engine = risk()
    execute(engine, approve(engine, opening()))
    assert reason(engine, closing(contracts="1003")) is DenyReason.REDUCE_ONLY
    assert reason(engine, closing(coins="0.101")) is DenyReason.REDUCE_ONLY
    assert reason(engine, closing(contracts="501")) is DenyReason.UNHEDGED
    approve(engine, closing(contracts="501", coins="0.05"))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"order_notional_max": D(1_000)}, DenyReason.ORDER_NOTIONAL),
        ({"order_notional_max": D(1_003)}, None),
        ({"instrument_notional_max": D(1_001)}, DenyReason.INSTRUMENT_NOTIONAL),
        ({"instrument_notional_max": D(1_003)}, None),
    ],
)
def test_limits_count_contracts_as_the_quote_units_they_are(
    limits: dict[str, Any], expected: DenyReason | None
) -> None:
    answer = decide(risk(**limits), opening())
    assert (DenyReason(answer.reason) if isinstance(answer, Denied) else None) is expected


def test_contracts_that_are_left_alone_are_closed_alone() -> None:
    """A venue took the spot leg's hedge away, or a fill was lost: the rest can be closed."""
    engine = risk()
    execute(engine, approve(engine, opening()))
    rest = offer(Intent.CLOSE, leg("alpha", Side.SELL, "0.1", "10001"))
    assert reason(engine, rest) is DenyReason.UNHEDGED
    engine.ledger.rounds.rounds["basis|r1"].books.trade(
        Execution(
            venue="alpha",
            instrument=SPOT,
            side=Side.SELL,
            qty=D("0.1"),
            cost=D(1_000),
            fee=D(0),
        )
    )
    plan = approve(engine, offer(Intent.CLOSE, leg("delta", Side.BUY, "1002", "10020")))
    assert [each.inverse_entry for each in plan.legs] == [D(10_020)]


def test_margin_is_reserved_in_coins() -> None:
    engine = risk()
    approve(engine, opening())
    assert engine.ledger.reserved_amount("delta", "BTC") == D("0.1") + D("0.0001")
    short = risk()
    short.on_message(make_balances("delta", T0 + 1, BTC="0.1"), T0 + 1)
    assert reason(short, opening()) is DenyReason.BALANCE


def test_an_open_round_counts_once_in_the_exposure() -> None:
    engine = risk(total_notional_max=D(2_010))
    execute(engine, approve(engine, opening()))
    # 1002 of contracts are open, 1002 more make 2004; with the spot beside it, it would be 4008.
    second = opening()
    approve(engine, msgspec.structs.replace(second, round_id="r2"))


def test_no_instant_plan_and_no_single_leg_trades_contracts() -> None:
    pair = opening()
    assert reason(risk(), msgspec.structs.replace(pair, intent=Intent.INSTANT, round_id="")) is (
        DenyReason.MALFORMED
    )
    one = offer(Intent.OPEN, leg("delta", Side.SELL, "1002", "10020"), stop_bps=D(50))
    assert reason(risk(), one) is DenyReason.MALFORMED


def test_a_hedged_round_loses_nothing_of_its_limits_when_prices_fall() -> None:
    """Spot loses 200 and the contracts gain as much, in coins: both count."""
    engine = risk(daily_loss_max=D(50))
    execute(engine, approve(engine, opening()))
    show(engine, 8_000.0)
    engine.on_timer(T0 + 1)
    equity = engine.ledger.equity["USDT"]
    assert D(-10) < equity.now < D(5), equity
    approve(engine, closing())


def test_evening_out_may_trade_contracts_and_coins_within_the_plan() -> None:
    engine = risk()
    plan = approve(engine, opening())
    for instrument, qty, most in ((INVERSE, "1002", "3000"), (SPOT, "0.1", "0.3")):
        venue = "delta" if instrument == INVERSE else "alpha"
        order = make_order(
            plan.plan_id,
            purpose=OrderPurpose.HEDGE,
            attempt=1,
            leg_index=2,
            venue=venue,
            instrument=instrument,
            qty=D(qty),
        )
        assert engine.ledger.refuses(order) == ""
        assert "at most" in engine.ledger.refuses(msgspec.structs.replace(order, qty=D(most)))
