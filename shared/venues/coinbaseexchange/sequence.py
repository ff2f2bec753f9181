"""Coinbase Exchange: what an update proves. Pure.

The venue's numbered steps (WebSocket feed, "Level2 batch channel"):

1. Subscribe; ``snapshot`` comes first and replaces the book.
2. ``l2update`` sets levels: the sizes are the new ones, 0 removes one.

An update has no number. Its ``time`` never goes back within a product; one that does is out of
order, so something is wrong. Times say nothing about what lies between them, and two updates may
have the same. ``sequence`` of the other channels counts messages that are not in this one.
"""

from __future__ import annotations

from shared.venues.rest_join import Verdict


def follow(last_ns: int, time_ns: int, *, is_repeated: bool) -> Verdict:
    """Judge an update against the one before; the very same again is dropped."""
    if time_ns < last_ns:
        return Verdict.GAP
    return Verdict.DROP if is_repeated and time_ns == last_ns else Verdict.APPLY
