"""What simulated venues do not have is refused, and is never taken for a plain order.

Unmodified ccxt asks for what a venue lacks: batches and changes of orders, OCO, stops, icebergs.
Some of it ccxt refuses itself; the rest must come back as a definite no that says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ccxt
import pytest

from services.venuesim.app import Options
from tests.integration.venuesim_clients import SYMBOLS, VENUES, client, simulation, within

NO = (ccxt.ExchangeError, ccxt.NotSupported)
SAYS_WHY = ("not simulated", "not supported")
CHANGING: dict[str, dict[str, Any]] = {
    "stop": {"stopLossPrice": 1},
    "stop and target of an order": {
        "stopLoss": {"triggerPrice": 1},
        "takeProfit": {"triggerPrice": 2},
    },
    "trigger": {"triggerPrice": 1, "triggerDirection": "ascending"},
    "iceberg": {"icebergAmount": 0.005, "icebergQty": 0.005, "iceberg": 0.005},
    "a parameter of nobody": {"doTheRightThing": True},
}


@pytest.fixture
async def sim():
    async with simulation(Options(seed=5, more_venues=True)) as running:
        yield running


async def refused(exchange: Any, symbol: str, ask: Callable[[], Any]) -> None:
    """Ask, and see that it is a clear no and that no order is there that was not before."""
    before = {order["id"] for order in await within(exchange.fetch_open_orders(symbol))}
    with pytest.raises(NO) as told:
        await within(ask())
    assert not isinstance(told.value, ccxt.OperationFailed), "a client would try that again"
    text = str(told.value)
    assert '{"' not in text or any(why in text for why in SAYS_WHY), text
    assert {order["id"] for order in await within(exchange.fetch_open_orders(symbol))} == before


async def below(exchange: Any, symbol: str) -> float:
    book = await within(exchange.fetch_order_book(symbol, 5))
    return float(round(book["bids"][0][0] * 0.9))


async def test_what_binance_spot_has_no_batches_for_is_refused(sim) -> None:
    """ccxt knows that it has none; changes and batches are in ``test_venuesim_changes.py``."""
    symbol = SYMBOLS["binance"]
    async with client(sim[0], "binance") as exchange:
        await exchange.load_markets()
        price = await below(exchange, symbol)
        one = {"symbol": symbol, "type": "limit", "side": "buy", "amount": 0.01, "price": price}
        made = await exchange.create_order(symbol, "limit", "buy", 0.01, price)
        await refused(exchange, symbol, lambda: exchange.create_orders([one, one]))
        await refused(exchange, symbol, lambda: exchange.cancel_orders([made["id"]], symbol))


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("params", list(CHANGING.values()), ids=list(CHANGING))
async def test_an_order_that_is_more_than_a_plain_one_is_not_taken_for_one(
    sim, venue, params
) -> None:
    symbol = SYMBOLS[venue]
    async with client(sim[0], venue) as exchange:
        await exchange.load_markets()
        price = await below(exchange, symbol)
        await refused(
            exchange,
            symbol,
            lambda: exchange.create_order(symbol, "limit", "buy", 0.01, price, params),
        )


@pytest.mark.parametrize(
    "endpoint", ["privatePostOrderOco", "privatePostOrderListOco", "privatePostOrderListOto"]
)
async def test_oco_is_refused_as_its_listing_says(sim, endpoint) -> None:
    symbol = SYMBOLS["binance"]
    async with client(sim[0], "binance") as exchange:
        market = (await exchange.load_markets())[symbol]
        assert market["info"]["ocoAllowed"] is False
        terms = {"symbol": market["id"], "side": "SELL", "quantity": "0.01", "price": "1"}
        await refused(exchange, symbol, lambda: getattr(exchange, endpoint)(terms))


async def test_orders_over_a_socket_are_read_as_strictly(sim) -> None:
    symbol = SYMBOLS["kraken"]
    async with client(sim[0], "kraken") as exchange:
        await exchange.load_markets()
        price = await below(exchange, symbol)
        for params in ({"stopLossPrice": price}, {"reduceOnly": True}):
            await refused(
                exchange,
                symbol,
                lambda p=params: exchange.create_order_ws(symbol, "limit", "buy", 0.01, price, p),
            )
