"""Two ingestors of a venue over time: numbers that begin anew, old data, changed configuration."""

from __future__ import annotations

import pytest

from services.orderbook.engine import OrderbookEngine, join_checkpoint
from services.orderbook.feed_group import BEHIND_NS, GONE_NS
from services.orderbook.feed_watch import FeedWatch
from shared.messages.base import BookState
from shared.messages.book_audit import BookAudit, BookAuditAsked, BookAudited
from shared.messages.control import Alert
from shared.messages.market import VenueStatus
from tests.unit.test_two_feeds import (
    CONFIG,
    MS,
    NOW,
    ONLY,
    A,
    B,
    S,
    Two,
    asked,
    both,
    codes,
    views,
)

FORMER = 1_000_000
"""What the venue's numbers are before they begin anew."""
OLD, NEW = 99.5, 90.0
"""Prices of the time before and after."""


def run(two, seq, feeds, price, *, times=10):
    """Let these feeds bring changes for a while, and others that are alive confirm their books."""
    for _ in range(times):
        seq += 1
        for feed in feeds:
            two.delta(feed, seq, [(price, float(seq))])
        two.wait(100 * MS, *feeds)
    return seq


def answer(two, feed, seq):
    """The ingestor starts over where it is asked to."""
    if any(request.feed is feed for request in asked(two.out)):
        two.out = [m for m in two.out if m not in asked(two.out)]
        two.snapshot(feed, seq=seq, bids=[(NEW, 1.0)], asks=[(NEW + 1, 1.0)])


# Numbers of the venue that begin anew


def before_anew():
    two = Two()
    for feed in (A, B):
        two.snapshot(feed, seq=FORMER)
    assert run(two, FORMER, (A, B), OLD) == FORMER + 10
    two.status(A, BookState.DOWN, reason="connection closed")
    two.wait(500 * MS, B)
    two.out.clear()
    two.snapshot(A, seq=5, bids=[(NEW, 1.0)], asks=[(NEW + 1, 1.0)])
    return two


def run_anew(two, seq, *, confirmed=()):
    """Feed a goes on at the new numbers; what it is asked for it does at once."""
    for _ in range(40):
        seq += 1
        two.delta(A, seq, [(NEW, float(seq))])
        two.wait(100 * MS, A, *confirmed)
        answer(two, A, seq)
    return seq


def test_a_feed_that_is_left_at_numbers_of_the_past_is_found_by_the_time_of_its_last_change():
    two = before_anew()
    seq = run_anew(two, 5, confirmed=(B,))
    assert codes(two.out) == ["FEEDS_DIFFER"]
    shown = views(two.out)[-1]
    assert (shown.state, shown.bids[0][0]) == (BookState.LIVE, NEW)
    two.snapshot(B, seq=seq, bids=[(NEW, float(seq))], asks=[(NEW + 1, 1.0)])
    two.out.clear()
    seq = run(two, seq, (A, B), NEW)
    assert {(view.state, view.reason) for view in views(two.out)} == {(BookState.LIVE, "")}
    two.status(B, BookState.DOWN, reason="x")
    two.out.clear()
    run(two, seq, (A,), NEW, times=60)
    assert {view.state for view in views(two.out)} == {BookState.LIVE}, "a is not behind for ever"


def test_where_the_other_feed_died_before_the_numbers_began_anew_the_book_comes_back():
    two = before_anew()
    run_anew(two, 5)
    shown = views(two.out)[-1]
    assert (shown.state, shown.bids[0][0]) == (BookState.LIVE, NEW)
    assert "feed b is" in shown.reason


def test_a_feed_is_not_behind_a_number_below_which_the_other_one_started_over():
    two = before_anew()
    two.status(B, BookState.DOWN, reason="connection closed")
    two.now_ns += S
    two.snapshot(B, seq=5, bids=[(NEW, 1.0)], asks=[(NEW + 1, 1.0)])
    two.out.clear()
    run(two, 5, (A, B), NEW, times=40)
    assert {(view.state, view.reason) for view in views(two.out)} == {(BookState.LIVE, "")}


# Old data


