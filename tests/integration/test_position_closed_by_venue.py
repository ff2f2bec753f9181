"""Positions that simulated USDT-M closes by itself, as the executor's gateway reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.venuesim.app import Options
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.gateway import OrderKey
from shared.clock import SystemClock
from shared.config import Secret
from shared.venues.binanceusdm import ccxt_urls, orders
from tests.integration.venuesim_clients import SYMBOLS, client, simulation

VENUE = "binanceusdm"
SYMBOL = SYMBOLS[VENUE]
WORDS = {
    "adl_autoclose": "auto-deleveraging",
    "autoclose-1700000000001": "liquidation",
    "settlement_autoclose-7": "settlement for delisting or delivery",
}


async def test_the_gateway_tells_why_the_venue_closed_a_position() -> None:
    async with simulation(Options(seed=5)) as (server, _), client(server, VENUE) as exchange:
        await exchange.load_markets()
        await exchange.create_order(SYMBOL, "market", "sell", 3)
        venue, keys = server.sim.venues[VENUE], server.description["credentials"][VENUE]
        made = make_client(
            VENUE, ccxt_urls.OPTIONS, Secret(keys["apiKey"]), Secret(keys["secret"]), 5_000
        )
        ccxt_urls.set_urls(made, server.description["venues"][VENUE]["http"])
        gateway, now_ns = CcxtGateway(VENUE, made, orders, SystemClock()), SystemClock().now_ns()
        try:
            await gateway.start()
            for client_id in WORDS:
                venue.close_position(SYMBOL, Decimal(1), now_ns // 1_000_000, client_id)
            assert (await gateway.positions([SYMBOL])).get(SYMBOL, 0) == 0
            fills = await gateway.fills_since([SYMBOL], now_ns - 3_600_000_000_000)
            forced = {}
            for order_id in {fill.venue_order_id: None for fill in fills}:
                key = OrderKey(venue=VENUE, instrument=SYMBOL, venue_order_id=order_id)
                found = await gateway.query(key)
                assert found is not None
                forced[found.client_order_id] = found.forced
                assert sum(fill.qty for fill in found.fills) == found.filled_qty
            assert WORDS.items() <= forced.items()
            assert [why for name, why in forced.items() if name not in WORDS] == [""]
        finally:
            await gateway.close()


@pytest.mark.parametrize("client_id", ["", "autoclose", "ab5f1d7a84db00000", "my-adl_autoclose"])
def test_other_ids_are_somebody_elses(client_id: str) -> None:
    assert orders.forced_by(client_id) == ""
