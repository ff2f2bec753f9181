"""One simulated exchange as its client meets it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from shared.exchange.client import SimulatedExchange
from shared.exchange.events import BookChange, Event, NewOrder, OrderUpdate, PublicTrade
from shared.exchange.generator import COARSE, Shape
from shared.exchange.listing import listing_of
from shared.exchange.orders import Refusal, Status
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from tests.exchange_builders import BASES, make_exchange, make_market, make_order, make_rules

D = Decimal
MS = 1_000_000
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def quiet_exchange(**changes: Any) -> SimulatedExchange:
    """Return an exchange with two asks and one bid, and nobody who moves them."""
    exchange = SimulatedExchange(
        "alpha",
        [listing_of(make_rules("alpha", "BTC/USDT", **changes))],
        balances={"USDT": D(10_000), "BTC": D(1)},
        seed=1,
    )
    listing = exchange.engine.by_instrument["BTC/USDT"]
    for side, price, qty in ((Side.SELL, 101, 1), (Side.SELL, 102, 2), (Side.BUY, 99, 3)):
        ticks, lots = listing.ticks(D(price)), listing.lots(D(qty))
        assert ticks and lots
        exchange.engine.background_quote(listing, side, ticks, lots, 0)
    exchange.drain(0)
    return exchange


@pytest.mark.parametrize(
    "change, status, filled",
    [
        ({"tif": IOC, "qty": D(2), "price": D(101)}, Status.EXPIRED, D(1)),
        ({"tif": IOC, "qty": D(2), "price": D(102)}, Status.FILLED, D(2)),
        ({"tif": FOK, "qty": D(2), "price": D(101)}, Status.EXPIRED, D(0)),
        ({"tif": FOK, "qty": D(3), "price": D(102)}, Status.FILLED, D(3)),
        ({"tif": GTC, "qty": D(2), "price": D(101)}, Status.PARTIALLY_FILLED, D(1)),
        ({"tif": GTC, "qty": D(2), "price": D(100)}, Status.NEW, D(0)),
        ({"tif": GTC, "qty": D(2), "price": D(100), "post_only": True}, Status.NEW, D(0)),
        ({"type": OrderType.MARKET, "qty": D(5)}, Status.EXPIRED, D(3)),
    ],
)
def test_an_order_lives_as_its_time_in_force_says(change, status, filled) -> None:
    answer = quiet_exchange().submit(make_order("o", **change), 5)
    assert answer.order is not None
    assert (answer.order.status, answer.order.filled_qty) == (status, filled)


@pytest.mark.parametrize(
    "change, refusal",
    [
        ({"price": D("100.005")}, Refusal.PRICE_FILTER),
        ({"price": D(0)}, Refusal.PRICE_FILTER),
        ({"price": None}, Refusal.PRICE_FILTER),
        ({"qty": D("0.00015")}, Refusal.LOT_SIZE),
        ({"qty": D("0.0001")}, Refusal.LOT_SIZE),
        ({"qty": D("50")}, Refusal.LOT_SIZE),
        ({"qty": D("0.04")}, Refusal.NOTIONAL),
        ({"qty": D("30"), "price": D(1_000)}, Refusal.BALANCE),
        ({"price": D(101), "tif": GTC, "post_only": True}, Refusal.WOULD_TAKE),
        ({"instrument": "ETH/USDT"}, Refusal.INSTRUMENT),
    ],
)
def test_what_the_rules_forbid_is_refused_and_nothing_is_done(change, refusal) -> None:
    exchange = quiet_exchange(qty_max=D(40))
    before = exchange.balances()
    order = make_order("o", **{"qty": D(1), "price": D(100), **change})
    answer = exchange.submit(order, 0)
    assert (answer.order, answer.refusal, answer.events) == (None, refusal, [])
    assert exchange.balances() == before
    assert exchange.order("o") is None


def test_steps_that_are_no_powers_of_ten_are_a_grid_of_their_own() -> None:
    exchange = quiet_exchange(tick_size=D("0.05"), lot_size=D("0.25"))
    refused = [
        exchange.submit(make_order("a", qty=D("0.5"), price=D("100.02")), 0).refusal,
        exchange.submit(make_order("b", qty=D("0.6"), price=D("100.05")), 0).refusal,
    ]
    assert refused == [Refusal.PRICE_FILTER, Refusal.LOT_SIZE]
    assert exchange.submit(make_order("c", qty=D("0.5"), price=D("100.05")), 0).refusal is None


def test_the_generated_market_keeps_to_such_a_grid() -> None:
    market = make_market(2, tick_size=D("0.05"), lot_size=D("0.0025"))
    market.advance(10_000 * MS)
    for exchange in market.exchanges.values():
        for listing in exchange.engine.by_instrument.values():
            book = exchange.engine.books[listing.instrument]
            for ticks, lots in (*book.bids.depth(99), *book.asks.depth(99)):
                assert ticks % 5 == 0
                assert lots % 25 == 0


def test_a_cancel_is_answered_with_what_was_filled_before_it() -> None:
    exchange = quiet_exchange()
    exchange.submit(make_order("o", tif=GTC, qty=D(2), price=D(101)), 1 * MS)
    answer = exchange.cancel("o", 2 * MS)
    assert answer.order is not None and answer.refusal is None
    assert (answer.order.status, answer.order.filled_qty) == (Status.CANCELED, D(1))
    again = exchange.cancel("o", 3 * MS)
    assert (again.refusal, again.order, again.events) == (Refusal.NOT_OPEN, answer.order, [])
    assert exchange.cancel("never sent", 3 * MS).order is None
    assert exchange.order("o") == answer.order
    assert exchange.open_orders() == []


def test_events_are_copies_in_the_order_in_which_things_happened() -> None:
    exchange = quiet_exchange()
    answer = exchange.submit(make_order("o", qty=D(2), price=D(102)), 7 * MS)
    new, print_1, trade_1, print_2, trade_2, change = answer.events
    assert isinstance(new, OrderUpdate) and new.what == "NEW" and new.order.filled_qty == 0
    assert isinstance(print_1, PublicTrade) and (print_1.price, print_1.qty) == (101.0, 1.0)
    assert isinstance(trade_1, OrderUpdate) and trade_1.order.filled_qty == 1
    assert isinstance(print_2, PublicTrade) and (print_2.price, print_2.qty) == (102.0, 1.0)
    assert isinstance(trade_2, OrderUpdate) and trade_2.order.status is Status.FILLED
    assert isinstance(change, BookChange)
    assert (change.bids, change.asks) == ([], [(101.0, 0.0), (102.0, 1.0)])
    assert trade_2.fill is not None and trade_2.fill.trade_id == print_2.trade_id
    assert [fill.ts_ns for fill in exchange.fills_since(7 * MS)] == [7 * MS, 7 * MS]
    assert exchange.fills_since(8 * MS) == []


PERP = "BTC/USDT:USDT"


def quiet_perpetual() -> SimulatedExchange:
    """Return an exchange whose account is long one at 101, with nobody who moves the book."""
    exchange = SimulatedExchange(
        "perps", [listing_of(make_rules("perps", PERP))], balances={"USDT": D(10_000)}, seed=1
    )
    quote(exchange, Side.SELL, 101, 1)
    quote(exchange, Side.BUY, 99, 9)
    exchange.submit(perp_order("open", Side.BUY, 101), 0)
    assert exchange.positions() == {PERP: D(1)}
    return exchange


def quote(exchange: SimulatedExchange, side: Side, price: int, qty: int) -> None:
    listing = next(iter(exchange.engine.by_instrument.values()))
    ticks, lots = listing.ticks(D(price)), listing.lots(D(qty))
    assert ticks and lots
    exchange.engine.background_quote(listing, side, ticks, lots, 0)


def perp_order(name: str, side: Side, price: int, **changes: Any) -> NewOrder:
    values = {"instrument": PERP, "side": side, "price": D(price), "qty": D(1), **changes}
    return make_order(name, **values)


def test_a_resting_reduce_only_order_ends_with_its_position() -> None:
    exchange = quiet_perpetual()
    exchange.submit(perp_order("reduce", Side.SELL, 105, tif=GTC, reduce_only=True), 0)
    answer = exchange.submit(perp_order("close", Side.SELL, 99), 0)
    ended = [e.order for e in answer.events if isinstance(e, OrderUpdate) and not e.order.is_open]
    assert [(o.client_order_id, o.status) for o in ended] == [
        ("close", Status.FILLED),
        ("reduce", Status.EXPIRED),
    ]
    quote(exchange, Side.BUY, 106, 5)  # would have filled it
    assert exchange.positions() == {}


def test_a_trade_through_both_closes_the_position_once() -> None:
    exchange = quiet_perpetual()
    exchange.submit(perp_order("plain", Side.SELL, 104, tif=GTC), 0)
    exchange.submit(perp_order("reduce", Side.SELL, 105, tif=GTC, reduce_only=True), 0)
    quote(exchange, Side.BUY, 106, 5)
    assert exchange.positions() == {}
    reduce = exchange.order("reduce")
    assert reduce is not None
    assert (reduce.status, reduce.filled_qty) == (Status.EXPIRED, D(0))


def test_reduce_only_orders_are_together_no_more_than_the_position() -> None:
    exchange = quiet_perpetual()
    refusals = [
        exchange.submit(perp_order(n, Side.SELL, 105, tif=GTC, reduce_only=True, qty=D(q)), 0)
        for n, q in (("a", "0.6"), ("b", "0.6"), ("c", "0.4"))
    ]
    assert [answer.refusal for answer in refusals] == [None, Refusal.REDUCE_ONLY, None]
    buy = perp_order("d", Side.BUY, 105, reduce_only=True)
    assert exchange.submit(buy, 0).refusal is Refusal.REDUCE_ONLY


def test_margin_of_positions_counts_whatever_asset_settles_them() -> None:
    rules = make_rules("perps", "BTC/USDC:USDC")
    exchange = SimulatedExchange(
        "perps", [listing_of(rules)], balances={"USDC": D(1_000)}, seed=1, leverage=D(2)
    )
    listing = exchange.engine.by_instrument[rules.instrument]
    for ticks, side in ((10_000, Side.SELL), (9_900, Side.BUY)):
        exchange.engine.background_quote(listing, side, ticks, 1_000_000, 0)
    order = make_order("a", instrument=rules.instrument, qty=D(15), price=D(100))
    assert exchange.submit(order, 0).refusal is None  # holds a margin of 750
    second = make_order("b", instrument=rules.instrument, qty=D(10), price=D(100))
    assert exchange.submit(second, 0).refusal is Refusal.MARGIN


def test_time_never_goes_back() -> None:
    exchange = make_exchange("alpha")
    exchange.cancel("x", 2)
    with pytest.raises(AssertionError):
        exchange.cancel("x", 1)


@pytest.mark.parametrize("instrument", ["BTC/USD:BTC", "BTC/USDT:USDT"])
def test_contracts_of_more_than_a_unit_are_not_simulated(instrument) -> None:
    with pytest.raises(ValueError, match="only contracts of one unit"):
        listing_of(make_rules("perps", instrument, contract_size=D(10)))


@pytest.mark.parametrize("shape", [Shape(), COARSE])
def test_books_are_whole_and_never_crossed_in_every_shape(shape: Shape) -> None:
    market = make_market(4, shape)
    for second in range(1, 21):
        market.advance(second * 1_000 * MS)
        for exchange in market.exchanges.values():
            for name in exchange.engine.by_instrument:
                book = exchange.book(name)
                assert len(book.bids) >= shape.levels_start / 4
                assert len(book.asks) <= shape.levels_max + shape.levels_start
                assert book.bids[0][0] < book.asks[0][0]


def test_a_coarse_market_pays_now_and_then_like_a_fine_one() -> None:
    market = make_market(6, COARSE)
    pays = []
    for moment in range(600):
        market.advance(moment * 100 * MS)
        one, two = (
            [market.exchanges[venue].book(f"{base}/USDT", 1) for base in BASES]
            for venue in ("alpha", "beta")
        )
        edges = [
            (sell.bids[0][0] / buy.asks[0][0] - 1) * 10_000 - 35
            for a, b in zip(one, two, strict=True)
            for buy, sell in ((a, b), (b, a))
        ]
        pays.append(max(edges) > 2)
    starts = sum(now and not before for before, now in zip([False, *pays], pays, strict=False))
    assert 3 <= starts <= 30, f"{starts} paying dislocations in a minute"
    assert sum(pays) < len(pays) / 3


def story_hash(seed: int) -> str:
    """Return a digest of everything that happens in a fixed sequence of calls."""
    market = make_market(seed)
    events: list[Event] = []
    for number in range(150):
        now_ns = number * 70 * MS
        events += market.advance(now_ns)
        for venue, exchange in market.exchanges.items():
            perps = venue == "perps"
            order = make_order(
                f"{venue}-{number}",
                instrument="ETH/USDT:USDT" if perps else "ETH/USDT",
                side=(Side.BUY, Side.SELL)[number // 3 % 2],
                qty=D(number % 7 + 1).scaleb(-2),
                price=D(repr(market.fair(venue, "ETH"))).quantize(D("0.01")),
                tif=(GTC, IOC, FOK)[number % 3],
                reduce_only=perps and number % 5 == 4,
            )
            events += exchange.submit(order, now_ns).events
            if number % 4 == 0:
                for working in exchange.open_orders()[:1]:
                    events += exchange.cancel(working.client_order_id, now_ns).events
    books = [
        exchange.book(name)
        for exchange in market.exchanges.values()
        for name in exchange.engine.by_instrument
    ]
    return hashlib.sha256(msgspec.msgpack.encode([events, books])).hexdigest()


def test_the_same_seed_and_calls_give_the_same_events_whatever_the_hash_seed() -> None:
    script = "from tests.unit.test_exchange_client import story_hash; print(story_hash(7))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert digests == {story_hash(7)}
    assert story_hash(8) not in digests
