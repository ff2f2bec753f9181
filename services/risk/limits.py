"""The rules a plan must pass, one function each, in the order in which they are asked. Pure.

Every rule is given the same ``DecisionContext`` and answers ``None`` or a ``Denial``; the first
denial stands. Rules on the offer come first: they need nothing but the offer. What a plan would do
is computed only for an offer that passed them.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from services.risk.decision_context import (
    DecisionContext,
    markets_of,
    open_exposure,
    worst_notional,
    worst_with_plan,
)
from services.risk.exposure import ZERO, opened_qty, plan_id_of
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.fees import edge_bps, fee_amount
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.rounding import exact, is_multiple
from shared.messages.base import BookState, Side, TradingState

MS = 1_000_000


def well_formed(context: DecisionContext) -> Denial | None:
    """One buy, one sell, same positive quantity, same assets, different books."""
    found, legs = context.opportunity, context.opportunity.legs
    if len(legs) != 2 or legs[0].side is not Side.BUY or legs[1].side is not Side.SELL:
        return deny(DenyReason.MALFORMED, sides=",".join(leg.side for leg in legs))
    for leg in legs:
        try:
            base, quote, settle = split_instrument(leg.instrument)
        except ValueError as error:
            return deny(DenyReason.MALFORMED, instrument=error)
        if base != found.base or quote != found.quote:
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, base=found.base)
        if settle is not None and settle != quote:
            kind = InstrumentKind.INVERSE
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, kind=kind)
        for number in (leg.qty, leg.price_limit, leg.price_avg):
            if leg.qty != found.qty or not number.is_finite() or number <= ZERO:
                return deny(DenyReason.MALFORMED, instrument=leg.instrument, qty=leg.qty)
        if not leg.fee_bps.is_finite() or leg.fee_bps < ZERO:
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, fee_bps=leg.fee_bps)
    buy, sell = legs
    if buy.venue == sell.venue and buy.instrument == sell.instrument:
        return deny(DenyReason.MALFORMED, instrument=buy.instrument, venue=buy.venue)
    return None


def trading_state(context: DecisionContext) -> Denial | None:
    """HALTED opens nothing; REDUCING only what shrinks perpetual positions and opens none."""
    if context.state is TradingState.ACTIVE:
        return None
    if context.state is TradingState.HALTED:
        return deny(DenyReason.HALTED, why=context.state_reason)
    opened = [
        opened_qty(context.position(leg), leg.side, leg.qty)
        for leg in context.opportunity.legs
        if split_instrument(leg.instrument).kind is InstrumentKind.LINEAR
    ]
    if not opened or any(opened):
        return deny(DenyReason.REDUCING, opens=sum(opened, ZERO))
    return None


def executor_ready(context: DecisionContext) -> Denial | None:
    """An executor must be ready to execute it."""
    if context.executor_obstacle:
        return deny(DenyReason.EXECUTOR_NOT_READY, why=context.executor_obstacle)
    return None


def venues_traded(context: DecisionContext) -> Denial | None:
    """Both venues are configured to be traded."""
    for leg in context.opportunity.legs:
        if leg.venue not in context.venues:
            return deny(DenyReason.VENUE_NOT_TRADED, venue=leg.venue)
    return None


def venues_up(context: DecisionContext) -> Denial | None:
    """The executor sends orders to both."""
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
    found, (buy, sell) = context.opportunity, context.opportunity.legs
    notional, proceeds = buy.qty * buy.price_avg, sell.qty * sell.price_avg
    buy_fee, sell_fee = fee_amount(notional, buy.fee_bps), fee_amount(proceeds, sell.fee_bps)
    gross, fees = proceeds - notional, buy_fee + sell_fee
    net = gross - fees
    if (
        found.notional != notional
        or found.gross != gross
        or found.fees != fees
        or found.net != net
        or found.edge_bps != edge_bps(net, notional)
        or buy.fee != buy_fee
        or sell.fee != sell_fee
    ):
        return deny(DenyReason.ARITHMETIC, net=found.net, net_recomputed=net)
    return None


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
        if view.state is not BookState.LIVE:
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
        least = qty * min(price, offered.price_avg)
        if least < rules.notional_min:
            return deny(DenyReason.NOTIONAL_MIN, notional=least, min=rules.notional_min)
    return None


def order_notional(context: DecisionContext) -> Denial | None:
    """No single order above the limit."""
    limit = context.config.order_notional_max
    for leg in context.reserved:
        if leg.notional > limit:
            return deny(DenyReason.ORDER_NOTIONAL, notional=leg.notional, max=limit)
    return None


def instrument_notional(context: DecisionContext) -> Denial | None:
    """Position and reservations per instrument; what does not add to it passes."""
    limit = context.config.instrument_notional_max
    for leg in context.legs:
        after = worst_with_plan(context, leg.market)
        if after > limit and after > worst_notional(context, leg.market):
            book = leg.market.text
            return deny(DenyReason.INSTRUMENT_NOTIONAL, book=book, notional=after, max=limit)
    return None


def venue_notional(context: DecisionContext) -> Denial | None:
    """The same, summed over a venue's instruments of this quote asset."""
    limit = context.config.venue_notional_max
    for venue in dict.fromkeys([leg.market.venue for leg in context.legs]):
        markets = markets_of(context, venue)
        after = sum([worst_with_plan(context, market) for market in markets], ZERO)
        if after <= limit:
            continue
        if after > sum([worst_notional(context, market) for market in markets], ZERO):
            return deny(DenyReason.VENUE_NOTIONAL, venue=venue, notional=after, max=limit)
    return None


