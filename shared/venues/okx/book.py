"""One OKX book: whole from the snapshot on, as long as it is proved. Pure.

``seqId`` proves it where it is sent, and so does the checksum where it is sent and not 0; both are
looked at. Of a message with neither nothing is known, so it is not taken. A message of the form
without numbers (2022) that is older than one before and does not fit was overtaken: it is dropped.

The venue has announced that it will send no snapshot any more. Where numbered updates come and none
does, they wait, and the REST book is asked for: the first update that it does not contain
(``prevSeqId <= seqId of the book < seqId``) joins it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from shared.errors import ParseError
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.okx import parse
from shared.venues.okx.checked import DEPTH, CheckedBook, plain
from shared.venues.okx.checksum import NOT_SENT
from shared.venues.okx.sequence import Chain
from shared.venues.port import (
    DROPPED_SNAPSHOT_OLD,
    DROPPED_STALE,
    DROPPED_UNSYNCED,
    BookStatus,
    Checked,
    Dropped,
    Effect,
    Emit,
    Gap,
)
from shared.venues.rest_join import Verdict
from shared.venues.stream_book import StreamBook
from shared.venues.times import unix_ns

EARLY_MAX = 1_000
"""Updates that wait for a REST book: a minute and a half of the stream; the oldest fall out."""
REST_AFTER_NS = 2_000_000_000
"""How long updates have come without a snapshot when the REST book is asked for."""
REST_TIMEOUT_NS = 60_000_000_000
Levels = list[parse.TextLevel]


class ProvedBook(StreamBook):
    """A book that is LIVE while every message is proved to continue it."""

    _chain: Chain | None = None
    _checked: CheckedBook | None = None
    _newest = 0
    _seq = 0  # ours: the venue's may fall, or not be sent
    _early: deque[parse.BookRow] = deque()  # noqa: RUF012 (replaced as a whole, never changed)
    _rest_due_ns: int | None = None

    def on_snapshot(self, row: parse.BookRow, now_ns: int) -> list[Effect]:
        """Take a whole book."""
        if self._subscribe_at_ns is not None:
            return []  # from before the unsubscription: nothing follows it
        bids, asks = self._levels(row)
        if self.state is BookState.LIVE:  # unasked for: a new epoch all the same
            self._start(BookState.SYNCING, "", now_ns)
        self._forget()
        self._chain = None if row.seq is None else Chain(row.seq)
        self._checked = CheckedBook(bids, asks) if row.checksum else None
        self._newest = row.ts_venue
        if not self._is_right(row):
            return self._mismatch(now_ns)
        whole = self._whole(row, bids, asks, now_ns)
        return [self._proof(row), whole, self._is_live("snapshot received")]

    def wants_rest_book(self, now_ns: int) -> bool:
        """Tell, once, that the REST book is to be asked for."""
        if self._rest_due_ns is None or now_ns < self._rest_due_ns:
            return False
        self._rest_due_ns = None
        self._snapshot_due_ns = now_ns + REST_TIMEOUT_NS
        return True

    def on_rest_failed(self, retry_after_s: float, now_ns: int) -> None:
        """It could not be had: ask again later."""
        if self._early:
            self._rest_due_ns = now_ns + max(REST_AFTER_NS, int(retry_after_s * 1e9))

    def on_rest_book(self, row: parse.BookRow, now_ns: int) -> list[Effect]:
        """Join what waits to a REST book; one that is too old or too new is asked for again."""
        waiting = [(each, each.prev_seq, each.seq) for each in self._early]
        if self.state is BookState.LIVE or not waiting or row.seq is None:
            return []
        first = (n for n, (_, prev, seq) in enumerate(waiting) if _is_within(prev, row.seq, seq))
        start = next(first, len(waiting))
        if start == len(waiting) and waiting[-1][2] != row.seq:
            self.on_rest_failed(0.0, now_ns)
            expected, got = row.seq, waiting[0][1] or 0
            return [Dropped(self.instrument, DROPPED_SNAPSHOT_OLD, expected, got)]
        bids, asks = parse.parse_levels(row.bids), parse.parse_levels(row.asks)
        joined = [each for each, *_ in waiting[start:]]
        self._forget()
        self._chain = Chain(row.seq if not joined else joined[0].prev_seq or 0)
        self._checked, self._newest = None, row.ts_venue
        effects: list[Effect] = [self._whole(row, bids, asks, now_ns)]
        live = self._is_live("joined the REST book")
        for each in joined:
            found = self.on_update(each, now_ns)
            effects += found
            if any(isinstance(effect, Gap) for effect in found):
                return effects
        return [*effects, live]

    def _keep(self, row: parse.BookRow, now_ns: int) -> None:
        """Let a numbered update wait, in case no snapshot comes."""
        if self._is_recorded or row.seq is None or row.prev_seq is None:
            return
        if self._snapshot_due_ns is None:
            return  # not subscribed
        if not self._early:
            self._early, self._rest_due_ns = deque(maxlen=EARLY_MAX), now_ns + REST_AFTER_NS
        self._early.append(row)

    def close(self, reason: str, *, refused: bool = False) -> BookStatus:
        """The connection is gone, or the venue refused: nothing is waited for."""
        self._forget()
        return super().close(reason, refused=refused)

    def _forget(self) -> None:
        self._early, self._rest_due_ns = deque(), None

    def _start(self, state: BookState, reason: str, now_ns: int) -> BookStatus:
        self._forget()
        return super()._start(state, reason, now_ns)

    def _whole(self, row: parse.BookRow, bids: Levels, asks: Levels, now_ns: int) -> Emit:
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
        return Emit(message)

    def on_update(self, row: parse.BookRow, now_ns: int) -> Sequence[Effect]:
        """Judge a change and pass it on, drop it, or report what is wrong and ask again."""
        bids, asks = self._levels(row)
        if self.state is not BookState.LIVE:
            self._keep(row, now_ns)
            return (Checked(self.instrument, None), Dropped(self.instrument, DROPPED_UNSYNCED))
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


def _is_within(prev_seq: int | None, book_seq: int, seq: int | None) -> bool:
    return prev_seq is not None and seq is not None and prev_seq <= book_seq < seq
