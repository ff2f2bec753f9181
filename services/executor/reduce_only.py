"""Orders that may only reduce a position: which are, and what their refusal leads to. Pure.

FLATTEN and the closing of a round send reduce-only orders in derivatives: what an earlier order, a
liquidation or somebody else has closed meanwhile cannot be closed twice, which would open a
position the other way. In a closing of a round they are only where the account as a whole is known
to hold so much: rounds of several strategies share one position, and one may close what the
other's has already offset there.

A refusal because nothing is left to reduce is a no to this one order. It says that the record and
the venue differ: positions and executions are read again before the plan does anything else.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from services.executor.order_record import OrderRecord
from services.executor.state import ExecutorState, PlanKind, PlanRecord
from shared.accounts.gateway import FillReport
from shared.domain.accounting import holding_key, holding_place
from shared.domain.instrument import is_spot
from shared.domain.order import ZERO
from shared.domain.quantities import base_of, is_inverse, worth_of
from shared.errors import Cause
from shared.messages.execution import OrderStatus
from shared.messages.rounds import round_key
from shared.messages.terms import OrderTerms, is_same_side

CLOCKS_NS: Final = 5_000_000_000
"""An order that ended so long before a fill, by our clock, may have filled after it by the venue's.
What it closed before the fill may then count as closed since: a plan trades it back all the same.
"""


def closes_position(plan: PlanRecord, instrument: str) -> bool:
    """Tell whether a plan trades an instrument to close a position in it, as FLATTEN does."""
    return plan.kind is PlanKind.FLATTEN and not is_spot(instrument)


def must_only_reduce(state: ExecutorState, plan: PlanRecord, terms: OrderTerms) -> bool:
    """Tell whether a plan's next order is to be reduce-only."""
    if closes_position(plan, terms.instrument):
        return True
    if not plan.is_closing or is_spot(terms.instrument):
        return False
    held = state.books.quantities.get(holding_key(terms.venue, terms.instrument), ZERO)
    if held * terms.side.signed(terms.qty) >= 0:
        return False
    closing = sum(
        (
            order.life.qty - order.life.filled_qty
            for order in state.orders.values()
            if not order.life.is_terminal and is_same_side(order, terms)
        ),
        ZERO,
    )
    return abs(held) - closing >= terms.qty


def had_nothing_to_reduce(order: OrderRecord) -> bool:
    """Tell whether the venue refused an order because no position is left to reduce."""
    is_refused = order.life.status is OrderStatus.REJECTED
    return is_refused and order.cause is Cause.NOTHING_TO_REDUCE


class TakenOver(NamedTuple):
    """How a fill of the venue's own order is divided; all in units of the instrument, unsigned.

    ``of_no_round`` reduces no round: plans that belong to none opened it, or it was closed twice.
    ``closed_twice`` is the part of it that a plan of ours has closed as well, so that the venue
    opened a position by it: a new plan has to trade it back. ``of_rounds`` is the part that plans
    in flight account for, by strategy and round; a round of which a plan in flight trades there is
    named even if its part is zero.
    """

    of_no_round: Decimal
    closed_twice: Decimal
    of_rounds: dict[str, Decimal]


