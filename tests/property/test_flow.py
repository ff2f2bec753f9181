"""Trade flow, order flow and bars: kept up to date is what would be computed anew."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from shared.messages.base import Side
from shared.messages.market import Trade
from shared.strategies.features.bars import Bar, BarBuilder
from shared.strategies.features.flow import OrderFlowImbalance, TradeFlow

S = 1_000_000_000
PRICES = st.one_of(st.floats(59_999.9, 60_000.1), st.floats(1e-3, 1e6))
QTYS = st.floats(1e-6, 1e4)
SIDES = st.sampled_from(Side)
TRADES = st.lists(st.tuples(PRICES, QTYS, SIDES, st.integers(0, 3 * S)), max_size=100)
QUOTES = st.lists(
    st.tuples(st.integers(90, 110), QTYS, st.integers(1, 5), QTYS, st.integers(0, 3 * S)),
    max_size=100,
)


def near(found: float | None, right: float | None, scale: float) -> bool:
    if found is None or right is None:
        return found is right
    return math.isclose(found, right, rel_tol=1e-12, abs_tol=1e-12 * scale)


def trade_of(number: int, price: float, qty: float, side: Side, ts_ns: int) -> Trade:
    return Trade(
        venue="v",
        instrument="BTC/USDT",
        trade_id=str(number),
        side=side,
        price=price,
        qty=qty,
        ts_recv_ns=ts_ns,
        ts_venue_ns=ts_ns,
    )


@given(TRADES)
def test_trade_flow(series: list[tuple[float, float, Side, int]]) -> None:
    flow, now_ns = TradeFlow(5 * S), 0
    for number, (price, qty, side, step_ns) in enumerate(series):
        now_ns += step_ns
        flow.update(trade_of(number, price, qty, side, now_ns))
        found, right = flow.value(), flow.recompute()
        scale = max(1e4, right[0])
        assert all(near(a, b, scale) for a, b in zip(found[:2], right[:2], strict=True))
        assert found[2] is not None and near(found[2], right[2], price)
    flow.advance(now_ns + 5 * S)
    assert flow.value() == (0.0, 0.0, None)


@given(QUOTES)
def test_order_flow_imbalance(series: list[tuple[int, float, int, float, int]]) -> None:
    flow, now_ns, samples = OrderFlowImbalance(S, 3), 0, []
    last, next_ns = None, None
    for bid, bid_qty, gap, ask_qty, step_ns in series:
        now_ns += step_ns
        flow.update(bid, bid_qty, bid + gap, ask_qty, now_ns)
        while next_ns is not None and next_ns < now_ns:
            samples.append(last)
            next_ns += S
        last = (bid, bid_qty, bid + gap, ask_qty)
        if next_ns is None:
            next_ns = -(-now_ns // S) * S
        assert near(flow.value(), flow.recompute(), 1e4)
    pairs = list(itertools.pairwise(samples))[-3:]
    if len(pairs) < 3:
        assert flow.value() is None
        return
    right = 0.0
    for (b0, q0, a0, r0), (b1, q1, a1, r1) in pairs:
        right += q1 - q0 if b1 == b0 else (q1 if b1 > b0 else -q0)
        right -= r1 - r0 if a1 == a0 else (r1 if a1 < a0 else -r0)
    assert near(flow.value(), right, 1e4)


@given(TRADES, st.integers(0, 4 * S), st.randoms(use_true_random=False))
def test_bars_are_what_the_trades_of_each_interval_are(series, lateness_ns, draw) -> None:
    """Trades arrive by up to the lateness late, in any order that leaves their numbers rising."""
    interval_ns, builder = 2 * S, BarBuilder(2 * S, lateness_ns)
    now_ns, by_start, arrivals = 10 * S, defaultdict(list), []
    for number, (price, qty, side, step_ns) in enumerate(series):
        now_ns += step_ns
        ts_ns = now_ns - draw.randint(0, lateness_ns)
        arrivals.append((now_ns, trade_of(number, price, qty, side, ts_ns)))
    if arrivals:
        first_ns = arrivals[0][1].ts_venue_ns // interval_ns * interval_ns
        arrivals = [(at, t) for at, t in arrivals if t.ts_venue_ns >= first_ns]
    bars: list[Bar] = []
    for at_ns, trade in arrivals:
        bars += builder.on_trade(trade, at_ns)
        by_start[trade.ts_venue_ns // interval_ns * interval_ns].append(trade)
    bars += builder.on_timer(now_ns + interval_ns + lateness_ns)
    assert builder.late == builder.repeated == 0
    assert [bar.start_ns for bar in bars if bar.trades] == sorted(by_start)
    starts = [bar.start_ns for bar in bars]
    assert starts == sorted(set(starts)) and all(
        after - before == interval_ns for before, after in itertools.pairwise(starts)
    )
    close = None
    for bar in bars:
        trades = sorted(by_start.get(bar.start_ns, []), key=lambda t: t.ts_venue_ns)
        if not trades:
            assert {bar.open, bar.high, bar.low, bar.close} == {close} and not bar.volume
            continue
        prices = [t.price for t in trades]
        assert (bar.high, bar.low) == (max(prices), min(prices))
        firsts = {t.price for t in trades if t.ts_venue_ns == trades[0].ts_venue_ns}
        lasts = {t.price for t in trades if t.ts_venue_ns == trades[-1].ts_venue_ns}
        assert bar.open in firsts and bar.close in lasts
        close = bar.close
        assert bar.volume == math.fsum(t.qty for t in trades)
        assert bar.buy_volume == math.fsum(t.qty for t in trades if t.side is Side.BUY)
        assert bar.trades == len(trades)
