"""One Kraken Futures book: whole from the snapshot on, as long as every number is there. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.krakenfutures import parse
from shared.venues.krakenfutures.sequence import follow
from shared.venues.port import (
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    Dropped,
    Effect,
    Emit,
    Gap,
)
from shared.venues.rest_join import Verdict
from shared.venues.stream_book import StreamBook
from shared.venues.times import unix_ns


class NumberedBook(StreamBook):
    """Proves by ``seq`` of its product that nothing is missing; holds no levels."""

    _seq = 0

    def on_snapshot(self, frame: parse.BookSnapshotFrame, now_ns: int) -> list[Effect]:
        """Take a whole book."""
        if self._subscribe_at_ns is not None:
            return []  # from before the unsubscription: nothing follows it
        if self.state is BookState.LIVE:  # the venue began again: a new epoch
            self._start(BookState.SYNCING, "", now_ns)
        self._seq = frame.seq
        message = BookSnapshot(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq=frame.seq,
            bids=[(level.price, level.qty) for level in frame.bids if level.qty],
            asks=[(level.price, level.qty) for level in frame.asks if level.qty],
            ts_recv_ns=now_ns,
            ts_venue_ns=None if frame.timestamp is None else unix_ns(frame.timestamp),
        )
        return [Emit(message), self._is_live("snapshot received")]

    def on_delta(self, frame: parse.BookFrame, now_ns: int) -> Sequence[Effect]:
        """Judge a change and pass it on, drop it, or report the gap and ask again."""
        if self.state is not BookState.LIVE:
            return (Dropped(self.instrument, DROPPED_UNSYNCED),)
        seq = self._seq
        verdict = follow(seq, frame.seq)
        if verdict is Verdict.APPLY:
            self._seq = frame.seq
            level, is_bid = [(frame.price, frame.qty)], frame.side == "buy"
            message = BookDelta(
                venue=self._venue,
                instrument=self.instrument,
                epoch=self.epoch,
                seq_prev=seq,
                seq=frame.seq,
                bids=level if is_bid else [],
                asks=[] if is_bid else level,
                ts_recv_ns=now_ns,
                ts_venue_ns=None if frame.timestamp is None else unix_ns(frame.timestamp),
            )
            return (Emit(message),)
        if verdict is Verdict.DROP:
            return (Dropped(self.instrument, DROPPED_STALE),)
        gap = Gap(self.instrument, seq + 1, frame.seq)
        reason = f"sequence gap: expected {gap.expected}, got {gap.got}"
        return [gap, *self.resubscribe(BookState.GAP, reason, now_ns)]