@pytest.mark.parametrize("silent_ns", [BEHIND_NS + S, 10 * S], ids=["live", "stale"])
def test_what_a_frozen_feed_reads_when_it_goes_on_is_not_shown_when_the_other_stops(silent_ns):
    two = both()
    seq = run(two, 100, (A,), OLD, times=silent_ns // (100 * MS))
    two.status(B)
    for old in range(101, 105):
        two.delta(B, old, [(OLD, float(old))])
    out = two.status(A, BookState.DOWN, reason="stopped")
    assert views(out)[-1].state is BookState.STALE
    assert "feed b is behind" in views(out)[-1].reason
    for old in range(105, seq + 1):
        out = two.delta(B, old, [(OLD, float(old))])
    assert (views(out)[-1].state, views(out)[-1].seq) == (BookState.LIVE, seq)


def test_what_a_frozen_feed_reads_after_the_other_has_stopped_is_not_shown():
    two = both()
    seq = run(two, 100, (A,), OLD, times=100)
    two.status(A, BookState.DOWN, reason="stopped")
    two.out.clear()
    two.status(B)
    for old in range(101, seq):
        two.delta(B, old, [(OLD, float(old))])
    assert BookState.LIVE not in {view.state for view in views(two.out)}
    two.delta(B, seq, [(OLD, float(seq))])
    assert (views(two.out)[-1].state, views(two.out)[-1].seq) == (BookState.LIVE, seq)


@pytest.mark.parametrize("more", range(0, 30, 3))
def test_a_feed_that_lags_all_the_time_is_not_shown_when_the_other_stops(more):
    two, lag, times = both(), 50, {}
    for seq in range(101, 101 + lag + 60 + more):
        times[seq] = two.now_ns
        two.delta(A, seq, [(OLD, float(seq))])
        if (late := seq - lag) in times:
            two.delta(B, late, [(OLD, float(late))], ts_venue_ns=times[late])
        two.wait(100 * MS, A, B)
    assert codes(two.out) == []
    out = two.status(A, BookState.DOWN, reason="stopped")
    assert views(out)[-1].state is BookState.STALE


def test_a_feed_that_was_late_once_counts_again_when_it_has_caught_up():
    two = both()
    seq = run(two, 100, (A,), OLD, times=40)
    for old in range(101, seq + 1):
        two.delta(B, old, [(OLD, float(old))])
    seq = run(two, seq, (A, B), OLD)
    two.status(A, BookState.DOWN, reason="stopped")
    assert views(two.out)[-1].state is BookState.LIVE
    two.delta(B, seq + 1, [(OLD, 1.0)])
    assert views(two.out)[-1].seq == seq + 1


def test_a_view_of_a_feed_that_was_never_compared_is_replaced_by_that_of_the_one_ahead():
    two = both()
    two.wait(100 * MS, A, B)
    two.delta(A, 101, [(OLD, 7.0)])
    assert views(two.out)[-1].bids[0] == (OLD, 7.0), "only a has it, and it is wrong"
    two.delta(B, 102, [(50.0, 1.0)], seq_prev=100)
    shown = views(two.out)[-1]
    assert (shown.seq, shown.bids[0]) == (102, (99.0, 1.0))


@pytest.mark.parametrize("lag", [1, 5])
def test_a_later_feed_that_is_never_at_the_newest_number_is_compared_all_the_same(lag):
    two = both()
    for seq in range(101, 120 + lag):
        two.delta(A, seq, [(OLD, float(seq))])
        if (late := seq - lag) > 100:
            two.delta(B, late, [(OLD, float(late))])
    assert codes(two.out) == []
    two.delta(A, 120 + lag, [(OLD, 7.0)])
    for late in range(120, 120 + lag):
        two.delta(B, late, [(OLD, float(late))])
    two.delta(A, 121 + lag, [(OLD, 8.0)])
    assert codes(two.delta(B, 120 + lag, [(OLD, 9.0)])) == ["FEEDS_DIFFER"]


def test_a_later_feed_is_not_compared_with_a_view_of_an_epoch_that_is_over():
    two = both()
    two.delta(A, 101, [(OLD, 7.0)])
    two.snapshot(A, seq=103, bids=((99.0, 1.0), (98.0, 1.0)))
    two.delta(B, 101, [(50.0, 1.0)])
    assert codes(two.out) == [], "what was wrong with it is over"


# From one ingestor to two, and back


def restarted(two, two_feeds):
    """The service starts again with another configuration, from what it saved."""
    names = two.engine.names(0)
    saved = join_checkpoint("0-0", [two.engine.save_part(name) for name in names])
    two.engine = OrderbookEngine(CONFIG, 1, (), two_feeds)
    two.engine.own(0, saved, two.now_ns)
    two.out.clear()


@pytest.mark.parametrize(
    ("before", "after"), [((ONLY,), (A, B)), ((A, B), (ONLY,))], ids=["to two", "to one"]
)
def test_books_of_ingestors_of_the_former_configuration_are_dropped_and_nothing_asked(
    before, after
):
    two = Two(two_feeds=("v",) if len(before) == 2 else ())
    for feed in before:
        two.snapshot(feed)
    seq = run(two, 100, before, OLD, times=30)
    restarted(two, ("v",) if len(after) == 2 else ())
    two.now_ns += S
    for feed in after:
        two.snapshot(feed, seq=seq, bids=[(OLD, float(seq)), (99.0, 1.0)])
    names = two.engine.names(0)
    assert len(names) == 3
    run(two, seq, after, OLD, times=700)
    assert asked(two.out) == [], "no ingestor starts over for a book that nobody feeds"
    assert len(two.engine.names(0)) == len(after)
    parts = [two.engine.save_part(name) for name in names]
    assert parts.count(b"") == len(before), "names may be of before"
    assert OrderbookEngine(CONFIG, 1, (), ("v",)).own(0, join_checkpoint("1-0", parts), NOW) == (
        "1-0"
    )
    last = views(two.out)[-1]
    assert (last.state, last.reason) == (BookState.LIVE, "")
    assert two.engine.counters()["feeds_diverged"] == 0


def test_while_the_service_stands_still_no_book_is_dropped():
    two = Two()
    for feed in (ONLY, A, B):
        two.snapshot(feed)
    two.wait(S, ONLY, A, B)
    two.now_ns += 3 * GONE_NS
    two.engine.on_timer(two.now_ns)
    two.wait(S, ONLY, A, B)
    assert len(two.engine.names(0)) == 3


# What is told of feeds


def test_an_audit_says_of_which_feed_the_book_is_that_failed():
    two = both()
    of_b = {"venue": "v", "instrument": "BTC/USDT", "epoch": two.epochs[B], "feed": B}
    two.give(BookAuditAsked(**of_b, ts_recv_ns=two.now_ns))
    theirs = {"bids": [(99.0, 5.0), (98.0, 1.0)], "asks": [(101.0, 1.0)]}
    two.give(BookAudit(**of_b, **theirs, seq=100, ts_recv_ns=two.now_ns))
    out = two.wait(200 * MS, A, B)
    (audited,) = [each for each in out if isinstance(each, BookAudited)]
    assert (audited.failed, audited.feed) == (True, B)
    (alert,) = [each for each in out if isinstance(each, Alert)]
    assert "v BTC/USDT of feed b differed from the venue's REST book" in alert.text
    assert "feed b is AUDIT_FAILED" in views(out)[0].reason
    assert [request.feed for request in asked(out)] == [B]


def says(feed, at_ns, state=BookState.LIVE):
    return VenueStatus(
        venue="v", instrument="", state=state, epoch=0, reason="x", ts_ns=at_ns, feed=feed
    )


def watched():
    watch = FeedWatch(("v",), 5 * S)
    for tick in range(10):
        look(watch, NOW + tick * 100 * MS, A, B)
    return watch, NOW + S


def look(watch, now_ns, *feeds):
    for feed in feeds:
        watch.on_status(says(feed, now_ns), now_ns)
    return list(watch.on_timer(now_ns))


def test_a_service_that_stood_still_tells_of_no_feed():
    watch, now_ns = watched()
    now_ns += 60 * S
    assert look(watch, now_ns) == []
    assert look(watch, now_ns + 100 * MS, A, B) == []


def test_where_both_feeds_are_lost_neither_is_said_to_go_on():
    watch, now_ns = watched()
    alerts = []
    for tick in range(1, 60):
        alerts += look(watch, now_ns + tick * 100 * MS)
    assert [alert.code for alert in alerts] == ["FEED_LOST", "FEED_LOST"]
    assert all("neither feed is left" in alert.text for alert in alerts)


def test_a_clock_that_was_ahead_hides_no_loss():
    watch, now_ns = watched()
    watch.on_status(says(B, now_ns + 3600 * S), now_ns)
    alerts = []
    for tick in range(1, 60):
        alerts += look(watch, now_ns + tick * 100 * MS, A)
    assert [alert.subject for alert in alerts] == ["v|b"]
