"""Order entry at Binance spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=FULL`` answers an IOC order
with its fills and fees, so that one request is usually the whole story.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import Unavailable, VenueError
from shared.venues.binance.order_errors import classify_code, error_code

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


def classify(kind: str, text: str) -> type[VenueError]:
    """Return what an error means for the request; ``kind`` is the ccxt class, ``text`` its message.

    Unlisted is ``OutcomeUnknown``.
    """
    if kind in {"DDoSProtection", "RateLimitExceeded"}:
        return Unavailable  # 429 and 418: refused before any processing
    return classify_code(error_code(text), text, REJECTED)


REJECTED = frozenset(
    {-1002, -1013, -1022, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111, -1112}
    | {-1114, -1115, -1116, -1117, -1121, -1128, -1130, -1131, -2008, -2010, -2011, -2014, -2015}
)
"""Definite no (binance-spot-api-docs errors.md); -1022, -2014, -2015 are about the key."""


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


def is_canceled(kind: str, text: str) -> bool:
    """Tell whether a failed cancel means that the order works no longer (-2011)."""
    del kind
    return error_code(text) in {-2011, -2013}
