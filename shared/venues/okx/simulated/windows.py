"""What the subscribers of one book see: the best 400 levels, numbered by ``seqId``. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.exchange.listing import Listing
from shared.exchange.matching import MatchingBook
from shared.exchange.rows import side_rows
from shared.messages.base import Side
from shared.venues.okx.checked import DEPTH
from shared.venues.okx.checksum import NOT_SENT

FIRST = -1
"""``prevSeqId`` of a snapshot."""

Levels = dict[tuple[Side, int], int]


class Window:
    """One book as it was told last."""

    def __init__(self, listing: Listing, book: MatchingBook) -> None:
        self.listing, self._book = listing, book
        self.levels, self._seq = self._present(), book.seq

    def is_empty(self) -> bool:
        """Tell whether there is nothing to show yet."""
        return not self.levels

    def whole(self, now_ms: int) -> bytes:
        """Return the snapshot of what subscribers have."""
        return self._frame("snapshot", self.levels, FIRST, now_ms)

    def move(self, now_ms: int) -> bytes | None:
        """Return the frame that brings subscribers to the present, ``None`` if nothing changed.

        What falls out of the depth is deleted, what comes into it is sent.
        """
        before, self.levels = self.levels, self._present()
        changed = {key: 0 for key in before if key not in self.levels}
        changed |= {key: lots for key, lots in self.levels.items() if before.get(key) != lots}
        if not changed:
            return None
        last, self._seq = self._seq, self._book.seq
        return self._frame("update", changed, last, now_ms)

    def restart(self, now_ms: int) -> bytes:
        """Take the present book as what everybody has; return its snapshot."""
        self.levels, self._seq = self._present(), self._book.seq
        return self.whole(now_ms)

    def _frame(self, action: str, levels: Levels, prev_seq: int, now_ms: int) -> bytes:
        bids, asks = side_rows(self.listing, levels)
        row: dict[str, Any] = {
            "asks": [as_level(level) for level in asks],
            "bids": [as_level(level) for level in bids],
            "ts": str(now_ms),
            "checksum": NOT_SENT,
            "seqId": self._seq,
            "prevSeqId": prev_seq,
        }
        arg = {"channel": "books", "instId": self.listing.symbol}
        return msgspec.json.encode({"arg": arg, "action": action, "data": [row]})

    def _present(self) -> Levels:
        sides = ((Side.BUY, self._book.bids), (Side.SELL, self._book.asks))
        return {(side, price): lots for side, book in sides for price, lots in book.depth(DEPTH)}


def as_level(row: tuple[str, str]) -> tuple[str, str, str, str]:
    """Return a level as the venue writes it; how many orders it is made of is not simulated."""
    return (*row, "0", "1")
