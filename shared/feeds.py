"""Which feeds are subscribed: the one place where it is decided. Pure.

Books of every configured instrument always are. Trades and funding cost connections and bandwidth,
so they are subscribed where the configuration says so (``venues.*.feeds``) or where a strategy
wants them (``wanted``). What a strategy wants never adds an instrument: which markets there are to
trade in is the operator's word alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from shared.config_sections import VenueConfig
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.errors import ConfigError
from shared.strategies.port import Bars, FundingOf, Input, Trades
from shared.venues.port import FeedKind

FEED_OF: Final[Mapping[type, FeedKind]] = {
    Trades: FeedKind.TRADES,
    Bars: FeedKind.TRADES,
    FundingOf: FeedKind.FUNDING,
}
"""Input of a strategy -> the feed beside books that it comes from."""


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


def feeds_wanted(inputs: Iterable[Input]) -> list[WantedFeed]:
    """Return the feeds beside books that these inputs need."""
    return list(
        dict.fromkeys(
            WantedFeed(FEED_OF[type(each)], each.venue, each.instrument)
            for each in inputs
            if type(each) in FEED_OF
        )
    )


def obstacle_of(
    wanted: Input,
    venues: Mapping[str, VenueConfig],
    offered: Mapping[str, Sequence[FeedKind]],
) -> str:
    """Return why nothing would come for an input, and what would be right; empty if it would.

    Args:
        wanted: One input of a strategy.
        venues: As configured.
        offered: What each of these venues has beside books.
    """
    named, instrument = wanted.venue, wanted.instrument
    if named and named not in venues:
        there = ", ".join(venues) or "none"
        return f"wants {named}, which is not configured; there are: {there}"
    here = [named] if named else list(venues)
    here = [name for name in here if not instrument or instrument in venues[name].instruments]
    if not here:
        place = f"venues.{named}.instruments" if named else "the instruments of a venue"
        return f"wants {instrument}; add it to {place}"
    return _feed_obstacle(wanted, here, venues, offered)


def _feed_obstacle(
    wanted: Input,
    here: Sequence[str],
    venues: Mapping[str, VenueConfig],
    offered: Mapping[str, Sequence[FeedKind]],
) -> str:
    feed = FEED_OF.get(type(wanted))
    if feed is None:
        return ""
    what = f"{feed.value} of {wanted.venue}" if wanted.venue else feed.value
    with_it = [name for name in here if feed in offered[name]]
    if not with_it:
        others = [name for name in venues if feed in offered[name]]
        there = f"{', '.join(others)} has it" if others else "no configured venue has it"
        return f"wants {what}, which is not in the feeds of {', '.join(here)}; {there}"
    names = [wanted.instrument] if wanted.instrument else venues[with_it[0]].instruments
    kinds = {split_instrument(name).kind for name in names}
    if feed is FeedKind.FUNDING and kinds == {InstrumentKind.SPOT}:
        return f"wants {what}, but {', '.join(names)} is no perpetual; name one, like BTC/USDT:USDT"
    if isinstance(wanted, Bars) and InstrumentKind.INVERSE in kinds:
        return (
            f"wants bars of {', '.join(names)}; trades of inverse contracts are in contracts, of "
            "which no bars are made; name a linear one"
        )
    return ""
