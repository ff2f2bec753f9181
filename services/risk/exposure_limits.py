"""The rules on exposure of one strategy and of all, and on a venue's open orders. Pure.

Plans that close a round are not checked.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.risk.decision_context import DecisionContext, mark_of, market_of
from services.risk.exposure import ZERO
from services.risk.reasons import Denial, DenyReason, deny
from services.risk.rounds import Round
from shared.domain.quantities import worth_of
from shared.messages.rounds import Intent

_CLOSE: Final = Intent.CLOSE


def strategy_notional(context: DecisionContext) -> Denial | None:
    """What a strategy holds in rounds and has in flight is within its own limit.

    A round counts what its purchases or its sales are worth, whichever is more, as a plan does: its
    two legs are not counted twice. Each quote asset counts apart, as all limits do.
    """
    limit = context.strategy_max
    if not limit:
        return None
    found, ledger, held = context.opportunity, context.ledger, ZERO
    for each in ledger.rounds.rounds.values():
        if each.strategy == found.strategy_id and each.quote == found.quote:
            held += _worth(context, each)
    for plan in ledger.reservations.values():
        is_own = plan.strategy == found.strategy_id and plan.quote == found.quote
        if is_own and plan.intent is not _CLOSE:
            held += plan.notional
    after = held + context.notional
    if after <= limit:
        return None
    name, reason = found.strategy_id, DenyReason.STRATEGY_NOTIONAL
    denial = deny(reason, strategy=name, notional=after, held=held, max=limit)
    return denial.with_room(limit - held, context.notional)


def net_notional(context: DecisionContext) -> Denial | None:
    """Unhedged exposure, added up over all assets, with one side of all plans in flight filled.

    Assets count at their highest price in this quote asset, long and short alike: a gain on one is
    not assumed to pay for a loss on another.
    """
    limit = context.config.net_notional_max
    if not limit:
        return None
    prices: dict[str, Decimal] = {}
    for market, _ in context.positions:
        if market.quote == context.opportunity.quote:
            prices[market.base] = max(prices.get(market.base, ZERO), mark_of(context, market))
    exposure = context.ledger.exposure
    held = sum((abs(exposure.get(base, ZERO)) * price for base, price in prices.items()), ZERO)
    reserved = context.ledger.reserved_notional(context.opportunity.quote)
    after = held + reserved + context.notional
    if after <= limit:
        return None
    reason = DenyReason.NET_NOTIONAL
    denial = deny(reason, notional=after, unhedged=held, reserved=reserved, max=limit)
    return denial.with_room(limit - held - reserved, context.notional)


def open_orders(context: DecisionContext) -> Denial | None:
    """No venue has more than ``open_orders_max`` orders of plans in flight; each leg counts one."""
    limit = context.config.open_orders_max
    if not limit:
        return None
    wanted = [leg.market.venue for leg in context.legs]
    held = [leg.terms.venue for leg in context.held]
    for venue in dict.fromkeys(wanted):
        orders = held.count(venue) + wanted.count(venue)
        if orders > limit:
            return deny(DenyReason.OPEN_ORDERS, venue=venue, orders=orders, max=limit)
    return None


def _worth(context: DecisionContext, held: Round) -> Decimal:
    bought = sold = ZERO
    for key, qty in held.books.quantities.items():
        market = market_of(key)
        worth = worth_of(market.book[1], abs(qty), mark_of(context, market))
        if qty > 0:
            bought += worth
        else:
            sold += worth
    return max(bought, sold)
