"""The rules a plan must pass, one function each, in the order in which they are asked. Pure.

Every rule is given the same ``DecisionContext`` and answers ``None`` or a ``Denial``; the first
denial stands. Rules on the offer come first: they need nothing but the offer. What a plan would do
is computed only for an offer that passed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from services.risk import path_limits
from services.risk.arithmetic import follows_from_legs
from services.risk.decision_context import (
    DecisionContext,
    coarsest_lot,
    markets_of,
    open_exposure,
    worst_notional,
    worst_with_plan,
)
from services.risk.exposure import ZERO
from services.risk.reasons import Denial, DenyReason, deny
from services.risk.reservations import opened_qty, plan_id_of
from shared.domain.fees import BPS, fee_amount
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.quantities import base_of, worth_of
from shared.domain.rounding import exact, is_multiple, is_rest_of_lots
from shared.messages.arb import OpportunityLeg
from shared.messages.base import BookState, Side, TradingState
from shared.messages.rounds import Intent
from shared.messages.terms import OrderType, TimeInForce

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_LIVE: Final = BookState.LIVE
_OPEN: Final = Intent.OPEN
_INSTANT: Final = Intent.INSTANT
_CLOSE: Final = Intent.CLOSE
_ACTIVE: Final = TradingState.ACTIVE
_HALTED: Final = TradingState.HALTED
_LIMIT: Final = OrderType.LIMIT
_IOC: Final = TimeInForce.IOC

MS = 1_000_000


def well_formed(context: DecisionContext) -> Denial | None:
    """Buys, then sales, each in a book of its own; all of one base and one quote asset.

    Only what closes a round, or opens it by one leg, may have one side alone.
    """
    if context.opportunity.values:
        return path_limits.well_formed(context)
    found, legs = context.opportunity, context.opportunity.legs
    bought, sold, sales, of_first = ZERO, ZERO, 0, None
    books = set()
    for leg in legs:
        try:
            base, quote, settle = name = split_instrument(leg.instrument)
        except ValueError as error:
            return deny(DenyReason.MALFORMED, instrument=error)
        if of_first is None:
            of_first = name
        elif base != of_first.base or quote != of_first.quote:
            names = ",".join(leg.instrument for leg in legs)
            return deny(DenyReason.SEVERAL_ASSETS, instruments=names)
        in_coins = settle is not None and settle != quote
        opens_alone = found.intent is _OPEN and len(legs) == 1
        if in_coins and (found.intent is _INSTANT or opens_alone):
            kind = InstrumentKind.INVERSE  # only rounds that hedge it count it as coins
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, kind=kind)
        for number in (leg.qty, leg.price_limit, leg.price_avg):
            if not number.is_finite() or number <= ZERO:
                return deny(DenyReason.MALFORMED, instrument=leg.instrument, qty=leg.qty)
        if not leg.fee_bps.is_finite() or leg.fee_bps < ZERO:
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, fee_bps=leg.fee_bps)
        is_usual = leg.time_in_force is _IOC or found.resting is not None  # see may_rest
        if leg.order_type is not _LIMIT or not is_usual:
            return deny(DenyReason.ORDER_KIND, kind=leg.kind, instrument=leg.instrument)
        books.add((leg.venue, leg.instrument))
        qty = base_of(leg.instrument, leg.qty, leg.price_avg) if in_coins else leg.qty
        if leg.side is _SELL:
            sales, sold = sales + 1, sold + qty
        elif sales:
            return deny(DenyReason.MALFORMED, sides=_sides(legs))
        else:
            bought += qty
    has_one_side = found.intent is _CLOSE or (found.intent is _OPEN and len(legs) == 1)
    if not 0 < sales < len(legs) and not has_one_side:
        return deny(DenyReason.MALFORMED, sides=_sides(legs))
    if base != found.base or quote != found.quote or (bought or sold) != found.qty:
        return deny(DenyReason.MALFORMED, base=base, quote=quote, bought=bought, qty=found.qty)
    if len(books) < len(legs):
        return deny(DenyReason.MALFORMED, legs=", ".join(leg.text for leg in legs))
    return None


def _sides(legs: Sequence[OpportunityLeg]) -> str:
    return ",".join(leg.side for leg in legs)


def trading_state(context: DecisionContext) -> Denial | None:
    """HALTED starts nothing; REDUCING only what closes rounds, or shrinks other perpetuals."""
    if context.state is _ACTIVE:
        return None
    if context.state is _HALTED:
        return deny(DenyReason.HALTED, why=context.state_reason)
    if context.opportunity.intent is _CLOSE:
        return None
    opened = [
        opened_qty(context.free_position(leg), leg.side, leg.qty)
        for leg in context.opportunity.legs
        if split_instrument(leg.instrument).kind is InstrumentKind.LINEAR
    ]
    is_opening = context.opportunity.intent is _OPEN
    if is_opening or not opened or any(opened):
        return deny(DenyReason.REDUCING, opens=sum(opened, ZERO))
    return None


def executor_ready(context: DecisionContext) -> Denial | None:
    """An executor must be ready to execute it."""
    if context.executor_obstacle:
        return deny(DenyReason.EXECUTOR_NOT_READY, why=context.executor_obstacle)
    return None


def venues_traded(context: DecisionContext) -> Denial | None:
    """All venues are configured to be traded."""
    for leg in context.opportunity.legs:
        if leg.venue not in context.venues:
            return deny(DenyReason.VENUE_NOT_TRADED, venue=leg.venue)
    return None


def venues_up(context: DecisionContext) -> Denial | None:
    """The executor sends orders to all."""
    if not context.venues_down:
        return None
    for leg in context.opportunity.legs:
        for key in (leg.venue, f"{leg.venue}|{leg.instrument}"):
            if key in context.venues_down:
                return deny(DenyReason.VENUE_DOWN, down=key, why=context.venues_down[key])
    return None


def not_approved_before(context: DecisionContext) -> Denial | None:
    """The executor would take the second plan for a repetition of the first.

    Where the bus lost its last moment, and the approval with it, messages of the executor about the
    plan since then show that there was one.
    """
    found, ledger = context.opportunity.opportunity_id, context.ledger
    plan_id = plan_id_of(found)
    was_begun = plan_id in ledger.plans_ended or ledger.orders.knows(plan_id)
    if found in ledger.approved or was_begun:
        return deny(DenyReason.DUPLICATE, opportunity_id=found)
    return None


def not_expired(context: DecisionContext) -> Denial | None:
    """The producer's own time to live."""
    late_ns = context.now_ns - context.opportunity.ts_expire_ns
    return deny(DenyReason.EXPIRED, late_ms=late_ns // MS) if late_ns > 0 else None


def opportunity_age(context: DecisionContext) -> Denial | None:
    """Our own limit on its age."""
    age_ms = (context.now_ns - context.opportunity.ts_ns) // MS
    if age_ms > context.config.opportunity_age_ms_max:
        return deny(
            DenyReason.OPPORTUNITY_AGE, age_ms=age_ms, max_ms=context.config.opportunity_age_ms_max
        )
    return None


def arithmetic(context: DecisionContext) -> Denial | None:
    """Recompute the result from the legs: the other half of the scanner's assertion."""
    if context.opportunity.values:
        return path_limits.arithmetic(context)
    found = context.opportunity
    notional = sold = net = fees = ZERO
    are_right = True
    for leg in found.legs:
        worth = worth_of(leg.instrument, leg.qty, leg.price_avg)
        fee = fee_amount(worth, leg.fee_bps)
        if leg.side is _BUY:
            notional += worth
            flow = -worth - fee
        else:
            sold += worth
            flow = worth - fee
        net += flow
        fees += fee
        if leg.fee != fee or (leg.cash_flow != flow and leg.cash_flow is not None):
            are_right = False
    notional = notional or sold  # only what closes a round, or opens it by one leg, buys nothing
    return follows_from_legs(found, are_right, net, fees, notional)


def edge_max(context: DecisionContext) -> Denial | None:
    """Too good to be true."""
    limit = _exact_limit(context.config.edge_bps_max)
    if context.opportunity.edge_bps > limit:
        return deny(DenyReason.EDGE_MAX, edge_bps=context.opportunity.edge_bps, max_bps=limit)
    return None


@lru_cache(maxsize=8)
def _exact_limit(limit: float) -> Decimal:
    return exact(limit)


def books_trusted(context: DecisionContext) -> Denial | None:
    """Both books are LIVE and fresh now, as risk itself sees them."""
    for leg in context.legs:
        view = context.views.get(leg.market.book)
        if view is None:
            return deny(DenyReason.BOOK_UNKNOWN, book=leg.market.text)
        if view.state is not _LIVE:
            return deny(DenyReason.BOOK_NOT_LIVE, book=leg.market.text, state=view.state)
        age_ms = (context.now_ns - view.ts_ns) // MS
        limit = context.config.book_age_ms_max
        if age_ms > limit:
            return deny(DenyReason.BOOK_AGE, book=leg.market.text, age_ms=age_ms, max_ms=limit)
    return None


def venue_rules(context: DecisionContext) -> Denial | None:
    """Tick, lot and least order, asserted again after the scanner rounded to them."""
    for leg in context.legs:
        offered, rules = leg.offered, context.rules.get(leg.market.book)
        if rules is None or not rules.active:
            return deny(DenyReason.NO_RULES, book=leg.market.text)
        qty, price = offered.qty, offered.price_limit
        if qty < rules.qty_min or not is_multiple(qty, rules.lot_size):
            return deny(DenyReason.LOT, qty=qty, lot=rules.lot_size, qty_min=rules.qty_min)
        if rules.qty_max is not None and qty > rules.qty_max:
            return deny(DenyReason.LOT, qty=qty, lot=rules.lot_size, qty_max=rules.qty_max)
        if not is_multiple(price, rules.tick_size):
            return deny(DenyReason.TICK, price=price, tick=rules.tick_size)
        least = worth_of(offered.instrument, qty, min(price, offered.price_avg))
        if least < rules.notional_min:
            return deny(DenyReason.NOTIONAL_MIN, notional=least, min=rules.notional_min)
    return None


def hedged(context: DecisionContext) -> Denial | None:
    """The legs take out as much as they bring in, or up to a lot of the coarsest leg less."""
    if not context.net:
        return None
    lot = coarsest_lot(context)
    if is_rest_of_lots(context.net, lot, is_instant=context.opportunity.intent is Intent.INSTANT):
        return None
    base = context.opportunity.base
    return deny(DenyReason.UNHEDGED, open=context.net, base=base, lot=lot)


def order_notional(context: DecisionContext) -> Denial | None:
    """No single order above the limit."""
    limit, largest = context.config.order_notional_max, ZERO
    for leg in context.reserved:
        notional = leg.notional
        if context.values:
            notional *= context.value_of(split_instrument(leg.terms.instrument).quote)
        largest = max(largest, notional)
    if largest <= limit:
        return None
    denial = deny(DenyReason.ORDER_NOTIONAL, notional=largest, max=limit)
    return denial.with_room(limit, largest)


def instrument_notional(context: DecisionContext) -> Denial | None:
    """Position and reservations per instrument; what does not add to it passes."""
    limit = context.config.instrument_notional_max
    for leg in context.legs:
        after = worst_with_plan(context, leg.market)
        if after <= limit:
            continue
        before = worst_notional(context, leg.market)
        if after > before:
            book = leg.market.text
            denial = deny(DenyReason.INSTRUMENT_NOTIONAL, book=book, notional=after, max=limit)
            return denial.with_room(limit - before, after - before)
    return None


def venue_notional(context: DecisionContext) -> Denial | None:
    """The same, summed over a venue's instruments of this quote asset."""
    limit = context.config.venue_notional_max
    venues: dict[str, None] = {}
    for leg in context.legs:
        venues[leg.market.venue] = None
    for venue in venues:
        markets, after = markets_of(context, venue), ZERO
        for market in markets:
            after += worst_with_plan(context, market)
        if after <= limit:
            continue
        before = sum([worst_notional(context, market) for market in markets], ZERO)
        if after > before:
            denial = deny(DenyReason.VENUE_NOTIONAL, venue=venue, notional=after, max=limit)
            return denial.with_room(limit - before, after - before)
    return None


def total_notional(context: DecisionContext) -> Denial | None:
    """Open exposure of every base asset, everything in flight, and this plan."""
    limit, open_notional = context.config.total_notional_max, open_exposure(context)
    reserved = context.ledger.reserved_notional(context.opportunity.quote)
    after = open_notional + reserved + context.notional
    if after > limit:
        denial = deny(
            DenyReason.TOTAL_NOTIONAL,
            notional=after,
            open=open_notional,
            reserved=reserved,
            max=limit,
        )
        return denial.with_room(limit - open_notional - reserved, context.notional)
    return None


def plans_in_flight(context: DecisionContext) -> Denial | None:
    """A bounded number at a time, and no two that take on the same sides of the same books.

    A plan that does all that another does and more takes the same prices. A plan of several assets
    shares no side of a book at all: whichever comes second finds the prices taken, and to trade
    back every other leg costs more than such a plan brings in.
    """
    if context.opportunity.resting is not None:
        return None  # it takes nothing, and is bounded by rules of its own
    limit = context.config.plans_in_flight_max
    held = [plan for plan in context.ledger.reservations.values() if plan.resting is None]
    if len(held) >= limit:
        return deny(DenyReason.PLANS_IN_FLIGHT, plans=len(held), max=limit)
    wanted = {(leg.market.book, leg.offered.side) for leg in context.legs} if held else set()
    for plan in held:
        taken = {(leg.terms.market, leg.terms.side) for leg in plan.legs}
        is_part = (taken <= wanted or wanted <= taken) and min(len(taken), len(wanted)) > 1
        is_of_several = bool(context.values or plan.values)
        if is_part or taken == wanted or (is_of_several and taken & wanted):
            return deny(DenyReason.PAIR_IN_FLIGHT, plan_id=plan.plan_id)
    return None


def balances(context: DecisionContext) -> Denial | None:
    """Each leg can be paid for, after everything that is reserved."""
    needs: dict[tuple[str, str], Decimal] = {}
    for leg in context.reserved:
        key = (leg.terms.venue, leg.asset)
        needs[key] = needs.get(key, ZERO) + leg.amount
    for (venue, asset), amount in needs.items():
        available = context.ledger.available(venue, asset)
        if available is None:
            return deny(DenyReason.BALANCE_UNKNOWN, venue=venue, asset=asset)
        if amount > available:
            denial = deny(
                DenyReason.BALANCE, venue=venue, asset=asset, needs=amount, available=available
            )
            return denial.with_room(available, amount)
    return None


def opens_no_position(context: DecisionContext) -> Denial | None:
    """No leg opens or extends a position in a derivative, nor takes one from a round."""
    for leg in context.legs:
        if leg.market.is_spot:
            continue
        free = context.free_position(leg.offered)
        opened = opened_qty(free, leg.offered.side, leg.offered.qty)
        if opened:
            return deny(DenyReason.OPENS_POSITION, book=leg.market.text, qty=opened)
    return None


def loss_cap(context: DecisionContext) -> Denial | None:
    """The loss cap pays for trading one side back at its own venues, at the dearer known fees."""
    of_buys = of_sales = ZERO
    for leg in context.legs:
        offered = leg.offered
        fee_bps = max(offered.fee_bps, context.rules[leg.market.book].taker_fee_bps)
        fees = 2 * leg.reserved.notional * fee_bps
        if offered.side is _BUY:
            of_buys += fees
        else:
            of_sales += fees
    cap = context.loss_cap - context.cost
    if max(of_buys, of_sales) <= cap * BPS:
        return None
    fees, side = (of_buys, _BUY) if of_buys > cap * BPS else (of_sales, _SELL)
    books = [leg.market.text for leg in context.legs if leg.offered.side is side]
    return deny(DenyReason.LOSS_CAP, book=", ".join(books), fees=fees / BPS, cap=cap)
