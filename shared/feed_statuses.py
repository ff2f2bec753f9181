"""Whose word on a venue's feed counts: that of each ingestor that runs. Pure."""

from __future__ import annotations

from typing import Final

from shared.messages.market import VenueStatus

GONE_NS: Final = 8_000_000_000
"""Statuses are repeated every second."""
FEEDS_MAX: Final = 256

Feeds = dict[tuple[str, str], VenueStatus]
"""The newest status by venue and ingestor (``source``)."""


def keep_newest(feeds: Feeds, told: VenueStatus) -> None:
    """Take in what an ingestor says of a venue as a whole.

    One that starts again is a source of its own, and what it said at its end (DOWN) is of no feed
    any more: the words on a venue that are much older than its newest go. If nobody speaks any
    more, the last words stay.
    """
    for place, each in list(feeds.items()):
        if place[0] == told.venue and told.ts_ns - each.ts_ns >= GONE_NS:
            del feeds[place]
    place = told.venue, told.source
    if place in feeds or len(feeds) < FEEDS_MAX:
        feeds[place] = told
