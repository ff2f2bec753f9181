"""One book and how far it can be trusted. Pure.

Theory of operation. Five independent facts decide the state, worst first:

* ``wire``: what the ingestor says of the feed (``md.status``), where that is not LIVE. Statuses and
  deltas travel on different streams, so a status counts only if it is newer than the newest delta
  applied; a status of an epoch that is over is ignored.
* ``broken``: continuity over the bus. Only ``seq_prev == seq`` of the same epoch continues a book;
  after a loss (GAP), a crossed book (CROSSED) or before any snapshot (SYNCING) nothing but a
  snapshot of a newer epoch heals. Until then a resync is asked for, again and again with backoff.
* ``behind``: the newest message was old when it was read (a restart, a slow reader), so the book is
  whole but past: STALE until a message arrives in time, or the ingestor confirms the epoch when no
  message of the past was read for ``CATCH_UP_NS``.
* range: a snapshot has a limited number of levels. Where the best bid or ask is beyond them it is
  not surely the best: SYNCING until a newer snapshot, or until the price is back. As the price
  nears the end, a refresh is asked for, which does not interrupt the book.
* silence: STALE when neither a message nor a confirming status (LIVE of this epoch, each second)
  was received for ``stale_after_ns``. A quiet but confirmed book is LIVE - unless it is far quieter
  than usual (``delta_pauses.py``): its stream may be dead on a live connection. Then it is STALE
  and a resync is asked for, whose snapshot proves or renews it.

Ages compare ``ts_recv_ns`` and the statuses' ``ts_ns``, both stamped by the ingestor, with this
process's clock: machines must agree to well within ``stale_after_ns``.
"""

from __future__ import annotations

from typing import Final

from services.orderbook.facts import BEHIND_NS_MAX, FORGET_NS, BookFacts
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, VenueStatus

_LIVE: Final = BookState.LIVE
_CROSSED: Final = BookState.CROSSED
_DOWN: Final = BookState.DOWN
_SYNCING: Final = BookState.SYNCING

SNAPSHOT_GRACE_NS = 2_000_000_000
"""How long a snapshot announced by a status may take over its own stream before it is missed.

A busy machine may take a second; asking again too early makes every reader of the venue start over.
"""
CATCH_UP_NS = 200_000_000
"""A reader that found nothing old for this long has read everything there was."""


