"""A venue's REST book as a polled source. Pure."""

from __future__ import annotations

from shared.errors import ConfigError
from shared.messages.market import BookSnapshot
from shared.sources.polling import checked_base
from shared.venues.registry import EVERY, load_book_audit, load_feed

EVERY_S = 2.0
"""Far within the budget of any venue, at any weight that a book has."""


class PolledBook:
    """The book of one instrument; each answer is a whole one.

    Nothing is known of what happens between two answers, so it is unproved.

    Raises:
        ConfigError: The venue is unknown, has no REST book here, or not this instrument.
    """

    every_s = EVERY_S

    def __init__(self, source: str, instrument: str, rest_url: str = "") -> None:
        audit = load_book_audit(source)
        if audit is None:
            there = ", ".join(name for name in EVERY if load_book_audit(name) is not None)
            raise ConfigError(f"no REST book of {source} is known here; there are: {there}")
        feed = load_feed(source)
        try:
            feed.to_symbol(instrument)
        except ValueError as error:
            raise ConfigError(f"{source}: {error}") from error
        self.source, self.instrument, self._audit = source, instrument, audit
        self.url = checked_base(rest_url or feed.rest_url) + audit.path(instrument)
        self._count = 0

    def read(self, body: bytes, now_ns: int) -> BookSnapshot:
        """Read an answer; where it has no number, ours counts answers."""
        book = self._audit.read(body)
        self._count += 1
        cut_at = self._audit.levels
        return BookSnapshot(
            venue=self.source,
            instrument=self.instrument,
            epoch=now_ns,
            seq=self._count if book.seq is None else book.seq,
            bids=list(book.bids),
            asks=list(book.asks),
            ts_recv_ns=now_ns,
            bid_floor=book.bids[-1][0] if len(book.bids) >= cut_at else None,
            ask_ceiling=book.asks[-1][0] if len(book.asks) >= cut_at else None,
            unproved="asked for over REST: what happens between two answers is not known",
        )
