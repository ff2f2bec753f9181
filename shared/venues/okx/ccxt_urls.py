"""How a ccxt client is set up for OKX spot, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {"fetchMarkets": {"types": ["spot"]}}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a pair that ccxt cannot read be left out, instead of all of them.

    ccxt reads all pairs in one go: where that fails, it is handed one after the other.
    """
    read, errors = exchange.parse_markets, unreadable()

    def parse_markets(rows: list[Any]) -> list[Any]:
        try:
            found: list[Any] = read(rows)
            return found
        except errors:
            return [market for row in rows for market in alone(row)]

    def alone(row: Any) -> list[Any]:
        try:
            found: list[Any] = read([row])
            return found
        except errors:
            return []

    exchange.parse_markets = parse_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own. Currencies are not asked for: nothing of them is used.
    """
    exchange.commonCurrencies = {}
    exchange.has = {**exchange.has, "fetchCurrencies": False}
    api = exchange.urls["api"]
    if rest_url:
        api["rest"] = rest_url.rstrip("/")
    if ws_url and "ws" in api:
        api["ws"] = ws_url.rstrip("/") + "/ws/v5"
