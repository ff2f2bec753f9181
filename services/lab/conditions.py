"""Conditions at a venue of a world: what happens to requests, and why they are refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.errors import Cause

_SECOND_NS = 1_000_000_000
BANNED_AFTER = 12
"""A venue bans us after this many requests that were refused for their rate."""


@dataclass(slots=True)
class VenueConditions:
    """How unreliable the way to one venue is: chances of 0 to 1, for every request.

    Attributes:
        closed: Why every order is refused.
        barred: Why every request is: a key that was revoked, or a ban.
        requests_per_s: Requests beyond it are refused, and then banned; 0: no limit.
    """

    lost_request: float = 0.0
    lost_answer: float = 0.0
    refused: float = 0.0
    not_sent: float = 0.0
    late_request: float = 0.0
    partial: float = 0.0
    late_fills: float = 0.0
    is_down: bool = False
    old_positions: bool = False
    """Whether it keeps on reporting the positions that it reported first."""
    positions: Mapping[str, Decimal] | None = None
    closed: Cause | None = None
    barred: Cause | None = None
    requests_per_s: int = 0
    too_many: int = 0
    """Requests that were refused for their rate."""
    _second: int = 0
    _requests: int = 0

    def bars(self, now_ns: int) -> Cause | None:
        """Count a request that arrives, and return why it is refused, whatever it asks for."""
        if self.barred is not None or not self.requests_per_s:
            return self.barred
        if now_ns // _SECOND_NS != self._second:
            self._second, self._requests = now_ns // _SECOND_NS, 0
        self._requests += 1
        if self._requests <= self.requests_per_s:
            return None
        self.too_many += 1
        if self.too_many >= BANNED_AFTER:
            self.barred = Cause.RATE
        return Cause.RATE
