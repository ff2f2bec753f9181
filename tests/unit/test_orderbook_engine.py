"""The orderbook engine: continuity, trust, views, resync requests, checkpoints."""

from __future__ import annotations

import pytest

from services.orderbook.engine import OrderbookEngine, join_checkpoint
from services.orderbook.resync import PAUSE_NS
from services.orderbook.tracked import SNAPSHOT_GRACE_NS
from shared.bus.port import shard_of
from shared.config_sections import OrderbookConfig
from shared.errors import CodecError
from shared.messages.base import BookState
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    DepthView,
    ResyncRequest,
    VenueStatus,
)

NOW = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000 * MS
CONFIG = OrderbookConfig(depth_levels=2)


class Feed:
    """One book's messages in the order a test sends them, and what the engine answered."""

    def __init__(self, engine: OrderbookEngine | None = None, instrument="BTC/USDT") -> None:
        self.engine = engine or OrderbookEngine(CONFIG)
        if engine is None:
            self.engine.own(0, None, NOW)
        self.instrument = instrument
        self.now_ns = NOW
        self.epoch = NOW
        self.seq = 0

    def snapshot(
        self, bids=((99.0, 1.0),), asks=((101.0, 1.0),), *, age_ns=0, depth_max=None, unproved=""
    ):
        self.epoch += 1
        self.seq = 100
        return self.give(
            BookSnapshot(
                venue="v",
                instrument=self.instrument,
                epoch=self.epoch,
                seq=self.seq,
                bids=list(bids),
                asks=list(asks),
                ts_recv_ns=self.now_ns - age_ns,
                depth_max=depth_max,
                unproved=unproved,
            )
        )

    def delta(self, bids=(), asks=(), *, seq_prev=None, epoch=None, age_ns=0):
        seq_prev = self.seq if seq_prev is None else seq_prev
        self.seq = seq_prev + 1
        return self.give(
            BookDelta(
                venue="v",
                instrument=self.instrument,
                epoch=epoch or self.epoch,
                seq_prev=seq_prev,
                seq=self.seq,
                bids=list(bids),
                asks=list(asks),
                ts_recv_ns=self.now_ns - age_ns,
            )
        )

    def status(self, state, *, epoch=None, instrument=None, reason="", age_ns=0):
        return self.give(
            VenueStatus(
                venue="v",
                instrument=self.instrument if instrument is None else instrument,
                state=state,
                epoch=self.epoch if epoch is None else epoch,
                reason=reason,
                ts_ns=self.now_ns - age_ns,
            )
        )

    def give(self, message):
        return list(self.engine.on_message(message, self.now_ns).messages)

    def wait(self, duration_ns, *, confirm=False):
        """Let time pass in ticks, with the status repeated as the ingestor does."""
        out = []
        until_ns = self.now_ns + duration_ns
        while self.now_ns < until_ns:
            self.now_ns = min(self.now_ns + 100 * MS, until_ns)
            if confirm and (self.now_ns - NOW) % S == 0:
                out += self.status(BookState.LIVE)
            out += self.engine.on_timer(self.now_ns).messages
        return out


def saved(engine, entry_id, shard=0):
    return join_checkpoint(entry_id, [engine.save_part(name) for name in engine.names(shard)])


def views(out):
    return [m for m in out if isinstance(m, DepthView)]


def asks(out):
    return [m for m in out if isinstance(m, ResyncRequest)]


def test_snapshot_makes_a_live_view_with_the_best_levels_first():
    feed = Feed()
    (view,) = feed.snapshot([(97.0, 3.0), (99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0)])
    assert view.state is BookState.LIVE
    assert view.bids == [(99.0, 1.0), (98.0, 2.0)]
    assert view.asks == [(101.0, 1.0)]
    assert (view.epoch, view.seq, view.ts_recv_ns) == (feed.epoch, 100, NOW)


WHY = "changes have no number"