def take_over(state: ExecutorState, venue: str, fill: FillReport) -> TakenOver:
    """Keep plans from closing again what the venue has closed of a position by itself.

    ``fill`` is our part of it. It is assigned in this order:

    1. to a FLATTEN, which has that much less to close;
    2. to the closing of a round whose order was refused because of it;
    3. to positions that no plan in flight opened;
    4. to plans in flight that hold a position there, mostly adopted ones: they rebalance it, but
       for those that even nothing out, whose rounds are reduced;
    5. to adopted plans in flight that held one and have closed it by an order of their own as well;
    6. to what all other plans have closed there since then (``closed_twice``).

    Risk is told of the result, and books the same rounds. What is left was closed of rounds that
    others hold against; risk halts if there is none.
    """
    of_no_round, of_rounds = ZERO, dict[str, Decimal]()
    key, left = holding_key(venue, fill.instrument), fill.side.signed(fill.qty)
    others = state.books.quantities.get(key, ZERO)
    opened: list[tuple[PlanRecord, Decimal]] = []
    for plan in state.open_plans():
        net = _net_there(state, plan, key)
        if plan.round_id and (net or _trades_there(state, plan, key)):
            of_rounds.setdefault(_round_of(plan), ZERO)
        if plan.kind is PlanKind.FLATTEN:
            part = _part_against(net, left)
            if part and plan.opening:
                plan.opening_cash *= (plan.opening + part) / plan.opening
                plan.opening += part
                left -= part
                others += part
        elif plan.is_closing:  # what it has traded is gone from what its round holds
            if part := _refused_there(state, plan, key, left):
                _count(plan, part, fill, key)
                plan.closed_by_venue += part
                of_rounds[_round_of(plan)] += abs(part)
                left -= part
                others += part
        else:
            others -= net
            opened.append((plan, net))
    left -= _part_against(others, left)
    if others * left > 0:  # one of them closes what others hold, and has it evened out itself
        opened.sort(key=lambda each: -abs(each[1] + others))
    closed_since = [(plan, _closed_since(state, plan, fill, key, net)) for plan, net in opened]
    for plan, net in opened:
        part = _part_against(net, left)
        if part and _evens_out(plan):
            of_no_round += _charge(plan, part, fill, key, of_rounds)
        left -= part
    for plan, closed in closed_since:
        part = fill.side.signed(min(abs(left), closed))
        if part and _evens_out_again(plan):
            of_no_round += _charge(plan, part, fill, key, of_rounds)
            left -= part
    closed_by_others = sum(
        (
            _closed_by_orders(state, plan, fill, key)
            for plan in state.plans.values()
            if not (plan.is_open and _evens_out_again(plan))
        ),
        ZERO,
    )
    twice = min(abs(left), closed_by_others)
    return TakenOver(of_no_round + twice, twice, of_rounds)


def of_others(state: ExecutorState, venue: str, fill: FillReport, qty: Decimal) -> Decimal:
    """Return how much of ``qty``, closed by the venue while we held it, was of others; unsigned.

    We have closed it as well since, by orders that may only reduce: so the account still held it
    after the venue's own fill, which must have closed what others hold there. An order that may
    open a position as well proves no such thing.
    """
    key, closed = holding_key(venue, fill.instrument), {True: ZERO, False: ZERO}
    for order in state.orders.values():
        is_since = not order.ts_ended_ns or order.ts_ended_ns >= fill.ts_venue_ns
        if (
            is_since
            and order.side is fill.side
            and holding_key(order.venue, order.instrument) == key
        ):
            closed[order.reduce_only] += order.life.filled_qty
    held = state.books.quantities.get(key, ZERO)
    twice = qty - abs(_part_against(held, fill.side.signed(qty)))
    return max(ZERO, min(twice - closed[False], closed[True]))


def _evens_out(plan: PlanRecord) -> bool:
    """Tell whether a plan in flight rebalances what the venue closed of its position."""
    return not (plan.is_closing or plan.is_directional or plan.values)


def _evens_out_again(plan: PlanRecord) -> bool:
    """Tell whether it also trades back what it has closed of its own after the venue had.

    Not where a round would be charged for it that holds nothing there any more.
    """
    return _evens_out(plan) and plan.kind is PlanKind.ADOPTED and not plan.round_id


def _charge(
    plan: PlanRecord, part: Decimal, fill: FillReport, key: str, of_rounds: dict[str, Decimal]
) -> Decimal:
    """Count what the venue closed as a trade of a plan; return how much of it is of no round."""
    if not plan.opening:
        plan.holding = key
    _count(plan, part, fill, key)
    if plan.round_id:
        of_rounds[_round_of(plan)] += abs(part)
        return ZERO
    return abs(part)


