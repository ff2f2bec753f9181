"""The state of the feed of one book, as ingestors report it. Pure.

Several ingestors may feed one venue: each has its own epochs, and a book follows the newest. What
another one says (``source``) does not touch a book whose own feed is well; that another one is LIVE
matters only when our own is not.
"""

from __future__ import annotations

from shared.messages.base import BookState
from shared.messages.market import VenueStatus


class FeedStatus:
    """The last state other than LIVE; ``state`` is ``None`` where the feed is well."""

    def __init__(self) -> None:
        self.state: BookState | None = None
        self.reason = ""
        self.ts_ns = 0
        self.refused = False
        self._source = ""

    def is_foreign(self, status: VenueStatus) -> bool:
        """Tell whether a status is of another ingestor than the one that feeds the book."""
        return bool(self._source and status.source and status.source != self._source)

    def follow(self, source: str) -> None:
        """This ingestor feeds the book; empty where that is not known yet."""
        self._source = source

    def degrade(
        self, state: BookState, reason: str, ts_ns: int = 0, *, refused: bool = False
    ) -> None:
        """Take a state other than LIVE, published at ``ts_ns``."""
        self.state, self.reason, self.ts_ns, self.refused = state, reason, ts_ns, refused

    def clear(self) -> None:
        """The feed is well."""
        self.state, self.refused = None, False