def test_book_that_nothing_proves_is_unproved_and_prices_nothing():
    feed = Feed()
    (view,) = feed.snapshot(unproved=WHY)
    assert (view.state, view.reason, view.bids, view.asks) == (BookState.UNPROVED, WHY, [], [])
    assert feed.delta([(99.5, 1.0)]) == []
    assert feed.status(BookState.UNPROVED, reason=WHY) == []
    out = feed.wait(20 * S)
    assert {view.state for view in views(out)} == {BookState.UNPROVED, BookState.STALE}
    feed.status(BookState.UNPROVED, reason=WHY)
    feed.delta([(99.6, 1.0)])
    assert asks(feed.delta([(99.6, 1.0)], seq_prev=7_000)), "it is still followed"
    (view,) = views(feed.snapshot())
    assert (view.state, view.reason) == (BookState.LIVE, "")


def test_configuration_may_accept_a_book_that_nothing_proves():
    feed = Feed(OrderbookEngine(CONFIG, accepted=["v"]))
    feed.engine.own(0, None, NOW)
    (view,) = feed.snapshot(unproved=WHY)
    assert (view.state, view.reason) == (BookState.LIVE, f"accepted unproved: {WHY}")
    assert view.bids == [(99.0, 1.0)]
    other = Feed(OrderbookEngine(CONFIG, accepted=["w"]))
    other.engine.own(0, None, NOW)
    (view,) = other.snapshot(unproved=WHY)
    assert view.state is BookState.UNPROVED


def test_unproved_outlives_a_restart():
    feed = Feed()
    feed.snapshot(unproved=WHY)
    again = OrderbookEngine(CONFIG)
    again.own(0, saved(feed.engine, "1-1"), feed.now_ns)
    feed.engine = again
    feed.status(BookState.UNPROVED, reason=WHY)
    out = feed.wait(S, confirm=False)
    out += feed.status(BookState.UNPROVED, reason=WHY)
    assert BookState.LIVE not in {view.state for view in views(out)}


def test_delta_below_the_shown_levels_makes_no_view():
    feed = Feed()
    feed.snapshot([(99.0, 1.0), (98.0, 2.0), (97.0, 3.0)], [(101.0, 1.0), (102.0, 1.0)])
    assert feed.delta([(97.0, 4.0)]) == []
    (view,) = feed.delta([(98.5, 4.0)])
    assert view.bids == [(99.0, 1.0), (98.5, 4.0)]


def test_lost_delta_is_a_gap_without_levels_and_asks_for_a_resync_at_once():
    feed = Feed()
    feed.snapshot()
    view, ask = feed.delta([(99.5, 1.0)], seq_prev=105)
    assert (view.state, view.bids, view.asks) == (BookState.GAP, [], [])
    assert "100" in view.reason and "105" in view.reason
    assert (ask.epoch, ask.instrument) == (feed.epoch, "BTC/USDT")
    assert feed.delta([(99.5, 1.0)]) == [], "nothing applies until a newer snapshot"
    (view,) = feed.snapshot()
    assert view.state is BookState.LIVE


def test_duplicates_and_older_epochs_are_dropped_and_counted():
    feed = Feed()
    feed.snapshot()
    first = feed.epoch
    feed.delta([(99.5, 1.0)])
    assert feed.delta([(99.6, 1.0)], seq_prev=100) == []
    feed.snapshot()
    assert feed.delta([(99.7, 1.0)], epoch=first) == []
    counters = feed.engine.counters()
    assert counters["dropped_duplicate"] == 1
    assert counters["dropped_old_epoch"] == 1
    assert counters["gaps"] == 0


def test_resync_is_asked_again_with_growing_pauses():
    feed = Feed()
    feed.snapshot()
    feed.delta(seq_prev=200)
    times = []
    for _ in range(100):
        out = feed.wait(100 * MS)
        times += [feed.now_ns] * len(asks(out))
    pauses = [b - a for a, b in zip([NOW, *times], times, strict=False)]
    assert pauses[0] == PAUSE_NS
    assert pauses == sorted(pauses)
    assert len(times) == 4


