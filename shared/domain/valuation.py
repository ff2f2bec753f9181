"""Closing prices: what a holding would fetch on the books as they are now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from shared.domain.accounting import ClosingPrice
from shared.domain.depth import walk_quantity
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView


def closing_prices(views: Iterable[DepthView]) -> ClosingPrice:
    """Return the pricing of holdings by the LIVE books among ``views``.

    A long is closed at the bids, a short at the asks, walked for its whole quantity: never at the
    middle, never at the last price. Where the venue is empty (spot, held over all venues) the best
    book of that instrument counts. The price is ``None`` where no book holds the quantity.
    """
    books: dict[str, dict[str, DepthView]] = {}
    for view in views:
        if view.state is BookState.LIVE:
            books.setdefault(view.instrument, {})[view.venue] = view

    def price(venue: str, instrument: str, qty: Decimal) -> Decimal | None:
        return _price(books.get(instrument, {}), venue, qty)

    return price


def _price(books: Mapping[str, DepthView], venue: str, qty: Decimal) -> Decimal | None:
    side = Side.SELL if qty > 0 else Side.BUY
    found: list[Decimal] = []
    for name, view in books.items():
        if venue not in ("", name):
            continue
        levels = view.bids if side is Side.SELL else view.asks
        walked = walk_quantity(levels, abs(qty), side)
        if walked is not None:
            found.append(walked.price_avg)
    best = max if side is Side.SELL else min
    return best(found, default=None)
