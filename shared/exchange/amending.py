"""Changes of open orders: what is asked for, and whether a book takes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from shared.exchange.filters import check_notional, checked_lots, checked_ticks
from shared.exchange.matching import MatchingBook
from shared.exchange.orders import Order, Refusal, RefusedError
from shared.messages.terms import OrderType, TimeInForce


@dataclass(frozen=True, slots=True)
class Amendment:
    """The price and the whole quantity that an order is to have, on the grid.

    ``client_id`` is what the client calls it from then on; empty: as before.
    """

    ticks: int
    lots: int
    client_id: str = ""

    def apply_to(self, order: Order, now_ms: int) -> None:
        """Make the order so; its funds and its place in the book are the exchange's."""
        request, listing = order.request, order.request.listing
        price, qty = listing.price(self.ticks), listing.qty(self.lots)
        terms = listing.terms(request.side, qty, price, request.type, request.tif)
        order.request = replace(request, terms=terms)
        order.ticks, order.lots, order.updated_ms = self.ticks, self.lots, now_ms


def parse_amendment(order: Order, price: Decimal | None, qty: Decimal | None) -> Amendment:
    """Return what a limit order is to become; ``None`` leaves it as it is.

    Raises:
        RefusedError: The venue's rules do not allow it.
    """
    request, listing = order.request, order.request.listing
    if not order.is_open or request.type is not OrderType.LIMIT:
        raise RefusedError(Refusal.NOT_OPEN)
    ticks = order.ticks if price is None else checked_ticks(listing, price)
    lots = order.lots if qty is None else checked_lots(listing, qty)
    if not request.reduce_only:
        check_notional(listing, listing.qty(lots), listing.price(ticks))
    return Amendment(ticks, lots)


def would_take(book: MatchingBook, order: Order, ticks: int) -> bool:
    """Tell whether a post-only order would match at once at another price."""
    request = order.request
    is_post_only = request.post_only or request.tif is TimeInForce.PO
    return is_post_only and bool(book.available(request.side, ticks, 1))
