"""How a ccxt client is set up for Binance USDT-M, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.binance.ccxt_urls import leave_out_unreadable, set_rest_url

__all__ = ["OPTIONS", "leave_out_unreadable", "set_urls"]

OPTIONS: dict[str, Any] = {
    "fetchMarkets": {"types": ["linear"]},
    "fetchCurrencies": False,
    "fetchMargins": False,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
}


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own. The WebSocket base ends in ``/ws``: ccxt.pro rewrites it to
    ``/public|market|private/ws``.
    """
    api = set_rest_url(exchange, rest_url)
    if ws_url and "ws" in api:
        base = ws_url.rstrip("/")
        api["ws"]["linear"] = base + "/ws"
        api["ws"]["ws-api"]["linear"] = base + "/ws-fapi/v1"
