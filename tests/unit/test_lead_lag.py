"""Lead-lag: the measure on moves is that on all returns, and the strategy only says it."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.look_ahead import Event, examine, market
from shared.messages.arb import Indication
from shared.messages.base import BookState
from shared.strategies.built_in.lead_lag import LeadLagParams, LeadLagSignal
from shared.strategies.features.lead_lag import (
    lead_lag,
    lead_lag_of_moves,
    log_returns,
    moves,
    sample,
)
from shared.strategies.port import Depth
from tests.decision_builders import MS, T0, make_view

FIRST, SECOND = ("alpha", "BTC/USDT"), ("beta", "BTC/USDT")
PLACES = {
    "first_venue": "alpha",
    "first_instrument": "BTC/USDT",
    "second_venue": "beta",
    "second_instrument": "BTC/USDT",
}


def rows_of(seed: int, count: int, mean_ms: int = 7) -> list[tuple[int, float]]:
    """A walk whose price moves at chance times."""
    draw, at_ns, price = Random(seed), T0, 100.0
    rows = []
    for _ in range(count):
        rows.append((at_ns, price))
        at_ns += draw.randint(0, 2 * mean_ms) * MS
        price = round(price + draw.choice((-0.1, 0.0, 0.1)), 1)
    return rows


@example(0, 8, 0, 1)  # little is left to compare at the longest lags
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 9), st.integers(1, 60))
def test_moves_say_what_all_returns_say(seed: int, lags: int, shift: int, mean_ms: int) -> None:
    first, second = rows_of(seed, 120, mean_ms), rows_of(seed + 1, 120, mean_ms)
    step_ns, from_ns = 10 * MS, T0 + shift * MS
    to_ns = min(first[-1][0], second[-1][0])
    dense, sparse = [], []
    for rows in (first, second):
        values = [each for each in sample(rows, from_ns, to_ns, step_ns) if each is not None]
        dense.append(log_returns(values))
        found = moves(rows, from_ns, to_ns, step_ns)
        if found is None or len(values) < 2:
            return
        assert found.length == len(dense[-1])
        assert found.at == {number: x for number, x in enumerate(dense[-1]) if x}
        sparse.append(found)
    expected = lead_lag(*dense, lags=lags, step_ns=step_ns)
    measured = lead_lag_of_moves(*sparse, lags=lags, step_ns=step_ns)
    assert (expected is None) is (measured is None)
    if expected is None or measured is None:
        return
    assert measured.rho == pytest.approx(expected.rho, abs=1e-9)
    if math.isfinite(expected.llr):
        assert measured.llr == pytest.approx(expected.llr, rel=1e-6)


def test_there_are_no_moves_before_the_first_price() -> None:
    assert moves([(T0 + 1, 5.0)], T0, T0 + 100, 10) is None
    assert moves([], T0, T0 + 100, 10) is None
    found = moves([(T0, 5.0), (T0 + 11, 10.0), (T0 + 19, 5.0), (T0 + 31, 20.0)], T0, T0 + 40, 10)
    assert found is not None  # 5, 5, 5, 5, 20: the move of within a step is not on the grid
    assert (found.length, found.at) == (4, {3: math.log(4)})


class Fed:
    """The strategy, with two books; the second moves as the first did some time before."""

    def __init__(self, **params: Any) -> None:
        given_: dict[str, Any] = {"window_ms": 4_000, "interval_ms": 900, "stable_count": 3}
        self.strategy = LeadLagSignal("lead", LeadLagParams(**{**PLACES, **given_, **params}))
        self.published: list[Indication] = []
        self.seq = 0

    def view(self, place: tuple[str, str], price: float, now_ns: int, **more: Any) -> None:
        self.time(now_ns)
        self.seq += 1
        view = make_view(
            *place,
            bids=[(price - 1, 1.0)],
            asks=[(price + 1, 1.0)],
            seq=self.seq,
            ts_ns=now_ns,
            **more,
        )
        assert self.strategy.on_depth(view, now_ns) == ()

    def time(self, now_ns: int) -> None:
        while (due_ns := self.strategy.next_deadline_ns()) is not None and due_ns <= now_ns:
            self.published += self.strategy.on_timer(due_ns)

    def walk(self, later_ms: int, seconds: int = 12, *, seed: int = 5) -> None:
        draw, price = Random(seed), 50_000.0
        events = []
        for at_ms in range(0, seconds * 1_000, 50):
            at_ns = T0 + (at_ms + draw.randint(0, 40)) * MS
            price += draw.choice((-3.0, 0.0, 3.0))
            events += [(at_ns, FIRST, price), (at_ns + later_ms * MS, SECOND, price)]
        for at_ns, place, at_price in sorted(events):
            self.view(place, at_price, at_ns)


def test_the_first_leads_by_as_much_as_the_second_is_later() -> None:
    fed = Fed()
    fed.walk(later_ms=40)
    assert fed.published
    newest = fed.published[-1]
    assert (newest.kind, newest.venue, newest.other_venue) == ("LEAD_LAG", "alpha", "beta")
    values = newest.values
    assert (values["leader"], values["lag_ms"]) == ("alpha BTC/USDT", "40")
    assert float(values["rho"]) > 0.99
    assert (values["stable"], values["grids"], values["window_ms"]) == ("true", "3", "3990")
    assert [each.values["stable"] for each in fed.published[:3]] == ["false", "false", "true"]
    assert fed.strategy.counters()["measurements"] == len(fed.published)
    assert fed.strategy.gauges() == {"pairs": 1, "leads": 1}


def test_the_second_may_lead() -> None:
    fed = Fed()
    fed.walk(later_ms=-30)
    assert fed.published[-1].values["leader"] == "beta BTC/USDT"
    assert fed.published[-1].values["lag_ms"] == "-30"


def test_nobody_leads_where_both_move_at_once() -> None:
    fed = Fed()
    fed.walk(later_ms=0)
    assert {
        (s.values["leader"], s.values["lag_ms"], s.values["stable"]) for s in fed.published
    } == {("none", "0", "false")}


def test_a_hole_begins_anew() -> None:
    fed = Fed()
    fed.walk(later_ms=40)
    at_ns = T0 + 13_000 * MS
    fed.time(at_ns)
    published = len(fed.published)
    fed.view(SECOND, 50_000.0, at_ns, state=BookState.STALE)
    fed.view(SECOND, 50_000.0, at_ns + MS)
    fed.time(at_ns + 3_900 * MS)
    assert len(fed.published) == published
    totals = fed.strategy.near_misses.totals
    assert totals["WINDOW"] > 0
    assert fed.strategy.counters()["restarts"] == 1


def test_of_books_that_hardly_move_nothing_is_said() -> None:
    fed = Fed(moves_count_min=200)
    fed.walk(later_ms=40)
    assert fed.published == []
    assert fed.strategy.near_misses.totals["TOO_FEW_MOVES"] > 0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot lead itself"):
        Fed(second_venue="alpha")
    with pytest.raises(ValueError, match="longer window_ms"):
        Fed(window_ms=1_000, step_ms=100)


def test_without_names_every_pair_of_one_base_asset_is_measured() -> None:
    fed = Fed(first_venue="", first_instrument="", second_venue="", second_instrument="")
    others = [("beta", "ETH/USDT"), ("alpha", "ETH/USDT"), ("alpha", "BTC/USDT:USDT")]
    for place in others:
        fed.view(place, 3_000.0, T0)
    fed.walk(later_ms=40, seconds=30)
    assert {(s.instrument, s.values["lag_ms"]) for s in fed.published} == {("BTC/USDT", "40")}
    assert fed.strategy.gauges() == {"pairs": 4, "leads": 1}
    assert fed.strategy.inputs() == (Depth(),)
    assert fed.strategy.near_misses.totals["TOO_FEW_MOVES"] > 0


def test_it_asks_for_its_two_books() -> None:
    assert Fed().strategy.inputs() == (Depth(*FIRST), Depth(*SECOND))


def test_it_does_not_look_ahead() -> None:
    params = LeadLagParams(
        **PLACES, window_ms=1_000, interval_ms=500, moves_count_min=2, lags_count=5
    )
    events: list[Event] = market([FIRST, SECOND], 400, seed=3)

    def make() -> LeadLagSignal:
        return LeadLagSignal("lead", params)

    assert examine(make, events, [50, 199, 350], 1) is None
    strategy = make()
    published = 0
    for now_ns, message in events:
        due_ns = strategy.next_deadline_ns()
        if due_ns is not None and due_ns <= now_ns:
            published += len(strategy.on_timer(now_ns))
        if hasattr(message, "bids"):
            strategy.on_depth(message, now_ns)
    assert published > 3
