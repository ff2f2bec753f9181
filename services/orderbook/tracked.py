"""One book and how far it can be trusted. Pure.

Theory of operation. Four independent facts decide the state, worst first:

* ``wire``: what the ingestor says of the feed (``md.status``), where that is not LIVE. Statuses and
  deltas travel on different streams, so a status counts only if it was said after the newest delta
  applied; a word about an epoch that is over is ignored.
* ``broken``: continuity over the bus. Only ``seq_prev == seq`` of the same epoch continues a book;
  after a loss (GAP), a crossed book (CROSSED) or before any snapshot (SYNCING) nothing but a
  snapshot of a newer epoch heals. Until then a resync is asked for, again and again with backoff.
* ``behind``: the newest message was old when it was read (a restart, a slow reader), so the book is
  whole but past: STALE until a message arrives in time, or the ingestor confirms the epoch when no
  message of the past was read for ``CATCH_UP_NS``.
* silence: STALE when neither a message nor a confirming status (LIVE of this epoch, each second)
  was heard for ``stale_after_ns``. A quiet but confirmed book is LIVE - unless it is far quieter
  than its own rhythm (``rhythm.py``): its stream may be dead on a live connection. Then it is STALE
  and a resync is asked for, whose snapshot proves or renews it.

Ages compare ``ts_recv_ns`` and the statuses' ``ts_ns``, both stamped by the ingestor, with this
process's clock: machines must agree to well within ``stale_after_ns``.
"""

from __future__ import annotations

from typing import Any

from services.orderbook.resync import ResyncTimer
from services.orderbook.rhythm import Rhythm
from shared.domain.book import Book
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, VenueStatus

SNAPSHOT_GRACE_NS = 1_000_000_000
"""How long a snapshot announced by a status may take over its own stream before it is missed."""
BEHIND_NS_MAX = 1_000_000_000
"""A message older than this when read does not make a book LIVE."""
CATCH_UP_NS = 200_000_000
"""A reader that found nothing old for this long has read everything there was."""
FORGET_NS = 60_000_000_000
"""After this long without a word the epoch is forgotten, so that a clock set back cannot shut a
book out for ever."""


