"""The rules a plan must pass, one function each, in the order in which they are asked. Pure.

Every rule is given the same ``Case`` and answers ``None`` or a ``Denial``; the first denial stands.
Rules on the offer come first: they need nothing but what was said. What a plan would do is weighed
only for an offer that passed them.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from services.risk.case import Case, open_exposure, places_of, worst_notional, worst_with_plan
from services.risk.exposure import ZERO, opened_qty
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.fees import edge_bps, fee_amount
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.rounding import exact, is_multiple
from shared.messages.base import BookState, Side, TradingState

MS = 1_000_000


def well_formed(case: Case) -> Denial | None:
    """One buy, one sell, same positive quantity, same assets, different books."""
    found, legs = case.opportunity, case.opportunity.legs
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


def trading_state(case: Case) -> Denial | None:
    """HALTED opens nothing; REDUCING only what shrinks perpetual positions and opens none."""
    if case.state is TradingState.ACTIVE:
        return None
    if case.state is TradingState.HALTED:
        return deny(DenyReason.HALTED, why=case.state_reason)
    opened = [
        opened_qty(case.position(leg), leg.side, leg.qty)
        for leg in case.opportunity.legs
        if split_instrument(leg.instrument).kind is InstrumentKind.LINEAR
    ]
    if not opened or any(opened):
        return deny(DenyReason.REDUCING, opens=sum(opened, ZERO))
    return None


def executor_ready(case: Case) -> Denial | None:
    """Somebody must be there to execute it."""
    if case.executor_obstacle:
        return deny(DenyReason.EXECUTOR_NOT_READY, why=case.executor_obstacle)
    return None


def venues_traded(case: Case) -> Denial | None:
    """Both venues are configured to be traded."""
    for leg in case.opportunity.legs:
        if leg.venue not in case.venues:
            return deny(DenyReason.VENUE_NOT_TRADED, venue=leg.venue)
    return None


def venues_up(case: Case) -> Denial | None:
    """The executor sends orders to both."""
    if not case.venues_down:
        return None
    for leg in case.opportunity.legs:
        for key in (leg.venue, f"{leg.venue}|{leg.instrument}"):
            if key in case.venues_down:
                return deny(DenyReason.VENUE_DOWN, down=key, why=case.venues_down[key])
    return None


def not_approved_before(case: Case) -> Denial | None:
    """The executor would take the second plan for a repetition of the first."""
    if case.opportunity.opportunity_id in case.ledger.approved:
        return deny(DenyReason.DUPLICATE, opportunity_id=case.opportunity.opportunity_id)
    return None


def not_expired(case: Case) -> Denial | None:
    """The producer's own time to live."""
    late_ns = case.now_ns - case.opportunity.ts_expire_ns
    return deny(DenyReason.EXPIRED, late_ms=late_ns // MS) if late_ns > 0 else None


def opportunity_age(case: Case) -> Denial | None:
    """Our own idea of how old is too old."""
    age_ms = (case.now_ns - case.opportunity.ts_ns) // MS
    if age_ms > case.config.opportunity_age_ms_max:
        return deny(
            DenyReason.OPPORTUNITY_AGE, age_ms=age_ms, max_ms=case.config.opportunity_age_ms_max
        )
    return None


def arithmetic(case: Case) -> Denial | None:
    """Recompute the result from the legs: the other half of the scanner's assertion."""
    found, (buy, sell) = case.opportunity, case.opportunity.legs
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


def edge_max(case: Case) -> Denial | None:
    """Too good to be true."""
    limit = _exact_limit(case.config.edge_bps_max)
    if case.opportunity.edge_bps > limit:
        return deny(DenyReason.EDGE_MAX, edge_bps=case.opportunity.edge_bps, max_bps=limit)
    return None


@lru_cache(maxsize=8)
def _exact_limit(limit: float) -> Decimal:
    return exact(limit)


def books_trusted(case: Case) -> Denial | None:
    """Both books are LIVE and fresh now, as risk itself sees them."""
    for leg in case.legs:
        view = case.views.get(leg.place.book)
        if view is None:
            return deny(DenyReason.BOOK_UNKNOWN, book=leg.place.text)
        if view.state is not BookState.LIVE:
            return deny(DenyReason.BOOK_NOT_LIVE, book=leg.place.text, state=view.state)
        age_ms = (case.now_ns - view.ts_ns) // MS
        limit = case.config.book_age_ms_max
        if age_ms > limit:
            return deny(DenyReason.BOOK_AGE, book=leg.place.text, age_ms=age_ms, max_ms=limit)
    return None


def venue_rules(case: Case) -> Denial | None:
    """Tick, lot and least order, asserted again after the scanner rounded to them."""
    for leg in case.legs:
        offered, rules = leg.offered, case.rules.get(leg.place.book)
        if rules is None or not rules.active:
            return deny(DenyReason.NO_RULES, book=leg.place.text)
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


def order_notional(case: Case) -> Denial | None:
    """No single order above the limit."""
    limit = case.config.order_notional_max
    for leg in case.reserved:
        if leg.notional > limit:
            return deny(DenyReason.ORDER_NOTIONAL, notional=leg.notional, max=limit)
    return None


def instrument_notional(case: Case) -> Denial | None:
    """Position and reservations per instrument; what does not add to it passes."""
    limit = case.config.instrument_notional_max
    for leg in case.legs:
        after = worst_with_plan(case, leg.place)
        if after > limit and after > worst_notional(case, leg.place):
            book = leg.place.text
            return deny(DenyReason.INSTRUMENT_NOTIONAL, book=book, notional=after, max=limit)
    return None


def venue_notional(case: Case) -> Denial | None:
    """The same, summed over a venue's instruments of this quote asset."""
    limit = case.config.venue_notional_max
    for venue in dict.fromkeys([leg.place.venue for leg in case.legs]):
        places = places_of(case, venue)
        after = sum([worst_with_plan(case, place) for place in places], ZERO)
        if after <= limit:
            continue
        if after > sum([worst_notional(case, place) for place in places], ZERO):
            return deny(DenyReason.VENUE_NOTIONAL, venue=venue, notional=after, max=limit)
    return None


def total_notional(case: Case) -> Denial | None:
    """Open exposure of every base asset, everything in flight, and this plan."""
    limit, open_notional = case.config.total_notional_max, open_exposure(case)
    reserved = case.ledger.reserved_notional(case.opportunity.quote)
    after = open_notional + reserved + case.notional
    if after > limit:
        return deny(
            DenyReason.TOTAL_NOTIONAL,
            notional=after,
            open=open_notional,
            reserved=reserved,
            max=limit,
        )
    return None


def plans_in_flight(case: Case) -> Denial | None:
    """A bounded number at a time, and one at a time per directed pair of books."""
    held, limit = case.ledger.reservations, case.config.plans_in_flight_max
    if len(held) >= limit:
        return deny(DenyReason.PLANS_IN_FLIGHT, plans=len(held), max=limit)
    pair = [leg.place.book for leg in case.legs]
    for plan in held.values():
        if [(leg.venue, leg.instrument) for leg in plan.legs] == pair:
            return deny(DenyReason.PAIR_IN_FLIGHT, plan_id=plan.plan_id)
    return None


def daily_loss(case: Case) -> Denial | None:
    """Today's result must bear the worst of what is in flight and of this plan."""
    ledger, quote = case.ledger, case.opportunity.quote
    realized, limit = ledger.realized_today(quote), case.config.daily_loss_max
    caps = sum([h.loss_cap for h in ledger.reservations.values() if h.quote == quote], ZERO)
    worst = realized - caps - case.loss_cap()
    if -worst > limit:
        return deny(DenyReason.DAILY_LOSS, realized_today=realized, at_worst=worst, max=limit)
    return None


def balances(case: Case) -> Denial | None:
    """Each leg can be paid for, after everything that is reserved."""
    needs: dict[tuple[str, str], Decimal] = {}
    for leg in case.reserved:
        needs[leg.venue, leg.asset] = needs.get((leg.venue, leg.asset), ZERO) + leg.amount
    for (venue, asset), amount in needs.items():
        available = case.ledger.available(venue, asset)
        if available is None:
            return deny(DenyReason.BALANCE_UNKNOWN, venue=venue, asset=asset)
        if amount > available:
            return deny(
                DenyReason.BALANCE, venue=venue, asset=asset, needs=amount, available=available
            )
    return None


def opens_no_position(case: Case) -> Denial | None:
    """No leg opens or extends a position in a derivative: there is no rule yet that closes it."""
    for leg in case.legs:
        opened = opened_qty(case.position(leg.offered), leg.offered.side, leg.offered.qty)
        if opened and not leg.place.is_spot:
            return deny(DenyReason.OPENS_POSITION, book=leg.place.text, qty=opened)
    return None


def loss_cap(case: Case) -> Denial | None:
    """The loss cap pays for trading either leg back at its own venue, at the dearer known fee."""
    cap = case.loss_cap()
    for leg in case.legs:
        fee_bps = max(leg.offered.fee_bps, case.rules[leg.place.book].taker_fee_bps)
        fees = 2 * fee_amount(leg.offered.qty * leg.price, fee_bps)
        if fees > cap:
            book = leg.place.text
            return deny(DenyReason.LOSS_CAP, book=book, fees=fees, fee_bps=fee_bps, cap=cap)
    return None


Rule = Callable[[Case], Denial | None]
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


def judge(case: Case) -> Denial | None:
    """Return the first rule's no, or ``None``: the plan may be made."""
    for rule in OFFER_RULES:
        denial = rule(case)
        if denial is not None:
            return denial
    case.weigh()
    for rule in PLAN_RULES:
        denial = rule(case)
        if denial is not None:
            return denial
    return None
