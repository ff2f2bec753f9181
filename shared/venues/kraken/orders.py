"""Order entry at Kraken spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. ``AddOrder`` answers only with the order's txid;
status and executions come from ``QueryOrders`` and ``QueryTrades``. ccxt's ``fetch_order`` looks up
``userref``, not ``cl_ord_id``, so orders are looked up in ``OpenOrders`` and ``ClosedOrders``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import VenueError
from shared.venues.kraken.order_errors import is_unknown_order, meaning

WEIGHT_PER_S = 0.9
"""The private counter decays by 0.33 to 1 per second with the account's tier (venues.md section 5);
where it is slower, the venue refuses, and the bucket is emptied."""
WEIGHT_BURST = 15.0
WEIGHT_RESERVE = 9.0
WEIGHTS = {
    "submit": 0.0,
    "query": 1.0,
    "lookup": 3.0,
    "executions": 1.0,
    "cancel": 0.0,
    "open": 1.0,
    "fills": 2.0,
    "balances": 1.0,
}
"""AddOrder and CancelOrder have a counter of their own (per pair, 60 and more)."""
IS_ORDERED = True
"""Nonces must rise as they arrive, so requests must not overtake each other."""
FILLS_TOGETHER = True
"""Executions of all instruments come in one reply."""


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for an IOC limit order."""
    return {"timeInForce": "IOC", "clientOrderId": client_order_id}


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return is_unknown_order(text)


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order works no longer."""
    return is_unknown_order(text)


async def find(
    client: Any, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order, ``None`` if the venue lists none under these ids.

    By the client's id, closed orders come first: that is where an IOC order nearly always is. One
    that closes between the two questions is missed, so "none" counts only when said repeatedly.
    """
    if venue_order_id:
        reply = await client.privatePostQueryOrders({"txid": venue_order_id, "trades": "true"})
        raw = reply["result"].get(venue_order_id)
        if raw is None:
            return None
        order: dict[str, Any] = client.parse_order(
            {**raw, "id": venue_order_id}, client.market(instrument)
        )
        return order
    params = {"clientOrderId": client_order_id, "trades": "true"}
    for fetch in (client.fetch_closed_orders, client.fetch_open_orders):
        for found in await fetch(instrument, None, None, params):
            if _is(found, client_order_id):
                return dict(found)
    return None


def fills_in(client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
    """The reply to an order carries no executions."""
    del client, order, instrument
    return []


def _is(order: dict[str, Any], client_order_id: str) -> bool:
    return bool(order["info"].get("cl_ord_id") == client_order_id)


async def fills_of(client: Any, instrument: str, order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the executions of one order as ccxt trades."""
    ids = order["info"].get("trades") or []
    if not ids:
        return []
    trades: list[dict[str, Any]] = await client.fetch_order_trades(
        order["id"], instrument, None, None, {"trades": ids}
    )
    return trades


async def fills_since(
    client: Any, instruments: Sequence[str], since_ms: int
) -> list[dict[str, Any]]:
    """Return the account's executions since ``since_ms``, the newest 50 of all instruments."""
    trades: list[dict[str, Any]] = await client.fetch_my_trades(None, since_ms)
    return [trade for trade in trades if trade["symbol"] in instruments]


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    params = {} if venue_order_id else {"clientOrderId": client_order_id}
    await client.cancel_order(venue_order_id, instrument, params)


async def positions(client: Any, instruments: Sequence[str]) -> dict[str, str]:
    """Spot has none."""
    del client, instruments
    return {}
