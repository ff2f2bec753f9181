"""What the subscribers of one depth of one book see: the best levels, numbered by ``u``. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook
from shared.exchange.rows import side_rows
from shared.messages.base import Side

FIRST = 1_000
"""The first ``u``: one that is 1 would tell of a restart."""

Levels = dict[tuple[Side, int], int]


class Window:
    """One topic; ``last`` continues its numbers where there were subscribers before."""

    def __init__(self, topic: str, listing: Listing, book: MatchingBook, last: int) -> None:
        self.topic, self.listing = topic, listing
        self._book, self._depth = book, int(topic.split(".")[1])
        self.last = last or FIRST
        self.levels = self._present()

    def is_empty(self) -> bool:
        """Tell whether there is nothing to show yet."""
        return not self.levels

    def whole(self, now_ms: int) -> bytes:
        """Return the snapshot of what subscribers have."""
        return self.frame("snapshot", self.levels, now_ms)

    def move(self, now_ms: int) -> bytes | None:
        """Return the frame that brings subscribers to the present, ``None`` if nothing changed.

        What falls out of the depth is deleted, what comes into it is sent.
        """
        before, self.levels = self.levels, self._present()
        changed = {key: 0 for key in before if key not in self.levels}
        changed |= {key: lots for key, lots in self.levels.items() if before.get(key) != lots}
        if not changed:
            return None
        self.last += 1
        return self.frame("delta", changed, now_ms)

    def restart(self, now_ms: int, last: int) -> bytes:
        """Take the present book as what everybody has, numbered again; return its snapshot."""
        self.levels, self.last = self._present(), last
        return self.whole(now_ms)

    def frame(self, kind: str, levels: Levels, now_ms: int) -> bytes:
        """Return a frame with these levels."""
        bids, asks = side_rows(self.listing, levels)
        body: dict[str, Any] = {
            "topic": self.topic,
            "type": kind,
            "ts": now_ms,
            "data": {
                "s": self.listing.symbol,
                "b": bids,
                "a": asks,
                "u": self.last,
                "seq": self._book.seq,
            },
            "cts": now_ms,
        }
        return msgspec.json.encode(body)

    def _present(self) -> Levels:
        sides = ((Side.BUY, self._book.bids), (Side.SELL, self._book.asks))
        return {
            (side, price): lots for side, book in sides for price, lots in book.depth(self._depth)
        }
