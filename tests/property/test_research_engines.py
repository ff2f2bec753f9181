"""The compiled backtest and the one that takes a bar at a time are one backtest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.research.event_bars import Bar, BarBacktest, run_bars
from services.research.kernel import Bars, Costs, run_all
from services.research.rules import Momentum, SmaCross
from shared.messages.base import Side
from shared.strategies.features.momentum import Momentum as LiveMomentum

rules = st.tuples(st.integers(1, 12), st.integers(1, 20)).flatmap(
    lambda n: st.one_of(
        st.just(SmaCross(n[0], n[0] + n[1])),
        st.floats(0, 200).map(lambda bps: Momentum(n[0], n[0] + n[1], bps)),
    )
)
# Few different steps, flat ones among them: equal averages, thresholds met exactly, ruin.
steps = st.lists(
    st.tuples(
        st.sampled_from([-0.6, -0.02, -0.001, 0.0, 0.0, 0.001, 0.02, 1.5]),
        st.sampled_from([-0.003, 0.0, 0.0, 0.004]),
    ),
    min_size=2,
    max_size=120,
)
sizes = st.tuples(
    st.booleans(),
    st.sampled_from([0.0, 0.0001, 0.01]),
    st.sampled_from([0.0, 0.0, 0.5, 2.0]),
    st.sampled_from([0, 1, 7, 1_000]),
)
"""Whether a short is rebalanced; half the spread; the stake, and of how many lots at first."""


@given(
    params=rules,
    steps=steps,
    first=st.floats(1e-6, 1e6),
    fee=st.sampled_from([0.0, 0.0005, 0.001, 0.02]),
    size=sizes,
)
@settings(max_examples=400, deadline=None)
def test_both_engines_agree(params, steps, first, fee, size) -> None:
    """With all equity, or a stake of some lots at the first price that others buy fewer of."""
    closes = [first]
    opens = [first]
    for change, gap in steps:
        opens.append(max(closes[-1] * (1 + gap), 1e-9))
        closes.append(min(max(closes[-1] * (1 + change), first / 100), first * 100))
    instants = np.arange(len(closes) + 1, dtype=np.int64)
    rebalanced, half_spread, stake, lots = size
    capital = 1_000.0
    costs = Costs(
        fee,
        rebalanced and not stake,
        half_spread,
        stake * capital,
        stake * capital / first / lots if lots else 0.0,
        capital,
    )
    kernel = run_all(Bars(np.array(opens), np.array(closes), instants), [params], costs)
    events = run_bars(
        (Bar(n, o, c) for n, (o, c) in enumerate(zip(opens, closes, strict=True))), params, costs
    )
    assert events.equity == pytest.approx(kernel.equity[0][1:].tolist(), rel=1e-9, abs=1e-9)
    assert events.sides == kernel.figure("sides")[0]
    assert len(events.trades) == kernel.figure("round_trips")[0]
    assert events.bars_in_market == kernel.figure("bars_in_market")[0]
    assert events.fees == pytest.approx(kernel.figure("fees")[0], rel=1e-9, abs=1e-9)
    assert events.turnover == pytest.approx(kernel.figure("turnover")[0], rel=1e-9, abs=1e-9)
    assert sum(trade.net for trade in events.trades) == pytest.approx(
        events.equity[-1] - 1, rel=1e-9, abs=1e-9
    )


@given(
    seed=st.integers(0, 10_000),
    fast=st.integers(1, 9),
    more=st.integers(1, 20),
    threshold_bps=st.sampled_from([0.0, 2.5, 10.0]),
    still=st.sampled_from([0.0, 0.5, 0.95]),
)
@settings(max_examples=100, deadline=None)
def test_the_live_rule_wants_what_the_backtest_does(seed, fast, more, threshold_bps, still) -> None:
    """Momentum as strategies have it, asked at every close with the position held then.

    Also where the market mostly stands still, so that averages are equal, and without a threshold.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    moves = np.where(draw.random(300) < still, 0.0, draw.normal(0, 0.4, 300))
    closes = np.round(100 + np.round(moves, 2).cumsum().clip(-50, 50), 2).tolist()
    run = BarBacktest(Momentum(fast, fast + more, threshold_bps), Costs(0.001))
    live = LiveMomentum(fast, fast + more, threshold_bps)
    wanted = 0
    for number, close in enumerate(closes):
        run.on_bar(Bar(number, closes[number - 1], close))
        assert run.side == wanted
        live.take(close)
        turn = live.wanted(float(run.side))
        wanted = run.side if turn is None else 1 if turn is Side.BUY else -1
