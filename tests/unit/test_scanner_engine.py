"""The scanner: which gate stops what, what is published, and how often."""

from __future__ import annotations

from decimal import Decimal as D
from itertools import pairwise
from typing import Any

import pytest

from services.scanner.engine import StrategyHost
from shared import codec
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Message
from shared.strategies.gates import CONTEXT, QUIET, Gate
from shared.strategies.near_misses import NEAR_MISS_INTERVAL_NS, NEAR_MISS_QUIET_INTERVAL_NS
from shared.streams import ARB_NEARMISS, ARB_OPPORTUNITY
from tests.decision_builders import (
    BOOKS,
    MS,
    SECOND,
    SPOT,
    T0,
    make_host,
    make_info,
    make_scanner,
    make_view,
)

ALPHA, BETA, GAMMA, GAMMA_SPOT = BOOKS


def show(
    engine: StrategyHost, ask: float, bid: float, now_ns: int = T0, **view: Any
) -> list[Message]:
    """Offer at ``ask`` on alpha, then bid ``bid`` on beta; return what the two views open."""
    alpha = make_view(*ALPHA, asks=[(ask, 1.0)], bids=[(1.0, 1.0)], ts_ns=now_ns)
    beta = {"bids": [(bid, 1.0)], "asks": [(1e6, 1.0)], "ts_ns": now_ns, **view}
    out = engine.on_message(alpha, now_ns).messages
    return [*out, *engine.on_message(make_view(*BETA, **beta), now_ns).messages]


def misses(engine: StrategyHost, now_ns: int) -> list[NearMiss]:
    out = engine.on_timer(now_ns).messages
    deadline_ns = engine.next_deadline_ns()
    assert deadline_ns is None or deadline_ns > now_ns
    assert all(isinstance(message, NearMiss) for message in out)
    return list(out)


def one_miss(engine: StrategyHost, gate: Gate, now_ns: int = T0, sell: str = "beta") -> NearMiss:
    """The near miss of alpha -> ``sell`` that ``gate`` stopped."""
    found = [
        m
        for m in misses(engine, now_ns + NEAR_MISS_QUIET_INTERVAL_NS)
        if (m.buy_venue, m.sell_venue, m.gate) == ("alpha", sell, gate)
    ]
    assert len(found) == 1, gate
    assert set(found[0].context) == set(CONTEXT[gate])
    return found[0]


def test_finds_the_opportunity_and_says_where_it_comes_from() -> None:
    engine = make_scanner(notional_max=1_000.0)
    (found,) = show(engine, 10_000.0, 10_050.0)
    assert isinstance(found, Opportunity)
    buy, sell = found.legs
    assert (buy.venue, buy.instrument, sell.venue) == ("alpha", SPOT, "beta")
    assert found.qty == D("0.099")  # 1000 / 10050, down to the lot
    assert (found.base, found.quote) == ("BTC", "USDT")
    assert found.ts_recv_ns == T0 - MS
    assert found.ts_depth_ns == T0
    assert found.ts_expire_ns == T0 + 500 * MS
    assert buy.book_id == f"alpha|{SPOT}|1|1"
    assert engine.counters()["opportunities"] == 1


def test_a_pair_with_a_perpetual_is_compared_and_counted_but_not_offered() -> None:
    engine = make_scanner()
    engine.on_message(make_view(*ALPHA, asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)]), T0)
    perp = make_view(*GAMMA, bids=[(10_100.0, 1.0)], asks=[(1e6, 1.0)])
    assert not engine.on_message(perp, T0).messages
    miss = one_miss(engine, Gate.OPENS_POSITION, T0, "gamma")
    assert (miss.buy_instrument, miss.sell_instrument) == ("BTC/USDT", "BTC/USDT:USDT")
    assert miss.edge_bps_best == pytest.approx(79.9)
    assert miss.context == {"bid": "10100.0", "ask": "10000.0"}


def test_id_is_a_function_of_the_two_books() -> None:
    ids = [show(make_scanner(), 10_000.0, 10_050.0, T0 + n)[0].opportunity_id for n in (0, 5)]
    other = show(make_scanner(), 10_000.0, 10_050.0, seq=2)[0].opportunity_id
    assert ids[0] == ids[1] != other
    assert len(other) == 16


@pytest.mark.parametrize(
    ("gate", "ask", "bid"),
    [
        (Gate.NOT_CROSSED, 10_000.0, 10_000.0),
        (Gate.FEES, 10_000.0, 10_010.0),
        (Gate.EDGE_MIN, 10_000.0, 10_021.0),
    ],
)
def test_price_gates_know_the_edge(gate: Gate, ask: float, bid: float) -> None:
    engine = make_scanner()
    assert not show(engine, ask, bid)
    miss = one_miss(engine, gate)
    assert miss.edge_bps_best == pytest.approx((bid * 0.999 - ask * 1.001) / ask * 1e4)
    assert miss.context == {"bid": str(bid), "ask": str(ask)}


