"""How a ccxt client is set up for Kraken Futures, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {}


def leave_out_unreadable(exchange: Any) -> None:
    """Let an instrument that ccxt cannot read be left out, instead of all of them.

    ccxt reads all in one go: where that fails, it is handed one after the other. Indices, which it
    lists as markets beside the futures, are left out, too.
    """
    read, ask, errors = exchange.fetch_markets, exchange.publicGetInstruments, unreadable()

    async def fetch_markets(params: Any = None) -> list[Any]:
        answer = await ask(params or {})
        rows = [row for row in answer.get("instruments") or [] if not _is_index(row)]

        async def read_only(some: list[Any]) -> list[Any]:
            async def answered(*_: Any) -> Any:
                return {**answer, "instruments": some}

            exchange.publicGetInstruments = answered
            found: list[Any] = await read()
            return found

        try:
            return await read_only(rows)
        except errors:
            markets: list[Any] = []
            for row in rows:
                try:
                    markets += await read_only([row])
                except errors:
                    continue
            return markets
        finally:
            exchange.publicGetInstruments = ask

    exchange.fetch_markets = fetch_markets


def _is_index(row: Any) -> bool:
    return isinstance(row, dict) and " index" in str(row.get("type") or "")


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own.
    """
    exchange.commonCurrencies = {"XBT": "BTC"}
    api = exchange.urls["api"]
    if rest_url:
        base = rest_url.rstrip("/")
        api.update(
            public=f"{base}/derivatives/api/",
            private=f"{base}/derivatives/api/",
            charts=f"{base}/api/charts/",
            history=f"{base}/api/history/",
        )
    if ws_url and "ws" in api:
        api["ws"] = ws_url.rstrip("/") + "/ws/v1"
