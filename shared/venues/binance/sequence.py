"""Binance spot: does a delta continue the book? Pure, three answers.

The venue's numbered steps (web-socket-streams.md, "How to manage a local order book correctly"):

1. Open the diff stream and buffer its events.
2. GET the snapshot. If ``lastUpdateId`` is below the first buffered ``U``, get it again.
3. Drop events with ``u <= lastUpdateId``. The first kept one has ``U <= lastUpdateId + 1 <= u``.
4. Then per event: ``u`` below the book's id: ignore; ``U`` above the book's id + 1: start over;
   else apply, and the book's id becomes ``u``.
"""

from __future__ import annotations

from shared.venues.contiguous import ContiguousIds

SEQUENCE = ContiguousIds()