def total_notional(context: DecisionContext) -> Denial | None:
    """Open exposure of every base asset, everything in flight, and this plan."""
    limit, open_notional = context.config.total_notional_max, open_exposure(context)
    reserved = context.ledger.reserved_notional(context.opportunity.quote)
    after = open_notional + reserved + context.notional
    if after > limit:
        return deny(
            DenyReason.TOTAL_NOTIONAL,
            notional=after,
            open=open_notional,
            reserved=reserved,
            max=limit,
        )
    return None


def plans_in_flight(context: DecisionContext) -> Denial | None:
    """A bounded number at a time, and one at a time per directed pair of books."""
    held, limit = context.ledger.reservations, context.config.plans_in_flight_max
    if len(held) >= limit:
        return deny(DenyReason.PLANS_IN_FLIGHT, plans=len(held), max=limit)
    pair = [leg.market.book for leg in context.legs]
    for plan in held.values():
        if [leg.terms.market for leg in plan.legs] == pair:
            return deny(DenyReason.PAIR_IN_FLIGHT, plan_id=plan.plan_id)
    return None


def daily_loss(context: DecisionContext) -> Denial | None:
    """Today's result must bear the worst of what is in flight and of this plan."""
    ledger, quote = context.ledger, context.opportunity.quote
    realized, limit = ledger.realized_today(quote), context.config.daily_loss_max
    caps = sum([h.loss_cap for h in ledger.reservations.values() if h.quote == quote], ZERO)
    worst = realized - caps - context.loss_cap
    if -worst > limit:
        return deny(DenyReason.DAILY_LOSS, realized_today=realized, at_worst=worst, max=limit)
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
            return deny(
                DenyReason.BALANCE, venue=venue, asset=asset, needs=amount, available=available
            )
    return None


def opens_no_position(context: DecisionContext) -> Denial | None:
    """No leg opens or extends a position in a derivative: there is no rule yet that closes it."""
    for leg in context.legs:
        if leg.market.is_spot:
            continue
        opened = opened_qty(leg.position, leg.offered.side, leg.offered.qty)
        if opened:
            return deny(DenyReason.OPENS_POSITION, book=leg.market.text, qty=opened)
    return None


def loss_cap(context: DecisionContext) -> Denial | None:
    """The loss cap pays for trading either leg back at its own venue, at the dearer known fee."""
    cap = context.loss_cap
    for leg in context.legs:
        fee_bps = max(leg.offered.fee_bps, context.rules[leg.market.book].taker_fee_bps)
        fees = 2 * fee_amount(leg.offered.qty * leg.price, fee_bps)
        if fees > cap:
            book = leg.market.text
            return deny(DenyReason.LOSS_CAP, book=book, fees=fees, fee_bps=fee_bps, cap=cap)
    return None


Rule = Callable[[DecisionContext], Denial | None]
OFFER_RULES: tuple[Rule, ...] = (
    well_formed,
    trading_state,
    executor_ready,
    venues_traded,
    venues_up,
    not_approved_before,
    not_expired,
    opportunity_age,
    arithmetic,
    edge_max,
)
PLAN_RULES: tuple[Rule, ...] = (
    books_trusted,
    venue_rules,
    order_notional,
    instrument_notional,
    venue_notional,
    total_notional,
    plans_in_flight,
    daily_loss,
    balances,
    opens_no_position,
    loss_cap,
)


def judge(context: DecisionContext) -> Denial | None:
    """Return the denial of the first rule that denies, or ``None``: the plan may be made."""
    for rule in OFFER_RULES:
        denial = rule(context)
        if denial is not None:
            return denial
    context.look_up_legs()
    for rule in PLAN_RULES:
        denial = rule(context)
        if denial is not None:
            return denial
    return None
