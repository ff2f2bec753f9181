"""What a ledger is written from: plans as risk and the executor tell of them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec

from shared.domain.fees import fee_amount
from shared.messages.base import Certainty, Message, Side, TradingState
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanLeg,
    PlanOutcome,
    PositionReport,
    RiskReport,
)
from shared.sql_ledger.database import open_to_write
from shared.sql_ledger.rows import entry_text, rows_of
from tests.decision_builders import MS, SPOT, T0, make_terms

D = Decimal
FEE_BPS = D(10)


def legs(qty: Decimal = D("0.1"), ask: Decimal = D(10_000), bid: Decimal = D(10_050)):
    """A purchase at alpha and a sale at beta."""
    buy = make_terms(qty=qty, price_limit=ask)
    sell = make_terms(venue="beta", side=Side.SELL, qty=qty, price_limit=bid)
    return [
        PlanLeg.of(terms, price_expected=price, fee_bps=FEE_BPS)
        for terms, price in ((buy, ask), (sell, bid))
    ]


def approved(number: int, ts_ns: int, strategy: str = "pairs") -> ApprovedPlan:
    parts = legs()
    fees = sum(fee_amount(leg.price_expected * leg.qty, FEE_BPS) for leg in parts)
    return ApprovedPlan(
        ts_ns=ts_ns,
        plan_id=f"p{number:06d}",
        opportunity_id=f"o{number:06d}",
        base="BTC",
        quote="USDT",
        legs=parts,
        net_expected=D("0.1") * D(50) - fees,
        loss_cap=D(20),
        ts_recv_ns=ts_ns,
        ts_depth_ns=ts_ns,
        ts_opportunity_ns=ts_ns,
        ts_expire_ns=ts_ns + 1_000 * MS,
        strategy=strategy,
    )


def order(plan: ApprovedPlan, index: int, status: OrderStatus, **changes) -> OrderEvent:
    leg = plan.legs[index]
    event = OrderEvent(
        ts_ns=plan.ts_ns + MS,
        plan_id=plan.plan_id,
        client_order_id=f"arb{plan.plan_id}{index}",
        leg_index=index,
        attempt=0,
        purpose=OrderPurpose.LEG,
        venue=leg.venue,
        instrument=leg.instrument,
        side=leg.side,
        qty=leg.qty,
        price_limit=leg.price_limit,
        status=status,
        strategy=plan.strategy,
    )
    return msgspec.structs.replace(event, **changes)


def fill(plan: ApprovedPlan, index: int, price: Decimal, **changes) -> Fill:
    leg = plan.legs[index]
    told = Fill(
        ts_ns=plan.ts_ns + 2 * MS,
        plan_id=plan.plan_id,
        client_order_id=f"arb{plan.plan_id}{index}",
        venue=leg.venue,
        instrument=leg.instrument,
        side=leg.side,
        trade_id=f"t{plan.plan_id}{index}",
        price=price,
        qty=leg.qty,
        fee=fee_amount(price * leg.qty, FEE_BPS),
        fee_asset="USDT",
        ts_venue_ns=plan.ts_ns + 2 * MS,
        strategy=plan.strategy,
    )
    return msgspec.structs.replace(told, **changes)


def done(plan: ApprovedPlan, realized: Decimal, fees: Decimal, **changes) -> PlanDone:
    end = PlanDone(
        ts_ns=plan.ts_ns + 3 * MS,
        plan_id=plan.plan_id,
        outcome=PlanOutcome.FILLED,
        base=plan.base,
        quote=plan.quote,
        realized=realized,
        fees=fees,
        certainty=Certainty.KNOWN,
        strategy=plan.strategy,
    )
    return msgspec.structs.replace(end, **changes)


def told_plan(
    number: int, *, slip: Decimal = D(1), at_ns: int | None = None, strategy: str = "pairs"
) -> list[Message]:
    """A plan from its approval to its end; the purchase costs ``slip`` more than expected."""
    at_ns = T0 + number * 10 * MS if at_ns is None else at_ns
    plan = approved(number, at_ns, strategy)
    prices = (D(10_000) + slip, D(10_050))
    fills = [fill(plan, index, price) for index, price in enumerate(prices)]
    fees = sum((each.fee for each in fills), D(0))
    events = []
    for index, each in enumerate(fills):
        events += [order(plan, index, OrderStatus.SUBMITTED), each]
        events.append(order(plan, index, OrderStatus.FILLED, filled_qty=each.qty, ts_ns=each.ts_ns))
    realized = D("0.1") * (prices[1] - prices[0]) - fees
    return [plan, *events, done(plan, realized, fees)]


def of_risk(now_ns: int, qty: Decimal, price: Decimal | None) -> RiskReport:
    """Risk's report with one position, unless ``qty`` is 0, and its closing price."""
    held = PositionReport(venue="", instrument=SPOT, qty=qty, entry=D(1), close_price=price)
    return RiskReport(
        ts_ns=now_ns,
        state=TradingState.ACTIVE,
        exposure={},
        realized={},
        fees={},
        realized_today={},
        reserved=D(0),
        plans_in_flight=0,
        certainty=Certainty.KNOWN,
        positions=[held] if qty else [],
    )


def write_ledger(path: Path, facts: Iterable[Message]) -> None:
    """Write messages as a recorder would that finds each in an entry of its own."""
    ledger = open_to_write(path)
    rows = [
        row
        for place, message in enumerate(facts)
        for row in rows_of(message, entry_text(f"{place}-0", 0))
    ]
    ledger.write(rows, {})
    ledger.close()
