"""Funding payments by the simulated venue's own protocol, as the executor's gateway reads them."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.executor.ccxt_gateway import CcxtGateway, make_client
from services.venuesim.app import Options
from shared.clock import SystemClock
from shared.config import Secret
from shared.errors import VenueError
from shared.venues.binanceusdm import ccxt_urls, orders
from tests.integration.venuesim_clients import SYMBOLS, client, simulation
from tests.support import eventually

VENUE = "binanceusdm"
SYMBOL = SYMBOLS[VENUE]


async def test_the_gateway_reads_what_an_unmodified_client_is_told(monkeypatch) -> None:
    monkeypatch.setattr(orders, "INCOME_PAGE", 3)  # several pages
    options = Options(seed=5, funding_interval_s=1, funding_rate_interval_s=28_800)
    async with simulation(options) as (server, _), client(server, VENUE) as exchange:
        await exchange.load_markets()
        await exchange.create_order(SYMBOL, "market", "sell", 2)
        venue = server.sim.venues[VENUE]
        await eventually(lambda: len(venue.funding.payments) >= 5, timeout_s=30)
        keys = server.description["credentials"][VENUE]
        made = make_client(
            VENUE, ccxt_urls.OPTIONS, Secret(keys["apiKey"]), Secret(keys["secret"]), 5_000
        )
        ccxt_urls.set_urls(made, server.description["venues"][VENUE]["http"])
        gateway = CcxtGateway(VENUE, made, orders, SystemClock())
        try:
            await gateway.start()
            paid = await gateway.funding_since([SYMBOL], 0)
            told = await exchange.fetch_funding_history(SYMBOL)
            assert len(paid) >= 5
            ours = {each.payment_id: (each.ts_venue_ns // 1_000_000, each.amount) for each in paid}
            theirs = {
                row["id"]: (row["timestamp"], Decimal(str(row["info"]["income"])))
                for row in told
                if row["id"] in ours
            }
            assert ours == theirs
            assert {each.asset for each in paid} == {"USDT"}
            assert {each.instrument for each in paid} == {SYMBOL}
            assert sum(each.amount for each in paid) > 0, "the short receives a positive rate"
            since_ns = paid[3].ts_venue_ns
            later = await gateway.funding_since([SYMBOL], since_ns)
            assert later[0] == paid[3], "from that moment on, none of them left out"
            assert await gateway.funding_since([], 0) == []
        finally:
            await gateway.close()


async def test_an_account_that_may_not_be_read_is_not_an_empty_one() -> None:
    options = Options(seed=5, funding_interval_s=1)
    async with simulation(options) as (server, _):
        made = make_client(VENUE, ccxt_urls.OPTIONS, Secret("wrong"), Secret("wrong"), 5_000)
        ccxt_urls.set_urls(made, server.description["venues"][VENUE]["http"])
        gateway = CcxtGateway(VENUE, made, orders, SystemClock())
        try:
            await made.load_markets()
            with pytest.raises(VenueError):
                await asyncio.wait_for(gateway.funding_since([SYMBOL], 0), 10)
        finally:
            await gateway.close()
