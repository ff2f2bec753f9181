"""Order entry at Binance spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=FULL`` answers an IOC order
with its fills and fees, so that one request is usually the whole story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import VenueError
from shared.venues.binance import order_errors
from shared.venues.binance.order_errors import error_code
from shared.venues.refusals import MAY_EXIST, NOT_ACTED_SERVICE, Meaning

WEIGHT_PER_S = 50.0
"""Half of 6000 per minute; the rest is left to market data."""
WEIGHT_BURST = 300.0
WEIGHT_RESERVE = 150.0
WEIGHTS = {
    "submit": 1.0,
    "query": 4.0,
    "lookup": 4.0,
    "executions": 5.0,
    "cancel": 1.0,
    "open": 80.0,
    "fills": 20.0,
    "balances": 20.0,
}
IS_ORDERED = False
"""Requests may overtake each other."""
FILLS_TOGETHER = False
"""Executions are asked for one instrument at a time."""
VALIDITY_MS = 2_000
"""An order that arrives later than this after it was signed is refused (-1021)."""


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for an IOC limit order."""
    return {
        "timeInForce": "IOC",
        "newClientOrderId": client_order_id,
        "recvWindow": VALIDITY_MS,
    }


SPOT: Mapping[int, Meaning] = {
    -1004: NOT_ACTED_SERVICE,  # "server is busy, please wait and try again"
    -2021: MAY_EXIST,  # cancel-replace done in part: the new order may be there
}


def meaning(kind: str, text: str, status: int) -> Meaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    return order_errors.meaning(kind, text, status, SPOT)


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return error_code(text) == -2013


async def find(
    client: Any, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order; ``None`` or a not-found error if there is none."""
    params = {} if venue_order_id else {"origClientOrderId": client_order_id}
    order: dict[str, Any] = await client.fetch_order(venue_order_id or None, instrument, params)
    return order


def fills_in(client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
    """Return the executions that the reply to an order carries (FULL), as ccxt trades.

    Their ids, ``tradeId``, are those of ``myTrades``; the side is the order's.
    """
    market, side = client.market(instrument), order["side"]
    return [
        {**client.parse_trade(fill, market), "side": side, "timestamp": order["timestamp"]}
        for fill in order["info"].get("fills") or []
    ]


async def fills_of(client: Any, instrument: str, order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the executions of one order as ccxt trades."""
    trades: list[dict[str, Any]] = await client.fetch_my_trades(
        instrument, None, None, {"orderId": order["id"]}
    )
    return trades


async def fills_since(
    client: Any, instruments: Sequence[str], since_ms: int
) -> list[dict[str, Any]]:
    """Return the account's executions in one instrument since ``since_ms``, at most 1000."""
    (instrument,) = instruments
    trades: list[dict[str, Any]] = await client.fetch_my_trades(instrument, since_ms, 1000)
    return trades


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    params = {} if venue_order_id else {"origClientOrderId": client_order_id}
    await client.cancel_order(venue_order_id or None, instrument, params)


async def positions(client: Any, instruments: Sequence[str]) -> dict[str, str]:
    """Spot has none."""
    del client, instruments
    return {}


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order works no longer (-2011)."""
    return error_code(text) in {-2011, -2013}
