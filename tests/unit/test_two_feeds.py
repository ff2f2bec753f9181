"""Books of two ingestors: first arrival, duplicates, death of either, disagreement, alerts."""

from __future__ import annotations

import pytest

from services.orderbook.engine import OrderbookEngine, join_checkpoint
from services.orderbook.feed_group import BEHIND_NS
from shared.config_sections import OrderbookConfig
from shared.messages.base import BookState, FeedName
from shared.messages.control import Alert, Severity
from shared.messages.market import BookDelta, BookSnapshot, DepthView, ResyncRequest, VenueStatus

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000 * MS
A, B, ONLY = FeedName.A, FeedName.B, FeedName.ONLY
CONFIG = OrderbookConfig(depth_levels=2)


class Two:
    """One book of two feeds: numbers are the venue's, epochs each ingestor's own."""

    def __init__(self, two_feeds=("v",), engine=None):
        self.engine = engine or OrderbookEngine(CONFIG, 1, (), two_feeds)
        if engine is None:
            self.engine.own(0, None, NOW)
        self.now_ns = NOW
        self.epochs = {A: NOW, B: NOW, ONLY: NOW}
        self.out = []

    def give(self, message):
        out = list(self.engine.on_message(message, self.now_ns).messages)
        self.out += out
        return out

    def snapshot(self, feed, seq=100, bids=((99.0, 1.0), (98.0, 1.0)), asks=((101.0, 1.0),)):
        self.epochs[feed] += 1
        return self.give(
            BookSnapshot(
                venue="v",
                instrument="BTC/USDT",
                epoch=self.epochs[feed],
                seq=seq,
                bids=list(bids),
                asks=list(asks),
                ts_recv_ns=self.now_ns,
                feed=feed,
            )
        )

    def delta(self, feed, seq, bids=(), asks=(), *, seq_prev=None, ts_venue_ns=None):
        return self.give(
            BookDelta(
                venue="v",
                instrument="BTC/USDT",
                epoch=self.epochs[feed],
                seq_prev=seq - 1 if seq_prev is None else seq_prev,
                seq=seq,
                bids=list(bids),
                asks=list(asks),
                ts_recv_ns=self.now_ns,
                ts_venue_ns=ts_venue_ns or self.now_ns,
                feed=feed,
            )
        )

    def status(self, feed, state=BookState.LIVE, *, instrument="BTC/USDT", reason=""):
        self.now_ns += MS
        return self.give(
            VenueStatus(
                venue="v",
                instrument=instrument,
                state=state,
                epoch=self.epochs[feed] if instrument else 0,
                reason=reason,
                ts_ns=self.now_ns,
                source=f"{feed}#1",
                feed=feed,
            )
        )

    def wait(self, duration_ns, *confirmed):
        """Let time pass in ticks; the ingestors of these feeds go on confirming their books."""
        out = []
        until_ns = self.now_ns + duration_ns
        while self.now_ns < until_ns:
            self.now_ns += 100 * MS
            for feed in confirmed:
                self.status(feed)
                self.status(feed, instrument="")
            out += self.engine.on_timer(self.now_ns).messages
        self.out += out
        return out


def views(out):
    return [m for m in out if isinstance(m, DepthView)]


def asked(out):
    return [m for m in out if isinstance(m, ResyncRequest)]


def codes(out):
    return [m.code for m in out if isinstance(m, Alert)]


def both():
    two = Two()
    two.snapshot(A)
    two.snapshot(B)
    return two


def test_the_first_arrival_is_shown_and_the_second_is_a_duplicate():
    two = both()
    (view,) = views(two.delta(A, 101, [(99.5, 1.0)]))
    assert (view.seq, view.bids[0], view.reason) == (101, (99.5, 1.0), "")
    assert two.delta(B, 101, [(99.5, 1.0)]) == []
    (view,) = views(two.delta(B, 102, [(99.6, 2.0)]))
    assert (view.seq, view.epoch, view.bids[0]) == (102, two.epochs[B], (99.6, 2.0))
    assert two.delta(A, 102, [(99.6, 2.0)]) == []
    counters = two.engine.counters()
    assert counters["feeds_duplicates"] == 3, "B's snapshot of the same number is one"
    assert counters["gaps"] == counters["feeds_diverged"] == 0


def test_of_a_feed_that_is_late_every_number_is_a_duplicate_until_it_has_caught_up():
    two = both()
    for seq in (101, 102, 103):
        assert views(two.delta(A, seq, [(99.5, float(seq))]))
    for seq in (101, 102, 103):
        assert two.delta(B, seq, [(99.5, float(seq))]) == []
    assert views(two.delta(B, 104, [(99.5, 0.5)]))[0].bids[0] == (99.5, 0.5)


