"""Whose word on a venue's feed counts where ingestors come and go."""

from __future__ import annotations

from shared.feed_statuses import FEEDS_MAX, GONE_NS, Feeds, keep_newest, of_two_feeds, of_venues
from shared.messages.base import BookState, FeedName
from shared.messages.market import VenueStatus
from tests.unit.test_dashboard_engine import NOW, S, engine, shown, told


def status(
    source: str,
    at_ns: int,
    state: BookState = BookState.LIVE,
    feed: FeedName = FeedName.ONLY,
) -> VenueStatus:
    return VenueStatus(
        ts_ns=at_ns,
        venue="kraken",
        instrument="",
        state=state,
        epoch=1,
        source=source,
        feed=feed,
    )


def heard(*told: VenueStatus) -> Feeds:
    feeds: Feeds = {}
    for each in told:
        keep_newest(feeds, each)
    return feeds


def test_of_ingestors_that_share_a_venue_the_worst_counts_and_of_two_feeds_the_better() -> None:
    down = BookState.DOWN
    shared = heard(status("x#1", NOW), status("y#1", NOW, down))
    assert of_venues(shared)["kraken"].state is down
    two = heard(status("x#1", NOW, down, FeedName.A), status("y#1", NOW, feed=FeedName.B))
    assert of_venues(two)["kraken"].state is BookState.LIVE
    both = heard(status("x#1", NOW, down, FeedName.A), status("y#1", NOW, down, FeedName.B))
    assert of_venues(both)["kraken"].state is down


def test_of_each_of_two_feeds_the_newest_word_counts() -> None:
    feeds = heard(
        status("x#1", NOW, BookState.DOWN, FeedName.A),
        status("x#2", NOW + S, feed=FeedName.A),
        status("z#1", NOW),
    )
    assert list(of_two_feeds(feeds)) == [("kraken", FeedName.A)]
    assert of_two_feeds(feeds)["kraken", FeedName.A].source == "x#2"


def test_the_last_word_of_one_that_ended_goes_and_that_of_the_only_one_stays() -> None:
    feeds: Feeds = {}
    keep_newest(feeds, status("a#1", NOW, BookState.DOWN))
    keep_newest(feeds, status("b#1", NOW + S))
    assert len(feeds) == 2, "both may feed the venue"
    keep_newest(feeds, status("b#1", NOW + GONE_NS))
    assert list(feeds) == [("kraken", "b#1")]


def test_their_number_is_bounded_and_a_new_one_is_heard_all_the_same() -> None:
    feeds: Feeds = {}
    for number in range(2 * FEEDS_MAX):
        keep_newest(feeds, status(f"a#{number}", NOW))
    assert len(feeds) == FEEDS_MAX
    keep_newest(feeds, status("new", NOW + GONE_NS))
    assert list(feeds) == [("kraken", "new")]


def test_the_dashboard_shows_no_venue_as_down_after_a_restart() -> None:
    made = engine()
    told(made, status("a#1", NOW, BookState.DOWN), status("a#2", NOW + GONE_NS))
    assert shown(made, "overview")["venues"][0]["feed"] == "LIVE"
    rows = shown(made, "health").values()
    assert [row["source"] for row in rows if row["kind"] == "feed"] == ["a#2"]
