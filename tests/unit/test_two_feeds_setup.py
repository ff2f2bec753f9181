"""Two ingestors of one venue: which venues, who serves what, what one stamps and hears."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from services.cli.stack import second_ingestor
from services.ingestor.engine import IngestorEngine, requests
from services.ingestor.engine.requests import ConnectionOpened, FrameReceived, OpenConnection
from services.ingestor.engine.settings import venue_settings
from services.lab.backtest import configured
from services.lab.tables import Tables
from shared.config_sections import Config, VenueConfig
from shared.errors import ConfigError
from shared.messages.base import BookState, FeedName
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    InstrumentInfo,
    ResyncRequest,
    VenueStatus,
)
from shared.streams import MD_RESYNC, MD_STATUS
from shared.two_feeds import venues_of_feed
from shared.venues import port
from tests.contract.examples import example
from tests.unit.test_ingestor_engine import T0, Feed, settings

A, B, ONLY = FeedName.A, FeedName.B, FeedName.ONLY


def venue(**given):
    return VenueConfig(instruments=["BTC/USDT"], **given)


def test_feed_b_serves_the_venues_that_two_follow_and_a_all():
    venues = {"binance": venue(two_feeds=True), "kraken": venue()}
    assert venues_of_feed(venues, {}) == (A, venues)
    feed, served = venues_of_feed(venues, {"ARB_INGESTOR_FEED": "b"})
    assert (feed, list(served)) == (B, ["binance"])
    a, _ = venue_settings(venues, (), A)
    (b,) = venue_settings(served, (), B)
    assert (a.ingestor_feed, b.ingestor_feed) == (A, B)
    assert venue_settings({"kraken": venue()}, (), A)[0].ingestor_feed is ONLY


def test_feed_b_has_books_only():
    venues = {"binance": venue(two_feeds=True, feeds=("depth", "trades"))}
    assert venue_settings(venues, (), A)[0].extras
    assert not venue_settings(venues, (), B)[0].extras


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ARB_INGESTOR_FEED": "c"}, "ARB_INGESTOR_FEED=c: a or b"),
        ({"ARB_INGESTOR_FEED": "b"}, "none of its venues has two_feeds = true"),
    ],
)
def test_a_feed_that_cannot_be_is_refused(environ, said):
    with pytest.raises(ConfigError, match=said):
        venues_of_feed({"kraken": venue()}, environ)


@pytest.mark.parametrize("name", ["kraken", "okx", "bybit", "bitstamp", "coinbaseexchange"])
def test_a_venue_whose_numbers_are_the_connections_is_refused(name):
    with pytest.raises(
        ConfigError, match=rf"venues.{name}.two_feeds = true: .*that can have it: binance"
    ):
        venue_settings({name: venue(two_feeds=True)})


# The ingestor


def opened(feed):
    """An engine with one book, followed."""
    kind = Feed()
    settled = replace(settings("v", kind, ("BTC/USDT",)), ingestor_feed=feed)
    engine = IngestorEngine([settled], source="i#1", uniform=lambda _, high: high)
    (asked,) = [a for a in engine.start({}, T0).at_once if type(a) is OpenConnection]
    engine.on_message(ConnectionOpened(asked.connection), T0)
    session = kind.sessions["BTC/USDT"]
    session.effects = [
        port.Emit(example(BookSnapshot)),
        port.Emit(example(BookDelta)),
        port.BookStatus("BTC/USDT", BookState.LIVE, "", T0),
    ]
    out = engine.on_message(FrameReceived(asked.connection, b"x", T0), T0).messages
    return engine, session, out


@pytest.mark.parametrize("feed", [A, B, ONLY])
def test_books_and_statuses_say_which_feed_they_are_from(feed):
    engine, _, out = opened(feed)
    assert [(type(m), m.feed) for m in out] == [
        (BookSnapshot, feed),
        (BookDelta, feed),
        (VenueStatus, feed),
    ]
    statuses = [m for m in engine.on_timer(T0 + 10**9).messages if type(m) is VenueStatus]
    assert {(m.instrument, m.feed) for m in statuses} == {("", feed), ("BTC/USDT", feed)}


def test_only_the_feed_that_is_asked_starts_over():
    asked = {"venue": "v", "instrument": "BTC/USDT", "epoch": T0, "reason": "gap", "ts_ns": T0}
    for own, heard in ((A, (A, ONLY)), (B, (B, ONLY)), (ONLY, (ONLY,))):
        for feed in (A, B, ONLY):
            engine, session, _ = opened(own)
            engine.on_message(ResyncRequest(**asked, feed=feed), T0)
            assert bool(session.told("resync")) is (feed in heard), (own, feed)


@pytest.mark.parametrize(("feed", "asked"), [(ONLY, 2), (A, 1), (B, 1)])
def test_two_ingestors_share_the_rate_budget_of_one(feed, asked):
    kind = Feed(rest_budget=port.RestBudget(120))  # snapshots: a weight of 10 at once
    settled = replace(settings("v", kind, ("BTC/USDT",)), ingestor_feed=feed)
    engine = IngestorEngine([settled], source="i#1", uniform=lambda _, high: high)
    (opening,) = [a for a in engine.start({}, T0).at_once if type(a) is OpenConnection]
    steps = [engine.on_message(ConnectionOpened(opening.connection), T0)]
    for at in range(4):
        wanted = port.FetchSnapshot(f"X{at}/USDT", "/depth", 4, T0)
        kind.sessions["BTC/USDT"].effects = [wanted]
        steps.append(engine.on_message(FrameReceived(opening.connection, b"x", T0), T0))
    sent = [a for step in steps for a in (*step.at_once, *step.actions)]
    assert sum(type(a) is requests.FetchSnapshot for a in sent) == asked


def test_what_one_feed_says_replaces_nothing_of_the_others():
    for spec, kind in ((MD_STATUS, VenueStatus), (MD_RESYNC, ResyncRequest)):
        given = {"venue": "v", "instrument": "", "epoch": 1, "reason": "", "ts_ns": 1}
        given |= {"state": BookState.LIVE} if kind is VenueStatus else {"instrument": "A/B"}
        assert len({spec.conflate(kind(**given, feed=feed)) for feed in (A, B, ONLY)}) == 3


def test_the_second_ingestor_has_a_name_and_a_feed_of_its_own():
    program = second_ingestor({"PATH": "x"}, log=None)
    assert program.name == program.env["ARB_INSTANCE"] == "ingestor-b"
    assert program.env["ARB_INGESTOR_FEED"] == "b"
    assert program.argv[-1] == "services.ingestor"
    assert second_ingestor({"ARB_INSTANCE": "i"}, log=None).env["ARB_INSTANCE"] == "i-b"


def test_a_backtest_of_the_same_configuration_is_of_one_ingestor():
    rules = msgspec.structs.replace(example(InstrumentInfo).rules, venue="binance")
    data = Tables("depth", [], rules={("binance", rules.instrument): rules})
    given = Config(venues={"binance": VenueConfig(instruments=[rules.instrument], two_feeds=True)})
    assert not configured(given, data, "arb.toml").venues["binance"].two_feeds
