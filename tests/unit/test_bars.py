"""Bars: by the venue's time, closed by the timer, honest about what is missing."""

from __future__ import annotations

import pytest

from shared.messages.base import Side
from shared.messages.market import Trade, TradesMissed
from shared.strategies.features.bars import (
    OPEN_MAX,
    RENUMBERED,
    SILENCE_MAX,
    Bar,
    BarBuilder,
    merged,
)

S = 1_000_000_000
T0 = 1_700_000_000 * S - 1_700_000_000 * S % (60 * S)
LATENESS_NS = 2 * S
_ids = iter(range(10**9))


def trade(at_s: float, price: float = 100.0, qty: float = 1.0, **more) -> Trade:
    fields = {"side": Side.BUY, "trade_id": str(next(_ids)), "venue": "v", "instrument": "BTC/USDT"}
    at_ns = T0 + int(at_s * S)
    fields |= {"ts_recv_ns": at_ns, "ts_venue_ns": at_ns, **more}
    return Trade(price=price, qty=qty, **fields)


def missed(*, ongoing: bool) -> TradesMissed:
    return TradesMissed(venue="v", instrument="BTC/USDT", ongoing=ongoing, ts_recv_ns=T0)


class Minutes:
    """A builder of minutes, fed on our clock in seconds since ``T0``."""

    def __init__(self, **more) -> None:
        self.builder = BarBuilder(60 * S, LATENESS_NS, **more)
        self.bars: list = []

    def trade(self, at_s: float, *args, now_s: float | None = None, **more) -> None:
        now_ns = T0 + int((at_s if now_s is None else now_s) * S)
        self.bars += self.builder.on_trade(trade(at_s, *args, **more), now_ns)

    def missed(self, at_s: float, *, ongoing: bool) -> None:
        self.bars += self.builder.on_missed(missed(ongoing=ongoing), T0 + int(at_s * S))

    def timer(self, at_s: float) -> None:
        self.bars += self.builder.on_timer(T0 + int(at_s * S))

    def complete(self) -> list[bool]:
        return [bar.complete for bar in self.bars]


@pytest.fixture
def minutes() -> Minutes:
    """In the second minute; the first is incomplete, as every first one is."""
    found = Minutes()
    found.trade(30)
    found.trade(61)
    found.timer(63)
    assert found.complete() == [False]
    found.bars.clear()
    return found


def test_a_bar_sums_up_its_trades() -> None:
    found = Minutes()
    for at_s, price, qty, side in (
        (0, 100.0, 1.0, "buy"),
        (10, 110.0, 2.0, "sell"),
        (20, 90.0, 0.5, "buy"),
        (59.999, 95.0, 1.0, "sell"),
        (60, 1.0, 9.0, "buy"),
    ):
        found.trade(at_s, price, qty, side=Side(side))
    assert found.bars == [], "open until it is over by the lateness"
    assert found.builder.next_deadline_ns() == T0 + 62 * S
    found.timer(62)
    (bar,) = found.bars
    assert (bar.start_ns, bar.interval_ns) == (T0, 60 * S)
    assert (bar.open, bar.high, bar.low, bar.close) == (100.0, 110.0, 90.0, 95.0)
    assert (bar.volume, bar.buy_volume, bar.trades) == (4.5, 1.5, 4)
    assert bar.quote_volume == 100 + 220 + 45 + 95 and bar.vwap == 460 / 4.5
    assert not bar.complete, "nobody knows what was traded before its first trade"


def test_order_is_by_the_venues_time_not_by_arrival(minutes: Minutes) -> None:
    minutes.trade(100, 7.0, now_s=100)
    minutes.trade(60.5, 5.0, now_s=101)
    minutes.timer(122)
    (bar,) = minutes.bars
    assert (bar.open, bar.close) == (5.0, 7.0)


def test_a_clock_that_is_ahead_of_ours_opens_the_next_bar_early(minutes: Minutes) -> None:
    minutes.trade(120.5, 8.0, now_s=119)
    minutes.timer(122)
    assert (minutes.bars[0].trades, minutes.bars[0].complete) == (1, True)
    minutes.timer(182)
    assert minutes.bars[1].open == 8.0


def test_late_trades_are_counted_and_change_nothing(minutes: Minutes) -> None:
    minutes.timer(122)
    minutes.trade(119, 5.0, now_s=123)
    minutes.timer(182)
    assert minutes.builder.late == 1
    assert [bar.trades for bar in minutes.bars] == [1, 0]


def test_an_empty_interval_gives_a_bar_of_volume_zero_at_the_last_price(minutes: Minutes) -> None:
    minutes.trade(119, 7.0)
    minutes.timer(300)
    full, first, second = minutes.bars
    assert not full.is_empty
    assert [bar.start_ns for bar in (first, second)] == [T0 + 120 * S, T0 + 180 * S]
    for bar in (first, second):
        assert bar.is_empty and bar.complete and bar.vwap is None
        assert {bar.open, bar.high, bar.low, bar.close} == {7.0} and bar.volume == 0


def test_nothing_is_said_before_the_first_trade() -> None:
    found = Minutes()
    found.timer(1_000)
    assert found.bars == [] and found.builder.next_deadline_ns() is None


def test_a_hole_spoils_the_bars_from_the_last_trade_to_the_next(minutes: Minutes) -> None:
    minutes.trade(125, now_s=125)
    minutes.missed(130, ongoing=False)
    minutes.trade(185, now_s=185)
    minutes.trade(245, now_s=245)
    minutes.timer(305)
    assert minutes.complete() == [True, False, False, True]


