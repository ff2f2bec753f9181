"""How far a venue's clock and ours are apart, as its market data show. Pure.

The time of receipt less the venue's own time is clock offset and network latency together; its
minimum is the offset and the shortest latency.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.messages.market import DepthView

KEPT_MAX = 2_000
"""Differences of a venue kept for the median; at this number every other one is dropped."""


@dataclass(slots=True)
class Seen:
    """Times of receipt less the venue's own times, ns."""

    least_ns: int
    count: int = 0
    kept: list[int] = field(default_factory=list)
    every: int = 1

    def add(self, late_ns: int) -> None:
        """Add one."""
        self.least_ns = min(self.least_ns, late_ns)
        if self.count % self.every == 0:
            self.kept.append(late_ns)
            if len(self.kept) >= KEPT_MAX:
                self.every *= 2
                del self.kept[1::2]
        self.count += 1

    @property
    def median_ns(self) -> int:
        """The middle one of those kept, the lower one of two."""
        return sorted(self.kept)[(len(self.kept) - 1) // 2]


class Clocks:
    """Follows the views of every venue."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def on_view(self, view: DepthView) -> None:
        """Take a view; one without a time of its venue says nothing."""
        if view.ts_venue_ns is None:
            return
        late_ns = view.ts_recv_ns - view.ts_venue_ns
        seen = self.seen.get(view.venue)
        if seen is None:
            seen = self.seen[view.venue] = Seen(late_ns)
        seen.add(late_ns)
