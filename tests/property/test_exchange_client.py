"""Any order of submits, cancels and moves of the market: money, fills and books stay consistent."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.exchange.client import SimulatedExchange
from shared.exchange.events import BookChange, Event, NewOrder, TrueBook
from shared.exchange.world import SimulatedMarket
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from tests.exchange_builders import BALANCES, BASES, FEES_BPS, make_market

MS = 1_000_000
D = Decimal

steps = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "cancel", "advance"]),
        st.sampled_from(list(FEES_BPS)),
        st.sampled_from(BASES[:2]),
        st.sampled_from(list(Side)),
        st.sampled_from(list(OrderType)),
        st.sampled_from(list(TimeInForce)),
        st.integers(-20, 20),  # basis points away from the fair price
        st.integers(1, 3_000),  # lots
        st.booleans(),  # post-only
        st.booleans(),  # reduce-only
        st.integers(0, 400),  # ms
    ),
    max_size=40,
)


class Books:
    """What somebody who only listens makes of the events."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.sides: dict[str, tuple[dict, dict]] = {}
        self.seq: dict[str, int] = {}
        for name in exchange.engine.by_instrument:
            book = exchange.book(name)
            self.sides[name] = dict(book.bids), dict(book.asks)
            self.seq[name] = book.seq

    def apply(self, change: BookChange) -> None:
        assert change.seq_prev == self.seq[change.instrument], "a change is missing"
        self.seq[change.instrument] = change.seq
        changed = zip(self.sides[change.instrument], (change.bids, change.asks), strict=True)
        for side, levels in changed:
            for price, qty in levels:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)

    def check(self, book: TrueBook) -> None:
        bids, asks = self.sides[book.instrument]
        assert self.seq[book.instrument] == book.seq
        assert sorted(bids.items(), reverse=True) == book.bids
        assert sorted(asks.items()) == book.asks
        if bids and asks:
            assert max(bids) < min(asks), "crossed"


def act(market: SimulatedMarket, step: tuple, number: int, now_ns: int) -> list[Event]:
    what, venue, base, side, kind, tif, away_bps, lots, post_only, reduce_only, _ = step
    exchange = market.exchanges[venue]
    if what == "advance":
        return []
    if what == "cancel":
        for order in exchange.open_orders()[:1]:
            return exchange.cancel(order.client_order_id, now_ns).events
        return []
    limit = kind is OrderType.LIMIT
    fair = D(repr(market.fair(venue, base))) * (10_000 + away_bps) / 10_000
    order = NewOrder(
        client_order_id=f"c{number}",
        instrument=f"{base}/USDT:USDT" if venue == "perps" else f"{base}/USDT",
        side=side,
        qty=D(lots).scaleb(-4),
        price=fair.quantize(D("0.01")) if limit else None,
        type=kind,
        tif=tif if limit else TimeInForce.IOC,
        post_only=post_only and limit and tif is TimeInForce.GTC,
        reduce_only=reduce_only and venue == "perps",
    )
    before = exchange.balances(), exchange.positions(), len(exchange.fills_since(0))
    answer = exchange.submit(order, now_ns)
    if answer.refusal is not None:
        after = exchange.balances(), exchange.positions(), len(exchange.fills_since(0))
        assert before == after, "refused, and something was done"
        assert not answer.events
    return answer.events


def check_money(exchange: SimulatedExchange, start: dict[str, Decimal]) -> None:
    assert exchange.totals() == start, "money appeared or vanished"
    balances = exchange.balances()
    expected = dict(BALANCES) if exchange.venue != "perps" else {"USDT": D(500_000)}
    positions: dict[str, Decimal] = {}
    for fill in exchange.fills_since(0):
        base = fill.instrument.split("/")[0]
        signed = fill.qty if fill.side is Side.BUY else -fill.qty
        if exchange.venue == "perps":
            positions[fill.instrument] = positions.get(fill.instrument, D(0)) + signed
            expected["USDT"] += fill.pnl
        else:
            expected[base] += signed
            expected["USDT"] -= signed * fill.price
        expected[fill.fee_asset] -= fill.fee
    assert {a: b.free + b.used for a, b in balances.items()} == expected
    assert exchange.positions() == {name: qty for name, qty in positions.items() if qty}
    assert all(balance.used >= 0 for balance in balances.values())
    if exchange.venue != "perps":
        assert all(balance.free >= 0 for balance in balances.values())


@given(seed=st.integers(0, 50), steps=steps)
@settings(max_examples=80, deadline=None)
def test_money_is_conserved_and_events_tell_everything(seed: int, steps: list) -> None:
    market = make_market(seed)
    exchanges = market.exchanges
    books = {venue: Books(exchange) for venue, exchange in exchanges.items()}
    start = {venue: exchange.totals() for venue, exchange in exchanges.items()}
    now_ns = 0
    for number, step in enumerate(steps):
        now_ns += step[-1] * MS
        for event in (*market.advance(now_ns), *act(market, step, number, now_ns)):
            assert event.ts_ns <= now_ns if hasattr(event, "ts_ns") else True
            if isinstance(event, BookChange):
                books[event.venue].apply(event)
        for venue, exchange in exchanges.items():
            check_money(exchange, start[venue])
            for name in exchange.engine.by_instrument:
                books[venue].check(exchange.book(name))


@given(
    side=st.sampled_from(list(Side)),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["plain", "reduce", "move"]),
            st.sampled_from(list(Side)),
            st.integers(-6, 6),
            st.integers(1, 20),
            st.sampled_from([TimeInForce.GTC, TimeInForce.IOC]),
        ),
        min_size=10,
        max_size=30,
    ),
)
@settings(max_examples=120, deadline=None)
def test_a_reduce_only_order_never_opens_or_turns_a_position(side: Side, steps: list) -> None:
    market = make_market(3)
    exchange, name = market.exchanges["perps"], "BTC/USDT:USDT"
    first = NewOrder(
        client_order_id="open", instrument=name, side=side, qty=D("0.02"), type=OrderType.MARKET
    )
    assert exchange.submit(first, 0).refusal is None
    now_ns = 0
    reducing: set[str] = set()
    for number, (what, side_, away_bps, lots, tif) in enumerate(steps):
        now_ns += 100 * MS
        market.advance(now_ns)
        if what != "move":
            price = D(repr(market.fair("perps", "BTC"))) * (10_000 + away_bps) / 10_000
            order = NewOrder(
                client_order_id=f"c{number}",
                instrument=name,
                side=side_,
                qty=D(lots).scaleb(-3),
                price=price.quantize(D("0.01")),
                tif=tif,
                reduce_only=what == "reduce",
            )
            reducing |= {order.client_order_id} if order.reduce_only else set()
            exchange.submit(order, now_ns)
        held = exchange.positions().get(name, D(0))
        to_close = sum(
            (o.qty - o.filled_qty for o in exchange.open_orders() if o.reduce_only), D(0)
        )
        assert to_close <= abs(held)
    held = D(0)
    for fill in exchange.fills_since(0):
        before, held = held, held + (fill.qty if fill.side is Side.BUY else -fill.qty)
        if fill.client_order_id in reducing:
            assert abs(held) < abs(before) and held * before >= 0
