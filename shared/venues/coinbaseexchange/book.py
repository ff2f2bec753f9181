"""One Coinbase Exchange book: followed from the snapshot on, and never proved. Pure.

An update has a time and no number, so the book is UNPROVED (``BookSnapshot.unproved``); ``seq``
counts what was applied.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.coinbaseexchange import parse
from shared.venues.coinbaseexchange.sequence import follow
from shared.venues.port import (
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    BookStatus,
    Dropped,
    Effect,
    Emit,
    Gap,
)
from shared.venues.rest_join import Verdict
from shared.venues.stream_book import StreamBook
from shared.venues.unproved_book import TIMES_ONLY


class TimedBook(StreamBook):
    """Notices only an update from before; holds no levels."""

    _seq = 0
    _time_ns = 0
    _last: parse.UpdateFrame | None = None

    def on_snapshot(self, frame: parse.SnapshotFrame, now_ns: int) -> list[Effect]:
        """Take a whole book."""
        if self._subscribe_at_ns is not None:
            return []  # from before the unsubscription: nothing follows it
        if self.state.is_followed:  # the venue began again: a new epoch
            self._start(BookState.SYNCING, "", now_ns)
        ts_venue_ns = None if frame.time is None else parse.unix_ns(frame.time)
        self._seq, self._time_ns, self._last = self._seq + 1, ts_venue_ns or 0, None
        message = BookSnapshot(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq=self._seq,
            bids=[level for level in frame.bids if level[1]],
            asks=[level for level in frame.asks if level[1]],
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
            unproved=TIMES_ONLY,
        )
        self._is_live("")
        self.state = BookState.UNPROVED
        status = BookStatus(self.instrument, BookState.UNPROVED, TIMES_ONLY, self.epoch)
        return [Emit(message), status]

    def on_update(self, frame: parse.UpdateFrame, now_ns: int) -> Sequence[Effect]:
        """Pass a change on, drop it, or ask for the book again."""
        if not self.state.is_followed:
            return (Dropped(self.instrument, DROPPED_UNSYNCED),)
        time_ns = parse.unix_ns(frame.time)
        verdict = follow(self._time_ns, time_ns, is_repeated=frame == self._last)
        if verdict is Verdict.DROP:
            return (Dropped(self.instrument, DROPPED_STALE),)
        if verdict is Verdict.GAP:
            gap = Gap(self.instrument, self._time_ns, time_ns)
            reason = f"out of order: an update of {time_ns} after one of {self._time_ns}"
            return [gap, *self.resubscribe(BookState.GAP, reason, now_ns)]
        seq, self._seq = self._seq, self._seq + 1
        self._time_ns, self._last = time_ns, frame
        message = BookDelta(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq_prev=seq,
            seq=self._seq,
            bids=[(price, qty) for side, price, qty in frame.changes if side == "buy"],
            asks=[(price, qty) for side, price, qty in frame.changes if side == "sell"],
            ts_recv_ns=now_ns,
            ts_venue_ns=time_ns,
        )
        return (Emit(message),)
