"""Money at the simulated venues: none appears or vanishes, fills add up, none is overspent."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder, RefusedError
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from shared.venues.binance.simulated.listing import LISTINGS as SPOT
from shared.venues.binanceusdm.simulated.listing import LISTINGS as PERPETUALS
from shared.venues.kraken.simulated.listing import LISTINGS as KRAKEN

START = {"USDT": Decimal(2_000), "BTC": Decimal("0.05"), "BNB": Decimal("0.01")}
MID = 60_000
INVERSE = (
    replace(
        PERPETUALS[0],
        instrument="BTC/USD:BTC",
        symbol="BTCUSD",
        quote="USD",
        qty_scale=0,
        qty_min=Decimal(1),
        notional_min=Decimal(1),
        inverse=True,
    ),
)
"""Contracts of a quote unit, settled in coins."""

steps = st.lists(
    st.tuples(
        st.sampled_from(["limit", "market", "cancel", "quote", "trade"]),
        st.sampled_from(list(Side)),
        st.integers(-30, 30),  # quote units away from the middle
        st.integers(1, 40),  # thousandths of the base asset
        st.sampled_from(list(TimeInForce)),
        st.booleans(),
    ),
    max_size=60,
)


def exchange_of(kind: str) -> Exchange:
    if kind == "inverse":
        return Exchange("v", INVERSE, fee_asset="", start={"BTC": Decimal("0.005")}, seed=1)
    if kind == "perpetual":
        return Exchange("v", PERPETUALS, fee_asset="", start={"USDT": Decimal(200)}, seed=1)
    fee_asset = "BNB" if kind == "fees in BNB" else ""
    return Exchange("v", SPOT if fee_asset else KRAKEN, fee_asset=fee_asset, start=START, seed=1)


def act(exchange: Exchange, step: tuple, number: int) -> None:
    what, side, away, size, tif, post_only = step
    listing = next(x for x in exchange.by_instrument.values() if x.base == "BTC")
    ticks = listing.ticks(Decimal(MID + away))
    lots = listing.lots(Decimal(size * 7) if listing.inverse else Decimal(size).scaleb(-3))
    assert ticks and lots
    if what == "quote":
        exchange.background_quote(listing, side, ticks, lots, 0)
    elif what == "trade":
        exchange.background_trade(listing, side, lots, 0)
    elif what == "cancel":
        for order in list(exchange.open_orders.values())[:1]:
            exchange.cancel(order, 0)
    else:
        kind = OrderType.LIMIT if what == "limit" else OrderType.MARKET
        exchange.place(
            IncomingOrder(
                listing,
                listing.terms(
                    side,
                    listing.qty(lots),
                    listing.price(ticks) if kind is OrderType.LIMIT else None,
                    kind,
                    tif if kind is OrderType.LIMIT else TimeInForce.IOC,
                ),
                f"c{number}",
                post_only=post_only and kind is OrderType.LIMIT and tif is TimeInForce.GTC,
            ),
            0,
        )


@pytest.mark.parametrize("kind", ["fees in BNB", "fees in quote", "perpetual", "inverse"])
@given(steps=steps)
@settings(max_examples=120, deadline=None)
def test_money_is_conserved_and_fills_add_up(kind: str, steps: list) -> None:
    exchange = exchange_of(kind)
    ledger = exchange.ledger
    if kind == "fees in BNB":
        bnb = exchange.by_instrument["BNB/USDT"]
        exchange.background_quote(bnb, Side.BUY, 59_990, 10_000, 0)
        exchange.background_quote(bnb, Side.SELL, 60_010, 10_000, 0)
    before = {asset: ledger.total(asset) for asset in ("USDT", "BTC", "BNB")}
    for number, step in enumerate(steps):
        with contextlib.suppress(RefusedError):  # then nothing may have changed, as checked below
            act(exchange, step, number)
        for asset, total in before.items():
            assert ledger.total(asset) == total, f"{asset} changed"
            assert ledger.balance(asset).used >= 0
            if kind not in ("perpetual", "inverse"):
                assert ledger.balance(asset).free >= 0, f"{asset} overspent"
        locked: dict[str, Decimal] = {}
        for order in exchange.open_orders.values():
            locked[order.lock_asset] = locked.get(order.lock_asset, Decimal(0)) + order.locked
        for asset in before:
            assert ledger.balance(asset).used == locked.get(asset, 0), "locked without an order"
    filled = dict.fromkeys(exchange.orders, 0)
    for fill in exchange.fills:
        filled[fill.order_id] += fill.lots
    for order in exchange.orders.values():
        assert filled[order.id] == order.filled_lots <= order.lots
        assert order.is_open or order.locked == 0
        assert not order.is_open or order.request.terms.rests


@pytest.mark.parametrize("kind", ["fees in BNB", "fees in quote"])
@given(steps=steps)
@settings(max_examples=60, deadline=None)
def test_what_was_bought_is_what_the_fills_say(kind: str, steps: list) -> None:
    exchange = exchange_of(kind)
    for number, step in enumerate(steps):
        with contextlib.suppress(RefusedError):
            act(exchange, step, number)
    expected = dict(START)
    for fill in exchange.fills:
        sign = 1 if fill.side is Side.BUY else -1
        expected["BTC"] += sign * fill.qty
        expected["USDT"] -= sign * fill.qty * fill.price
        expected[fill.fee_asset] -= fill.fee
    for asset, amount in expected.items():
        balance = exchange.ledger.balance(asset)
        assert balance.free + balance.used == amount, asset


def test_perpetual_profit_is_booked_when_the_position_closes() -> None:
    exchange = Exchange("v", PERPETUALS, fee_asset="", start={"USDT": Decimal(100_000)}, seed=1)
    listing = exchange.by_instrument["BTC/USDT:USDT"]

    def trade(side: Side, price: int, qty: str) -> None:
        ticks, lots = listing.ticks(Decimal(price)), listing.lots(Decimal(qty))
        assert ticks and lots
        exchange.background_quote(listing, side.opposite, ticks, lots, 0)
        request = IncomingOrder(
            listing, listing.terms(side, Decimal(qty), Decimal(price)), f"{ticks}"
        )
        assert exchange.place(request, 0).filled_lots == lots

    trade(Side.BUY, 60_000, "1")
    trade(Side.BUY, 61_000, "1")
    trade(Side.SELL, 61_500, "3")  # closes two with a profit of 2000 and opens one short
    position = exchange.ledger.positions["BTC/USDT:USDT"]
    assert (position.qty, position.entry_price) == (Decimal(-1), Decimal(61_500))
    assert sum(fill.pnl for fill in exchange.fills) == 2_000
    trade(Side.BUY, 61_600, "1")
    fees = sum(fill.fee for fill in exchange.fills)
    assert position.qty == 0
    assert exchange.ledger.balance("USDT").free == Decimal(100_000) + 2_000 - 100 - fees