def test_delta_of_an_unknown_book_or_a_newer_epoch_needs_a_snapshot():
    feed = Feed()
    out = feed.delta(epoch=NOW + 1)
    assert views(out)[0].state is BookState.SYNCING
    assert asks(out)[0].epoch == NOW + 1
    feed.snapshot()
    out = feed.delta(epoch=feed.epoch + 5)
    assert views(out)[0].state is BookState.GAP
    assert asks(out + feed.wait(S))[0].epoch == feed.epoch + 5


def test_crossed_book_is_not_live_until_a_new_snapshot():
    feed = Feed()
    feed.snapshot()
    out = feed.delta([(101.0, 1.0)])
    assert views(out)[0].state is BookState.CROSSED
    assert asks(out)
    assert views(feed.delta([(101.0, 0.0)])) == []
    assert views(feed.snapshot())[0].state is BookState.LIVE


def test_depth_max_truncates_levels_that_fell_out():
    feed = Feed(OrderbookEngine(OrderbookConfig(depth_levels=10)))
    feed.engine.own(0, None, NOW)
    feed.snapshot([(99.0, 1.0), (98.0, 1.0)], depth_max=2)
    feed.delta([(99.5, 1.0)])
    (view,) = feed.delta([(99.5, 0.0)])
    assert view.bids == [(99.0, 1.0)], "98 fell out of the venue's depth without a delete"


def test_silent_book_is_stale_and_a_delta_that_continues_it_makes_it_live_again():
    feed = Feed()
    feed.snapshot()
    out = views(feed.wait(6 * S))
    assert out[-1].state is BookState.STALE
    assert out[-1].bids == []
    (view,) = feed.delta([(99.5, 1.0)])
    assert view.state is BookState.LIVE


def test_quiet_but_confirmed_book_stays_live_and_is_repeated():
    feed = Feed()
    feed.snapshot()
    out = feed.wait(50 * S, confirm=True)
    assert {view.state for view in views(out)} == {BookState.LIVE}
    assert len(views(out)) >= 50 * 3
    assert not asks(out)


def test_book_far_quieter_than_its_rhythm_is_suspected_although_confirmed():
    feed = Feed()
    feed.snapshot()
    for _ in range(20):
        feed.wait(100 * MS)
        feed.delta([(99.5, 1.0)])
    out = feed.wait(8 * S, confirm=True)
    assert views(out)[-1].state is BookState.STALE
    assert asks(out)
    assert feed.engine.counters()["silences"] == 1


