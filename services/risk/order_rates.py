"""How many orders were sent to each venue lately. Pure.

Counted by whole seconds, so that what is saved stays small however many there are.
"""

from __future__ import annotations

from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000
SECONDS_KEPT: Final = 61
"""A minute, and the second that it ends in: never fewer orders than the last 60 s had."""


class OrderRates(msgspec.Struct):
    """``counts`` are orders put on record, by venue and second of UNIX time."""

    counts: dict[str, dict[int, int]] = {}

    def count(self, venue: str, ts_ns: int) -> None:
        """Count an order; ``ts_ns`` is when it was put on record (UNIX ns)."""
        second = ts_ns // SECOND_NS
        of_venue = self.counts.get(venue, {})
        of_venue[second] = of_venue.get(second, 0) + 1
        newest = max(of_venue)
        kept = {each: n for each, n in of_venue.items() if each > newest - SECONDS_KEPT}
        self.counts[venue] = kept

    def in_last_minute(self, venue: str, now_ns: int) -> int:
        """Return how many there were in the last 60 s, or up to one second more."""
        oldest = now_ns // SECOND_NS - SECONDS_KEPT
        return sum(n for second, n in self.counts.get(venue, {}).items() if second > oldest)
