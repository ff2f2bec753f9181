"""How a ccxt client is set up for Binance spot, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared.venues.odd_markets import read_or_leave_out

OPTIONS: dict[str, Any] = {
    # Spot only, and none of the signed calls that load_markets would add once there is a key.
    "fetchMarkets": {"types": ["spot"]},
    "fetchCurrencies": False,
    "fetchMargins": False,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a market that ccxt cannot read be left out, instead of all of them."""
    exchange.parse_market = read_or_leave_out(exchange.parse_market)


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own. The WebSocket URL must contain ``/stream``: ccxt.pro
    distinguishes spot from futures by it.
    """
    api = set_rest_url(exchange, rest_url)
    if ws_url and "ws" in api:
        base = ws_url.rstrip("/")
        api["ws"]["spot"] = api["ws"]["margin"] = base + "/stream/ws"
        api["ws"]["ws-api"]["spot"] = base + "/ws-api/v3"


def set_rest_url(exchange: Any, rest_url: str) -> dict[str, Any]:
    """Redirect every REST base, each keeping its path (``/api/v3``); return all of ccxt's URLs.

    Asset names become the venue's own: ccxt renames some, and orders and rules must mean what the
    stream's symbol means.
    """
    exchange.commonCurrencies = {}
    api: dict[str, Any] = exchange.urls["api"]
    if rest_url:
        for name, url in api.items():
            if isinstance(url, str):
                api[name] = rest_url.rstrip("/") + urlsplit(url).path
    return api
