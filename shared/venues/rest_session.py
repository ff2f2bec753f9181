"""The part of a session whose books join a stream to REST snapshots. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shared.errors import ParseError
from shared.venues.port import Effect, Malformed
from shared.venues.rest_join import JoinedBook, Snapshot


class RestBooks:
    """Hands what is about one book to it, by its instrument; what is about none does nothing.

    Args:
        books: By the venue's spelling.
        parse_rest_book: Reads a REST answer, or raises ``ParseError``.
    """

    def __init__(
        self, books: Mapping[str, JoinedBook], parse_rest_book: Callable[[bytes], Snapshot]
    ) -> None:
        self._books = books
        self._book_of = {book.instrument: book for book in books.values()}
        self._parse_rest_book = parse_rest_book

    def on_snapshot(self, instrument: str, body: bytes, now_ns: int) -> Sequence[Effect]:
        """Join a REST book."""
        book = self._book_of.get(instrument)
        if book is None:
            return ()
        try:
            snapshot = self._parse_rest_book(body)
        except ParseError as error:
            return (Malformed(str(error)), *book.on_snapshot_failed(0.0, now_ns))
        return book.on_snapshot(snapshot, now_ns)

    def on_snapshot_failed(
        self, instrument: str, retry_after_s: float, now_ns: int
    ) -> Sequence[Effect]:
        """Ask again, not before ``retry_after_s``."""
        book = self._book_of.get(instrument)
        return () if book is None else book.on_snapshot_failed(retry_after_s, now_ns)

    def on_resync(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Synchronise a book again unless ``epoch`` is already over."""
        book = self._book_of.get(instrument)
        return () if book is None else book.resync(epoch, now_ns)

    def on_refresh(self, instrument: str, epoch: int, now_ns: int) -> Sequence[Effect]:
        """Ask for a newer snapshot of a book that goes on."""
        book = self._book_of.get(instrument)
        return () if book is None else book.refresh(epoch, now_ns)

    def _close_books(self) -> list[Effect]:
        """Every book is DOWN."""
        return [
            effect for book in self._books.values() for effect in book.close("connection closed")
        ]
