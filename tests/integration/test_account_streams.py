"""Accounts followed at simulated venues by the executor's gateway: REST and stream say the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from services.venuesim.app import Options
from shared.accounts.account_stream import AccountSource
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest, StreamState
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.config import Secret
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.messages.terms import OrderTerms, TimeInForce
from shared.venues.registry import (
    ADAPTERS,
    load_account_feed,
    load_ccxt_setup,
    load_feed,
)
from tests.integration.venuesim_clients import SYMBOLS, simulation
from tests.support import eventually

D = Decimal
FOLLOWED = [adapter for adapter in ADAPTERS if load_account_feed(adapter) is not None]


def gateway_of(description: dict[str, Any], venue: str) -> CcxtGateway:
    setup, feed = load_ccxt_setup(venue), load_account_feed(venue)
    assert feed is not None
    keys, place = description["credentials"][venue], description["venues"][venue]
    made = make_client(
        load_feed(venue).ccxt_id,
        setup.OPTIONS,
        Secret(keys["apiKey"]),
        Secret(keys["secret"]),
        5_000,
    )
    setup.set_urls(made, place["http"])
    source = AccountSource(feed, place["ws"], load_feed(venue).to_symbol)
    return CcxtGateway(venue, made, load_quirks(venue), SystemClock(), account=source)


async def order(gateway: CcxtGateway, name: str, away: str, **terms: Any) -> OrderRequest:
    symbol = SYMBOLS[gateway.venue]
    book = await gateway._client.fetch_order_book(symbol, 5)
    price = (D(str(book["asks"][0][0])) * D(away)).quantize(D(1))
    wanted = OrderTerms(
        venue=gateway.venue,
        instrument=symbol,
        side=Side.BUY,
        qty=D("0.01"),
        price_limit=price,
        **terms,
    )
    return OrderRequest(client_order_id=name, terms=wanted)


@pytest.mark.parametrize("venue", FOLLOWED)
async def test_the_stream_tells_what_rest_tells(venue: str) -> None:
    async with simulation(Options(seed=5)) as (server, _):
        gateway, news = gateway_of(server.description, venue), []
        await gateway.start()
        task = asyncio.create_task(gateway.follow([SYMBOLS[venue]], news.append))
        try:
            await eventually(lambda: StreamState(is_followed=True) in news)
            filled = await order(gateway, "abstream00001000", "1.01")
            await gateway.submit(filled)
            resting = await order(gateway, "abstream00002000", "0.8", time_in_force=TimeInForce.GTC)
            await gateway.submit(resting)
            key = OrderKey(
                venue=venue,
                instrument=SYMBOLS[venue],
                client_order_id=resting.client_order_id,
                venue_order_id=(await _query(gateway, resting)).venue_order_id,
            )
            await gateway.cancel(key)

            def of(request: OrderRequest) -> list[OrderReport]:
                reports = [each for each in news if isinstance(each, OrderReport)]
                return [r for r in reports if r.client_order_id == request.client_order_id]

            await eventually(lambda: _ends(of(filled)) is OrderStatus.FILLED)
            await eventually(lambda: _ends(of(resting)) is OrderStatus.CANCELED)
            told = await _query(gateway, filled)
            pushed = {fill.trade_id: fill for each in of(filled) for fill in each.fills}
            assert list(pushed.values()) == list(told.fills), "the same ids, prices and fees"
            assert {each.venue_order_id for each in of(filled)} == {told.venue_order_id}
            assert max(each.filled_qty for each in of(filled)) == told.filled_qty == D("0.01")
            assert of(resting)[0].status is OrderStatus.ACCEPTED
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await gateway.close()


async def _query(gateway: CcxtGateway, request: OrderRequest) -> OrderReport:
    key = OrderKey(
        venue=gateway.venue,
        instrument=request.terms.instrument,
        client_order_id=request.client_order_id,
    )
    found = await gateway.query(key)
    assert found is not None
    return found


def _ends(reports: list[OrderReport]) -> OrderStatus | None:
    return reports[-1].status if reports else None


@pytest.mark.parametrize("venue", FOLLOWED)
async def test_a_lost_connection_is_told_and_made_again(venue: str) -> None:
    async with simulation(Options(seed=5)) as (server, control):
        gateway, news = gateway_of(server.description, venue), []
        await gateway.start()
        task = asyncio.create_task(gateway.follow([SYMBOLS[venue]], news.append))
        try:
            await eventually(lambda: StreamState(is_followed=True) in news)
            await control.post("fault", {"kind": "disconnect", "venue": venue, "count": 1})
            await eventually(lambda: any(isinstance(x, StreamState) and x.is_down for x in news))
            await eventually(lambda: news.count(StreamState(is_followed=True)) == 2)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await gateway.close()
