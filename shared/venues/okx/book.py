"""One OKX book: whole from the snapshot on, as long as it is proved. Pure.

``seqId`` proves it where it is sent, and so does the checksum where it is sent and not 0; both are
looked at. Of a message with neither nothing is known, so it is not taken. A message of the form
without numbers (2022) that is older than one before and does not fit was overtaken: it is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import ParseError
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.okx import parse
from shared.venues.okx.checked import DEPTH, CheckedBook, plain
from shared.venues.okx.checksum import NOT_SENT
from shared.venues.okx.sequence import Chain
from shared.venues.port import (
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    Checked,
    Dropped,
    Effect,
    Emit,
    Gap,
)
from shared.venues.rest_join import Verdict
from shared.venues.stream_book import StreamBook
from shared.venues.times import unix_ns

Levels = list[parse.TextLevel]


class ProvedBook(StreamBook):
    """A book that is LIVE while every message is proved to continue it."""

    _chain: Chain | None = None
    _checked: CheckedBook | None = None
    _newest = 0
    _seq = 0  # ours: the venue's may fall, or not be sent

    def on_snapshot(self, row: parse.BookRow, now_ns: int) -> list[Effect]:
        """Take a whole book."""
        if self._subscribe_at_ns is not None:
            return []  # from before the unsubscription: nothing follows it
        bids, asks = self._levels(row)
        if self.state is BookState.LIVE:  # unasked for: a new epoch all the same
            self._start(BookState.SYNCING, "", now_ns)
        self._chain = None if row.seq is None else Chain(row.seq)
        self._checked = CheckedBook(bids, asks) if row.checksum else None
        self._newest = row.ts_venue
        if not self._is_right(row):
            return self._mismatch(now_ns)
        self._seq += 1
        message = BookSnapshot(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq=self._seq,
            bids=plain(bids),
            asks=plain(asks),
            ts_recv_ns=now_ns,
            ts_venue_ns=unix_ns(row.ts_venue),
            depth_max=DEPTH,
        )
        return [self._proof(row), Emit(message), self._is_live("snapshot received")]

    def on_update(self, row: parse.BookRow, now_ns: int) -> Sequence[Effect]:
        """Judge a change and pass it on, drop it, or report what is wrong and ask again."""
        if self.state is not BookState.LIVE:
            return (Checked(self.instrument, None), Dropped(self.instrument, DROPPED_UNSYNCED))
        bids, asks = self._levels(row)
        if self._chain is not None:
            if row.seq is None or row.prev_seq is None:
                raise ParseError("books: no seqId and prevSeqId, which the snapshot had")
            last = self._chain.seq
            verdict = self._chain.follow(row.prev_seq, row.seq)
            if verdict is Verdict.DROP:
                return (Dropped(self.instrument, DROPPED_STALE),)
            if verdict is Verdict.GAP:
                gap = Gap(self.instrument, last, row.prev_seq)
                reason = f"sequence gap: expected prevSeqId {gap.expected}, got {gap.got}"
                return [gap, *self.resubscribe(BookState.GAP, reason, now_ns)]
        elif row.ts_venue < self._newest and not self._fits(row, bids, asks):
            return (Checked(self.instrument, None), Dropped(self.instrument, DROPPED_STALE))
        self._newest = max(self._newest, row.ts_venue)
        if self._checked is not None:
            self._checked.apply(bids, asks)
        if not self._is_right(row):
            return self._mismatch(now_ns)
        if not bids and not asks:
            return (self._proof(row),)  # nothing has changed for a while
        self._seq += 1
        message = BookDelta(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq_prev=self._seq - 1,
            seq=self._seq,
            bids=plain(bids),
            asks=plain(asks),
            ts_recv_ns=now_ns,
            ts_venue_ns=unix_ns(row.ts_venue),
        )
        return (self._proof(row), Emit(message))

    def _levels(self, row: parse.BookRow) -> tuple[Levels, Levels]:
        if row.seq is None and (row.checksum or NOT_SENT) == NOT_SENT:
            raise ParseError("books: neither seqId nor a checksum: the book cannot be proved")
        return parse.parse_levels(row.bids), parse.parse_levels(row.asks)

    def _is_right(self, row: parse.BookRow) -> bool:
        return not row.checksum or self._checked is None or self._checked.checksum() == row.checksum

    def _fits(self, row: parse.BookRow, bids: Levels, asks: Levels) -> bool:
        """Tell whether the book would be right with this update."""
        if self._checked is None:
            return True
        twin = self._checked.copy()
        twin.apply(bids, asks)
        return twin.checksum() == row.checksum

    def _proof(self, row: parse.BookRow) -> Checked:
        is_compared = row.checksum and self._checked is not None
        return Checked(self.instrument, True if is_compared else None)

    def _mismatch(self, now_ns: int) -> list[Effect]:
        """Publish nothing of it, and ask for the book again."""
        resync = self.resubscribe(BookState.GAP, "checksum mismatch", now_ns)
        return [Checked(self.instrument, False), *resync]
