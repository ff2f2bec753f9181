"""Which of two ingestors of a venue are alive, and the alerts when one is lost or back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from shared.messages.base import BookState, FeedName
from shared.messages.control import Alert, Severity
from shared.messages.market import VenueStatus

LOOK_NS_MAX: Final = 1_000_000_000
"""A longer time between two looks counts as this one: while nobody looks, nobody is heard."""
ALONE_NS: Final = 2_500_000_000
"""A feed goes on if it has said so this long ago; statuses are repeated every second."""


class _Feed:
    """What is known of one ingestor of one venue."""

    def __init__(self) -> None:
        self.silent_ns = 0
        self.not_well_ns = 0
        """How long it has not said that it is anything but DOWN."""
        self.reason = ""
        self.is_lost = False


class FeedWatch:
    """The feeds that are configured.

    Args:
        venues: Each has feeds a and b.
        lost_after_ns: A feed is lost when it was silent, or DOWN, for so long.
    """

    def __init__(self, venues: Iterable[str], lost_after_ns: int) -> None:
        self._lost_after_ns = lost_after_ns
        self._feeds = {
            (venue, feed): _Feed() for venue in venues for feed in (FeedName.A, FeedName.B)
        }
        self._looked_ns: int | None = None

    @property
    def lost(self) -> int:
        """How many feeds are lost."""
        return sum(feed.is_lost for feed in self._feeds.values())

    def on_status(self, status: VenueStatus, now_ns: int) -> None:
        """An ingestor speaks of the venue as a whole."""
        feed = self._feeds.get((status.venue, status.feed))
        if feed is None or now_ns - status.ts_ns > self._lost_after_ns:
            return  # what was said long ago says nothing of now
        feed.silent_ns = 0
        if status.state is BookState.DOWN:
            feed.reason = status.reason or "it is DOWN"
        else:
            feed.not_well_ns = 0

    def on_timer(self, now_ns: int) -> Iterator[Alert]:
        """Yield an alert for each feed that has just been lost, or is back."""
        passed_ns = 0 if self._looked_ns is None else min(now_ns - self._looked_ns, LOOK_NS_MAX)
        self._looked_ns = now_ns
        for feed in self._feeds.values():
            feed.silent_ns += passed_ns
            feed.not_well_ns += passed_ns
        for (venue, name), feed in self._feeds.items():
            is_lost = feed.not_well_ns > self._lost_after_ns
            if is_lost is feed.is_lost:
                continue
            feed.is_lost = is_lost
            is_silent = feed.silent_ns > self._lost_after_ns
            why = "nothing is heard of its ingestor" if is_silent else feed.reason
            other = next(f for (v, n), f in self._feeds.items() if v == venue and n is not name)
            text = f"feed {name} of {venue} is back"
            if is_lost:
                goes_on = other.not_well_ns <= ALONE_NS
                rest = "the other feed goes on alone" if goes_on else "neither feed is left"
                text = f"feed {name} of {venue} is lost: {why}; {rest}"
            yield Alert(
                service="orderbook",
                severity=Severity.WARNING if is_lost else Severity.INFO,
                code="FEED_LOST" if is_lost else "FEED_BACK",
                text=text,
                ts_ns=now_ns,
                subject=f"{venue}|{name}",
            )
