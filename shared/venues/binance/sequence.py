"""Binance spot: does a delta continue the book? Pure, three answers.

The venue's numbered steps (web-socket-streams.md, "How to manage a local order book correctly"):

1. Open the diff stream and buffer its events.
2. GET the snapshot. If ``lastUpdateId`` is below the first buffered ``U``, get it again.
3. Drop events with ``u <= lastUpdateId``. The first kept one has ``U <= lastUpdateId + 1 <= u``.
4. Then per event: ``u`` below the book's id: ignore; ``U`` above the book's id + 1: start over;
   else apply, and the book's id becomes ``u``.
"""

from __future__ import annotations

from shared.venues.rest_join import Update, Verdict


class SpotSequence:
    """The rule by update ids: ``U`` continues the ``u`` before."""

    def join(self, snapshot_id: int, update: Update) -> Verdict:
        """Judge the first delta after a snapshot (steps 2 and 3)."""
        return self.follow(snapshot_id, update)  # the same inequalities as in step 4

    def follow(self, last_id: int, update: Update) -> Verdict:
        """Judge a delta against the book's id (step 4).

        ``u == last_id`` is a duplicate: it has nothing new, so it is dropped like an older one.
        """
        if update.last_id <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if update.first_id <= last_id + 1 else Verdict.GAP

    def expected(self, last_id: int) -> int:
        """Return the ``U`` that would have continued the book."""
        return last_id + 1

    def got(self, update: Update) -> int:
        """Return the ``U`` that arrived."""
        return update.first_id


SEQUENCE = SpotSequence()
