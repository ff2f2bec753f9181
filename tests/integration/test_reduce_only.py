"""Reduce-only orders at simulated USDT-M, sent by the executor's gateway over unmodified ccxt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from services.venuesim.app import Options
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.gateway import OrderRequest
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.config import Secret
from shared.domain.instrument import is_spot
from shared.errors import Cause, Rejected
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.messages.terms import OrderTerms
from shared.venues.binanceusdm import ccxt_urls, orders
from shared.venues.registry import ADAPTERS, load_simulated
from tests.integration.venuesim_clients import SYMBOLS, client, simulation

VENUE = "binanceusdm"
SYMBOL = SYMBOLS[VENUE]
D = Decimal


@asynccontextmanager
async def account() -> AsyncIterator[tuple[CcxtGateway, Any]]:
    """The gateway, and a ccxt client of the same account."""
    async with simulation(Options(seed=5)) as (server, _), client(server, VENUE) as exchange:
        await exchange.load_markets()
        keys = server.description["credentials"][VENUE]
        made = make_client(
            VENUE, ccxt_urls.OPTIONS, Secret(keys["apiKey"]), Secret(keys["secret"]), 5_000
        )
        ccxt_urls.set_urls(made, server.description["venues"][VENUE]["http"])
        gateway = CcxtGateway(VENUE, made, orders, SystemClock())
        try:
            await gateway.start()
            yield gateway, exchange
        finally:
            await gateway.close()


async def order(exchange: Any, name: str, side: Side, qty: str) -> OrderRequest:
    book = await exchange.fetch_order_book(SYMBOL, 5)
    best = D(str(book["asks" if side is Side.BUY else "bids"][0][0]))
    price = (best * (D("1.01") if side is Side.BUY else D("0.99"))).quantize(D(1))
    terms = OrderTerms(venue=VENUE, instrument=SYMBOL, side=side, qty=D(qty), price_limit=price)
    return OrderRequest(client_order_id=name, terms=terms, reduce_only=True)


async def test_it_closes_a_position_and_opens_none() -> None:
    async with account() as (gateway, exchange):
        with pytest.raises(Rejected, match="-2022") as none_held:
            await gateway.submit(await order(exchange, "abreduce00001000", Side.BUY, "0.1"))
        assert none_held.value.cause is Cause.NOTHING_TO_REDUCE
        await exchange.create_order(SYMBOL, "market", "sell", 0.3)
        with pytest.raises(Rejected, match="-2022"):
            await gateway.submit(await order(exchange, "abreduce00002000", Side.SELL, "0.1"))
        with pytest.raises(Rejected, match="-2022"):
            await gateway.submit(await order(exchange, "abreduce00003000", Side.BUY, "0.5"))
        least = str(exchange.market(SYMBOL)["limits"]["amount"]["min"])
        for number, qty in enumerate([least, str(D("0.3") - D(least))], 4):
            done = await gateway.submit(
                await order(exchange, f"abreduce0000{number}000", Side.BUY, qty)
            )
            assert (done.status, done.filled_qty) == (OrderStatus.FILLED, D(qty))
        assert (await gateway.positions([SYMBOL])).get(SYMBOL, 0) == 0


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_venue_with_derivatives_says_how(adapter: str) -> None:
    names = [listing.instrument for listing in load_simulated(adapter).LISTINGS]
    assert bool(load_quirks(adapter).REDUCE_ONLY) is not all(map(is_spot, names))
