"""The time in microseconds that each book of the simulated Bitstamp is at. Pure."""

from __future__ import annotations

from shared.simulated.context import Context


class BookTimes:
    """Times that never fall: all that orders the venue's changes and REST books.

    A REST book may be of the moment of the last change; the next change is later than both.
    """

    def __init__(self, venue: str, context: Context) -> None:
        self._venue, self._context = venue, context
        self._last: dict[str, int] = {}

    def of_book(self, symbol: str) -> int:
        """Return the time of a REST book."""
        self._last[symbol] = max(self._last.get(symbol, 0), self._now_us())
        return self._last[symbol]

    def of_change(self, symbol: str) -> int:
        """Return the time of a change."""
        self._last[symbol] = max(self._last.get(symbol, 0) + 1, self._now_us())
        return self._last[symbol]

    def _now_us(self) -> int:
        return self._context.venue_ms(self._venue) * 1_000
