"""The coin results of inverse contracts, converted for the limits of their quote asset. Pure.

Their result is in coins and is not converted. Coins held against them gain in the quote asset what
the contracts lose, and vice versa: the limits on losses must count both, or they see half a hedge.
So the coin result counts in the quote asset at the price at which the position could be closed or,
without a position or a book, at the last price traded there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from shared.domain.accounting import Books, Position, holding_key, holding_place
from shared.domain.instrument import split_instrument
from shared.domain.quantities import is_inverse

ZERO = Decimal(0)


def coins_in_quote(
    books: Books, positions: Iterable[Position], prices: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return by quote asset what inverse contracts have earned, open and closed.

    Args:
        books: The accounts.
        positions: What of them is open, as books price it now; without a price only what is closed
            counts.
        prices: Of the last trades, by ``venue|instrument``.
    """
    opened = {holding_key(each.venue, each.instrument): each for each in positions}
    worth: dict[str, Decimal] = {}
    for key, holding in books.holdings.items():
        instrument = holding_place(key)[1]
        if not is_inverse(instrument):
            continue
        coins, price, position = holding.realized, prices.get(key, ZERO), opened.get(key)
        if position is not None and position.close_price is not None:
            coins, price = coins + (position.unrealized or ZERO), position.close_price
        quote = split_instrument(instrument).quote
        worth[quote] = worth.get(quote, ZERO) + coins * price
    return worth
