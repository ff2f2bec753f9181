"""The rules on the venues of a plan's legs, one function each, as in ``limits.py``. Pure.

They keep plans from being opened; what closes a round is never asked for them.
"""

from __future__ import annotations

from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial, DenyReason, deny
from shared.messages.market import DepthView

MS = 1_000_000


def maintenance(context: DecisionContext) -> Denial | None:
    """No venue is in a window of maintenance."""
    for leg in context.legs if context.maintenance else ():
        venue = leg.market.venue
        for window in context.maintenance.get(venue, ()):
            if left_ns := window.left_ns(context.now_ns):
                left_ms = left_ns // MS
                reason = DenyReason.VENUE_MAINTENANCE
                return deny(reason, venue=venue, window=window.text, left_ms=left_ms)
    return None


def order_rate(context: DecisionContext) -> Denial | None:
    """No venue is sent more orders in a minute than it may be, those of plans not begun counted."""
    limit = context.config.orders_per_minute_max
    if not limit:
        return None
    ledger = context.ledger
    waiting = [
        leg.terms.venue
        for plan in ledger.reservations.values()
        if not ledger.orders.knows(plan.plan_id)
        for leg in plan.legs
    ]
    wanted = [leg.market.venue for leg in context.legs]
    for venue in dict.fromkeys(wanted):
        sent = ledger.order_rates.in_last_minute(venue, context.now_ns) + waiting.count(venue)
        orders = sent + wanted.count(venue)
        if orders > limit:
            return deny(DenyReason.ORDER_RATE, venue=venue, orders=orders, max=limit)
    return None


def clock_skew(context: DecisionContext) -> Denial | None:
    """The venues' clocks agree with ours, as far as their messages tell.

    A message takes time to arrive, so the smallest delay of a venue's new messages is what its
    clock is behind ours at most; below zero, its clock is ahead by as much at least. A venue that
    does not say its time is not judged.
    """
    limit_ms = context.config.clock_skew_ms_max
    if not limit_ms:
        return None
    for leg in context.legs:
        delay_ns = _delay_ns(context.views[leg.market.book])
        if delay_ns is None or abs(delay_ns) > limit_ms * MS:
            delay_ns = _least_delay_ns(context, leg.market.venue, delay_ns)
        if delay_ns is not None and abs(delay_ns) > limit_ms * MS:
            behind_ms, venue = delay_ns // MS, leg.market.venue
            return deny(DenyReason.CLOCK_SKEW, venue=venue, behind_ms=behind_ms, max_ms=limit_ms)
    return None


def _delay_ns(view: DepthView) -> int | None:
    """Return by how much the receipt of its last message is later, by our clock, than sent."""
    return None if view.ts_venue_ns is None else view.ts_recv_ns - view.ts_venue_ns


def _least_delay_ns(context: DecisionContext, venue: str, least_ns: int | None) -> int | None:
    """Return the smallest of a delay and those of what came lately from a venue's other books.

    The first message of a quiet book may carry the time of its last change.
    """
    since_ns = context.now_ns - context.config.book_age_ms_max * MS
    for view in context.views.values():
        if view.venue != venue or view.ts_recv_ns < since_ns:
            continue
        delay_ns = _delay_ns(view)
        if delay_ns is not None and (least_ns is None or delay_ns < least_ns):
            least_ns = delay_ns
    return least_ns
