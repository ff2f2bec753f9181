"""Books of venues that two ingestors follow: views of the feed that is ahead. Pure.

Which one that is, and whether they agree, is in ``feed_group.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from services.orderbook.feed_group import FeedGroup
from services.orderbook.feed_watch import FeedWatch
from services.orderbook.tracked import TrackedBook
from services.orderbook.views import Views, refresh_request, request
from shared.messages.base import BookState, FeedName, Message
from shared.messages.control import Alert, Severity
from shared.messages.market import BookDelta, BookSnapshot, VenueStatus

_LIVE: Final = BookState.LIVE
TWO_FEEDS: Final = (FeedName.A, FeedName.B)

NewBook = Callable[[str, str, FeedName], TrackedBook | None]
"""Makes a book of a venue's instrument; ``None`` where there are too many."""


class Arbitration:
    """The groups of books of one instrument each.

    Args:
        two_feeds: Venues that two ingestors are configured to follow.
        views: Makes the messages of books.
        new_book: Makes a further book.
        depth_levels: How many levels of a side two feeds are compared in.
        stale_after_ns: A feed is lost when nothing was heard of it for so long.
        counters: What is counted.
    """

    def __init__(
        self,
        two_feeds: Collection[str],
        views: Views,
        new_book: NewBook,
        *,
        depth_levels: int,
        stale_after_ns: int,
        counters: dict[str, int],
    ) -> None:
        self.groups: dict[tuple[str, str], FeedGroup] = {}
        """By venue and instrument."""
        self.dropped: list[TrackedBook] = []
        """Books that no ingestor feeds any more, to be taken by whoever calls ``on_timer``."""
        self._two_feeds, self._views, self._new_book = two_feeds, views, new_book
        self._depth_levels, self._counters = depth_levels, counters
        self.watch = FeedWatch(two_feeds, stale_after_ns)

    def is_of(self, venue: str, instrument: str, feed: FeedName) -> bool:
        """Tell whether a book belongs to a group."""
        return (
            feed is not FeedName.ONLY
            or venue in self._two_feeds
            or (venue, instrument) in self.groups
        )

    def books(self) -> Iterator[TrackedBook]:
        """Yield every book of every group."""
        for group in self.groups.values():
            for member in group.members:
                yield member.book

    def find(self, venue: str, instrument: str, feed: FeedName) -> TrackedBook | None:
        """Return the book of a feed, ``None`` where there is none."""
        group = self.groups.get((venue, instrument))
        return None if group is None else group.find(feed)

    def book(
        self, venue: str, instrument: str, feed: FeedName, single: TrackedBook | None = None
    ) -> TrackedBook | None:
        """Return the book of a feed; a group is made if need be, with the ``single`` one in it."""
        group = self.groups.get((venue, instrument))
        if group is None:
            group = FeedGroup(TWO_FEEDS if venue in self._two_feeds else (), self._depth_levels)
        if single is not None:
            group.add(single)
        book = group.find(feed)
        if book is None:
            book = self._new_book(venue, instrument, feed)
            if book is not None:
                group.add(book)
        if group.members:
            self.groups[venue, instrument] = group
        return book

    # Messages

    def on_delta(self, delta: BookDelta, book: TrackedBook, now_ns: int) -> list[Message]:
        """A feed's book changes."""
        seq = book.seq
        book.on_delta(delta, now_ns)
        return self._after(book, now_ns, moved=book.seq != seq)

    def on_snapshot(self, snapshot: BookSnapshot, book: TrackedBook, now_ns: int) -> list[Message]:
        """A feed's book starts over."""
        self.groups[book.venue, book.instrument].heard(book, now_ns)
        epoch = book.epoch
        book.on_snapshot(snapshot, now_ns)
        return self._after(book, now_ns, moved=book.epoch != epoch)

    def on_status(self, status: VenueStatus, book: TrackedBook, now_ns: int) -> list[Message]:
        """An ingestor says how its book is, or (empty instrument) the whole venue."""
        if status.instrument:
            self.groups[book.venue, book.instrument].heard(book, now_ns)
        book.on_status(status, now_ns)
        return self._after(book, now_ns, moved=False, cause_ns=status.ts_ns)

    def on_timer(self, now_ns: int, view_ns: int, view_not_live_ns: int) -> list[Message]:
        """Judge silence and numbers that stay apart; repeat views older than these times."""
        out: list[Message] = []
        for group in self.groups.values():
            self.dropped += group.drop_former(now_ns)
            for book in [member.book for member in group.members]:
                book.on_timer(now_ns)
            if why := group.numbers_apart(now_ns):
                out += self._on_difference(group, why, now_ns)
            if group.shown_ns <= (view_ns if group.is_live else view_not_live_ns):
                group.shown_state = None
            out += self._show(group, now_ns, 0)
            for book in [member.book for member in group.members]:
                if book.refresh_due(now_ns):
                    out.append(refresh_request(book, now_ns))
        return out

    def _after(
        self, book: TrackedBook, now_ns: int, *, moved: bool, cause_ns: int = 0
    ) -> list[Message]:
        """Return what follows of a change of a book; ``moved``: also its number changed."""
        out: list[Message] = []
        group = self.groups[book.venue, book.instrument]
        if moved and (why := group.difference(book)):
            out += self._on_difference(group, why, now_ns)
        out += self._show(group, now_ns, cause_ns)
        if moved and group.shown is not book and book.state is _LIVE:
            self._counters["feeds_duplicates"] += 1
        return out

    def _show(self, group: FeedGroup, now_ns: int, cause_ns: int) -> list[Message]:
        """Return a view if what is shown has changed, and the requests that are due."""
        out: list[Message] = []
        group.choose(now_ns)
        shown, told = group.shown, group.told(now_ns)
        if group.is_due(told):
            self._counters["views"] += 1
            view = self._views.view_as(shown, *told, now_ns, cause_ns)
            group.note_shown(view, now_ns)
            out.append(view)
        for book in [member.book for member in group.members]:
            if book.ask_due(now_ns):
                out.append(request(book, now_ns, f"{book.state.value}: {book.reason}"))
        return out

    def _on_difference(self, group: FeedGroup, why: str, now_ns: int) -> list[Message]:
        """Trust neither feed: both start over."""
        self._counters["feeds_diverged"] += 1
        for book in [member.book for member in group.members]:
            if book.state is _LIVE:
                book.on_feeds_differ(f"two feeds differ: {why}", now_ns)
        shown = group.shown
        return [
            Alert(
                service="orderbook",
                severity=Severity.WARNING,
                code="FEEDS_DIFFER",
                text=f"{shown.venue} {shown.instrument}: {why}; both start over",
                ts_ns=now_ns,
                subject=f"{shown.venue}|{shown.instrument}",
            )
        ]
