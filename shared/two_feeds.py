"""Venues that two ingestors follow, feeds a and b: whether a venue can be, and which is this. Pure.

The orderbook service takes the first arrival of both by number (``services/orderbook``). That needs
numbers that belong to the book, whoever is told them, and not to the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.messages.base import FeedName
from shared.venues.registry import EVERY, load_feed

VARIABLE: Final = "ARB_INGESTOR_FEED"
TWO_FEEDS: Final = (FeedName.A, FeedName.B)


def check_two_feeds(venues: Mapping[str, VenueConfig]) -> None:
    """Check that every venue with ``two_feeds`` can have them.

    Raises:
        ConfigError: One cannot; why not, and which could.
    """
    for name, venue in venues.items():
        adapter = venue.adapter or name
        if not venue.two_feeds:
            continue
        proof = load_feed(adapter).proof
        if not proof.numbers_of_book:
            able = ", ".join(each for each in EVERY if load_feed(each).proof.numbers_of_book)
            raise ConfigError(
                f"venues.{name}.two_feeds = true: its books carry no number that is known to be "
                f"the same on two connections ({adapter}: {proof.rule}), so nothing "
                "would show which of two feeds is ahead, or that one is wrong; leave two_feeds out "
                f"there. Venues that can have it: {able}"
            )


def venues_of_feed(
    venues: Mapping[str, VenueConfig], environ: Mapping[str, str]
) -> tuple[FeedName, dict[str, VenueConfig]]:
    """Return which feed an ingestor is, and which of the venues it then serves.

    Feed a, which it is unless ``ARB_INGESTOR_FEED`` says otherwise, serves all; feed b those with
    ``two_feeds``.

    Raises:
        ConfigError: No such feed, or feed b of no venue.
    """
    told = environ.get(VARIABLE, "") or FeedName.A.value
    if told not in TWO_FEEDS:
        raise ConfigError(f"{VARIABLE}={told}: a or b")
    feed = FeedName(told)
    if feed is FeedName.A:
        return feed, dict(venues)
    served = {name: venue for name, venue in venues.items() if venue.two_feeds}
    if not served:
        raise ConfigError(
            f"{VARIABLE}=b: none of its venues has two_feeds = true ({', '.join(venues)}); set "
            "that in [venues.NAME] for each that two ingestors are to follow"
        )
    return feed, served
