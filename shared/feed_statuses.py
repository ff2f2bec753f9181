"""Whose word on a venue's feed counts: that of each ingestor that runs. Pure."""

from __future__ import annotations

from typing import Final

from shared.messages.base import BookState, FeedName
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


def of_venues(feeds: Feeds) -> dict[str, VenueStatus]:
    """Return the status that counts of each venue.

    Ingestors may share a venue's instruments: then the worst one's. Where two follow the same ones,
    feeds a and b, the better one's.
    """
    found: dict[str, VenueStatus] = {}
    for (venue, _), status in sorted(feeds.items()):
        known = found.get(venue)
        if known is None or _counts_more(status, known):
            found[venue] = status
    return found


def _counts_more(status: VenueStatus, known: VenueStatus) -> bool:
    is_live = status.state is BookState.LIVE
    if is_live is (known.state is BookState.LIVE):
        return status.ts_ns > known.ts_ns
    are_two = FeedName.ONLY not in (status.feed, known.feed)
    return is_live if are_two else not is_live


def of_two_feeds(feeds: Feeds) -> dict[tuple[str, FeedName], VenueStatus]:
    """Return the newest status of each feed of the venues that two ingestors follow."""
    found: dict[tuple[str, FeedName], VenueStatus] = {}
    for (venue, _), status in sorted(feeds.items()):
        place = venue, status.feed
        if status.feed and (place not in found or status.ts_ns > found[place].ts_ns):
            found[place] = status
    return found
