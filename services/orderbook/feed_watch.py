"""Which of two ingestors of a venue are alive, and the alerts when one is lost or back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.messages.base import BookState, FeedName
from shared.messages.control import Alert, Severity
from shared.messages.market import VenueStatus


class _Feed:
    """What is known of one ingestor of one venue."""

    def __init__(self) -> None:
        self.heard_ns = 0
        self.well_ns = 0
        """When it said last that it is not DOWN."""
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
        self._begun_ns = 0

    @property
    def lost(self) -> int:
        """How many feeds are lost."""
        return sum(feed.is_lost for feed in self._feeds.values())

    def on_status(self, status: VenueStatus) -> None:
        """An ingestor speaks of the venue as a whole."""
        feed = self._feeds.get((status.venue, status.feed))
        if feed is not None and status.ts_ns >= feed.heard_ns:
            feed.heard_ns = status.ts_ns
            if status.state is BookState.DOWN:
                feed.reason = status.reason or "it is DOWN"
            else:
                feed.well_ns = status.ts_ns

    def on_timer(self, now_ns: int) -> Iterator[Alert]:
        """Yield an alert for each feed that has just been lost, or is back."""
        self._begun_ns = self._begun_ns or now_ns
        for (venue, name), feed in self._feeds.items():
            is_lost = now_ns - max(feed.well_ns, self._begun_ns) > self._lost_after_ns
            if is_lost is feed.is_lost:
                continue
            feed.is_lost = is_lost
            is_silent = now_ns - feed.heard_ns > self._lost_after_ns
            why = "nothing is heard of its ingestor" if is_silent else feed.reason
            other = next(f for (v, n), f in self._feeds.items() if v == venue and n is not name)
            text = f"feed {name} of {venue} is back"
            if is_lost:
                rest = "neither feed is left" if other.is_lost else "the other feed goes on alone"
                text = f"feed {name} of {venue} is lost: {why}; {rest}"
            yield Alert(
                service="orderbook",
                severity=Severity.WARNING if is_lost else Severity.INFO,
                code="FEED_LOST" if is_lost else "FEED_BACK",
                text=text,
                ts_ns=now_ns,
                subject=f"{venue}|{name}",
            )