def test_a_hole_without_a_trade_after_it_spoils_up_to_now(minutes: Minutes) -> None:
    minutes.missed(190, ongoing=False)
    minutes.timer(302)
    assert [bar.start_ns for bar in minutes.bars] == [T0 + at * 60 * S for at in (1, 2, 3, 4)]
    assert minutes.complete() == [False, False, False, True]


def test_while_no_trades_come_no_bar_is_complete(minutes: Minutes) -> None:
    minutes.missed(130, ongoing=True)
    minutes.missed(200, ongoing=True)
    minutes.timer(250)
    minutes.missed(250, ongoing=False)
    minutes.trade(302, now_s=302)
    minutes.trade(361, now_s=361)
    minutes.timer(422)
    assert minutes.complete()[1:] == [False, False, False, False, True]


def test_a_reader_that_missed_entries_says_so_itself(minutes: Minutes) -> None:
    minutes.bars += minutes.builder.on_gap(T0 + 70 * S)
    minutes.timer(122)
    assert minutes.complete() == [False]


def test_two_ingestors_that_tell_the_same_trades_count_once(minutes: Minutes) -> None:
    minutes.trade(70, trade_id="2000000001")
    minutes.trade(71, trade_id="2000000002")
    minutes.trade(70, trade_id="2000000001")
    minutes.trade(71, trade_id="2000000002")
    minutes.trade(72, trade_id=str(2_000_000_002 - RENUMBERED))  # numbered anew
    minutes.trade(73, trade_id="not a number")
    minutes.trade(74, trade_id="not a number")
    minutes.timer(122)
    assert minutes.bars[0].trades == 6 and minutes.builder.repeated == 2


def test_what_has_no_time_or_an_impossible_one_is_counted(minutes: Minutes) -> None:
    minutes.trade(70, ts_venue_ns=None)
    minutes.trade(60 * (OPEN_MAX + 5), now_s=70)
    assert (minutes.builder.untimed, minutes.builder.ahead) == (1, 1)


def test_after_a_very_long_silence_bars_begin_anew(minutes: Minutes) -> None:
    later = 60 * (SILENCE_MAX + 10)
    minutes.timer(later)
    assert minutes.bars == [] and minutes.builder.restarts == 1
    minutes.trade(later + 1)
    minutes.timer(later + 70)
    assert minutes.complete() == [False]


def test_inverse_contracts_are_base_units_by_each_trades_price() -> None:
    found = Minutes(inverse_contract=100.0)
    found.trade(1, 50_000.0, 5.0)
    found.trade(2, 100_000.0, 10.0, trades=3)
    found.timer(62)
    (bar,) = found.bars
    assert (bar.volume, bar.quote_volume, bar.trades) == (0.02, 1_500.0, 4)
    assert bar.vwap == 75_000.0


@pytest.mark.parametrize(("interval_ns", "lateness_ns"), [(0, 1), (-1, 1), (1, -1)])
def test_impossible_bars_are_refused(interval_ns: int, lateness_ns: int) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        BarBuilder(interval_ns, lateness_ns)


def bar_at(minute: int, price: float, *, trades: int = 1, complete: bool = True) -> Bar:
    return Bar(
        start_ns=T0 + minute * 60 * S,
        interval_ns=60 * S,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price + 0.5,
        volume=1.0 * trades,
        buy_volume=0.5 * trades,
        quote_volume=price * trades,
        trades=trades,
        complete=complete,
    )


def test_longer_bars_are_made_of_shorter_ones() -> None:
    start = -(T0 // (60 * S)) % 2  # the first even minute
    bars = [bar_at(start + at, price) for at, price in ((0, 10.0), (1, 30.0), (2, 5.0), (3, 7.0))]
    first, second = merged(bars, 120 * S)
    assert (first.open, first.high, first.low, first.close) == (10.0, 31.0, 9.0, 30.5)
    assert (first.volume, first.buy_volume, first.quote_volume, first.trades) == (2, 1, 40, 2)
    assert (second.start_ns, second.interval_ns) == (bars[2].start_ns, 120 * S)
    assert first.complete and second.complete


def test_what_lacks_a_part_is_incomplete_and_empty_parts_add_no_price() -> None:
    start = -(T0 // (60 * S)) % 2
    empty, only = bar_at(start, 99.0, trades=0), bar_at(start + 1, 10.0)
    (bar,) = merged([empty, only], 120 * S)
    assert (bar.high, bar.low, bar.trades, bar.complete) == (11.0, 9.0, 1, True)
    assert not merged([only], 120 * S)[0].complete
    assert not merged([empty, bar_at(start + 1, 10.0, complete=False)], 120 * S)[0].complete
    assert merged([], 120 * S) == []


@pytest.mark.parametrize("minutes", [(1, 0), (0, 0)])
def test_bars_out_of_order_make_no_bar(minutes: tuple[int, int]) -> None:
    start = -(T0 // (60 * S)) % 2
    with pytest.raises(ValueError, match="after"):
        merged([bar_at(start + minute, 1.0) for minute in minutes], 120 * S)


@pytest.mark.parametrize("interval_ns", [90 * S, 30 * S])
def test_bars_that_do_not_fit_are_refused(interval_ns: int) -> None:
    with pytest.raises(ValueError, match="do not make"):
        merged([bar_at(0, 1.0)], interval_ns)