def test_suspicions_in_a_row_wait_ever_longer():
    feed = Feed()
    feed.snapshot()
    for _ in range(20):
        feed.wait(100 * MS)
        feed.delta([(99.5, 1.0)])
    waits = []
    for _ in range(3):
        feed.snapshot()
        started_ns, silences = feed.now_ns, feed.engine.counters()["silences"]
        while feed.engine.counters()["silences"] == silences:
            feed.wait(100 * MS, confirm=True)
        waits.append((feed.now_ns - started_ns) // S)
    assert waits == [5, 10, 20]


def test_book_that_never_changed_is_suspected_after_a_minute():
    feed = Feed()
    feed.snapshot()
    assert not asks(feed.wait(59 * S, confirm=True))
    assert asks(feed.wait(2 * S, confirm=True))


def test_book_with_a_slow_rhythm_is_given_its_time():
    feed = Feed()
    feed.snapshot()
    for _ in range(3):
        feed.wait(4 * S, confirm=True)
        feed.delta([(99.5, 1.0)])
    out = feed.wait(30 * S, confirm=True)
    assert {view.state for view in views(out)} == {BookState.LIVE}


@pytest.mark.parametrize("state", [BookState.DOWN, BookState.GAP, BookState.SYNCING])
def test_what_the_wire_says_shows_at_once_and_a_newer_snapshot_heals(state):
    feed = Feed()
    feed.snapshot()
    feed.now_ns += MS
    (view,) = feed.status(state, reason="because")
    assert (view.state, view.reason, view.bids) == (state, "because", [])
    feed.now_ns += MS
    assert views(feed.snapshot())[0].state is BookState.LIVE


def test_status_overtaken_by_a_snapshot_is_ignored():
    feed = Feed()
    feed.snapshot()
    assert feed.status(BookState.SYNCING, age_ns=10 * MS) == []
    assert feed.status(BookState.DOWN, epoch=feed.epoch - 1) == []


def test_venue_down_takes_every_book_of_it_down():
    feed = Feed()
    other = Feed(feed.engine, "ETH/USDT")
    feed.snapshot()
    other.snapshot()
    feed.now_ns += MS
    out = feed.status(BookState.DOWN, epoch=0, instrument="", reason="no route")
    assert [view.state for view in out] == [BookState.DOWN] * 2
    other.now_ns += S
    (view,) = other.status(BookState.LIVE)
    assert view.state is BookState.LIVE


def test_late_joiner_learns_of_a_book_by_its_status_and_asks_for_it():
    feed = Feed()
    out = feed.status(BookState.LIVE)
    assert views(out)[0].state is BookState.SYNCING
    assert not asks(out), "the snapshot may just be on its way"
    out = feed.wait(SNAPSHOT_GRACE_NS)
    assert asks(out)[0].epoch == feed.epoch


def test_message_of_the_past_does_not_make_a_book_live():
    feed = Feed()
    (view,) = feed.snapshot(age_ns=3 * S)
    assert view.state is BookState.STALE
    assert views(feed.delta([(99.5, 1.0)], age_ns=2 * S)) == []
    (view,) = feed.delta([(99.6, 1.0)])
    assert view.state is BookState.LIVE


def test_restart_continues_from_the_checkpoint_without_a_resync():
    feed = Feed()
    feed.snapshot([(99.0, 1.0), (98.0, 2.0), (97.0, 3.0)])
    feed.delta([(98.5, 1.0)])
    state = saved(feed.engine, "17-0", 0)
    again = OrderbookEngine(CONFIG)
    feed.now_ns += 300 * MS
    assert again.own(0, state, feed.now_ns) == "17-0"
    feed.engine = again
    assert [view.state for view in feed.wait(100 * MS)] == [BookState.STALE]
    (view,) = feed.delta([(97.5, 1.0)])
    assert view.state is BookState.LIVE
    assert view.bids == [(99.0, 1.0), (98.5, 1.0)]
    (view,) = feed.delta([(99.0, 0.0), (98.5, 0.0)])
    assert view.bids == [(98.0, 2.0), (97.5, 1.0)], "the levels below are there too"
    assert again.counters()["resyncs"] == 0


def test_quiet_book_is_live_again_after_a_restart_once_confirmed():
    feed = Feed()
    feed.snapshot()
    again = OrderbookEngine(CONFIG)
    again.own(0, saved(feed.engine, "1-0", 0), feed.now_ns)
    feed.engine = again
    assert feed.status(BookState.LIVE)[0].state is BookState.STALE, "the tail may not be read yet"
    feed.wait(500 * MS)
    (view,) = feed.status(BookState.LIVE)
    assert view.state is BookState.LIVE


def test_restart_after_the_tail_was_trimmed_shows_the_gap():
    feed = Feed()
    feed.snapshot()
    again = OrderbookEngine(CONFIG)
    again.own(0, saved(feed.engine, "1-0", 0), feed.now_ns)
    feed.engine = again
    out = feed.delta(seq_prev=150)
    assert views(out)[0].state is BookState.GAP
    assert asks(out)


def test_shards_are_kept_apart():
    engine = OrderbookEngine(CONFIG, shards=2)
    engine.own(0, None, NOW)
    engine.own(1, None, NOW)
    names = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT"]
    for name in names:
        Feed(engine, name).snapshot()
    for shard in (0, 1):
        fresh = OrderbookEngine(CONFIG, shards=2)
        fresh.own(shard, saved(engine, "1-0", shard), NOW)
        mine = sum(shard_of(name, 2) == shard for name in names)
        assert fresh.gauges()["books"] == mine
    engine.drop_shard(0)
    assert engine.gauges()["books"] == sum(shard_of(name, 2) == 1 for name in names)
    not_mine = next(name for name in names if shard_of(name, 2) == 0)
    assert Feed(engine, not_mine).status(BookState.LIVE) == []


def test_checkpoint_that_does_not_decode_is_refused_whole():
    engine = OrderbookEngine(CONFIG)
    with pytest.raises(CodecError, match="shard 0"):
        engine.own(0, b"\xc1", NOW)
    assert engine.gauges()["books"] == 0
    assert Feed(engine).snapshot()[0].state is BookState.LIVE


def test_epoch_is_forgotten_after_a_long_silence():
    feed = Feed()
    feed.snapshot()
    feed.wait(61 * S)
    feed.epoch -= 10 * S
    (view,) = views(feed.snapshot())
    assert view.state is BookState.LIVE


# --- the range of a snapshot


def cut_snapshot(feed, *, bid_floor=95.0, ask_ceiling=105.0, bids=None, asks=None):
    feed.epoch += 1
    feed.seq = 100
    return feed.give(
        BookSnapshot(
            venue="v",
            instrument=feed.instrument,
            epoch=feed.epoch,
            seq=100,
            bids=bids or [(99.0, 1.0), (95.0, 1.0)],
            asks=asks or [(101.0, 1.0), (105.0, 1.0)],
            ts_recv_ns=feed.now_ns,
            bid_floor=bid_floor,
            ask_ceiling=ask_ceiling,
        )
    )


def test_view_ends_where_the_snapshot_did():
    feed = Feed()
    cut_snapshot(feed)
    feed.delta([(94.0, 1.0)], [(107.0, 1.0)])
    (view,) = views(feed.delta([(95.0, 0.0)], [(105.0, 0.0)]))
    assert (view.state, view.bids, view.asks) == (BookState.LIVE, [(99.0, 1.0)], [(101.0, 1.0)])


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], [(101.0, 0.0), (105.0, 0.0)]),
        ([], [(101.0, 0.0), (105.0, 0.0), (107.0, 1.0)]),
        ([(99.0, 0.0), (95.0, 0.0), (94.0, 2.0)], []),
        ([(99.0, 0.0), (95.0, 0.0)], []),
    ],
)
def test_price_beyond_what_was_told_is_not_live_until_a_newer_snapshot(bids, asks):
    feed = Feed()
    cut_snapshot(feed)
    (view,) = views(feed.delta(bids, asks))
    assert (view.state, view.bids) == (BookState.SYNCING, [])
    assert "snapshot" in view.reason
    (request,) = [m for m in feed.wait(200 * MS) if isinstance(m, ResyncRequest)]
    assert (request.refresh, request.epoch) == (True, feed.epoch)
    (view,) = views(cut_snapshot(feed))
    assert view.state is BookState.LIVE


