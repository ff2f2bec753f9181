"""One Kraken book's synchronisation: subscribe, prove, ask again. Pure; answers with effects.

subscribe -> snapshot -> live while checksums match -> mismatch -> unsubscribe and subscribe again,
backing off if it repeats. The venue numbers nothing, so messages carry a counter. An update that is
older than one before it and does not fit was overtaken, by the snapshot too: it is dropped.
"""

from __future__ import annotations

from datetime import datetime

from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, Level
from shared.venues.kraken import parse
from shared.venues.kraken.book import CheckedBook, plain
from shared.venues.port import (
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
)
from shared.venues.stream_book import Request, StreamBook

DEPTHS = (10, 25, 100, 500, 1000)
"""What the venue offers."""

Levels = list[parse.TextLevel]


class SyncedBook(StreamBook):
    """One book; ``depth`` is what was subscribed, what the venue grants counts."""

    def __init__(
        self,
        venue: str,
        instrument: str,
        symbol: str,
        depth: int,
        request: Request,
        *,
        is_recorded: bool = False,
    ) -> None:
        super().__init__(venue, instrument, symbol, request, is_recorded=is_recorded)
        self._depth = depth
        self._book = CheckedBook(depth)
        self._seq = 0
        self._newest: datetime | None = None

    @property
    def depth(self) -> int:
        """Levels a side that are kept."""
        return self._depth

    def open(self, now_ns: int) -> BookStatus:
        """Start with a new connection; the session subscribes all books in one frame."""
        self._newest = None
        return super().open(now_ns)

    def grant(self, depth: int) -> None:
        """Keep as many levels as the venue does; those there are stay."""
        granted = next((offered for offered in DEPTHS if offered >= depth), depth)
        if granted != self._depth:
            self._depth = granted
            self._book.resize(granted)

    def on_snapshot(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Take a whole book."""
        if self._subscribe_at_ns is not None:
            return []  # from before the unsubscription
        self._is_overtaken(data.timestamp)
        bids, asks = self._levels(data)
        if self.state is BookState.LIVE:  # unasked for: a new epoch all the same
            self._start(BookState.SYNCING, "", now_ns)
        self._fit(max(len(bids), len(asks)))
        self._replace(bids, asks)
        failed = self._prove(data, now_ns)
        if failed:
            return failed
        self._seq += 1
        message = self._snapshot(plain(bids), plain(asks), data, now_ns)
        return [self._checked(data), Emit(message), self._is_live("snapshot received")]

    def on_update(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Apply a change and prove the result."""
        bids, asks = self._levels(data)
        overtaken = self._is_overtaken(data.timestamp)
        if self.state is not BookState.LIVE:
            return [Checked(self.instrument, None), Dropped(self.instrument, DROPPED_UNSYNCED)]
        if overtaken and not self._fits(data, bids, asks):
            return [Checked(self.instrument, None), Dropped(self.instrument, DROPPED_STALE)]
        self._apply(bids, asks)
        failed = self._prove(data, now_ns)
        if failed:
            return failed
        return [self._checked(data), Emit(self._delta(bids, asks, data, now_ns))]

    def _levels(self, data: parse.BookData) -> tuple[Levels, Levels]:
        return parse.parse_levels(data.bids), parse.parse_levels(data.asks)

    def _fit(self, levels: int) -> None:
        """Keep at least as many levels as a snapshot has."""
        self.grant(max(levels, self._depth))

    def _replace(self, bids: Levels, asks: Levels) -> None:
        self._book.replace(bids, asks)

    def _apply(self, bids: Levels, asks: Levels) -> None:
        self._book.apply(bids, asks)

    def _snapshot(
        self, bids: list[Level], asks: list[Level], data: parse.BookData, now_ns: int
    ) -> BookSnapshot:
        return BookSnapshot(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq=self._seq,
            bids=bids,
            asks=asks,
            ts_recv_ns=now_ns,
            ts_venue_ns=parse.unix_ns(data.timestamp),
            depth_max=self._depth,
        )

    def _delta(self, bids: Levels, asks: Levels, data: parse.BookData, now_ns: int) -> BookDelta:
        seq_prev = self._seq
        self._seq += 1
        return BookDelta(
            venue=self._venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq_prev=seq_prev,
            seq=self._seq,
            bids=plain(bids),
            asks=plain(asks),
            ts_recv_ns=now_ns,
            ts_venue_ns=parse.unix_ns(data.timestamp),
        )

    def _is_overtaken(self, timestamp: datetime | None) -> bool:
        """Tell whether a newer update came before; else this one is the newest."""
        if timestamp is None:
            return False
        if self._newest is not None and timestamp < self._newest:
            return True
        self._newest = timestamp
        return False

    def _fits(self, data: parse.BookData, bids: Levels, asks: Levels) -> bool:
        """Tell whether the book would be right with this update."""
        twin = self._book.copy()
        twin.apply(bids, asks)
        return data.checksum is None or twin.checksum() == data.checksum

    def _checked(self, data: parse.BookData) -> Checked:
        return Checked(self.instrument, None if data.checksum is None else True)

    def _prove(self, data: parse.BookData, now_ns: int) -> list[Effect]:
        """Compare checksums; on a mismatch nothing is published and the book is asked for again."""
        if data.checksum is None or self._book.checksum() == data.checksum:
            return []
        resync = self.resubscribe(BookState.GAP, "checksum mismatch", now_ns)
        return [Checked(self.instrument, False), *resync]