def test_best_edge_of_the_window_is_kept() -> None:
    engine = make_scanner()
    for bid in (10_001.0, 10_015.0, 10_003.0):
        show(engine, 10_000.0, bid)
    miss = one_miss(engine, Gate.FEES)
    assert miss.count == 5  # views, not pairs of views: the first alpha met no beta
    assert miss.edge_bps_best == pytest.approx((10_015 * 0.999 - 10_010) / 1.0)
    assert miss.context["bid"] == "10003.0"


def test_books_that_are_not_live_price_nothing() -> None:
    for state in BookState:
        engine = make_scanner()
        out = show(engine, 10_000.0, 10_050.0, state=state)
        assert bool(out) is (state is BookState.LIVE)
        if not out:
            assert one_miss(engine, Gate.BOOK_NOT_LIVE).context["sell_state"] == state


def test_an_empty_side_is_no_price() -> None:
    engine = make_scanner()
    assert not show(engine, 10_000.0, 10_050.0, bids=[])
    assert one_miss(engine, Gate.BOOK_NOT_LIVE).context["sell_state"] == "EMPTY"


def test_an_old_view_prices_nothing_and_a_refreshed_one_does() -> None:
    engine = make_scanner(book_age_ms_max=2_000)
    engine.on_message(make_view(*ALPHA, asks=[(10_000.0, 1.0)]), T0)
    late = T0 + 2_001 * MS
    bid = {"bids": [(10_050.0, 1.0)], "asks": [(1e6, 1.0)], "ts_ns": late}
    assert not engine.on_message(make_view(*BETA, **bid), late).messages
    assert one_miss(engine, Gate.BOOK_AGE, late).context["buy_age_ms"] == "2001"
    engine.on_message(make_view(*ALPHA, asks=[(10_000.0, 1.0)], ts_ns=late), late)
    assert engine.counters()["opportunities"] == 1


def test_unknown_rules_price_nothing() -> None:
    engine = make_host()
    engine.on_message(make_info(*ALPHA), T0)
    assert not show(engine, 10_000.0, 10_050.0)
    assert one_miss(engine, Gate.NO_RULES).context == {"buy_known": "True", "sell_known": "False"}
    engine.on_message(make_info(*BETA), T0)
    assert show(engine, 10_000.0, 10_050.0)


def test_inactive_instrument_is_not_offered_until_active_again() -> None:
    engine = make_scanner()
    engine.on_message(make_info(*BETA, active=False), T0)
    assert not show(engine, 10_000.0, 10_050.0)
    one_miss(engine, Gate.INACTIVE)
    engine.on_message(make_info(*BETA), T0)
    assert show(engine, 10_000.0, 10_050.0)


def test_changed_fee_counts_at_once() -> None:
    engine = make_scanner()
    engine.on_message(make_info(*BETA, taker_fee_bps=D(60)), T0)
    assert not show(engine, 10_000.0, 10_050.0)
    one_miss(engine, Gate.FEES)


@pytest.mark.parametrize(
    ("instrument", "gate"), [("BTC/USD", Gate.QUOTE_MISMATCH), ("BTC/USDT:BTC", Gate.INVERSE)]
)
def test_other_quotes_and_inverse_do_not_compare(instrument: str, gate: Gate) -> None:
    engine = make_scanner()
    engine.on_message(make_info("beta", instrument), T0)
    engine.on_message(make_view(*ALPHA), T0)
    out = engine.on_message(make_view("beta", instrument, bids=[(20_000.0, 1.0)]), T0).messages
    assert not out
    assert one_miss(engine, gate).edge_bps_best is None


def test_books_of_one_venue_and_of_other_assets_do_not_compare() -> None:
    engine = make_scanner()
    engine.on_message(make_view(*ALPHA), T0)
    engine.on_message(make_view("alpha", "BTC/USDT:USDT", bids=[(20_000.0, 1.0)]), T0)
    engine.on_message(make_view("beta", "ETH/USDT", bids=[(20_000.0, 1.0)]), T0)
    assert engine.counters()["opportunities"] == 0
    assert engine.gauges()["pairs"] == 16  # no pair within alpha, none with ETH


def test_less_than_a_common_lot() -> None:
    engine = make_scanner(notional_max=1_000.0)
    engine.on_message(make_info(*BETA, lot_size=D("0.1")), T0)
    assert not show(engine, 10_000.0, 10_050.0)
    assert one_miss(engine, Gate.LOT).context["lot"] == "0.1"


def test_less_than_the_least_order() -> None:
    engine = make_scanner(notional_max=1_000.0)
    engine.on_message(make_info(*BETA, notional_min=D(2_000)), T0)
    assert not show(engine, 10_000.0, 10_050.0)
    one_miss(engine, Gate.NOTIONAL_MIN)


def test_noise_taken_out_of_a_sum_does_not_reach_the_next_level() -> None:
    engine = make_scanner()
    engine.on_message(make_info(*BETA, lot_size=D("0.1")), T0)
    asks = [(10_000.0, 0.0999999999999999), (10_049.0, 5.0)]  # the second would lose
    engine.on_message(make_view(*ALPHA, asks=asks, bids=[(1.0, 1.0)]), T0)
    out = engine.on_message(
        make_view(*BETA, bids=[(10_050.0, 5.0)], asks=[(1e6, 1.0)]), T0
    ).messages
    assert not out
    one_miss(engine, Gate.LOT)


