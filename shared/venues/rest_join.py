"""Synchronise one book from a REST snapshot and a stream of deltas. Pure.

Theory of operation, for venues whose stream starts in the middle:

1. Deltas that arrive before the snapshot wait in a bounded buffer, checked against one another.
2. The snapshot arrives: what it already contains is dropped, the first delta left must *join* it,
   the rest *follow* one another. A snapshot that ends before the buffer begins is too old: again.
3. Live: each delta must follow the one before. A gap makes the book GAP and starts over at 1.
4. Refresh: a snapshot has a limited number of levels, so while the book is live a newer one may
   be asked for. Deltas are passed on and kept as well; the snapshot and those that follow it are
   the book of a new epoch. One that does not join is dropped: nothing was lost.

What "join" and "follow" mean is the venue's own rule (its ``sequence`` module). A synchronisation
has an epoch that rises; snapshot requests back off, capped, spread by a hash of the instrument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol
from zlib import crc32

from shared.delays import doubled
from shared.messages.base import BookState
from shared.messages.market import BookDelta, BookSnapshot, Level
from shared.venues.port import (
    DROPPED_OVERFLOW,
    DROPPED_SNAPSHOT_OLD,
    DROPPED_STALE,
    BookStatus,
    Dropped,
    Effect,
    Emit,
    FetchSnapshot,
    Gap,
)
from shared.venues.times import unix_ns

EARLY_DELTAS_MAX = 5_000
"""Deltas that wait for a snapshot: a minute of the busiest stream; the oldest fall out, counted."""
BACKOFF_BASE_NS = 500_000_000
BACKOFF_MAX_NS = 30_000_000_000
REFRESH_PAUSE_NS = 2_000_000_000
"""Least time between two refreshes of one book."""
BREAKS_FREE = 3
"""This many breaks of a book are healed at once; only a book that goes on breaking is slowed."""
BREAK_FORGOTTEN_NS = 5_000_000_000
"""One break is forgotten after each such time, so a book that always breaks is tried this often."""


class Verdict(Enum):
    """What to do with a delta."""

    APPLY = "apply"
    DROP = "drop"
    GAP = "gap"


_APPLY = Verdict.APPLY


class Update(Protocol):
    """A parsed delta; ids are the venue's."""

    @property
    def first_id(self) -> int:
        """First update id it contains."""

    @property
    def last_id(self) -> int:
        """Last update id it contains."""

    @property
    def prev_id(self) -> int:
        """``last_id`` of the delta before, where the venue says it, else -1."""

    @property
    def bids(self) -> list[Level]:
        """Changed bids."""

    @property
    def asks(self) -> list[Level]:
        """Changed asks."""

    @property
    def ts_venue(self) -> int | None:
        """The venue's event time in its own unit, see ``times.py``, where it says one."""


class Snapshot(Protocol):
    """A parsed REST book."""

    @property
    def last_id(self) -> int:
        """Last update id it contains."""

    @property
    def bids(self) -> list[Level]:
        """All bids, best first."""

    @property
    def asks(self) -> list[Level]:
        """All asks, best first."""

    @property
    def ts_venue(self) -> int | None:
        """The venue's time in its own unit, where it says one."""


class SequenceRule(Protocol):
    """A venue's continuity rule; every method is a pure function."""

    def join(self, snapshot_id: int, update: Update) -> Verdict:
        """Judge a delta against a snapshot that nothing was applied to yet."""

    def follow(self, last_id: int, update: Update) -> Verdict:
        """Judge a delta against the one before."""

    def expected(self, last_id: int) -> int:
        """Return the number that would have continued ``last_id``."""

    def got(self, update: Update) -> int:
        """Return the number of ``update`` that is compared with it."""


def told_range(snapshot: Snapshot, sizes: Sequence[int]) -> tuple[float | None, float | None]:
    """Return the lowest bid and the highest ask sent, each ``None`` where that side is whole.

    A side with as many levels as were asked for was cut. ``sizes`` are what may have been asked
    for, rising: one number, or all that the venue offers where a recording does not show it.
    """
    most = max(len(snapshot.bids), len(snapshot.asks))
    limit = next((size for size in sizes if size >= most), most)
    bid_floor, ask_ceiling = (
        side[-1][0] if side and len(side) >= limit else None
        for side in (snapshot.bids, snapshot.asks)
    )
    return bid_floor, ask_ceiling


def backoff_ns(instrument: str, attempt: int) -> int:
    """Return the delay before snapshot request number ``attempt`` (0 is at once), capped.

    The upper half is spread by a hash of instrument and attempt, so that many books that broke
    together do not ask together; the same inputs give the same delay.
    """
    if attempt <= 0:
        return 0
    delay = doubled(BACKOFF_BASE_NS, BACKOFF_MAX_NS, attempt - 1)
    return delay // 2 + delay // 2 * crc32(f"{instrument}|{attempt}".encode()) // 2**32


