"""What a venue does beside matching: how late it is, what it refuses, when it is away. Pure.

All is drawn by ``paper.seed``: the same orders in the same order meet the same conditions, and
outages are functions of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from random import Random
from typing import Final

from shared.config_sections import Config, PaperConfig
from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable

_MS, _S = 1_000_000, 1_000_000_000
HOUR_NS: Final = 3_600 * _S
IDEAL: Final = PaperConfig(impact_half_life_ms=0)
"""A venue that never refuses nor fails, and whose books forget what was taken as they change."""


class Lost(Enum):
    """What does not arrive of a request that trades: what was asked for is done only of the first.

    Whoever asked cannot tell one from the other.
    """

    ANSWER = "answer"
    REQUEST = "request"


class Conditions:
    """Those of one venue.

    Args:
        venue: Whose.
        paper: What is configured for it.
        latency_ms: How long a request takes where no distribution is configured.
        drawn_by: On what the draws depend beside the seed and the venue.
        section: Of the configuration, which reasons name.
    """

    def __init__(
        self,
        venue: str,
        paper: PaperConfig,
        *,
        latency_ms: float = 0.0,
        drawn_by: str = "",
        section: str = "paper",
    ) -> None:
        self._venue, self.paper, self._section = venue, paper, section
        self._key = f"{paper.seed}/{venue}/{drawn_by}"
        self._points = paper.latency_ms or ((50.0, latency_ms),)
        self._latencies = Random(f"{self._key}/latency")
        self._refusals = Random(f"{self._key}/refusals")
        self._losses = Random(f"{self._key}/losses")
        self._outages: dict[int, list[int]] = {}
        """Hour (since 1970) -> when outages begin in it, UNIX ns; of two hours."""

    def latency_ns(self) -> int:
        """Return what the next request takes to the venue."""
        points = self._points
        if len(points) == 1:
            return round(points[0][1] * _MS)
        return round(at_percentile(points, self._latencies.uniform(0, 100)) * _MS)

    def check_order(self) -> None:
        """Draw whether the venue takes an order.

        Raises:
            Rejected: It does not.
        """
        rate = self.paper.reject_rate
        if rate and self._refusals.random() < rate:
            text = f"{self._venue}: refused by the venue ({self._section}.reject_rate = {rate:g})"
            raise Rejected(text, "PAPER_REJECT", Cause.ORDER)

    def check_up(self, now_ns: int) -> None:
        """Check that the venue answers at a time.

        Raises:
            Unavailable: It does not, and nothing was sent.
        """
        if ends_ns := self._outage_until(now_ns):
            raise Unavailable(self._outage_text(ends_ns - now_ns), cause=Cause.SERVICE)

    def lost_at(self, now_ns: int) -> Lost | None:
        """Draw what is lost at a time of an order or a cancel; ``None``: nothing.

        Raises:
            Unavailable: The venue does not answer, and nothing was sent.
        """
        ends_ns = self._outage_until(now_ns)
        if not ends_ns:
            return None
        rate, drawn = self.paper.outage_unknown_rate, self._losses.random()
        if drawn >= rate:
            raise Unavailable(self._outage_text(ends_ns - now_ns), cause=Cause.SERVICE)
        return Lost.ANSWER if drawn < rate / 2 else Lost.REQUEST

    def no_answer(self) -> OutcomeUnknown:
        """Return the error of a request of which something was lost."""
        text = f"{self._venue}: no answer on paper ({self._section}.outage_unknown_rate)"
        return OutcomeUnknown(text, cause=Cause.SERVICE)

    def _outage_text(self, left_ns: int) -> str:
        return (
            f"{self._venue}: out of order on paper for {left_ns / _S:.0f} s more "
            f"({self._section}.outages_per_hour)"
        )

    def _outage_until(self, now_ns: int) -> int:
        """Return when the outage at a time ends, UNIX ns; 0: there is none."""
        if not self.paper.outages_per_hour:
            return 0
        length_ns = round(self.paper.outage_s * _S)
        hour = now_ns // HOUR_NS
        for begins_ns in (*self._begin_in(hour - 1), *self._begin_in(hour)):
            if begins_ns <= now_ns < begins_ns + length_ns:
                return begins_ns + length_ns
        return 0

    def _begin_in(self, hour: int) -> list[int]:
        """Return when outages begin in an hour: at random moments, whatever there was before."""
        found = self._outages.get(hour)
        if found is None:
            draw, found = Random(f"{self._key}/outages/{hour}"), []
            at_hours = draw.expovariate(self.paper.outages_per_hour)
            while at_hours < 1:
                found.append(round((hour + at_hours) * HOUR_NS))
                at_hours += draw.expovariate(self.paper.outages_per_hour)
            self._outages = {h: x for h, x in self._outages.items() if h == hour - 1}
            self._outages[hour] = found
        return found


def at_percentile(points: Sequence[tuple[float, float]], percentile: float) -> float:
    """Return the value at a percentile, of rising pairs of a percentile and a value.

    Between two pairs it is interpolated; beyond the first and the last it is theirs.
    """
    low = points[0]
    for high in points:
        if percentile <= high[0]:
            width = high[0] - low[0]
            part = (percentile - low[0]) / width if width else 0.0
            return low[1] + (high[1] - low[1]) * part
        low = high
    return low[1]


def conditions_at(venue: str, config: Config) -> Conditions:
    """Return a venue's conditions as they are configured."""
    return Conditions(venue, config.paper.at(venue), latency_ms=config.executor.paper_latency_ms)