def test_edge_after_rounding_must_still_be_enough() -> None:
    engine = make_scanner(edge_bps_min=28.946103)  # found: 28.9461054, said: 28.9461
    assert not show(engine, 10_001.0, 10_050.0)
    assert one_miss(engine, Gate.EDGE_MIN).edge_bps_best == 28.9461
    assert show(make_scanner(edge_bps_min=28.9461), 10_001.0, 10_050.0)


def test_newest_of_the_two_ticks_is_the_cause() -> None:
    engine, later = make_scanner(), T0 + 40 * MS
    engine.on_message(make_view(*BETA, bids=[(10_050.0, 1.0)], asks=[(1e6, 1.0)]), T0)
    view = make_view(*ALPHA, asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)], ts_ns=later)
    (found,) = engine.on_message(view, later).messages
    assert isinstance(found, Opportunity)
    assert (found.ts_recv_ns, found.ts_depth_ns) == (later - MS, later)


def test_best_edge_begins_anew_with_each_window() -> None:
    engine = make_scanner()
    show(engine, 10_000.0, 10_015.0)
    one_miss(engine, Gate.FEES)
    beta = make_view(*BETA, bids=[(10_003.0, 1.0)], asks=[(1e6, 1.0)], ts_ns=T0 + SECOND)
    engine.on_message(beta, T0 + SECOND)
    best = one_miss(engine, Gate.FEES, T0 + SECOND).edge_bps_best
    assert best == pytest.approx(10_003 * 0.999 - 10_010)


def test_cooldown_is_per_directed_pair() -> None:
    engine = make_scanner(cooldown_ms=1_000)
    assert show(engine, 10_000.0, 10_050.0)
    assert not show(engine, 10_000.0, 10_050.0, T0 + 999 * MS)
    miss = one_miss(engine, Gate.COOLDOWN, T0 + 999 * MS)
    assert miss.edge_bps_best == pytest.approx(29.95)
    gamma = make_view(*GAMMA_SPOT, bids=[(10_050.0, 1.0)], asks=[(1e6, 1.0)], ts_ns=T0 + 999 * MS)
    assert (
        len(engine.on_message(gamma, T0 + 999 * MS).messages) == 1
    )  # alpha -> gamma was not offered yet
    # That took alpha's prices for a while.
    assert not show(engine, 10_000.0, 10_050.0, T0 + 1_000 * MS)
    engine = make_scanner(cooldown_ms=1_000)
    assert show(engine, 10_000.0, 10_050.0)
    assert show(engine, 10_000.0, 10_050.0, T0 + 1_000 * MS)


@pytest.mark.parametrize(
    ("bid", "interval_ns"),
    [(10_000.0, NEAR_MISS_QUIET_INTERVAL_NS), (10_010.0, NEAR_MISS_INTERVAL_NS)],
)
def test_near_misses_are_bounded_whatever_the_tick_rate(bid: float, interval_ns: int) -> None:
    engine, published, seconds = make_scanner(), [], 20
    for tick in range(seconds * 100):
        now_ns = T0 + tick * 10 * MS
        show(engine, 10_000.0, bid, now_ns)
        deadline = engine.next_deadline_ns()
        if deadline is not None and now_ns >= deadline:
            published += misses(engine, now_ns)
    mine = [m for m in published if (m.buy_venue, m.sell_venue) == ("alpha", "beta")]
    mine = [m for m in mine if m.gate in (Gate.NOT_CROSSED, Gate.FEES)]
    assert 2 <= len(mine) <= seconds * SECOND // interval_ns
    for before, after in pairwise(mine):
        assert after.ts_ns - before.ts_ns >= interval_ns
    left = engine.counters()["near_misses"] - sum(m.count for m in published)
    assert 0 <= left <= 4 * 500 * 2  # nothing is lost: the rest is in windows still open


def test_nothing_to_say_means_no_timer() -> None:
    engine = make_scanner()
    assert engine.next_deadline_ns() is None
    show(engine, 10_000.0, 10_000.0)
    assert engine.next_deadline_ns() is not None
    one_miss(engine, Gate.NOT_CROSSED)
    assert engine.next_deadline_ns() is None


def test_every_gate_says_what_its_numbers_mean() -> None:
    assert set(CONTEXT) == set(Gate)
    assert set(Gate) >= QUIET


def test_same_inputs_same_bytes() -> None:
    def run() -> bytes:
        engine, wire = make_scanner(cooldown_ms=5), b""
        for tick in range(200):
            now_ns = T0 + tick * 40 * MS
            out = show(engine, 10_000.0, 9_990.0 + tick % 70, now_ns, seq=tick)
            wire += codec.encode(ARB_OPPORTUNITY, out)
            wire += codec.encode(ARB_NEARMISS, engine.on_timer(now_ns).messages)
        return wire

    assert run() == run()
