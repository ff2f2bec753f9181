"""Funding payments by the simulated venue's own protocol, as the executor's gateway reads them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from services.venuesim.app import Options, Server
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.config import Secret
from shared.errors import VenueError
from shared.venues.registry import load_ccxt_setup, load_feed
from tests.integration.venuesim_clients import SYMBOLS, client, simulation
from tests.support import eventually

PAGES = {"binanceusdm": ("INCOME_PAGE", "income", 1), "bybit": ("FILLS_PAGE", "execFee", -1)}
"""Venue -> how long its pages are, what it calls a payment, and its sign where it is for us."""


def made_client(server: Server, venue: str, key: str = "", secret: str = "") -> Any:
    """A client as the executor makes it."""
    setup, keys = load_ccxt_setup(venue), server.description["credentials"][venue]
    secrets = Secret(key or keys["apiKey"]), Secret(secret or keys["secret"])
    made = make_client(load_feed(venue).ccxt_id, setup.OPTIONS, *secrets, 5_000)
    setup.set_urls(made, server.description["venues"][venue]["http"])
    return made


@pytest.mark.parametrize("venue_name", PAGES)
async def test_the_gateway_reads_what_an_unmodified_client_is_told(venue_name, monkeypatch) -> None:
    page, called, sign = PAGES[venue_name]
    symbol, orders = SYMBOLS[venue_name], load_quirks(venue_name)
    monkeypatch.setattr(orders, page, 3)  # several pages
    options = Options(
        seed=5, funding_interval_s=1, funding_rate_interval_s=28_800, more_venues=True
    )
    async with simulation(options) as (server, _), client(server, venue_name) as exchange:
        await exchange.load_markets()
        before_ns = SystemClock().now_ns() - 10**9
        await exchange.create_order(symbol, "market", "sell", 2)
        venue = server.sim.venues[venue_name]
        await eventually(lambda: len(venue.funding.payments) >= 5, timeout_s=30)
        gateway = CcxtGateway(venue_name, made_client(server, venue_name), orders, SystemClock())
        try:
            await gateway.start()
            paid = await gateway.funding_since([symbol], before_ns)
            told = await exchange.fetch_funding_history(symbol)
            assert len(paid) >= 5
            ours = {each.payment_id: (each.ts_venue_ns // 1_000_000, each.amount) for each in paid}
            theirs = {
                row["id"]: (row["timestamp"], sign * Decimal(str(row["info"][called])))
                for row in told
                if row["id"] in ours
            }
            assert ours == theirs
            assert {each.asset for each in paid} == {"USDT"}
            assert {each.instrument for each in paid} == {symbol}
            assert sum(each.amount for each in paid) > 0, "the short receives a positive rate"
            since_ns = paid[3].ts_venue_ns
            later = await gateway.funding_since([symbol], since_ns)
            assert later[0] == paid[3], "from that moment on, none of them left out"
            assert await gateway.funding_since([], 0) == []
        finally:
            await gateway.close()


@pytest.mark.parametrize("venue_name", PAGES)
async def test_an_account_that_may_not_be_read_is_not_an_empty_one(venue_name) -> None:
    options = Options(seed=5, funding_interval_s=1, more_venues=True)
    async with simulation(options) as (server, _):
        made = made_client(server, venue_name, "wrong", "wrong")
        gateway = CcxtGateway(venue_name, made, load_quirks(venue_name), SystemClock())
        try:
            await made.load_markets()
            with pytest.raises(VenueError):
                await asyncio.wait_for(gateway.funding_since([SYMBOLS[venue_name]], 0), 10)
        finally:
            await gateway.close()
