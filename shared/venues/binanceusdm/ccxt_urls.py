"""How a ccxt client is set up for Binance USDT-M, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared.venues.odd_markets import read_or_leave_out

OPTIONS: dict[str, Any] = {
    "fetchMarkets": {"types": ["linear"]},
    "fetchCurrencies": False,
    "fetchMargins": False,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a market that ccxt cannot read be left out, instead of all of them."""
    exchange.parse_market = read_or_leave_out(exchange.parse_market)


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    ccxt renames some assets; orders and rules must mean what the stream's symbol means. Empty URLs
    leave the venue's own.

    The WebSocket base ends in ``/ws``: ccxt.pro rewrites it to ``/public|market|private/ws``.
    """
    exchange.commonCurrencies = {}
    api = exchange.urls["api"]
    if rest_url:
        for name, url in api.items():
            if isinstance(url, str):
                api[name] = rest_url.rstrip("/") + urlsplit(url).path
    if ws_url and "ws" in api:
        base = ws_url.rstrip("/")
        api["ws"]["linear"] = base + "/ws"
        api["ws"]["ws-api"]["linear"] = base + "/ws-fapi/v1"
