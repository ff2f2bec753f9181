"""The momentum strategy: what bars make it say, given what risk says is held."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.look_ahead import examine, market, run
from shared.messages.arb import Signal, Target
from shared.messages.base import BookState, Certainty
from shared.messages.market import DepthView
from shared.messages.rounds import RoundLeg, RoundState, StrategyPosition
from shared.strategies.built_in.momentum import PENDING_NS, MomentumParams, MomentumSignal
from shared.strategies.features.bars import Bar
from shared.strategies.port import RETRY_NS, Bars, Depth
from tests.decision_builders import PERP, SECOND, SPOT, T0, make_view
from tests.tables import parquet_columns

MINUTE_NS = 60 * SECOND
UP = [100.0 + n for n in range(20)]
DOWN = [100.0 - n for n in range(20)]


class Traded:
    """The strategy on one market, with a risk that does at once what a signal says."""

    def __init__(self, instrument: str = PERP, *, answers: bool = True, **params: Any) -> None:
        self.place = "alpha", instrument
        self.strategy = MomentumSignal("mom", MomentumParams(**params))
        self.answers = answers
        self.round_id, self.held = "", 0
        self.now_ns = T0 // MINUTE_NS * MINUTE_NS
        self.published: list[Signal] = []
        self.show()

    def view(self, **more: Any) -> DepthView:
        return make_view(*self.place, ts_ns=self.now_ns, seq=len(self.published) + 1, **more)

    def show(self, **more: Any) -> list[Signal]:
        return self._follow(self.strategy.on_depth(self.view(**more), self.now_ns))

    def bar(self, close: float, *, skip: int = 0, live: bool = True, **more: Any) -> list[Signal]:
        start_ns = self.now_ns + skip * MINUTE_NS
        self.now_ns = start_ns + MINUTE_NS
        bar = Bar(
            start_ns=start_ns,
            interval_ns=MINUTE_NS,
            open=close,
            high=close,
            low=close,
            close=close,
            volume=1.0,
            trades=1,
            venue=self.place[0],
            instrument=self.place[1],
        )
        if live:
            self.show()
        bar = msgspec.structs.replace(bar, **more)
        return self._follow(self.strategy.on_bar(bar, self.now_ns))

    def bars(self, closes: list[float]) -> list[Signal]:
        return [signal for close in closes for signal in self.bar(close)]

    def position(self, state: RoundState, held: int, **more: Any) -> list[Signal]:
        self.held = held
        leg = RoundLeg(venue=self.place[0], instrument=self.place[1], qty=D(held), entry=D(100))
        told = StrategyPosition(
            ts_ns=self.now_ns,
            strategy_id="mom",
            round_id=self.round_id,
            state=state,
            base="BTC",
            quote="USDT",
            legs=[leg],
            unhedged=D(held),
            realized={},
            certainty=Certainty.KNOWN,
            is_directional=True,
            **more,
        )
        return self._follow(self.strategy.on_position(told, self.now_ns))

    def _follow(self, signals: Any) -> list[Signal]:
        out = list(signals)
        self.published += out
        if self.answers:
            for signal in out[:]:
                if self.held:
                    assert signal.round_id == self.round_id
                    out += self.position(RoundState.CLOSED, 0)
                else:
                    self.round_id = signal.round_id
                    out += self.position(RoundState.OPEN, 1 if signal.target == "LONG" else -1)
        return out


def targets(signals: list[Signal]) -> list[Target]:
    return [signal.target for signal in signals]


def test_it_goes_long_with_its_stop_and_time_and_only_once() -> None:
    traded = Traded(stop_bps=150.0, held_minutes_max=30.0)
    assert traded.bars(UP[:-1]) == []
    (signal,) = traded.bar(UP[-1])
    assert (signal.target, signal.stop_bps) == (Target.LONG, D("150.0"))
    assert signal.horizon_ns == 30 * MINUTE_NS
    assert (signal.venue, signal.instrument, signal.strength) == ("alpha", PERP, 1)
    assert traded.bars([120.0 + n for n in range(20)]) == []  # it is long: the source ordered on


def test_what_was_held_back_is_said_again_soon() -> None:
    traded = Traded(answers=False)
    (published,) = traded.bars(UP)
    assert not traded.show()
    traded.strategy.on_held_back(published, traded.now_ns)
    traded.now_ns += RETRY_NS
    assert targets(traded.show()) == [published.target]


def test_it_turns_around_by_closing_first() -> None:
    traded = Traded()
    traded.bars(UP)
    first = traded.round_id
    signals = traded.bars([119.0 - 2 * n for n in range(20)])
    assert targets(signals) == [Target.SHORT, Target.SHORT]
    assert [signal.round_id == first for signal in signals] == [True, False]
    assert traded.held == -1


def test_spot_is_left_and_not_sold_short() -> None:
    traded = Traded(SPOT)
    traded.bars(UP)
    signals = traded.bars([119.0 - 2 * n for n in range(20)])
    assert targets(signals) == [Target.FLAT]
    assert traded.held == 0
    assert traded.strategy.near_misses.totals["NO_SHORT"] > 0


def test_the_position_is_what_risk_says_it_is() -> None:
    """After a restart the strategy knows no round; risk tells it, and it does not open twice."""
    traded = Traded()
    traded.round_id = "of.before.1"
    traded.position(RoundState.OPEN, 1)
    assert traded.bars(UP) == []
    signals = traded.bars([119.0 - 2 * n for n in range(20)])
    assert signals[0].round_id == "of.before.1"


def test_what_is_under_way_is_waited_for() -> None:
    traded = Traded(answers=False)
    (signal,) = traded.bars(UP)
    traded.round_id = signal.round_id
    traded.position(RoundState.OPENING, 0)
    traded.position(RoundState.OPEN, 1)
    closing = traded.bar(60.0)
    assert targets(closing) == [Target.SHORT]
    traded.position(RoundState.CLOSING, 1)
    traded.now_ns += PENDING_NS + 1
    assert traded.show() == []  # its close is in flight
    traded.position(RoundState.OPEN, 1)  # it was denied, or filled nothing
    traded.published.clear()
    traded.now_ns += PENDING_NS + 1
    assert targets(traded.show()) == [Target.SHORT]


def test_a_round_that_is_gone_is_forgotten_though_no_leg_is_told() -> None:
    traded = Traded()
    traded.bars(UP)
    told = StrategyPosition(
        ts_ns=T0,
        strategy_id="mom",
        round_id=traded.round_id,
        state=RoundState.CLOSED,
        base="BTC",
        quote="USDT",
        legs=[],
        unhedged=D(0),
        realized={},
        certainty=Certainty.KNOWN,
    )
    traded.strategy.on_position(told, traded.now_ns)
    traded.held = 0
    assert targets(traded.bar(121.0)) == [Target.LONG]


@pytest.mark.parametrize("pause_bars", [0, 3])
def test_after_a_stop_it_pauses_as_long_as_it_is_told_to(pause_bars: int) -> None:
    traded = Traded(pause_bars=pause_bars)
    traded.bars(UP)
    traded.position(RoundState.CLOSED, 0, ending="STOP")
    opened = []
    for n in range(5):
        opened.append(len(traded.bar(121.0 + n)))
    assert opened.index(1) == max(0, pause_bars - 1)


def test_it_waits_for_a_live_book_and_no_longer_than_the_next_bar() -> None:
    traded = Traded()
    traded.bars(UP[:-1])
    traded.show(state=BookState.STALE)
    assert traded.bar(UP[-1], live=False) == []
    assert traded.show(state=BookState.GAP) == []
    assert targets(traded.show()) == [Target.LONG]
    traded = Traded()
    traded.bars(UP[:-1])
    traded.show(state=BookState.STALE)
    traded.bar(UP[-1], live=False)
    traded.bar(100.0, live=False)  # m is still above, so it is wanted still
    traded.bar(60.0, live=False)
    assert targets(traded.show()) == [Target.SHORT]


def test_no_average_spans_a_hole() -> None:
    for hole in ({"complete": False}, {"skip": 1}):
        traded = Traded()
        traded.bars(UP[:10])
        traded.bar(UP[10], **hole)
        assert traded.bars(UP[11:]) == []
        assert traded.strategy.counters()["holes"] == 1
        assert traded.strategy.near_misses.totals["WARMING_UP"] >= 19


def test_below_the_threshold_nothing_is_wanted() -> None:
    traded = Traded()
    assert traded.bars([100.0, 100.1] * 20) == []
    assert traded.strategy.near_misses.totals["THRESHOLD"] == 21


def test_markets_are_apart_and_bounded_by_what_is_configured() -> None:
    one = MomentumSignal("mom", MomentumParams(venue="alpha", instrument=PERP))
    assert one.inputs() == (Bars("alpha", PERP, 60, 2_000), Depth("alpha", PERP))
    one.on_depth(make_view("alpha", PERP), T0)
    other = make_view("beta", PERP)
    one.on_depth(other, T0)
    assert one.gauges()["markets"] == 1
    everywhere = MomentumSignal("mom", MomentumParams())
    everywhere.on_depth(other, T0)
    everywhere.on_depth(make_view("alpha", "BTC/USD:BTC"), T0)  # settled in its base: no signal
    assert everywhere.gauges()["markets"] == 1


def test_averages_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="20 and 20 bars"):
        Traded(fast_bars=20)
    with pytest.raises(msgspec.ValidationError, match="stop_bps"):
        msgspec.convert({"stop_bps": 0.0}, MomentumParams)


@given(st.lists(st.floats(1.0, 1e5), min_size=5, max_size=80), st.data())
def test_warmed_up_it_says_what_an_uninterrupted_one_says(
    closes: list[float], data: st.DataObject
) -> None:
    """The bars of its slow average are all that it needs, beside what risk tells."""
    whole = Traded(fast_bars=2, slow_bars=5)
    warm = data.draw(st.integers(5, len(closes)))
    whole.bars(closes[: warm - 5])
    late = Traded(fast_bars=2, slow_bars=5, answers=False)
    late.now_ns = whole.now_ns
    late.bars(closes[warm - 5 : warm])  # what it says while it warms up does not count
    whole.bars(closes[warm - 5 : warm])
    late.answers, late.round_id = True, whole.round_id
    if whole.held:
        late.position(RoundState.OPEN, whole.held)
    for close in closes[warm:]:
        assert targets(whole.bar(close)) == targets(late.bar(close))
        assert whole.held == late.held


def test_it_does_not_look_ahead() -> None:
    params = MomentumParams(fast_bars=2, slow_bars=4, threshold_bps=1.0)
    places = [("venue-1", PERP), ("venue-2", PERP)]
    strategy = MomentumSignal("mom", params)
    events = market(places, 800, seed=3, inputs=strategy.inputs())

    def make() -> MomentumSignal:
        return MomentumSignal("mom", params)

    assert examine(make, events, [50, 300, 700], 1) is None
    assert sum(len(each) > 1 for each in run(make, events)) > 5


@pytest.mark.recorded
def test_orders_on_recorded_minutes(recorded: Path) -> None:
    """Fact 5: 633 flips, where the source, which never knew its position, ordered 10,295 times."""
    (closes,) = parquet_columns(recorded / "iaqf_dhruv1432" / "coinbase_btcusd.parquet", "close")
    traded = Traded(book_age_ms_max=60_000)
    before, flips = 0, {1: 0, -1: 0}
    for close in closes:
        traded.bar(close)
        if traded.held != before:
            before = traded.held
            flips[before] += 1
    assert flips == {1: 317, -1: 316}
    assert len(traded.published) == 2 * 633 - 1  # the first one only opens