def _closed_since(
    state: ExecutorState, plan: PlanRecord, fill: FillReport, key: str, net: Decimal
) -> Decimal:
    """Return how much of what a plan opened there it has closed by orders of its own.

    ``net`` is what it still holds, signed base units.
    """
    still_held = max(ZERO, -fill.side.signed(net))
    return max(ZERO, _opened_there(state, plan, fill, key) - still_held)


def _closed_by_orders(
    state: ExecutorState, plan: PlanRecord, fill: FillReport, key: str
) -> Decimal:
    """Return how much a plan has closed there by orders of its own since the venue's fill.

    An approved plan that does not close a round closes only what it opened there itself.
    """
    closed = sum(
        (
            order.life.filled_qty
            for order in state.orders_of(plan)
            if order.side is fill.side
            and holding_key(order.venue, order.instrument) == key
            and (not order.ts_ended_ns or order.ts_ended_ns >= fill.ts_venue_ns - CLOCKS_NS)
        ),
        ZERO,
    )
    if plan.is_closing or plan.kind is not PlanKind.ARBITRAGE:
        return closed
    return min(closed, _opened_there(state, plan, fill, key))


def _opened_there(state: ExecutorState, plan: PlanRecord, fill: FillReport, key: str) -> Decimal:
    """Return how much a plan opened of what the venue closed, in all."""
    opened = sum(
        (
            order.life.filled_qty
            for order in state.orders_of(plan)
            if order.side is fill.side.opposite
            and holding_key(order.venue, order.instrument) == key
        ),
        ZERO,
    )
    if plan.holding == key and plan.opening * fill.side.signed(fill.qty) < 0:
        opened += abs(plan.opening)
    return opened


def _net_there(state: ExecutorState, plan: PlanRecord, key: str) -> Decimal:
    """Return what a plan has brought in of one holding."""
    orders = (
        order
        for order in state.orders_of(plan)
        if holding_key(order.venue, order.instrument) == key
    )
    began = plan.opening if plan.holding == key else ZERO
    return sum((order.signed_qty for order in orders), began)


def _trades_there(state: ExecutorState, plan: PlanRecord, key: str) -> bool:
    """Tell whether an order of a plan trades one holding."""
    orders = state.orders_of(plan)
    return any(holding_key(order.venue, order.instrument) == key for order in orders)


def _round_of(plan: PlanRecord) -> str:
    return round_key(plan.strategy, plan.round_id)


def _part_against(held: Decimal, closed: Decimal) -> Decimal:
    """Return how much of what was closed was closed of this, signed as ``closed``."""
    if held * closed >= 0:
        return ZERO
    return closed if abs(closed) <= abs(held) else -held


def _refused_there(state: ExecutorState, plan: PlanRecord, key: str, closed: Decimal) -> Decimal:
    """Return how much of what was closed an order was to close that was refused because of it.

    All that the venue closed there counts together, and for no more than the order was for: the
    rest was closed of others.
    """
    for order in state.orders_of(plan):
        if had_nothing_to_reduce(order) and holding_key(order.venue, order.instrument) == key:
            return _part_against(plan.closed_by_venue - order.side.signed(order.life.qty), closed)
    return ZERO


def _count(plan: PlanRecord, part: Decimal, fill: FillReport, key: str) -> None:
    """Count what the venue traded as a trade of the plan; ``key`` is of its holding.

    Inverse contracts count as coins, but where the plan began with such contracts itself.
    """
    counted = part
    if is_inverse(fill.instrument):
        venue, instrument = holding_place(key)
        price = plan.inverse_entry_of(venue, instrument) or fill.price
        if plan.holding == key and (plan.inverse_entry or not plan.opening):
            plan.inverse_entry = price
        else:
            counted = base_of(instrument, part, price)
    plan.opening += counted
    plan.opening_cash -= worth_of(fill.instrument, part, fill.price)
