"""How a ccxt client is set up for Coinbase Exchange, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a product that ccxt cannot read be left out, instead of all of them.

    ccxt reads all in one go: where that fails, it is handed one after the other.
    """
    read, ask, errors = exchange.fetch_markets, exchange.publicGetProducts, unreadable()

    async def fetch_markets(params: Any = None) -> list[Any]:
        rows = await ask(params or {})

        async def read_only(some: list[Any]) -> list[Any]:
            async def answered(*_: Any) -> Any:
                return some

            exchange.publicGetProducts = answered
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
            exchange.publicGetProducts = ask

    exchange.fetch_markets = fetch_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    Empty URLs leave the venue's own. The list of currencies is of no use here.
    """
    exchange.commonCurrencies = {}
    exchange.has["fetchCurrencies"] = False
    api = exchange.urls["api"]
    if rest_url:
        api["public"] = api["private"] = rest_url.rstrip("/")
    if ws_url and "ws" in api:
        api["ws"] = ws_url.rstrip("/") + "/"