def test_price_that_comes_back_is_live_again():
    feed = Feed()
    cut_snapshot(feed)
    feed.delta([], [(101.0, 0.0), (105.0, 0.0)])
    (view,) = views(feed.delta([], [(104.0, 1.0)]))
    assert (view.state, view.asks) == (BookState.LIVE, [(104.0, 1.0)])


def test_newer_snapshot_is_asked_for_before_the_price_gets_there():
    feed = Feed()
    cut_snapshot(feed)
    assert asks(feed.wait(4 * S, confirm=True)) == []
    feed.delta([(102.0, 1.0)], [(101.0, 0.0), (104.0, 1.0)])
    (request,) = asks(feed.wait(2 * S, confirm=True))
    assert request.refresh and feed.engine.gauges()["books_live"] == 1
    assert len(asks(feed.wait(3 * S, confirm=True))) == 1, "again after a pause"
    cut_snapshot(feed, bid_floor=98.0, ask_ceiling=110.0, bids=[(102.0, 1.0)], asks=[(104.0, 1.0)])
    assert asks(feed.wait(4 * S, confirm=True)) == []


def test_whole_side_has_no_end():
    feed = Feed()
    cut_snapshot(feed, bid_floor=None, ask_ceiling=None)
    (view,) = views(feed.delta([(94.0, 1.0)], [(101.0, 0.0), (105.0, 0.0), (107.0, 1.0)]))
    assert (view.state, view.asks) == (BookState.LIVE, [(107.0, 1.0)])
    assert asks(feed.wait(4 * S, confirm=True)) == []


