"""From what a plan was expected to earn to what it did, step by step. Pure.

The steps from the expected edge to ``realized`` add up to the last digit; what is not known is
``None`` and makes the rest of its figures unknown, never zero. The accounts of the plan's own fills
(``shared/domain/accounting.py``) say what was realized and charged.

What the legs' fills differ from the expected prices by is in two parts: **latency drift** is what
the price moved between the decision and the order, from ``price_expected`` of the leg to
``price_arrival`` of the order, and **slippage** what the fills differed from there. The second
price is of the newest book that the executor had when it put the order on record, not of the book
at the venue when it arrived: both parts are estimated, their sum is known. Where an order has no
such price (it rests, no LIVE book held all of it, or its record is of an older version) the drift
of the plan is not known, and all of the difference is in the slippage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.accounting import ZERO, Books, holding_key
from shared.domain.executions import execution_of
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.messages.base import Certainty
from shared.messages.execution import (
    ApprovedPlan,
    Fill,
    OrderEvent,
    OrderPurpose,
    PlanDone,
    PlanLeg,
)

STEPS = (
    "expected_edge",
    "expected_fees",
    "not_filled",
    "latency_drift",
    "slippage",
    "unwind_cost",
    "fees",
    "conversion",
    "left_open",
)
"""What adds up to ``realized``. ``expected_fees`` are taken out of the expected edge again.

Only ``latency_drift`` may be unknown beside others that are known.
"""


class Order(msgspec.Struct, frozen=True):
    """What a plan's order was for; ``price_arrival`` as in ``OrderEvent`` (0: not known)."""

    purpose: OrderPurpose
    leg_index: int
    price_arrival: Decimal = ZERO


def kinds_of(events: Iterable[OrderEvent]) -> dict[str, Order]:
    """Return what orders were for, as they were told of first."""
    kinds: dict[str, Order] = {}
    for each in events:
        kinds.setdefault(
            each.client_order_id, Order(each.purpose, each.leg_index, each.price_arrival)
        )
    return kinds


def waterfall(
    plan: ApprovedPlan,
    orders: Mapping[str, Order],
    fills: Sequence[Fill],
    end: PlanDone | None,
) -> dict[str, Any]:
    """Return the steps, each an amount in ``quote`` and how well it is known.

    ``spread_captured`` is what the filled quantities were to bring in at the expected prices;
    Funding is paid for positions, not for plans: a plan without a derivative has
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
    if steps is not None and steps["latency_drift"] is not None and _has_legs(orders, fills):
        doubts |= dict.fromkeys(("latency_drift", "slippage"), Certainty.ESTIMATED)
    realized = None if steps is None else _total(steps)
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
        "latency_drift": rows["latency_drift"],
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


def _is_of_leg(fill: Fill, orders: Mapping[str, Order]) -> bool:
    """Tell whether it is no hedge or unwinding; of an order that is not on record, too."""
    order = orders.get(fill.client_order_id)
    return order is None or order.purpose is OrderPurpose.LEG


def _has_legs(orders: Mapping[str, Order], fills: Sequence[Fill]) -> bool:
    return any(_is_of_leg(fill, orders) for fill in fills)


def _drift(fill: Fill, leg: PlanLeg, orders: Mapping[str, Order]) -> Decimal | None:
    """Return what the price moved for a leg's fill before its order; ``None``: not known."""
    order = orders.get(fill.client_order_id)
    if order is None or not order.price_arrival:
        return None
    return fill.side.signed(fill.qty) * (leg.price_expected - order.price_arrival)


def _total(steps: Mapping[str, Decimal | None]) -> Decimal:
    return sum((amount for amount in steps.values() if amount is not None), ZERO)


def _steps(
    plan: ApprovedPlan, orders: Mapping[str, Order], fills: Sequence[Fill], books: Books
) -> dict[str, Decimal | None] | None:
    """Return every step, ``None`` where they cannot be told apart."""
    names = {fill.instrument for fill in fills} | {leg.instrument for leg in plan.legs}
    markets = [split_instrument(name) for name in sorted(names)]
    if any(m.quote != plan.quote or m.kind is InstrumentKind.INVERSE for m in markets):
        return None  # several assets, or another formula
    legs_cost = unwind = ZERO
    drifts: list[Decimal | None] = []
    for fill in fills:
        leg = _leg_of(plan, fill, orders)
        if leg is None:
            return None
        got = fill.side.signed(fill.qty) * (leg.price_expected - fill.price)
        if _is_of_leg(fill, orders):
            legs_cost += got
            drifts.append(_drift(fill, leg, orders))
        else:
            unwind += got
    known = [each for each in drifts if each is not None]
    drift = sum(known, ZERO) if len(known) == len(drifts) else None
    expected = sum((-leg.side.signed(leg.qty) * leg.price_expected for leg in plan.legs), ZERO)
    captured = _captured(plan, orders, fills)
    keys = dict.fromkeys(holding_key(fill.venue, fill.instrument) for fill in fills)
    held = (books.holdings[key].cost for key in keys if key in books.holdings)
    steps: dict[str, Decimal | None] = {
        "expected_edge": plan.net_expected,
        "expected_fees": expected - plan.net_expected,
        "not_filled": captured - expected,
        "latency_drift": drift,
        "slippage": legs_cost - (drift or ZERO),
        "unwind_cost": unwind,
        "fees": -books.result(plan.quote).fees,
        "left_open": sum(held, ZERO),
    }
    rest = books.result(plan.quote).realized - _total(steps)
    return {**steps, "conversion": rest}


def _captured(plan: ApprovedPlan, orders: Mapping[str, Order], fills: Sequence[Fill]) -> Decimal:
    """Return what was filled at the prices that were expected, quote units."""
    total = ZERO
    for fill in fills:
        leg = _leg_of(plan, fill, orders)
        assert leg is not None
        total -= fill.side.signed(fill.qty) * leg.price_expected
    return total
