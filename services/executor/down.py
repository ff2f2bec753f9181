"""What gets no new orders, and what failures of a venue cost. Pure data."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from shared.errors import Cause

COST_WINDOW_NS: Final = 600_000_000_000
"""How long what a failure cost is remembered."""
COSTS_MAX: Final = 64
"""Costs remembered of each venue, the newest."""


class EndsBy(StrEnum):
    """How what stands down comes back."""

    PROBE = "probe"  # the account is checked after a pause
    READ = "read"  # its account, unread since the start, is read
    SETTLED = "settled"  # the venue tells what became of every order there
    LISTED = "listed"  # at a start, the venue lists the instrument again
    OPERATOR = "operator"  # an operator says RESUME


class Down(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A venue, or one instrument there, that gets no new orders, and the venue's reason.

    ``ts_probe_ns`` is when the account is checked next (0: not at all), ``probes`` how often since.
    """

    venue: str
    cause: Cause
    reason: str
    ts_since_ns: int
    instrument: str = ""
    ends_by: EndsBy = EndsBy.OPERATOR
    probes: int = 0
    ts_probe_ns: int = 0

    @property
    def key(self) -> str:
        """How it is named on record and on the bus."""
        return market_key(self.venue, self.instrument)

    @property
    def name(self) -> str:
        """How it is named in words."""
        return f"{self.venue} {self.instrument}".rstrip()


def market_key(venue: str, instrument: str) -> str:
    """Return ``venue|instrument``, or the venue alone where no instrument is meant."""
    return f"{venue}|{instrument}" if instrument else venue


class FailureCosts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of one venue: when its failures cost which share of a plan's loss cap, and its falls."""

    costs: list[tuple[int, Decimal]] = []
    falls: int = 0

    def add(self, share: Decimal, now_ns: int) -> Decimal:
        """Add a cost; return what they come to within the window."""
        kept = [each for each in self.costs if now_ns - each[0] < COST_WINDOW_NS]
        if not kept:
            self.falls = 0
        self.costs = [*kept, (now_ns, share)][-COSTS_MAX:]
        return sum((cost for _, cost in self.costs), Decimal(0))