class TrackedBook(BookFacts):
    """One book of one venue; after each call see ``state`` and ``ask_due``."""

    # Messages

    def on_delta(self, delta: BookDelta, now_ns: int) -> None:
        """Apply a delta if it continues the book; otherwise drop it or declare the gap."""
        if delta.epoch != self.epoch or delta.seq_prev != self.seq or self._broken is not None:
            self._on_other_delta(delta, now_ns)
            return
        book = self.book
        book.apply(delta.bids, delta.asks)
        self.seq = delta.seq
        ts_recv_ns = delta.ts_recv_ns
        self._pauses.on_delta(ts_recv_ns)
        # A delta that waited for the snapshot is older than it; the book's tick is the newer one.
        if ts_recv_ns > self.ts_recv_ns:
            self.ts_recv_ns = self._heard_ns = ts_recv_ns
        self.ts_venue_ns = delta.ts_venue_ns
        self.counters["book_events"] += 1
        if book.is_crossed():
            self._break(_CROSSED, self._crossed_text(), now_ns)
        elif (
            self.state is not _LIVE
            or now_ns - ts_recv_ns > BEHIND_NS_MAX
            or (book.touched and book.is_outside())
        ):
            self._note_age(self.ts_recv_ns, now_ns)
            self._decide(now_ns)

    def _on_other_delta(self, delta: BookDelta, now_ns: int) -> None:
        counters = self.counters
        if delta.epoch < self.epoch:
            counters["dropped_old_epoch"] += 1
        elif delta.epoch > self.epoch:
            counters["dropped_without_snapshot"] += 1
            self._want(delta.epoch)
            if self._broken is None:
                self._gap("the snapshot of a newer epoch was missed", now_ns)
            else:
                self._resync.want(now_ns)
        elif delta.seq <= self.seq:
            counters["dropped_duplicate"] += 1
        elif self._broken is not None:
            counters["dropped_broken"] += 1
        else:
            self._gap(f"expected a change onto {self.seq}, got one onto {delta.seq_prev}", now_ns)

    def on_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> None:
        """Start over from a snapshot of a newer epoch; an older or known one is dropped."""
        if snapshot.epoch <= self.epoch:
            known = snapshot.epoch == self.epoch
            self.counters["dropped_duplicate" if known else "dropped_old_epoch"] += 1
            return
        self.book.depth_max = snapshot.depth_max
        self.book.replace(snapshot.bids, snapshot.asks, snapshot.bid_floor, snapshot.ask_ceiling)
        self._snapshot_range.begin(self.book)
        self.epoch, self.seq = snapshot.epoch, snapshot.seq
        self.ts_recv_ns = self._heard_ns = snapshot.ts_recv_ns
        self.ts_venue_ns = snapshot.ts_venue_ns
        self._broken, self._broken_reason = None, ""
        self._unproved = snapshot.unproved
        self._pauses.on_snapshot()
        self._note_age(snapshot.ts_recv_ns, now_ns)
        # What the wire said before this snapshot is over.
        self._feed_status.follow("")
        self._other_feed = False
        if self._wanted_epoch <= snapshot.epoch and self._feed_status.ts_ns <= snapshot.ts_recv_ns:
            self._feed_status.clear()
            self._resync.cancel()
        self.counters["book_events"] += 1
        if self.book.is_crossed():
            self._break(_CROSSED, self._crossed_text(), now_ns)
        else:
            self._decide(now_ns)

    def on_status(self, status: VenueStatus, now_ns: int) -> None:
        """Take what the ingestor says of this book, or (empty instrument) of the whole venue."""
        whole_venue = not status.instrument
        old = not whole_venue and status.epoch < self.epoch
        if old or self._feed_status.is_foreign(status):
            self._on_other_feed(status, now_ns)
            return
        if status.state.is_followed:
            if not whole_venue:
                self._on_confirmation(status, now_ns)
        elif status.epoch > self.epoch or status.ts_ns > self.ts_recv_ns:
            if whole_venue and status.state is not _DOWN:
                return  # some of its connections; the books speak for themselves
            self._want(status.epoch)
            self._feed_status.degrade(
                status.state, status.reason, status.ts_ns, refused=status.refused
            )
            # The ingestor is synchronising already; asking again would only add work.
            self._resync.cancel()
        self._decide(now_ns)

    def _on_other_feed(self, status: VenueStatus, now_ns: int) -> None:
        """Ask another ingestor that has the book LIVE to start over, if our own has failed us."""
        if not status.instrument or not status.state.is_followed:
            return
        failed = self._feed_status.state is _DOWN or self._is_silent(now_ns)
        if failed and now_ns - status.ts_ns <= BEHIND_NS_MAX:
            self._other_feed = True
            self._resync.want(now_ns)

    def _on_confirmation(self, status: VenueStatus, now_ns: int) -> None:
        """The book is in step at the wire in ``status.epoch``."""
        if status.epoch > self.epoch:
            self._want(status.epoch)
            self._feed_status.degrade(_SYNCING, "waiting for the snapshot")
            self._resync.want(now_ns + SNAPSHOT_GRACE_NS)
            return
        self._feed_status.clear()
        self._feed_status.follow(status.source)
        self._heard_ns = max(self._heard_ns, min(status.ts_ns, now_ns))
        in_time = now_ns - status.ts_ns <= BEHIND_NS_MAX
        if in_time and now_ns - self._behind_ns > CATCH_UP_NS:
            self._behind = False
        if self._broken is not None:
            self._resync.want(now_ns)

    def on_audit_failed(self, reason: str, now_ns: int) -> None:
        """It was compared with the venue's REST book and differs: nothing may be priced by it."""
        self._break(BookState.AUDIT_FAILED, reason, now_ns)

    def on_feeds_differ(self, reason: str, now_ns: int) -> None:
        """Another ingestor's book of it differs, and nothing says which one is wrong."""
        self._break(BookState.GAP, reason, now_ns)

    # Time

    def is_calm(self, now_ns: int) -> bool:
        """Tell whether a look at it now would find nothing: LIVE as shown, and lately heard of."""
        return (
            self.state is _LIVE
            and self.shown_live
            and now_ns - self.ts_recv_ns <= self._calm_ns_max
            and not self.book.touched
            and self._resync.due_ns is None
            and not self._snapshot_range.is_near_end(self.book, now_ns)
        )

    def on_timer(self, now_ns: int) -> None:
        """Judge silence."""
        watched = self._feed_status.state is None and self._broken is None
        if watched and self._pauses.suspect(now_ns - self.ts_recv_ns):
            self.counters["silences"] += 1
            self._resync.want_anew(now_ns)
        if self.epoch and now_ns - self._heard_ns > FORGET_NS:
            self.epoch = self.seq = self._wanted_epoch = 0
            self._broken, self._broken_reason = _SYNCING, "no message for a minute"
            self._feed_status.follow("")
        self._decide(now_ns)

    def ask_due(self, now_ns: int) -> bool:
        """Tell whether a resync must be asked for now; if so, the next time is set."""
        if not self._resync.is_due(now_ns):
            return False
        if not self._needs_resync:
            self._resync.cancel()
            return False
        self._resync.asked(now_ns)
        self.counters["resyncs"] += 1
        return True

    def refresh_due(self, now_ns: int) -> bool:
        """Tell whether a newer snapshot must be asked for now, as the price nears the end of it."""
        if self._broken is not None or self._feed_status.state is not None:
            return False
        if not self._snapshot_range.refresh_due(self.book, now_ns):
            return False
        self.counters["refreshes"] += 1
        return True

    @property
    def wants_resync(self) -> bool:
        """Whether a resync is to be asked for, now or later."""
        return self._resync.due_ns is not None

    @property
    def asked_epoch(self) -> int:
        """The epoch that was lost: the newest one known."""
        return max(self.epoch, self._wanted_epoch)

    @property
    def _needs_resync(self) -> bool:
        return (
            self._broken is not None
            or self._pauses.suspected
            or self._wanted_epoch > self.epoch
            or self._other_feed
        )

    # Continuity

    def _want(self, epoch: int) -> None:
        self._wanted_epoch = max(self._wanted_epoch, epoch)

    def _gap(self, reason: str, now_ns: int) -> None:
        self.counters["gaps"] += 1
        self._break(BookState.GAP, reason, now_ns)

    def _break(self, state: BookState, reason: str, now_ns: int) -> None:
        if state is _CROSSED:
            self.counters["crossed"] += 1
        self._broken, self._broken_reason = state, reason
        self._resync.want_anew(now_ns)
        self._decide(now_ns)

    def _crossed_text(self) -> str:
        bid, ask = self.book.best_bid(), self.book.best_ask()
        return f"best bid {bid and bid[0]} is at or above best ask {ask and ask[0]}"
