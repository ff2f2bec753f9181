"""Closing prices: what a holding would fetch on the books as they are now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.domain.accounting import Books, ClosingPrice, Position, holding_key
from shared.domain.contracts import Contract
from shared.domain.depth import base_worth, exact_levels, walk_quantity
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.rounding import exact
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView

_INVERSE = Contract(InstrumentKind.INVERSE)
"""Quantities are in quote units, whatever the size of the venue's contract."""
PRICES_MAX = 1_024
"""Prices remembered while the books stand still."""


class Close(NamedTuple):
    """How a holding would be closed: where, at which average price, and the middle of that book."""

    venue: str
    price: Decimal
    mid: Decimal


FindClose = Callable[[str, str, Decimal], Close | None]
"""Venue (empty: any), instrument and signed base units held -> how to close them."""


def closes(views: Iterable[DepthView]) -> FindClose:
    """Return how holdings would be closed on the LIVE books among ``views``.

    A long is closed at the bids, a short at the asks, walked for its whole quantity: never at the
    middle, never at the last price. Where the venue is empty (spot, held over all venues) the best
    book of that instrument counts. What no book trades so is closed on those that trade it the
    other way round (dollars held against tethers, in USDT/USD). ``None`` where no book holds the
    quantity.
    """
    books: dict[str, list[DepthView]] = {}
    for view in views:
        if view.state is BookState.LIVE and view.bids and view.asks:
            books.setdefault(view.instrument, []).append(view)

    def find(venue: str, instrument: str, qty: Decimal) -> Close | None:
        here = [view for view in books.get(instrument, ()) if venue in ("", view.venue)]
        found = [close for view in here if (close := _close(view, qty)) is not None]
        if instrument not in books and is_spot(instrument):
            base, quote, _ = split_instrument(instrument)
            turned = books.get(f"{quote}/{base}", ())
            found = [close for view in turned if (close := _close_turned(view, qty)) is not None]
        best = max if qty > 0 else min
        return best(found, key=lambda close: close.price, default=None)

    return find


def closing_prices(views: Iterable[DepthView]) -> ClosingPrice:
    """Return the price per unit of what ``closes`` finds; it walks for each question once."""
    find = closes(views)
    known: dict[tuple[str, str, Decimal], Decimal | None] = {}

    def price(venue: str, instrument: str, qty: Decimal) -> Decimal | None:
        asked = venue, instrument, qty
        if asked not in known:
            found = find(venue, instrument, qty)
            if len(known) >= PRICES_MAX:
                known.clear()
            known[asked] = None if found is None else found.price
        return known[asked]

    return price


def known_part(books: Books, positions: Iterable[Position]) -> list[Position]:
    """Return the positions without what is only a fee that nothing prices (``unpriced``).

    It is spent: there is nothing to close, and what it cost stands beside the result.
    """
    opened = books.opened()
    return [
        position
        for position in positions
        if position.unrealized is not None
        or holding_key(position.venue, position.instrument) in opened
        or not _is_unpriced(books, position.instrument)
    ]


def _is_unpriced(books: Books, instrument: str) -> bool:
    base, quote, _ = split_instrument(instrument)
    result = books.results.get(quote)
    return result is not None and base in result.unpriced


def _close(view: DepthView, qty: Decimal) -> Close | None:
    side = Side.SELL if qty > 0 else Side.BUY
    levels = view.bids if side is Side.SELL else view.asks
    if split_instrument(view.instrument).kind is InstrumentKind.INVERSE:
        walked = _INVERSE.walk(exact_levels(levels, len(levels)), abs(qty), side)
    else:
        walked = walk_quantity(levels, abs(qty), side)
    if walked is None:
        return None
    return Close(view.venue, walked.price_avg, _mid(view))


def _close_turned(view: DepthView, qty: Decimal) -> Close | None:
    """Close a holding of a book's quote asset, counted in its base asset."""
    side = Side.BUY if qty > 0 else Side.SELL
    levels = view.asks if side is Side.BUY else view.bids
    base = base_worth(exact_levels(levels, len(levels)), abs(qty))
    return None if base is None else Close(view.venue, base / abs(qty), 1 / _mid(view))


def _mid(view: DepthView) -> Decimal:
    return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
