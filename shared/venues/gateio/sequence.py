"""Gate spot: does a delta continue the book? Pure, three answers.

The venue's numbered steps (WebSocket v4, "How to maintain local order book"):

1. Subscribe ``spot.order_book_update`` and buffer its updates.
2. GET the snapshot with ``with_id=true``; its ``id`` is the last update it contains. If that is
   below the first buffered ``U``, get it again.
3. Drop updates with ``u < id + 1``. The first kept one has ``U <= id + 1 <= u``.
4. Then each update's ``U`` is the ``u`` before plus one; otherwise start over.
"""

from __future__ import annotations

from shared.venues.contiguous import ContiguousIds

SEQUENCE = ContiguousIds()