def test_range_survives_a_restart():
    feed = Feed()
    cut_snapshot(feed)
    engine = OrderbookEngine(CONFIG)
    engine.own(0, saved(feed.engine, "1-0"), feed.now_ns)
    feed.engine = engine
    feed.status(BookState.LIVE)
    feed.wait(S, confirm=True)
    (view,) = views(feed.delta([], [(101.0, 0.0), (105.0, 0.0), (107.0, 1.0)]))
    assert view.state is BookState.SYNCING


# --- several ingestors of one venue


def report_of(feed, state, *, source, epoch=None, instrument=None, refused=False):
    return feed.give(
        VenueStatus(
            venue="v",
            instrument=feed.instrument if instrument is None else instrument,
            state=state,
            epoch=feed.epoch if epoch is None else epoch,
            reason="so",
            ts_ns=feed.now_ns,
            source=source,
            refused=refused,
        )
    )


def fed_by_the_newer_of_two():
    """The older ingestor A began a book, the newer B took it over."""
    feed = Feed()
    feed.snapshot()
    report_of(feed, BookState.LIVE, source="a")
    older = feed.epoch
    feed.now_ns += 100 * MS
    feed.snapshot()
    report_of(feed, BookState.LIVE, source="b")
    return feed, older


def test_what_the_other_ingestor_says_does_not_touch_a_book_that_is_well():
    feed, older = fed_by_the_newer_of_two()
    assert report_of(feed, BookState.DOWN, source="a", epoch=older) == []
    assert report_of(feed, BookState.DOWN, source="a", epoch=0, instrument="") == []
    assert report_of(feed, BookState.GAP, source="a", epoch=feed.epoch + 5) == []
    (view,) = views(feed.delta([(99.5, 1.0)]))
    assert view.state is BookState.LIVE


def test_stop_of_the_ingestor_that_feeds_a_book_hands_it_to_the_other_at_once():
    feed, older = fed_by_the_newer_of_two()
    feed.now_ns += 100 * MS
    (view,) = views(report_of(feed, BookState.DOWN, source="b"))
    assert view.state is BookState.DOWN
    report_of(feed, BookState.DOWN, source="b", epoch=0, instrument="")
    feed.now_ns += 100 * MS
    (request,) = asks(report_of(feed, BookState.LIVE, source="a", epoch=older))
    assert request.epoch >= older and not request.refresh, "the other one must act on it"
    feed.now_ns += 100 * MS
    (view,) = views(feed.snapshot())
    assert view.state is BookState.LIVE
    assert asks(feed.wait(S)) == []


def test_death_of_the_ingestor_that_feeds_a_book_hands_it_over_when_it_is_stale():
    feed, older = fed_by_the_newer_of_two()
    out = []
    for _ in range(10):
        feed.wait(S)
        out += asks(report_of(feed, BookState.LIVE, source="a", epoch=older))
    assert out and feed.engine.gauges()["books_live"] == 0
    (view,) = views(feed.snapshot())
    assert view.state is BookState.LIVE


def test_two_ingestors_of_an_earlier_version_do_not_say_who_they_are():
    feed = Feed()
    feed.snapshot()
    older = feed.epoch
    feed.snapshot()
    feed.status(BookState.LIVE)
    feed.now_ns += 100 * MS
    feed.status(BookState.DOWN)
    (request,) = asks(feed.status(BookState.LIVE, epoch=older))
    assert not request.refresh


def test_book_that_no_venue_serves_is_not_waited_for():
    feed = Feed()
    report_of(feed, BookState.DOWN, source="a", refused=True)
    gauges = feed.engine.gauges()
    assert (gauges["books"], gauges["books_not_served"]) == (0, 1)
