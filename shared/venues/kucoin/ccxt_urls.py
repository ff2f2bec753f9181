"""How a ccxt client is set up for KuCoin spot, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {
    # Spot only; fees are in the tickers, by symbol. Nothing that needs a key to list markets.
    "fetchMarkets": {"types": ["spot"], "fetchTickersFees": True, "marginables": False},
    "uta": False,
}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a symbol that ccxt cannot read be left out, instead of all of them.

    ccxt reads all symbols in one go: where that fails, it is handed one after the other.
    """
    read, ask, ask_tickers = (
        exchange.fetch_markets,
        exchange.publicGetSymbols,
        exchange.publicGetMarketAllTickers,
    )
    errors = unreadable()

    async def fetch_markets(params: Any = None) -> list[Any]:
        listed, tickers = await ask(params or {}), await ask_tickers(params or {})

        async def read_only(rows: list[Any]) -> list[Any]:
            async def symbols(*_: Any) -> Any:
                return {**listed, "data": rows}

            async def all_tickers(*_: Any) -> Any:
                return tickers

            exchange.publicGetSymbols = symbols
            exchange.publicGetMarketAllTickers = all_tickers
            found: list[Any] = await read(params or {})
            return found

        rows = listed.get("data") or []
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
            exchange.publicGetSymbols, exchange.publicGetMarketAllTickers = ask, ask_tickers

    exchange.fetch_markets = fetch_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    ccxt renames some assets; rules must mean what the stream's symbol means. Empty URLs leave the
    venue's own. Where its sockets are, the venue says in its REST answers; the list of currencies
    is of no use here.
    """
    del ws_url
    exchange.commonCurrencies = {}
    exchange.has["fetchCurrencies"] = False
    if rest_url:
        api = exchange.urls["api"]
        for name in ("public", "private", "futuresPublic", "futuresPrivate"):
            api[name] = rest_url.rstrip("/")
