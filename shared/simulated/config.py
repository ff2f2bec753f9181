"""Bounds of the simulated venues, and what an account starts with. No behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from shared.exchange.listing import Listing

CLIENT_QUEUE_MAX = 4_000  # frames waiting for one WebSocket client; a slower client is disconnected
CLIENT_QUEUE_BYTES_MAX = 32_000_000
CLIENT_STREAMS_MAX = 1_024
INBOUND_MAX = 64  # times of messages remembered per client, for the venue's limit

START_BALANCES: dict[str, Decimal] = {
    "USDT": Decimal(5_000_000),
    "BTC": Decimal(100),
    "ETH": Decimal(2_000),
    "SOL": Decimal(30_000),
    "BNB": Decimal(5_000),
}
START_BALANCE_OTHER = Decimal(1_000_000)  # assets that only a recording brings along


def start_balances(listings: Iterable[Listing]) -> dict[str, Decimal]:
    """Return what an account starts with: something of every asset listed."""
    assets = dict.fromkeys(asset for listing in listings for asset in (listing.quote, listing.base))
    return {asset: START_BALANCES.get(asset, START_BALANCE_OTHER) for asset in assets}
