"""Which feeds are subscribed: the one place where it is decided. Pure.

Books of every configured instrument always are. Trades and funding cost connections and bandwidth,
so they are subscribed where the configuration says so (``venues.*.feeds``) or where a strategy
wants them (``wanted``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.venues.port import FeedKind


class WantedFeed(NamedTuple):
    """What a strategy wants beside books; an empty venue or instrument is every one."""

    kind: FeedKind
    venue: str = ""
    instrument: str = ""


def extras_of(
    name: str, venue: VenueConfig, offered: Iterable[FeedKind], wanted: Iterable[WantedFeed] = ()
) -> Mapping[FeedKind, tuple[str, ...]]:
    """Return the instruments of each feed beside books that a venue is asked for.

    What a strategy wants of a venue that does not offer it is left out: that venue has none.

    Args:
        name: The venue's configured name.
        venue: Its section.
        offered: What it has beside books.
        wanted: What the strategies want.

    Raises:
        ConfigError: The configuration names a feed that the venue does not offer, or no depth.
    """
    offered = tuple(offered)
    known = [kind.value for kind in (FeedKind.DEPTH, *offered)]
    for named in venue.feeds:
        if named not in known:
            raise ConfigError(
                f"venues.{name}.feeds names {named}, which it does not offer; there are: "
                f"{', '.join(known)}"
            )
    if FeedKind.DEPTH.value not in venue.feeds:
        raise ConfigError(
            f'venues.{name}.feeds = {list(venue.feeds)}: books are always needed; add "depth"'
        )
    here = [each for each in wanted if each.venue in {"", name}]
    found: dict[FeedKind, tuple[str, ...]] = {}
    for kind in offered:
        is_all = kind.value in venue.feeds
        asked = {each.instrument for each in here if each.kind is kind}
        instruments = tuple(
            instrument
            for instrument in venue.instruments
            if is_all or "" in asked or instrument in asked
        )
        if instruments:
            found[kind] = instruments
    return found