@pytest.mark.parametrize("dies", [A, B])
def test_a_feed_that_is_killed_leaves_the_book_live(dies):
    lives = B if dies is A else A
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    two.delta(B, 101, [(99.5, 1.0)])
    two.out.clear()
    seq = 101
    for _ in range(100):
        two.wait(200 * MS, lives)
        seq += 1
        assert views(two.delta(lives, seq, [(99.5, float(seq))]))[0].state is BookState.LIVE
    assert {view.state for view in views(two.out)} == {BookState.LIVE}
    assert two.engine.counters()["gaps"] == 0
    last = views(two.out)[-1]
    assert f"feed {dies} is STALE: no message" in last.reason
    assert codes(two.out) == ["FEED_LOST"]


def test_a_feed_that_is_stopped_says_so_and_the_book_goes_on_from_the_other():
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    out = two.status(A, BookState.DOWN, reason="the ingestor was stopped")
    (view,) = views(out)
    assert view.state is BookState.LIVE
    assert "feed a is DOWN: the ingestor was stopped" in view.reason
    assert view.seq == 100, "what B knows: its next message is 101"
    (view,) = views(two.delta(B, 101, [(99.5, 1.0)]))
    assert (view.state, view.seq, view.bids[0]) == (BookState.LIVE, 101, (99.5, 1.0))


def test_the_book_is_down_only_where_both_feeds_are():
    two = both()
    assert views(two.status(A, BookState.DOWN, reason="x"))[-1].state is BookState.LIVE
    assert views(two.status(B, BookState.DOWN, reason="y"))[-1].state is BookState.DOWN
    two.now_ns += S
    (view,) = views(two.snapshot(A, seq=900))
    assert (view.state, view.seq) == (BookState.LIVE, 900)


def test_a_feed_that_lost_a_change_starts_over_alone():
    two = both()
    two.delta(A, 101)
    out = two.delta(B, 103, seq_prev=102)
    (request,) = asked(out)
    assert request.feed is B
    assert [(v.state, v.seq) for v in views(out)] == [(BookState.LIVE, 101)]
    assert "feed b is GAP" in views(out)[0].reason
    two.delta(A, 102)
    two.delta(A, 103)
    (view,) = views(two.snapshot(B, seq=103))
    assert (view.state, view.reason) == (BookState.LIVE, "")


def test_feeds_that_differ_at_one_number_are_both_gap_and_both_start_over():
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    out = two.delta(B, 101, [(99.5, 7.0)])
    (alert,) = [m for m in out if isinstance(m, Alert)]
    assert (alert.code, alert.severity) == ("FEEDS_DIFFER", Severity.WARNING)
    assert "at number 101 the bids differ: 7 at 99.5 of feed b, 1 at 99.5 of feed a" in alert.text
    (view,) = views(out)
    assert (view.state, view.bids) == (BookState.GAP, [])
    assert "two feeds differ" in view.reason
    assert sorted(request.feed for request in asked(out)) == [A, B]
    assert two.engine.counters()["feeds_diverged"] == 1
    assert two.delta(A, 102, [(99.6, 1.0)]) == [], "only a snapshot heals"
    two.now_ns += S
    assert views(two.snapshot(A, seq=102))[0].state is BookState.LIVE
    two.snapshot(B, seq=102)
    assert views(two.delta(B, 103, [(99.9, 1.0)]))[0].reason == ""


def test_a_level_that_one_feed_never_heard_of_is_found_at_the_next_common_number():
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    assert codes(two.delta(B, 101)) == ["FEEDS_DIFFER"], "it changed nothing in B"


def test_levels_that_only_one_snapshot_reached_are_no_difference():
    two = Two()
    two.snapshot(A, bids=[(99.0, 1.0), (98.0, 1.0)])
    two.give(
        BookSnapshot(
            venue="v",
            instrument="BTC/USDT",
            epoch=NOW + 9,
            seq=100,
            bids=[(99.0, 1.0)],
            asks=[(101.0, 1.0)],
            bid_floor=99.0,
            ts_recv_ns=NOW,
            feed=B,
        )
    )
    two.epochs[B] = NOW + 9
    two.delta(A, 101, asks=[(100.5, 1.0)])
    two.delta(B, 101, asks=[(100.5, 1.0)])
    assert codes(two.out) == []


def test_a_feed_that_stands_still_is_not_shown_even_if_it_says_that_it_is_live():
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    two.wait(BEHIND_NS + 200 * MS, A, B)
    out = two.status(A, BookState.DOWN, reason="x")
    assert views(out)[-1].state is BookState.STALE
    assert "feed b is behind" in views(out)[-1].reason
    (view,) = views(two.delta(B, 101, [(99.5, 1.0)]))
    assert (view.state, view.seq) == (BookState.LIVE, 101)


