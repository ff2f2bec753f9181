"""How a ccxt client is set up for Gate spot, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.odd_markets import unreadable

OPTIONS: dict[str, Any] = {
    # Spot only, and none of the signed calls that load_markets would add once there is a key.
    "fetchMarkets": {"types": ["spot"]},
    "fetchCurrencies": False,
    "unifiedAccount": False,
}


def leave_out_unreadable(exchange: Any) -> None:
    """Let a pair that ccxt cannot read be left out, instead of all of them.

    ccxt reads all pairs in one go: where that fails, it is handed one after the other. Pairs that
    may be traded on margin are not asked for: nothing that we use is in them.
    """
    read, ask, errors = (
        exchange.fetch_spot_markets,
        exchange.publicSpotGetCurrencyPairs,
        unreadable(),
    )

    async def fetch_spot_markets(params: Any = None) -> list[Any]:
        pairs = await ask(params or {})
        try:
            return await read_pairs(pairs)
        except errors:
            markets: list[Any] = []
            for pair in pairs:
                try:
                    markets += await read_pairs([pair])
                except errors:
                    continue
            return markets
        finally:
            exchange.publicSpotGetCurrencyPairs = ask

    async def read_pairs(pairs: list[Any]) -> list[Any]:
        async def answered(*_: Any) -> list[Any]:
            return pairs

        async def none(*_: Any) -> list[Any]:
            return []

        exchange.publicSpotGetCurrencyPairs = answered
        exchange.publicMarginGetCurrencyPairs = none
        found: list[Any] = await read()
        return found

    exchange.fetch_spot_markets = fetch_spot_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    ccxt renames some assets; orders and rules must mean what the stream's symbol means. Empty URLs
    leave the venue's own.
    """
    exchange.commonCurrencies = {}
    api = exchange.urls["api"]
    if rest_url:
        base = rest_url.rstrip("/") + "/api/v4"
        for access in ("public", "private"):
            api[access] = dict.fromkeys(api[access], base)
    if ws_url and "spot" in api:
        api["spot"] = ws_url.rstrip("/") + "/ws/v4/"
