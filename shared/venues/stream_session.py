"""The part of a session whose books come with their snapshots on the connection. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from shared.venues.port import Effect, Reconnect
from shared.venues.stream_book import StreamBook

B = TypeVar("B", bound=StreamBook)


class StreamBooks(Generic[B]):
    """Hands what is about one book to it, by its instrument; what is about none does nothing.

    REST is not asked: a session that does asks by methods of its own.

    Args:
        books: By the venue's spelling.
    """

    def __init__(self, books: Mapping[str, B]) -> None:
        self._books = dict(books)
        self._book_of = {book.instrument: book for book in books.values()}
        self._now_ns = self._heard_ns = 0

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: snapshots come on the connection."""
        return ()

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """Nothing: none is asked for over REST."""
        return ()

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Subscribe to a book again unless ``epoch`` is already over."""
        self._now_ns = now_ns
        book = self._book_of.get(instrument)
        return () if book is None else book.resync(epoch, now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Nothing: every level of the subscribed depth is sent."""
        return ()

    def on_facts(self, topic: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Nothing: none are asked for."""
        return ()

    def on_facts_failed(self, topic: str, retry_after_s: float, now_ns: int) -> None:
        """Nothing: none are asked for."""

    def _close_books(self) -> list[Effect]:
        """Every book is DOWN."""
        return [book.close("connection closed") for book in self._books.values()]

    def _overdue(self, now_ns: int) -> Reconnect | None:
        """Return that the connection must be renewed, if a snapshot should have come."""
        for book in self._books.values():
            if book.is_overdue(now_ns):
                return Reconnect(f"no snapshot of {book.instrument} came")
        return None

    def _subscriptions_due(self, now_ns: int) -> list[Effect]:
        """Return the subscriptions of books that waited for their time."""
        return [request for book in self._books.values() for request in book.on_timer(now_ns)]
