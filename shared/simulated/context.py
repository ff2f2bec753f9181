"""What all simulated venues of one run share, and what they ask of their host. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.simulated.faults import FaultTable


@dataclass(slots=True)
class Context:
    """What a simulated venue is given.

    Attributes:
        seed: Of everything drawn.
        faults: The faults that are injected.
        now_ns: The host's UNIX time.
        fair: A venue's fair price of a base asset.
        later: Lets the host call something after so many seconds.
        index: The price of a base asset that all venues are about; without it ``fair`` of the
            venue.
        funding_interval_ms: Between two settlements of a perpetual.
        funding_rate_interval_ms: What its rates are for; without it the same.
    """

    seed: int
    faults: FaultTable
    now_ns: Callable[[], int]
    fair: Callable[[str, str], float]
    later: Callable[[float, Callable[[], None]], None]
    index: Callable[[str], float] | None = None
    funding_interval_ms: int = 8 * 3_600_000
    funding_rate_interval_ms: int | None = None

    def venue_ns(self, venue: str) -> int:
        """Return the venue's own UNIX time in ns, wrong if a fault made it so."""
        return self.now_ns() + self.faults.skew_ms.get(venue, 0) * 1_000_000

    def venue_ms(self, venue: str) -> int:
        """Return the same in ms."""
        return self.now_ns() // 1_000_000 + self.faults.skew_ms.get(venue, 0)
