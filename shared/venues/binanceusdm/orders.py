"""Order entry at Binance USDT-M through a ccxt client: what is peculiar, what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=RESULT`` tells the final
status and quantity of an IOC order at once; executions and fees follow from ``userTrades``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import VenueError
from shared.venues.binance import order_errors
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
from shared.venues.refusals import (
    MAY_EXIST,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NOT_ACTED_SERVICE,
    Meaning,
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

USDM: Mapping[int, Meaning] = {
    -1001: NOT_ACTED_SERVICE,  # documented as failed; on spot it is not
    -1109: NO_ACCOUNT,
    -2018: NO_FUNDS,
    -2019: NO_FUNDS,
    -2023: NO_ACCOUNT,  # in liquidation
    -4050: NO_FUNDS,
    -4051: NO_FUNDS,
    -4059: NO_ACCOUNT,
    -4060: NO_ACCOUNT,
    -4061: NO_ACCOUNT,  # hedge mode, where one-way is used here
    -4067: NO_ACCOUNT,
    -4068: NO_ACCOUNT,
    -4087: NO_ACCOUNT,  # may only reduce
    -4088: NO_ACCOUNT,  # may not place orders now
    -4109: NO_ACCOUNT,  # inactive
    -4116: MAY_EXIST,  # an order of ours with this id is there
    -4140: NO_INSTRUMENT,
    -4141: NO_INSTRUMENT,
    -4192: NO_ACCOUNT,  # cooling-off period
    -4400: NO_ACCOUNT,  # quantitative rules violated: may only reduce
    -4401: NO_ACCOUNT,  # compliance: may only reduce
    -4402: NO_ACCOUNT,  # not offered in this region
    -4403: NO_ACCOUNT,
    -4531: NO_ACCOUNT,  # position mode of a portfolio margin account
}
"""Codes of USDT-M alone (its error code list, venues.md section 4)."""


def meaning(kind: str, text: str, status: int) -> Meaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    return order_errors.meaning(kind, text, status, USDM)


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


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
