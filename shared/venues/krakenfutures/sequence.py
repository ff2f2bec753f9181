"""Kraken Futures: does a change continue the book? Pure.

The venue's numbered steps (Derivatives WebSocket, "Book"):

1. Subscribe; ``book_snapshot`` comes first and replaces the book. It has a ``seq``.
2. A ``book`` message sets one level of one side; quantity 0 removes it.
3. ``seq`` rises by one with every message of a product (of the product, not of the connection): on
   a jump subscribe again.
"""

from __future__ import annotations

from shared.venues.rest_join import Verdict


def follow(last_seq: int, seq: int) -> Verdict:
    """Judge a change against the one before (step 3); a repeated or older one is dropped."""
    if seq == last_seq + 1:
        return Verdict.APPLY
    return Verdict.DROP if seq <= last_seq else Verdict.GAP
