"""How a ccxt client is set up for Bybit's perpetuals, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.bybit.symbols import CATEGORIES, LINEAR
from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {
    "fetchMarkets": {"types": list(CATEGORIES)},
    "defaultType": "swap",
    "defaultSubType": LINEAR,
    # Only unified accounts are used (``orders.check_account``): asked for once, not by every order.
    "enableUnifiedMargin": False,
    "enableUnifiedAccount": True,
    "unifiedMarginStatus": 6,
    "fetchOrder": {"acknowledged": True},
    "recvWindow": 2_000,
}


def leave_out_unreadable(exchange: Any) -> None:
    """Let an instrument that ccxt cannot read be left out, instead of all of them.

    ccxt reads a page in one go: where that fails, it is handed one instrument after the other.
    """
    read, ask, errors = (
        exchange.fetch_future_markets,
        exchange.publicGetV5MarketInstrumentsInfo,
        unreadable(),
    )

    async def fetch_future_markets(params: Any = None) -> list[Any]:
        try:
            found: list[Any] = await read(params or {})
            return found
        except errors:
            return await one_by_one(params or {})

    async def one_by_one(params: dict[str, Any]) -> list[Any]:
        markets: list[Any] = []
        for row in await rows_of(params):
            exchange.publicGetV5MarketInstrumentsInfo = answering(row, params)
            try:
                markets += await read(params)
            except errors:
                continue
            finally:
                exchange.publicGetV5MarketInstrumentsInfo = ask
        return markets

    async def rows_of(params: dict[str, Any]) -> list[Any]:
        rows: list[Any] = []
        for more in ({}, {"status": "PreLaunch"}):
            cursor = ""
            while True:
                paged = {"cursor": cursor} if cursor else {}
                answer = await ask({**params, "limit": 1_000, **more, **paged})
                result = answer.get("result") or {}
                rows += result.get("list") or []
                cursor = result.get("nextPageCursor") or ""
                if not cursor:
                    break
        return rows

    def answering(row: Any, params: dict[str, Any]) -> Any:
        async def answer(asked: Any = None) -> dict[str, Any]:
            found = [] if (asked or {}).get("status") else [row]
            return {"result": {"category": params.get("category"), "list": found}}

        return answer

    exchange.fetch_future_markets = fetch_future_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own. Currencies are not asked for: nothing of them is used.
    """
    exchange.commonCurrencies = {}
    exchange.has = {**exchange.has, "fetchCurrencies": False}
    api = exchange.urls["api"]
    if rest_url:
        for access in ("spot", "futures", "v2", "public", "private"):
            api[access] = rest_url.rstrip("/")
    if ws_url and "ws" in api:
        base, sockets = ws_url.rstrip("/"), api["ws"]
        sockets["public"] = {name: f"{base}/v5/public/{name}" for name in sockets["public"]}
        sockets["private"].update(contract=f"{base}/v5/private", trade=f"{base}/v5/trade")
        sockets["private"]["spot"]["unified"] = f"{base}/v5/private"
