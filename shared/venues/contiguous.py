"""The continuity rule of venues whose every delta begins right after the one before. Pure."""

from __future__ import annotations

from shared.venues.rest_join import Update, Verdict


class ContiguousIds:
    """``first_id`` follows the ``last_id`` before; what ends there or earlier has nothing new."""

    def join(self, snapshot_id: int, update: Update) -> Verdict:
        """Judge the first delta after a snapshot: it may begin before the snapshot's end."""
        return self.follow(snapshot_id, update)

    def follow(self, last_id: int, update: Update) -> Verdict:
        """Judge a delta against the book's id."""
        if update.last_id <= last_id:
            return Verdict.DROP
        return Verdict.APPLY if update.first_id <= last_id + 1 else Verdict.GAP

    def expected(self, last_id: int) -> int:
        """Return the ``first_id`` that would have continued the book."""
        return last_id + 1

    def got(self, update: Update) -> int:
        """Return the ``first_id`` that arrived."""
        return update.first_id
