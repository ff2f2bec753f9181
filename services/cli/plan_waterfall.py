"""From what a plan was expected to earn to what it did, step by step. Pure.

The steps from the expected edge to ``realized`` add up to the last digit; what is not known is
``None`` and makes the rest of its figures unknown, never zero. The accounts of the plan's own fills
(``shared/domain/accounting.py``) say what was realized and charged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.accounting import ZERO, Books, holding_key
from shared.domain.executions import execution_of
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.messages.base import Certainty
from shared.messages.execution import ApprovedPlan, Fill, OrderPurpose, PlanDone, PlanLeg

STEPS = (
    "expected_edge",
    "expected_fees",
    "not_filled",
    "slippage",
    "unwind_cost",
    "fees",
    "conversion",
    "left_open",
)
"""What adds up to ``realized``. ``expected_fees`` are taken out of the expected edge again."""


class Order(msgspec.Struct, frozen=True):
    """What a plan's order was for."""

    purpose: OrderPurpose
    leg_index: int


def waterfall(
    plan: ApprovedPlan,
    orders: Mapping[str, Order],
    fills: Sequence[Fill],
    end: PlanDone | None,
) -> dict[str, Any]:
    """Return the steps, each an amount in ``quote`` and how well it is known.

    ``spread_captured`` is what the filled quantities were to bring in at the expected prices;
    ``latency_drift`` is part of the slippage and unknown, as the book at the moment of the order is
    not recorded. Funding is paid for positions, not for plans: a plan without a derivative has
    none, for others it is not known here. ``inventory_cost`` is what bringing back what the plan
    took from venues was to cost when it was made; ``None`` where nobody asked.
    """
    books = Books()
    for fill in fills:
        books.trade(execution_of(fill))
    steps = _steps(plan, orders, fills, books)
    result = books.result(plan.quote)
    is_spot = not any(":" in leg.instrument for leg in plan.legs)
    fees = _certainty_of_fees(books, plan.quote)
    doubts = {"fees": fees, "conversion": fees}
    realized = None if steps is None else sum(steps.values(), ZERO)
    rows = {
        name: _figure(None if steps is None else steps[name], doubts.get(name, Certainty.KNOWN))
        for name in STEPS
    }
    rows["expected_edge"] = _figure(plan.net_expected, Certainty.KNOWN)
    told = None if end is None else end.realized
    later = plan.inventory_cost
    return {
        "quote": plan.quote,
        "steps": rows,
        "realized": _figure(told if realized is None else realized, _of_end(end, fees, steps)),
        "spread_captured": _figure(
            None if steps is None else _captured(plan, orders, fills), Certainty.KNOWN
        ),
        "latency_drift": _figure(None, Certainty.UNKNOWN),
        "funding": _figure(ZERO if is_spot else None, Certainty.KNOWN),
        "fees_paid": _figure(result.fees, fees),
        "inventory_cost": None if later is None else _figure(later.amount, later.certainty),
        "realized_told": told,
    }


def _of_end(end: PlanDone | None, fees: Certainty, steps: Any) -> Certainty:
    if steps is not None:
        return fees
    return Certainty.UNKNOWN if end is None else end.certainty


def _figure(amount: Decimal | None, certainty: Certainty) -> dict[str, Any]:
    if amount is None:
        return {"amount": None, "certainty": Certainty.UNKNOWN}
    return {"amount": amount, "certainty": certainty}


def _certainty_of_fees(books: Books, quote: str) -> Certainty:
    return books.result(quote).certainty


def _leg_of(plan: ApprovedPlan, fill: Fill, orders: Mapping[str, Order]) -> PlanLeg | None:
    """Return the leg whose expected price a fill is measured by."""
    order = orders.get(fill.client_order_id)
    if order is not None and order.leg_index < len(plan.legs):
        leg = plan.legs[order.leg_index]
        if (leg.venue, leg.instrument) == (fill.venue, fill.instrument):
            return leg
    same = [leg for leg in plan.legs if leg.instrument == fill.instrument]
    here = [leg for leg in same if leg.venue == fill.venue]
    found = here or same
    return found[0] if found else None


def _steps(
    plan: ApprovedPlan, orders: Mapping[str, Order], fills: Sequence[Fill], books: Books
) -> dict[str, Decimal] | None:
    """Return every step, ``None`` where they cannot be told apart."""
    names = {fill.instrument for fill in fills} | {leg.instrument for leg in plan.legs}
    markets = [split_instrument(name) for name in sorted(names)]
    if any(m.quote != plan.quote or m.kind is InstrumentKind.INVERSE for m in markets):
        return None  # several assets, or another formula
    slippage = unwind = cash = ZERO
    for fill in fills:
        leg = _leg_of(plan, fill, orders)
        if leg is None:
            return None
        got = fill.side.signed(fill.qty) * (leg.price_expected - fill.price)
        cash -= fill.side.signed(fill.qty) * fill.price
        order = orders.get(fill.client_order_id)
        if order is None or order.purpose is OrderPurpose.LEG:
            slippage += got
        else:
            unwind += got
    expected = sum((-leg.side.signed(leg.qty) * leg.price_expected for leg in plan.legs), ZERO)
    captured = _captured(plan, orders, fills)
    keys = dict.fromkeys(holding_key(fill.venue, fill.instrument) for fill in fills)
    held = (books.holdings[key].cost for key in keys if key in books.holdings)
    steps = {
        "expected_edge": plan.net_expected,
        "expected_fees": expected - plan.net_expected,
        "not_filled": captured - expected,
        "slippage": slippage,
        "unwind_cost": unwind,
        "fees": -books.result(plan.quote).fees,
        "left_open": sum(held, ZERO),
    }
    rest = books.result(plan.quote).realized - sum(steps.values(), ZERO)
    return {**steps, "conversion": rest}


def _captured(plan: ApprovedPlan, orders: Mapping[str, Order], fills: Sequence[Fill]) -> Decimal:
    """Return what was filled at the prices that were expected, quote units."""
    total = ZERO
    for fill in fills:
        leg = _leg_of(plan, fill, orders)
        assert leg is not None
        total -= fill.side.signed(fill.qty) * leg.price_expected
    return total