def test_a_late_feed_does_not_take_the_other_one_down():
    two = both()
    seq = 100
    for _ in range(40):
        seq += 1
        two.delta(A, seq, [(99.5, float(seq))])
        two.wait(100 * MS, A, B)
    assert {view.state for view in views(two.out)} == {BookState.LIVE}
    assert codes(two.out) == []
    assert views(two.out)[-1].reason == "feed b is behind"


def test_feeds_that_both_run_on_at_numbers_far_apart_differ():
    two = Two()
    two.snapshot(A, seq=100)
    two.snapshot(B, seq=9_000)
    for at in range(40):
        two.delta(A, 101 + at, [(99.5, float(at + 1))])
        two.delta(B, 9_001 + at, [(99.5, float(at + 1))])
        two.wait(100 * MS, A, B)
    assert "FEEDS_DIFFER" in codes(two.out)
    assert BookState.GAP in {view.state for view in views(two.out)}


def test_numbers_that_began_anew_at_the_venue_are_followed():
    two = both()
    two.delta(A, 101)
    two.status(A, BookState.DOWN, reason="maintenance")
    two.status(B, BookState.DOWN, reason="maintenance")
    two.now_ns += S
    assert views(two.snapshot(B, seq=5))[0].state is BookState.LIVE
    two.wait(3 * S, B)
    assert views(two.delta(B, 6, [(99.7, 1.0)]))[0].state is BookState.LIVE
    two.snapshot(A, seq=6, bids=((99.7, 1.0), (99.0, 1.0)))
    assert codes(two.out) == []


def test_a_lost_feed_is_told_once_and_so_is_its_return():
    two = both()
    assert codes(two.wait(4 * S, A)) == []
    (alert,) = [m for m in two.wait(10 * S, A) if isinstance(m, Alert)]
    assert (alert.code, alert.severity, alert.subject) == ("FEED_LOST", Severity.WARNING, "v|b")
    assert "the other feed goes on alone" in alert.text
    assert two.engine.gauges()["feeds_lost"] == 1
    assert codes(two.wait(S, A, B)) == ["FEED_BACK"]
    assert two.engine.gauges()["feeds_lost"] == 0


def test_a_feed_that_only_connects_again_is_not_told():
    two = both()
    for _ in range(20):
        two.status(B, BookState.DOWN, instrument="", reason="1 of 1 connections are down")
        two.wait(200 * MS, A)
    assert codes(two.out) == []
    for _ in range(10):
        two.status(B, BookState.DOWN, instrument="", reason="1 of 1 connections are down")
        two.wait(200 * MS, A)
    (alert,) = [m for m in two.out if isinstance(m, Alert)]
    assert "feed b of v is lost: 1 of 1 connections are down" in alert.text


def test_a_feed_that_never_came_is_told_as_well():
    two = Two()
    two.snapshot(A)
    two.wait(6 * S, A)
    assert codes(two.out) == ["FEED_LOST"]
    assert views(two.out)[-1].reason == "nothing came from feed b"


def test_two_feeds_survive_a_restart_of_the_service():
    two = both()
    two.delta(A, 101, [(99.5, 1.0)])
    names = two.engine.names(0)
    assert names == [("v", "BTC/USDT", "a"), ("v", "BTC/USDT", "b")]
    saved = join_checkpoint("0-0", [two.engine.save_part(name) for name in names])
    again = OrderbookEngine(CONFIG, 1, (), ("v",))
    again.own(0, saved, two.now_ns)
    two.engine = again
    (view,) = views(two.delta(A, 102, [(99.6, 1.0)]))
    assert (view.state, view.bids[0]) == (BookState.LIVE, (99.6, 1.0))
    assert views(two.delta(B, 101, [(99.5, 1.0)]))[0].reason == "", "B is in step as well"
    assert two.delta(B, 102, [(99.6, 1.0)]) == []
    assert again.counters()["feeds_diverged"] == 0


def test_the_change_from_one_feed_to_two_leaves_no_hole():
    two = Two(two_feeds=())
    two.snapshot(ONLY)
    two.delta(ONLY, 101, [(99.5, 1.0)])
    two.snapshot(B, seq=101, bids=[(99.5, 1.0), (99.0, 1.0)])
    (view,) = views(two.delta(B, 102, [(99.6, 1.0)]))
    assert (view.state, view.seq) == (BookState.LIVE, 102)
    two.give(
        VenueStatus(
            venue="v",
            instrument="BTC/USDT",
            state=BookState.DOWN,
            epoch=two.epochs[ONLY],
            ts_ns=two.now_ns + 1,
        )
    )
    assert views(two.delta(B, 103, [(99.7, 1.0)]))[0].state is BookState.LIVE
    assert {view.state for view in views(two.out)} == {BookState.LIVE}


def test_gauges_count_a_book_of_two_feeds_once():
    gauges = both().engine.gauges()
    assert (gauges["books"], gauges["books_live"]) == (1, 1)
