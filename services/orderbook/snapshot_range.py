"""When the price nears the end of the levels that a snapshot had. Pure."""

from __future__ import annotations

from shared.domain.book import Book

REFRESH_SHARE = 0.5
"""A snapshot is renewed when the price has gone this share of the way to the end of its range."""
REFRESH_PAUSE_NS = 3_000_000_000
"""Least time between two requests of that kind for one book."""
OUTSIDE = "the price left the levels of the snapshot"

_INFINITY = float("inf")


class SnapshotRange:
    """How much of its range a book had when its snapshot came; infinite where a side is whole."""

    def __init__(self, room: tuple[float, float] = (_INFINITY, _INFINITY)) -> None:
        self._asked_ns = 0
        self._take(room)

    def begin(self, book: Book) -> None:
        """A snapshot was taken."""
        self._take(book.room())

    def _take(self, room: tuple[float, float]) -> None:
        self.room = room
        self._room_min = [REFRESH_SHARE * each if each < _INFINITY else -_INFINITY for each in room]
        """Room of bids and of asks below which a snapshot is renewed."""
        self._is_whole = room[0] == room[1] == _INFINITY

    def refresh_due(self, book: Book, now_ns: int) -> bool:
        """Tell whether to ask for a newer snapshot now; if so, the next time is set."""
        if not self.is_near_end(book, now_ns):
            return False
        self._asked_ns = now_ns
        return True

    def is_near_end(self, book: Book, now_ns: int) -> bool:
        """Tell whether a newer snapshot is to be asked for; written out, as every tick asks."""
        if self._is_whole or now_ns - self._asked_ns < REFRESH_PAUSE_NS:
            return False
        bid_room, ask_room = book.room()
        bid_room_min, ask_room_min = self._room_min
        return bid_room < bid_room_min or ask_room < ask_room_min
