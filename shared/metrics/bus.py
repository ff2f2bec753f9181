"""Streams, books and feeds as Redis shows them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from shared.feed_statuses import Feeds, keep_newest, of_two_feeds, of_venues
from shared.messages.base import BookState, FeedName
from shared.messages.market import DepthView, VenueStatus
from shared.metrics import table as m
from shared.metrics.metric import BOOKS_LIMIT_S, LIMIT_S
from shared.metrics.requests import BooksRead, StreamsRead
from shared.metrics.samples import Samples
from shared.metrics.venue_metrics import CLOCK_OFFSET, FEED_OF_TWO_UP
from shared.streams import ALL

SILENT: Final = "SILENT"
_LIMIT_NS: Final = int(LIMIT_S * 1e9)
_BOOKS_LIMIT_NS: Final = int(BOOKS_LIMIT_S * 1e9)


class BusState:
    """The newest of each reading, with the time of its arrival.

    Args:
        venues: Those that are configured.
        shards: Of the streams that have any.
        two_feeds: Venues that two ingestors follow.
    """

    def __init__(self, venues: Iterable[str], shards: int, two_feeds: Iterable[str] = ()) -> None:
        self._venues, self._shards = frozenset(venues), shards
        self._two_feeds = tuple(two_feeds)
        self._streams: StreamsRead | None = None
        self._views: dict[tuple[str, str], DepthView] = {}
        self._streams_ns = self._books_ns = 0
        self._feeds: Feeds = {}
        self._is_lost = False

    def on_status(self, status: VenueStatus) -> None:
        """Keep the newest status of each ingestor's feed of a venue."""
        if status.venue in self._venues and not status.instrument:
            keep_newest(self._feeds, status)

    def on_streams(self, read: StreamsRead, now_ns: int) -> None:
        """Keep a reading of the streams."""
        self._streams, self._streams_ns, self._is_lost = read, now_ns, False

    def on_books(self, read: BooksRead, now_ns: int) -> None:
        """Keep the newest view of every book of a configured venue; one not seen lately goes."""
        self._views.update({(view.venue, view.instrument): view for view in read.views})
        self._views = {
            key: view
            for key, view in self._views.items()
            if key[0] in self._venues and now_ns - view.ts_ns < 2 * _BOOKS_LIMIT_NS
        }
        self._books_ns = now_ns

    def on_lost(self) -> None:
        """Note that Redis could not be read."""
        self._is_lost = True

    def is_read(self, now_ns: int) -> bool:
        """Tell whether Redis is being read."""
        return not self._is_lost and now_ns - self._streams_ns < _LIMIT_NS

    def tell(self, out: Samples, now_ns: int) -> None:
        """Add what is not older than its limit."""
        for spec in ALL:
            shards = self._shards if spec.sharded else 1
            out.add(m.STREAM_BYTES_MAX, spec.bytes_max * shards, spec.name)
        self._tell_feeds(out, now_ns)
        if now_ns - self._books_ns < _BOOKS_LIMIT_NS:
            self._tell_books(out, now_ns)
        if self._streams is None or not self.is_read(now_ns):
            return
        for name, (entries, size) in sorted(self._streams.sizes.items()):
            out.add(m.STREAM_ENTRIES, entries, name)
            out.add(m.STREAM_BYTES, size, name)
        for (stream, service), lag_ms in sorted(self._streams.lags_ms.items()):
            out.add(m.STREAM_LAG, lag_ms / 1e3, stream, service)
        for name, count in sorted(self._streams.dead.items()):
            out.add(m.DEAD_LETTERS, count, name)

    def _tell_feeds(self, out: Samples, now_ns: int) -> None:
        young = {k: each for k, each in self._feeds.items() if now_ns - each.ts_ns < _LIMIT_NS}
        for venue, status in of_venues(young).items():
            out.add(m.FEED_UP, float(status.state is BookState.LIVE), venue)
        two = of_two_feeds(young)
        for venue, feed in ((v, f) for v in self._two_feeds for f in (FeedName.A, FeedName.B)):
            if any(place[0] == venue for place in two):  # else neither was heard
                told = two.get((venue, feed))
                is_up = told is not None and told.state is BookState.LIVE
                out.add(FEED_OF_TWO_UP, float(is_up), venue, feed.value)

    def _tell_books(self, out: Samples, now_ns: int) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        changed_ns: dict[str, int] = {}
        late_ns: dict[str, int] = {}
        for (venue, _), view in sorted(self._views.items()):
            is_silent = now_ns - view.ts_ns >= _BOOKS_LIMIT_NS
            counts[venue, SILENT if is_silent else view.state.value] += 1
            changed_ns[venue] = min(view.ts_recv_ns, changed_ns.get(venue, view.ts_recv_ns))
            if view.ts_venue_ns is not None and not is_silent:
                late = view.ts_recv_ns - view.ts_venue_ns
                late_ns[view.venue] = min(late, late_ns.get(view.venue, late))
        for venue, least_ns in sorted(late_ns.items()):
            out.add(CLOCK_OFFSET, least_ns / 1e9, venue)
        for venue, oldest_ns in sorted(changed_ns.items()):
            for state in (*BookState, SILENT):
                out.add(m.BOOKS, counts[venue, str(state)], venue, str(state))
            out.add(m.BOOK_TIME, oldest_ns / 1e9, venue)
