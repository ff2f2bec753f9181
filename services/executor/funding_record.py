"""What the executor remembers of a venue's funding payments. Pure data."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from shared.domain.funding import HOUR_NS, SECOND_NS, to_second

INSTANTS_MAX: Final = 64
"""Settlements looked back at after a start."""


class Settles(NamedTuple):
    """An instant at which a derivative settles, and the time from one to the next."""

    at_ns: int
    interval_ns: int


class Awaited(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A settlement whose payment is not reported yet, since when, and whether an alert was sent."""

    instant_ns: int
    since_ns: int
    is_told: bool = False


class FundingRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of a venue's funding payments.

    All that settled up to ``known_ns`` is booked. ``seen`` are the newest payments booked, with
    their times; of those up to ``forgotten_ns`` it is not known any more which were.
    ``awaited`` are by instrument the newest settlement whose payment is not told, ``settles`` when
    each settles.
    """

    known_ns: int = 0
    seen: dict[str, int] = {}
    forgotten_ns: int = 0
    awaited: dict[str, Awaited] = {}
    settles: dict[str, Settles] = {}

    def settled_before(self, instrument: str, ts_ns: int) -> int:
        """Return the settlement that a venue's stamp belongs to: the last one until then.

        Venues book a payment some time after the instant that it is for. Where no instant was ever
        announced, all settle on full hours.
        """
        at_ns = to_second(ts_ns)
        known = self.settles.get(instrument, Settles(0, HOUR_NS))
        return at_ns - (at_ns - known.at_ns) % known.interval_ns

    def next_settlement(self, instrument: str, now_ns: int) -> int:
        """Return the next instant after ``now_ns``, or the next full hour where that is earlier.

        A venue that shortens an interval keeps to full hours, so none is missed though nothing was
        announced.
        """
        hour_ns = (now_ns // HOUR_NS + 1) * HOUR_NS
        known = self.settles.get(instrument)
        if known is None:
            return hour_ns
        return min(hour_ns, self.settled_before(instrument, now_ns) + known.interval_ns)

    def settlements(self, instrument: str, from_ns: int, to_ns: int) -> list[int]:
        """Return the instants after ``from_ns`` until ``to_ns``, newest first, up to a bound."""
        known = self.settles.get(instrument)
        if known is None:
            return []
        newest_ns = self.settled_before(instrument, to_ns // SECOND_NS * SECOND_NS)
        oldest_ns = max(from_ns, newest_ns - INSTANTS_MAX * known.interval_ns)
        return list(range(newest_ns, oldest_ns, -known.interval_ns))