class BreakRate:
    """How often a book broke lately."""

    def __init__(self) -> None:
        self._level, self._at_ns = 0.0, 0

    def note(self, now_ns: int) -> None:
        """Count a break."""
        self._level, self._at_ns = self._left(now_ns) + 1.0, now_ns

    def excess(self, now_ns: int) -> int:
        """Return how many breaks too many there were."""
        return max(0, int(self._left(now_ns)) - BREAKS_FREE)

    def _left(self, now_ns: int) -> float:
        return max(0.0, self._level - (now_ns - self._at_ns) / BREAK_FORGOTTEN_NS)


class JoinedBook:
    """One book's synchronisation; answers with effects, holds no levels.

    ``newer_than`` takes out of a delta that begins before the book's end what that contains
    already, for venues whose changes carry their own numbers. Levels are absolute: where they do
    not, all of it is applied.
    """

    def __init__(
        self,
        venue: str,
        instrument: str,
        rule: SequenceRule,
        snapshot_path: str,
        weight: int,
        *,
        sizes: Sequence[int],
        early_max: int = EARLY_DELTAS_MAX,
        newer_than: Callable[[int, Update], Update] | None = None,
    ) -> None:
        self.venue = venue
        self.instrument = instrument
        self.state = BookState.DOWN
        self.epoch = 0
        self._rule = rule
        self._path = snapshot_path
        self._weight = weight
        self._sizes = sizes
        self._newer_than = newer_than
        self._seq = 0
        self._untouched = False  # live, but nothing was applied to the snapshot yet
        self._early: deque[tuple[Update, int]] = deque()
        self._early_max = early_max
        self._recent: deque[tuple[Update, int]] | None = None  # kept while a refresh is awaited
        self._refreshed_ns = 0
        self._asked = False
        self._attempt = 0  # snapshots asked for since the book was live
        self._breaks = BreakRate()

    def open(self, now_ns: int) -> list[Effect]:
        """Start with a new connection; the snapshot is asked for once deltas are known to flow."""
        self._attempt = 0
        return [self._start(BookState.SYNCING, "connected; waiting for the snapshot", now_ns)]

    def close(self, reason: str, *, refused: bool = False) -> list[Effect]:
        """The connection is gone, or the venue refused the subscription."""
        self._early.clear()
        self._recent = None
        self._asked = False
        self.state = BookState.DOWN
        return [BookStatus(self.instrument, BookState.DOWN, reason, self.epoch, refused)]

    def subscribed(self, now_ns: int) -> list[Effect]:
        """The venue confirmed the subscription: deltas flow from here on."""
        if self._asked or self.state not in (BookState.SYNCING, BookState.GAP):
            return []
        return [self._ask(now_ns)]

    def resync(self, epoch: int, now_ns: int) -> list[Effect]:
        """A reader lost the book of ``epoch``: start over, unless that happened already."""
        if epoch < self.epoch or self.state is not BookState.LIVE:
            return []
        status = self._start(BookState.SYNCING, "a reader lost continuity", now_ns)
        return [status, self._ask(now_ns)]

    def refresh(self, epoch: int, now_ns: int) -> list[Effect]:
        """Ask for a newer snapshot of a book that goes on, unless that happened just now."""
        if epoch < self.epoch or self.state is not BookState.LIVE:
            return []
        if now_ns - self._refreshed_ns < REFRESH_PAUSE_NS:
            return []
        self._refreshed_ns = now_ns
        self._recent = deque()
        return [FetchSnapshot(self.instrument, self._path, self._weight)]

    def on_update(self, update: Update, now_ns: int) -> Sequence[Effect]:
        """Judge a delta and pass it on, drop it, keep it for the snapshot, or report the gap."""
        if self.state is not BookState.LIVE:
            return self._on_early(update, now_ns)
        rule, seq = self._rule, self._seq
        verdict = rule.join(seq, update) if self._untouched else rule.follow(seq, update)
        if verdict is _APPLY:
            if self._recent is not None:
                self._keep(update, now_ns)
            return (self._delta(update, now_ns),)
        if verdict is Verdict.DROP:
            return (Dropped(self.instrument, DROPPED_STALE),)
        gap = Gap(self.instrument, rule.expected(seq), rule.got(update))
        status = self._start(
            BookState.GAP, f"sequence gap: expected {gap.expected}, got {gap.got}", now_ns
        )
        return [gap, status, *self._on_early(update, now_ns)]

    def on_snapshot(self, snapshot: Snapshot, now_ns: int) -> list[Effect]:
        """Join the snapshot with the buffer, or ask for a newer one."""
        self._asked = False
        if self.state is BookState.LIVE:
            return self._on_refresh(snapshot, now_ns)
        if self.state not in (BookState.SYNCING, BookState.GAP):
            return []
        effects: list[Effect] = []
        early, rule = self._early, self._rule
        while early and rule.join(snapshot.last_id, early[0][0]) is Verdict.DROP:
            early.popleft()
            effects.append(Dropped(self.instrument, DROPPED_STALE))
        if early and rule.join(snapshot.last_id, early[0][0]) is Verdict.GAP:
            expected, got = rule.expected(snapshot.last_id), rule.got(early[0][0])
            effects.append(Dropped(self.instrument, DROPPED_SNAPSHOT_OLD, expected, got))
            effects.append(self._ask(now_ns))
            return effects
        effects.append(Emit(self._snapshot(snapshot, now_ns)))
        while early:
            update, ts_recv_ns = early.popleft()
            effects.append(self._delta(update, ts_recv_ns))
        self.state = BookState.LIVE
        self._attempt = 0
        effects.append(BookStatus(self.instrument, BookState.LIVE, "snapshot joined", self.epoch))
        return effects

    def on_snapshot_failed(self, retry_after_s: float, now_ns: int) -> list[Effect]:
        """Ask again, not before the venue allows."""
        self._asked = False
        self._recent = None
        if self.state not in (BookState.SYNCING, BookState.GAP):
            return []
        self._attempt = max(1, self._attempt)
        ask = self._ask(now_ns)
        not_before_ns = max(ask.not_before_ns, now_ns + int(retry_after_s * 1e9))
        return [FetchSnapshot(self.instrument, ask.path, ask.weight, not_before_ns)]

    def _start(self, state: BookState, reason: str, now_ns: int) -> BookStatus:
        if self.state is BookState.LIVE:
            self._breaks.note(now_ns)
        self.state = state
        self.epoch = max(now_ns, self.epoch + 1)
        self._early.clear()
        self._recent = None
        self._asked = False
        return BookStatus(self.instrument, state, reason, self.epoch)

    def _keep(self, update: Update, ts_recv_ns: int) -> None:
        assert self._recent is not None, "only while a refresh is awaited"
        self._recent.append((update, ts_recv_ns))
        if len(self._recent) > self._early_max:
            self._recent = None  # the snapshot is late beyond use; the next refresh starts over

    def _on_refresh(self, snapshot: Snapshot, now_ns: int) -> list[Effect]:
        """Start a new epoch from a snapshot and what followed it, if they join."""
        recent, self._recent = self._recent or deque(), None
        rule = self._rule
        while recent and rule.join(snapshot.last_id, recent[0][0]) is Verdict.DROP:
            recent.popleft()
        if recent:
            if rule.join(snapshot.last_id, recent[0][0]) is not Verdict.APPLY:
                return []
        elif snapshot.last_id < self._seq:
            return []  # older than the book
        self.epoch = max(now_ns, self.epoch + 1)
        whole = Emit(self._snapshot(snapshot, now_ns))
        deltas = [self._delta(update, ts_recv_ns) for update, ts_recv_ns in recent]
        status = BookStatus(self.instrument, BookState.LIVE, "snapshot refreshed", self.epoch)
        return [whole, *deltas, status]

    def _ask(self, now_ns: int) -> FetchSnapshot:
        delay_ns = backoff_ns(self.instrument, self._attempt + self._breaks.excess(now_ns))
        self._attempt += 1
        self._asked = True
        not_before_ns = now_ns + delay_ns if delay_ns else 0
        return FetchSnapshot(self.instrument, self._path, self._weight, not_before_ns)

    def _on_early(self, update: Update, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        early = self._early
        if early:
            last_id = early[-1][0].last_id
            verdict = self._rule.follow(last_id, update)
            if verdict is Verdict.DROP:
                return [Dropped(self.instrument, DROPPED_STALE)]
            if verdict is Verdict.GAP:
                # No snapshot can bridge a hole in the buffer: only what follows it is of use.
                expected, got = self._rule.expected(last_id), self._rule.got(update)
                effects.append(Gap(self.instrument, expected, got))
                early.clear()
        if len(early) >= self._early_max:
            early.popleft()
            effects.append(Dropped(self.instrument, DROPPED_OVERFLOW))
        early.append((update, now_ns))
        if not self._asked and self.state is not BookState.DOWN:
            effects.append(self._ask(now_ns))
        return effects

    def _snapshot(self, snapshot: Snapshot, now_ns: int) -> BookSnapshot:
        self._seq = snapshot.last_id
        self._untouched = True
        ts_venue = snapshot.ts_venue
        bid_floor, ask_ceiling = told_range(snapshot, self._sizes)
        return BookSnapshot(
            venue=self.venue,
            instrument=self.instrument,
            epoch=self.epoch,
            seq=snapshot.last_id,
            bids=snapshot.bids,
            asks=snapshot.asks,
            ts_recv_ns=now_ns,
            ts_venue_ns=None if ts_venue is None else unix_ns(ts_venue),
            bid_floor=bid_floor,
            ask_ceiling=ask_ceiling,
        )

    def _delta(self, update: Update, ts_recv_ns: int) -> Emit:
        seq_prev, self._seq = self._seq, update.last_id
        self._untouched = False
        if self._newer_than is not None and update.first_id <= seq_prev:
            update = self._newer_than(seq_prev, update)
        ts_venue = update.ts_venue
        return Emit(
            BookDelta(
                venue=self.venue,
                instrument=self.instrument,
                epoch=self.epoch,
                seq_prev=seq_prev,
                seq=update.last_id,
                bids=update.bids,
                asks=update.asks,
                ts_recv_ns=ts_recv_ns,
                ts_venue_ns=None if ts_venue is None else unix_ns(ts_venue),
            )
        )
