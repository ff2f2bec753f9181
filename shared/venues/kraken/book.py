"""One Kraken book, proved by checksum after every message. Pure.

The venue's numbered steps ("Book checksum v2"): 1. take the snapshot; 2. per update apply every
level in order, quantity 0 deletes; 3. truncate both sides to the subscribed depth (no delete is
sent for what falls out); 4. compare the checksum, on mismatch subscribe again. There is no sequence
number, so the checksum is the only proof that nothing was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.book import Book
from shared.messages.market import Level
from shared.venues.kraken.checksum import CHECKED_LEVELS, book_checksum
from shared.venues.kraken.parse import TextLevel


class CheckedBook:
    """A truncated book that remembers the digits of its levels."""

    def __init__(self, depth: int) -> None:
        self._book = Book(depth)
        self._depth = depth
        self._digits_max = 4 * depth
        self._bid_digits: dict[float, bytes] = {}
        self._ask_digits: dict[float, bytes] = {}

    def replace(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        """Start over from a snapshot (step 1)."""
        self._bid_digits.clear()
        self._ask_digits.clear()
        self._book.replace(plain(bids), plain(asks))
        self._remember(bids, asks)

    def apply(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        """Apply an update and truncate (steps 2 and 3)."""
        self._book.apply(plain(bids), plain(asks))
        self._remember(bids, asks)

    def resize(self, depth: int) -> None:
        """Keep another number of levels from here on; what does not fit is forgotten."""
        bids, asks = self._book.bids(depth), self._book.asks(depth)
        self._book = Book(depth)
        self._book.replace(bids, asks)
        self._depth = depth
        self._digits_max = 4 * depth

    def copy(self) -> CheckedBook:
        """Return another book with the same levels."""
        twin = CheckedBook(self._depth)
        twin._book.replace(self._book.bids(self._depth), self._book.asks(self._depth))
        twin._bid_digits, twin._ask_digits = dict(self._bid_digits), dict(self._ask_digits)
        return twin

    def levels(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Return bids and asks, best first."""
        return self._book.bids(depth), self._book.asks(depth)

    def checksum(self) -> int:
        """Return the checksum of the present top (step 4)."""
        ask_digits, bid_digits = self._ask_digits, self._bid_digits
        return book_checksum(
            (ask_digits[price] for price, _ in self._book.asks(CHECKED_LEVELS)),
            (bid_digits[price] for price, _ in self._book.bids(CHECKED_LEVELS)),
        )

    def _remember(self, bids: Sequence[TextLevel], asks: Sequence[TextLevel]) -> None:
        for price, _, text in bids:
            self._bid_digits[price] = text
        for price, _, text in asks:
            self._ask_digits[price] = text
        # Levels that are gone leave their digits behind; sweep them out now and then.
        if len(self._bid_digits) > self._digits_max:
            self._bid_digits = {
                p: self._bid_digits[p] for p, _ in self._book.bids(self._digits_max)
            }
        if len(self._ask_digits) > self._digits_max:
            self._ask_digits = {
                p: self._ask_digits[p] for p, _ in self._book.asks(self._digits_max)
            }


def plain(levels: Sequence[TextLevel]) -> list[Level]:
    """Return the levels without their text."""
    return [(price, qty) for price, qty, _ in levels]
