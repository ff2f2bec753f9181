"""A book that joins a REST snapshot to a stream which proves nothing. Pure.

Where the venue's changes have a time and no number, a lost one does not show. The join itself is
still checked: a snapshot must be of a moment that the stream was already heard at. What comes of it
is UNPROVED, with the reason: it is shown and compared with REST books, and prices nothing.
"""

from __future__ import annotations

import msgspec

from shared.messages.base import BookState
from shared.messages.market import BookSnapshot
from shared.venues.port import (
    DROPPED_SNAPSHOT_OLD,
    BookStatus,
    Dropped,
    Effect,
)
from shared.venues.rest_join import (
    EARLY_DELTAS_MAX,
    JoinedBook,
    SequenceRule,
    Snapshot,
    Update,
    Verdict,
)

TIMES_ONLY = "changes have a time and no number: a lost one would not show"
WHOLE = (2**31,)
"""No REST answer is cut."""


class RisingTimes:
    """Changes of one book have rising times; one of before is out of order, so something is wrong.

    Times say nothing about what lies between them.
    """

    def join(self, snapshot_id: int, update: Update) -> Verdict:
        """Judge a change against a snapshot of this time."""
        return Verdict.DROP if update.last_id <= snapshot_id else Verdict.APPLY

    def follow(self, last_id: int, update: Update) -> Verdict:
        """Judge a change against the one before; the same again is dropped."""
        if update.last_id == last_id:
            return Verdict.DROP
        return Verdict.APPLY if update.last_id > last_id else Verdict.GAP

    def expected(self, last_id: int) -> int:
        """Return the earliest time that would have continued the book."""
        return last_id + 1

    def got(self, update: Update) -> int:
        """Return the time that arrived."""
        return update.last_id


RISING_TIMES = RisingTimes()


class UnprovedBook(JoinedBook):
    """One book's synchronisation; ``why`` says what is not proved."""

    def __init__(
        self,
        venue: str,
        instrument: str,
        snapshot_path: str,
        weight: int,
        why: str,
        *,
        rule: SequenceRule = RISING_TIMES,
        early_max: int = EARLY_DELTAS_MAX,
    ) -> None:
        super().__init__(
            venue, instrument, rule, snapshot_path, weight, sizes=WHOLE, early_max=early_max
        )
        self._why = why

    def on_snapshot(self, snapshot: Snapshot, now_ns: int) -> list[Effect]:
        """Join the snapshot with the buffer, or ask for one from after the stream began."""
        if self.state in (BookState.SYNCING, BookState.GAP) and self._early:
            first = self._early[0][0].last_id
            if snapshot.last_id < first:
                self._asked = False
                old = Dropped(self.instrument, DROPPED_SNAPSHOT_OLD, first, snapshot.last_id)
                return [old, self._ask(now_ns)]
        return [self._told(effect) for effect in super().on_snapshot(snapshot, now_ns)]

    def lose(self, reason: str, now_ns: int) -> list[Effect]:
        """A change could not be read: no number of a later one would show that it is missing."""
        if self.state is BookState.LIVE:
            return [self._start(BookState.GAP, reason, now_ns), self._ask(now_ns)]
        self._early.clear()  # nothing can bridge the hole
        return []

    def _told(self, effect: Effect) -> Effect:
        if isinstance(effect, BookStatus) and effect.state is BookState.LIVE:
            return msgspec.structs.replace(effect, state=BookState.UNPROVED, reason=self._why)
        return effect

    def _snapshot(self, snapshot: Snapshot, now_ns: int) -> BookSnapshot:
        return msgspec.structs.replace(super()._snapshot(snapshot, now_ns), unproved=self._why)
