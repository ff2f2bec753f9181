"""Markets of Binance that are not simulated: listed, and empty.

An unmodified ccxt client asks for all of them when it loads markets, and with a key for coins and
margin too.
"""

from __future__ import annotations

from typing import Any

from shared.simulated.port import FixedRoute

NO_SYMBOLS: dict[str, Any] = {
    "timezone": "UTC",
    "rateLimits": [],
    "exchangeFilters": [],
    "assets": [],
    "symbols": [],
}
EMPTY: dict[str, Any] = {
    "/dapi/v1/exchangeInfo": NO_SYMBOLS,
    "/eapi/v1/exchangeInfo": {
        "timezone": "UTC",
        "rateLimits": [],
        "optionContracts": [],
        "optionAssets": [],
        "optionSymbols": [],
    },
    "/sapi/v1/capital/config/getall": [],
    "/sapi/v1/margin/allPairs": [],
    "/sapi/v1/margin/isolated/allPairs": [],
    "/sapi/v1/margin/allAssets": [],
}


def empty_markets() -> list[FixedRoute]:
    """Return the paths of markets that are not simulated, with their empty answers."""
    return [FixedRoute(path, body) for path, body in EMPTY.items()]