class TrackedBook:
    """One book of one venue; after each call see ``state`` and ``ask_due``."""

    def __init__(
        self,
        venue: str,
        instrument: str,
        *,
        stale_after_ns: int,
        counters: dict[str, int],
    ) -> None:
        self.venue, self.instrument = venue, instrument
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
        self.ts_venue_ns: int | None = None
        self._broken: BookState | None = BookState.SYNCING
        self._broken_reason = "no snapshot yet"
        self._wire: BookState | None = None
        self._wire_reason = ""
        self._wire_ns = 0
        self._behind = False
        self._behind_ns = 0
        self._rhythm = Rhythm(stale_after_ns)
        self._heard_ns = 0
        self._wanted_epoch = 0
        self._resync = ResyncTimer()

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
        self._rhythm.on_delta(ts_recv_ns)
        # A delta that waited for the snapshot is older than it; the book's tick is the newer one.
        if ts_recv_ns > self.ts_recv_ns:
            self.ts_recv_ns = self._heard_ns = ts_recv_ns
        self.ts_venue_ns = delta.ts_venue_ns
        self.counters["book_events"] += 1
        if book.is_crossed():
            self._break(BookState.CROSSED, self._crossed_text(), now_ns)
        elif self.state is not BookState.LIVE or now_ns - ts_recv_ns > BEHIND_NS_MAX:
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
        self.book.replace(snapshot.bids, snapshot.asks)
        self.epoch, self.seq = snapshot.epoch, snapshot.seq
        self.ts_recv_ns = self._heard_ns = snapshot.ts_recv_ns
        self.ts_venue_ns = snapshot.ts_venue_ns
        self._broken, self._broken_reason = None, ""
        self._rhythm.on_snapshot()
        self._note_age(snapshot.ts_recv_ns, now_ns)
        # What the wire said before this snapshot is over.
        if self._wanted_epoch <= snapshot.epoch and self._wire_ns <= snapshot.ts_recv_ns:
            self._wire = None
            self._resync.cancel()
        self.counters["book_events"] += 1
        if self.book.is_crossed():
            self._break(BookState.CROSSED, self._crossed_text(), now_ns)
        else:
            self._decide(now_ns)

    def on_status(self, status: VenueStatus, now_ns: int) -> None:
        """Take what the ingestor says of this book, or (empty instrument) of the whole venue."""
        whole_venue = not status.instrument
        if not whole_venue and status.epoch < self.epoch:
            return
        if status.state is BookState.LIVE:
            if not whole_venue:
                self._on_confirmation(status, now_ns)
        elif status.epoch > self.epoch or status.ts_ns > self.ts_recv_ns:
            if whole_venue and status.state is not BookState.DOWN:
                return  # some of its connections; the books speak for themselves
            self._want(status.epoch)
            self._wire, self._wire_reason = status.state, status.reason
            self._wire_ns = status.ts_ns
            # The ingestor is synchronising already; asking again would only add work.
            self._resync.cancel()
        self._decide(now_ns)

    def _on_confirmation(self, status: VenueStatus, now_ns: int) -> None:
        """The book is LIVE at the wire in ``status.epoch``."""
        if status.epoch > self.epoch:
            self._want(status.epoch)
            self._wire, self._wire_reason = BookState.SYNCING, "waiting for the snapshot"
            self._wire_ns = 0
            self._resync.want(now_ns + SNAPSHOT_GRACE_NS)
            return
        self._wire = None
        self._heard_ns = max(self._heard_ns, min(status.ts_ns, now_ns))
        in_time = now_ns - status.ts_ns <= BEHIND_NS_MAX
        if in_time and now_ns - self._behind_ns > CATCH_UP_NS:
            self._behind = False
        if self._broken is not None:
            self._resync.want(now_ns)

    # Time

    def on_timer(self, now_ns: int) -> None:
        """Judge silence."""
        watched = self._wire is None and self._broken is None
        if watched and self._rhythm.suspect(now_ns - self.ts_recv_ns):
            self.counters["silences"] += 1
            self._resync.want_anew(now_ns)
        if self.epoch and now_ns - self._heard_ns > FORGET_NS:
            self.epoch = self.seq = self._wanted_epoch = 0
            self._broken, self._broken_reason = BookState.SYNCING, "nothing heard for a minute"
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

    @property
    def asked_epoch(self) -> int:
        """The epoch that was lost: the newest one heard of."""
        return max(self.epoch, self._wanted_epoch)

    @property
    def _needs_resync(self) -> bool:
        return self._broken is not None or self._rhythm.suspected or self._wanted_epoch > self.epoch

    # Trust

    def _note_age(self, ts_recv_ns: int, now_ns: int) -> None:
        self._behind = now_ns - ts_recv_ns > BEHIND_NS_MAX
        if self._behind:
            self._behind_ns = now_ns

    def _want(self, epoch: int) -> None:
        self._wanted_epoch = max(self._wanted_epoch, epoch)

    def _gap(self, reason: str, now_ns: int) -> None:
        self.counters["gaps"] += 1
        self._break(BookState.GAP, reason, now_ns)

    def _break(self, state: BookState, reason: str, now_ns: int) -> None:
        if state is BookState.CROSSED:
            self.counters["crossed"] += 1
        self._broken, self._broken_reason = state, reason
        self._resync.want_anew(now_ns)
        self._decide(now_ns)

    def _crossed_text(self) -> str:
        bid, ask = self.book.best_bid(), self.book.best_ask()
        return f"best bid {bid and bid[0]} is at or above best ask {ask and ask[0]}"

    def _decide(self, now_ns: int) -> None:
        if self._wire is not None:
            self.state, self.reason = self._wire, self._wire_reason
        elif self._broken is not None:
            self.state, self.reason = self._broken, self._broken_reason
        elif self._behind:
            self.state, self.reason = BookState.STALE, "reading messages of the past"
        elif now_ns - self._heard_ns > self._stale_after_ns:
            self.state, self.reason = BookState.STALE, "nothing heard"
        elif self._rhythm.suspected:
            self.state, self.reason = BookState.STALE, "quieter than it ever was"
        else:
            self.state, self.reason = BookState.LIVE, ""

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
            "epoch": self.epoch,
            "seq": self.seq,
            "bids": bids,
            "asks": asks,
            "depth_max": self.book.depth_max,
            "ts_recv_ns": self.ts_recv_ns,
            "ts_venue_ns": self.ts_venue_ns,
            "broken": self._broken,
            "broken_reason": self._broken_reason,
            "pause_ns": self._rhythm.longest_ns,
            "resync": self._resync.save(),
        }

    def load(self, saved: dict[str, Any], now_ns: int) -> None:
        """Take back what ``save`` returned; the book is behind until it is proved current."""
        self.book.depth_max = saved["depth_max"]
        self.book.replace(saved["bids"].items(), saved["asks"].items())
        self.epoch, self.seq = saved["epoch"], saved["seq"]
        self.ts_recv_ns = self._heard_ns = saved["ts_recv_ns"]
        self.ts_venue_ns = saved["ts_venue_ns"]
        self._broken = None if saved["broken"] is None else BookState(saved["broken"])
        self._broken_reason = saved["broken_reason"]
        self._rhythm = Rhythm(self._stale_after_ns, saved["pause_ns"])
        self._resync = ResyncTimer(*saved["resync"])
        self._behind, self._behind_ns = True, now_ns
        self._decide(now_ns)
