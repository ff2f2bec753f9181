"""The levels of one OKX book with their text, for its checksum. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.book import Book
from shared.messages.market import Level
from shared.venues.okx.checksum import CHECKED_LEVELS, book_checksum
from shared.venues.okx.parse import TextLevel

DEPTH = 400
"""Levels of a side that the channel carries."""
TEXTS_MAX = 4 * DEPTH


class CheckedBook:
    """A book that remembers how its levels were written."""

    def __init__(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        self._book = Book(DEPTH)
        self._bids: dict[float, str] = {}
        self._asks: dict[float, str] = {}
        self._book.replace(plain(bids), plain(asks))
        self._remember(bids, asks)

    def apply(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        """Set changed levels."""
        self._book.apply(plain(bids), plain(asks))
        self._remember(bids, asks)

    def copy(self) -> CheckedBook:
        """Return another book with the same levels."""
        bids, asks = self._book.bids(DEPTH), self._book.asks(DEPTH)
        return CheckedBook(
            [(price, qty, self._bids[price]) for price, qty in bids],
            [(price, qty, self._asks[price]) for price, qty in asks],
        )

    def checksum(self) -> int:
        """Return the checksum of the present top."""
        return book_checksum(
            [self._bids[price] for price, _ in self._book.bids(CHECKED_LEVELS)],
            [self._asks[price] for price, _ in self._book.asks(CHECKED_LEVELS)],
        )

    def _remember(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        self._bids.update((price, text) for price, _, text in bids)
        self._asks.update((price, text) for price, _, text in asks)
        # Levels that are gone leave their text behind; sweep it out now and then.
        if len(self._bids) > TEXTS_MAX:
            self._bids = {price: self._bids[price] for price, _ in self._book.bids(DEPTH)}
        if len(self._asks) > TEXTS_MAX:
            self._asks = {price: self._asks[price] for price, _ in self._book.asks(DEPTH)}


def plain(levels: Sequence[TextLevel]) -> list[Level]:
    """Return the levels without their text."""
    return [(price, qty) for price, qty, _ in levels]
