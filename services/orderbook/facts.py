"""The facts of one book that decide its trust state, and their saved form. Pure.

What makes the facts is in ``tracked.py``.
"""

from __future__ import annotations

from typing import Any, Protocol

from services.orderbook.delta_pauses import DeltaPauses
from services.orderbook.feed_status import FeedStatus
from services.orderbook.resync import ResyncTimer
from services.orderbook.snapshot_range import OUTSIDE, SnapshotRange
from shared.domain.book import Book
from shared.messages.base import BookState, FeedName

BEHIND_NS_MAX = 1_000_000_000
"""A message older than this when read does not make a book LIVE."""
FORGET_NS = 60_000_000_000
"""After this long without a message the epoch is forgotten, so that a clock set back cannot shut a
book out for ever."""


class OfBook(Protocol):
    """A book, or a message of one."""

    @property
    def venue(self) -> str:
        """The configured name."""

    @property
    def instrument(self) -> str:
        """Ours."""

    @property
    def feed(self) -> FeedName:
        """Which ingestor of the venue it is from."""


def name_of(what: OfBook) -> tuple[str, ...]:
    """Return the name of the book: venue and instrument, and the feed where there are two."""
    if what.feed is FeedName.ONLY:
        return what.venue, what.instrument
    return what.venue, what.instrument, what.feed


class BookFacts:
    """One book of one venue; ``state`` and ``reason`` are what the facts amount to."""

    def __init__(
        self,
        venue: str,
        instrument: str,
        *,
        stale_after_ns: int,
        counters: dict[str, int],
        accepts_unproved: bool = False,
        feed: FeedName = FeedName.ONLY,
    ) -> None:
        self.venue, self.instrument, self.feed = venue, instrument, feed
        self.is_grouped = False
        """Whether other ingestors feed books of it too (``feed_group.py``)."""
        self.book = Book()
        self.counters = counters
        self.epoch = 0
        self.seq = 0
        self.ts_recv_ns = 0
        self.state = BookState.SYNCING
        self.reason = "no snapshot yet"
        self.shown_ns = 0
        self.shown_live = False
        self.shown_state: tuple[BookState, str] | None = None
        self._stale_after_ns = stale_after_ns
        self._calm_ns_max = min(stale_after_ns, FORGET_NS)
        """A silence that means nothing, whatever the book's usual pauses are."""
        self.ts_venue_ns: int | None = None
        self._broken: BookState | None = BookState.SYNCING
        self._broken_reason = "no snapshot yet"
        self._unproved, self._accepts_unproved = "", accepts_unproved
        self._feed_status = FeedStatus()
        self._other_feed = False
        self._behind = False
        self._behind_ns = 0
        self._pauses = DeltaPauses(stale_after_ns)
        self._heard_ns = 0
        self._snapshot_range = SnapshotRange()
        self._wanted_epoch = 0
        self._resync = ResyncTimer()

    @property
    def is_refused(self) -> bool:
        """Whether the venue does not serve the instrument, so the book is not waited for."""
        return self._feed_status.refused

    @property
    def name(self) -> tuple[str, ...]:
        """What tells it from every other book."""
        return name_of(self)

    # Trust

    def _note_age(self, ts_recv_ns: int, now_ns: int) -> None:
        self._behind = now_ns - ts_recv_ns > BEHIND_NS_MAX
        if self._behind:
            self._behind_ns = now_ns

    def _is_silent(self, now_ns: int) -> bool:
        return now_ns - self._heard_ns > self._stale_after_ns

    def _decide(self, now_ns: int) -> None:
        if self._feed_status.state is not None:
            self.state, self.reason = self._feed_status.state, self._feed_status.reason
        elif self._broken is not None:
            self.state, self.reason = self._broken, self._broken_reason
        elif self._behind:
            self.state, self.reason = BookState.STALE, "catching up: the messages read are old"
        elif self.book.is_outside():
            self.state, self.reason = BookState.SYNCING, OUTSIDE
        elif self._is_silent(now_ns):
            self.state, self.reason = BookState.STALE, "no message"
        elif self._pauses.suspected:
            self.state, self.reason = BookState.STALE, "quieter than usual"
        elif self._unproved and not self._accepts_unproved:
            self.state, self.reason = BookState.UNPROVED, self._unproved
        else:
            accepted = f"accepted unproved: {self._unproved}" if self._unproved else ""
            self.state, self.reason = BookState.LIVE, accepted

    # What was shown of it, and what a restart needs

    def note_shown(self, now_ns: int) -> None:
        """A view of this moment was made."""
        self.shown_ns = now_ns
        self.shown_live = self.state is BookState.LIVE
        self.shown_state = (self.state, self.reason)

    def forget_shown(self) -> None:
        """Let the next look find a view to show, changed or not."""
        self.shown_live, self.shown_state = False, None

    def save(self) -> dict[str, Any]:
        """Return everything that a restart needs, as plain data to be encoded at once."""
        bids, asks = self.book.sides()
        return {
            "venue": self.venue,
            "instrument": self.instrument,
            "feed": self.feed,
            "epoch": self.epoch,
            "seq": self.seq,
            "bids": bids,
            "asks": asks,
            "depth_max": self.book.depth_max,
            "bid_floor": self.book.bid_floor,
            "ask_ceiling": self.book.ask_ceiling,
            "room": self._snapshot_range.room,
            "ts_recv_ns": self.ts_recv_ns,
            "ts_venue_ns": self.ts_venue_ns,
            "unproved": self._unproved,
            "broken": self._broken,
            "broken_reason": self._broken_reason,
            "pause_ns": self._pauses.longest_ns,
            "resync": self._resync.save(),
        }

    def load(self, saved: dict[str, Any], now_ns: int) -> None:
        """Take back what ``save`` returned; the book is behind until it is proved current."""
        self.book.depth_max = saved["depth_max"]
        self.book.replace(
            saved["bids"].items(),
            saved["asks"].items(),
            saved.get("bid_floor"),  # a checkpoint of an earlier version has none
            saved.get("ask_ceiling"),
        )
        self._snapshot_range = SnapshotRange(tuple(saved.get("room", self.book.room())))
        self.epoch, self.seq = saved["epoch"], saved["seq"]
        self.ts_recv_ns = self._heard_ns = saved["ts_recv_ns"]
        self.ts_venue_ns = saved["ts_venue_ns"]
        self._unproved = saved.get("unproved", "")
        self._broken = None if saved["broken"] is None else BookState(saved["broken"])
        self._broken_reason = saved["broken_reason"]
        self._pauses = DeltaPauses(self._stale_after_ns, saved["pause_ns"])
        self._resync = ResyncTimer(*saved["resync"])
        self._behind, self._behind_ns = True, now_ns
        self._decide(now_ns)
