"""Order entry at Binance USDT-M through a ccxt client: what is peculiar, what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=RESULT`` tells the final
status and quantity of an IOC order at once; executions and fees follow from ``userTrades``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.errors import Unavailable, VenueError
from shared.venues.binance.order_errors import classify_code, error_code
from shared.venues.binance.orders import (
    FILLS_TOGETHER,
    IS_ORDERED,
    VALIDITY_MS,
    cancel,
    fills_in,
    fills_of,
    fills_since,
    find,
    is_canceled,
    is_not_found,
    order_params,
)

WEIGHT_PER_S = 20.0
"""Half of 2400 per minute; the rest is left to market data."""
WEIGHT_BURST = 150.0
WEIGHT_RESERVE = 75.0
WEIGHTS = {
    "submit": 1.0,
    "query": 1.0,
    "lookup": 1.0,
    "executions": 5.0,
    "cancel": 1.0,
    "open": 40.0,
    "fills": 5.0,
    "balances": 10.0,
}

REJECTED = frozenset(
    {-1002, -1013, -1022, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111, -1112}
    | {-1114, -1115, -1116, -1117, -1121, -1122, -1128, -1130, -1131, -1136, -2008, -2010, -2011}
    | {-2014, -2015, -2017, -2018, -2019, -2020, -2021, -2022, -2024, -2025, -2026, -2027, -2028}
    | {-4001, -4003, -4004, -4005, -4013, -4014, -4015, -4023, -4024, -4061, -4087, -4088, -4118}
    | {-4120, -4131, -4140, -4141, -4164, -4192, -4400, -4401, -5021, -5022}
)
"""Definite no (USDT-M error code list, venues.md section 4)."""


def classify(kind: str, text: str) -> type[VenueError]:
    """Return what an error means for the request; ``kind`` is the ccxt class, ``text`` its message.

    Unlisted is ``OutcomeUnknown``; -4116 (an order with this id is there) is left unlisted.
    """
    if kind in {"DDoSProtection", "RateLimitExceeded"}:
        return Unavailable
    return classify_code(error_code(text), text, REJECTED)


async def positions(client: Any, instruments: Sequence[str]) -> dict[str, str]:
    """Return position amounts in signed base units per instrument.

    Asked directly: ccxt's ``fetch_positions`` would also load every leverage bracket. In hedge mode
    a symbol has two rows; the one-way mode that this system uses has one.
    """
    names = {client.market(instrument)["id"]: instrument for instrument in instruments}
    rows = await client.fapiPrivateV3GetPositionRisk()
    return {
        names[row["symbol"]]: row["positionAmt"]
        for row in rows
        if row["symbol"] in names and row.get("positionSide", "BOTH") == "BOTH"
    }


__all__ = [
    "FILLS_TOGETHER",
    "IS_ORDERED",
    "VALIDITY_MS",
    "cancel",
    "fills_in",
    "fills_of",
    "fills_since",
    "find",
    "is_canceled",
    "is_not_found",
    "order_params",
]
