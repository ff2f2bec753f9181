"""The grid and the limits of a listing that an order must keep to. Pure."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing
from shared.exchange.orders import Refusal, RefusedError
from shared.messages.terms import OrderTerms, OrderType


def checked_ticks(listing: Listing, price: Decimal) -> int:
    """Return a price in ticks.

    Raises:
        RefusedError: It is off the grid, or not positive.
    """
    ticks = listing.ticks(price)
    if ticks is None or ticks <= 0:
        raise RefusedError(Refusal.PRICE_FILTER)
    return ticks


def checked_lots(listing: Listing, qty: Decimal) -> int:
    """Return a quantity in lots.

    Raises:
        RefusedError: It is off the grid, too small or too large.
    """
    lots = listing.lots(qty)
    if lots is None or lots <= 0 or qty < listing.qty_min:
        raise RefusedError(Refusal.LOT_SIZE)
    if listing.qty_max is not None and qty > listing.qty_max:
        raise RefusedError(Refusal.LOT_SIZE)
    return lots


def check_notional(listing: Listing, qty: Decimal, price: Decimal) -> None:
    """Refuse an order of too little value.

    Raises:
        RefusedError: It is.
    """
    if listing.notional(qty, price) < listing.notional_min:
        raise RefusedError(Refusal.NOTIONAL)


def check_limits(listing: Listing, terms: OrderTerms) -> None:
    """Refuse what no book of the listing takes, whatever is in it.

    Raises:
        RefusedError: It is refused.
    """
    checked_lots(listing, terms.qty)
    if terms.order_type is OrderType.LIMIT:
        checked_ticks(listing, terms.price_limit)
        check_notional(listing, terms.qty, terms.price_limit)


def total(parts: list[tuple[int, int]]) -> int:
    """Return the lots of (price, lots) together."""
    return sum(lots for _, lots in parts)
