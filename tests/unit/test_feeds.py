"""Which feeds are subscribed: by configuration, by strategies."""

from __future__ import annotations

import pytest

from services.ingestor.engine.settings import venue_settings
from shared.config import parse_config
from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.feeds import WantedFeed, extras_of
from shared.venues.port import FeedKind
from shared.venues.registry import EVERY, load_feed, load_simulated

TRADES, FUNDING = FeedKind.TRADES, FeedKind.FUNDING
NAMES = ["BTC/USDT", "ETH/USDT"]


def test_books_alone_are_subscribed_by_default() -> None:
    (settings,) = venue_settings({"binance": VenueConfig(instruments=NAMES)})
    assert settings.extras == {}


def test_the_configuration_names_feeds_of_all_instruments() -> None:
    venue = VenueConfig(instruments=NAMES, feeds=("depth", "trades"))
    assert extras_of("v", venue, (TRADES, FUNDING)) == {TRADES: tuple(NAMES)}


def test_strategies_want_feeds_of_some() -> None:
    wanted = [WantedFeed(TRADES, "v", "ETH/USDT"), WantedFeed(FUNDING, "w")]
    venue = VenueConfig(instruments=NAMES)
    assert extras_of("v", venue, (TRADES, FUNDING), wanted) == {TRADES: ("ETH/USDT",)}
    assert extras_of("w", venue, (TRADES, FUNDING), wanted) == {FUNDING: tuple(NAMES)}
    assert extras_of("w", venue, (TRADES,), wanted) == {}, "a venue that has no funding"


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        (["depth", "funding"], "names funding, which it does not offer; there are: depth, trades"),
        (["trades"], 'add "depth"'),
        ([], 'add "depth"'),
    ],
)
def test_what_cannot_be_subscribed_is_told(feeds: list, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        extras_of("v", VenueConfig(instruments=NAMES, feeds=tuple(feeds)), (TRADES,))


def test_a_feed_that_nobody_has_is_told() -> None:
    with pytest.raises(ConfigError, match=r"venues\.v"):
        parse_config('[venues.v]\ninstruments = ["BTC/USDT"]\nfeeds = ["candles"]', "arb.toml")


@pytest.mark.parametrize("adapter", EVERY)
def test_every_venue_offers_trades_on_connections_without_books(adapter: str) -> None:
    feed = load_feed(adapter)
    assert TRADES in feed.extras
    names = [load_simulated(adapter).LISTINGS[0].instrument]
    for kind in feed.extras:
        links = feed.extra_connections("v", kind, names)
        assert [link.kind for link in links] == [kind]
        assert (
            len({link.name for link in links} | {c.name for c in feed.connections("v", names)}) == 2
        )
