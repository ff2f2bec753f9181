"""How a ccxt client is set up for Kraken, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

from shared.venues.kraken.symbols import OLD_NAMES
from shared.venues.odd_markets import read_or_leave_out, unreadable

PREFIXED = 4
"""Letters of an asset with its kind before it: X for coins, Z for money."""

OPTIONS: dict[str, Any] = {}


def leave_out_unreadable(exchange: Any) -> None:
    """Let an asset or a pair that ccxt cannot read be left out, instead of all of them.

    ccxt reads all pairs in one go: where that fails, it is handed one after the other.
    """
    exchange.parse_currency = read_or_leave_out(exchange.parse_currency)
    read, ask, errors = exchange.fetch_markets, exchange.publicGetAssetPairs, unreadable()

    async def fetch_markets(params: Any = None) -> list[Any]:
        answer = await ask(params or {})
        try:
            return await read_pairs(answer["result"])
        except errors:
            markets: list[Any] = []
            for name, pair in answer["result"].items():
                try:
                    markets += await read_pairs({name: pair})
                except errors:
                    continue
            return markets
        finally:
            exchange.publicGetAssetPairs = ask

    async def read_pairs(pairs: dict[str, Any]) -> list[Any]:
        async def answered(*_: Any) -> dict[str, Any]:
            return {"error": [], "result": pairs}

        exchange.publicGetAssetPairs = answered
        found: list[Any] = await read()
        return found

    exchange.fetch_markets = fetch_markets


def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Let a ccxt or ccxt.pro client use the venue's own names, and redirect it.

    ccxt renames assets (LUNA to LUNC, LUNA2 to LUNA, REP to REPV1 ...); orders and rules must mean
    what the stream's symbol means. What is left are other spellings of one name: the old ones (XBT)
    and those with a prefix (XXBT, ZUSD). Empty URLs leave the venue's own.

    ccxt appends ``/0/public/...`` itself, and recognises the protocol version by ``v2`` in the URL.
    """
    exchange.commonCurrencies = {
        asset: name
        for asset, name in exchange.commonCurrencies.items()
        if asset in OLD_NAMES or (len(asset) == PREFIXED and asset[0] in "XZ")
    }
    api = exchange.urls["api"]
    if rest_url:
        api["public"] = api["private"] = rest_url.rstrip("/")
    if ws_url and "ws" in api:
        base = ws_url.rstrip("/")
        api["ws"].update(
            public=base + "/v1",
            private=base + "/auth",
            publicV2=base + "/v2",
            privateV2=base + "/auth/v2",
        )
