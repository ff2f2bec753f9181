"""Constants of the simulated venues: bounds, cadence, default accounts. No behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from services.venuesim.listing import Listing

TICK_MS = 50  # the market moves this often; every cadence below is a multiple of it
WARM_UP_TICKS = 40  # played before anybody may connect
TICKS_BEHIND_MAX = 20  # a clock further behind than this is set anew instead of catching up

ORDERS_MAX = 20_000  # closed orders remembered per venue; the oldest are forgotten and counted
FILLS_MAX = 50_000  # fills remembered per venue
TRADES_MAX = 1_000  # public prints remembered per instrument
OPEN_ORDERS_MAX = 500  # per venue; more are refused

CLIENT_QUEUE_MAX = 4_000  # frames waiting for one WebSocket client; a slower client is disconnected
CLIENT_QUEUE_BYTES_MAX = 32_000_000
CLIENT_STREAMS_MAX = 1_024
REQUEST_BYTES_MAX = 1_000_000

LEVERAGE = Decimal(20)

START_BALANCES: dict[str, Decimal] = {
    "USDT": Decimal(5_000_000),
    "BTC": Decimal(100),
    "ETH": Decimal(2_000),
    "SOL": Decimal(30_000),
    "BNB": Decimal(5_000),
}
START_BALANCE_OTHER = Decimal(1_000_000)  # assets that only a recording brings along

FUNDING_INTERVAL_MS = 8 * 3_600_000


def start_balances(listings: Iterable[Listing]) -> dict[str, Decimal]:
    """Return what an account starts with: something of every asset listed."""
    assets = dict.fromkeys(asset for listing in listings for asset in (listing.quote, listing.base))
    return {asset: START_BALANCES.get(asset, START_BALANCE_OTHER) for asset in assets}
