"""Bybit: does a frame continue the book? Pure.

The venue's numbered steps (WebSocket v5, "Orderbook"):

1. Subscribe; the first frame is a ``snapshot``, which replaces the book. Further snapshots do, too:
   one is sent where something went wrong at the venue's end.
2. A ``delta`` sets levels; quantity 0 deletes one.
3. ``u`` rises by one with every frame of a topic. On a jump subscribe again.
4. ``u`` of 1 is a snapshot after a restart of the service, whatever it is called: overwrite.
5. Keep as many levels of a side as were subscribed.

``seq`` orders frames of topics of different depths among each other; it is not continuous.
"""

from __future__ import annotations

from shared.venues.rest_join import Verdict

RESTARTED = 1


def is_whole(kind: str, update_id: int) -> bool:
    """Tell whether a frame replaces the book (steps 1 and 4)."""
    return kind == "snapshot" or update_id == RESTARTED


def follow(last_id: int, update_id: int) -> Verdict:
    """Judge a delta against the frame before (step 3); a repeated or older one is dropped."""
    if update_id == last_id + 1:
        return Verdict.APPLY
    return Verdict.DROP if update_id <= last_id else Verdict.GAP
