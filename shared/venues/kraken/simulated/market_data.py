"""Public REST answers of Kraken: assets, pairs, books, trades. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.matching import BookSide
from shared.messages.base import Side
from shared.venues.kraken.simulated import orders as formats
from shared.venues.kraken.simulated.listing import LOT_DECIMALS, altname, asset_id
from shared.venues.kraken.simulated.signing import ApiError
from shared.venues.kraken.simulated.timestamps import rfc1123, rfc3339


class PublicRest:
    """Endpoints under ``/0/public``."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def call(self, name: str, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer a public call.

        Raises:
            ApiError: As the venue answers it.
        """
        match name:
            case "Time":
                return {
                    "unixtime": now_ms // 1_000,
                    "rfc1123": rfc1123(now_ms * 1_000_000),
                }
            case "SystemStatus":
                return {"status": "online", "timestamp": rfc3339(now_ms * 1_000_000)}
            case "Assets":
                return self._assets()
            case "AssetPairs":
                return {x.symbol: asset_pair(x) for x in self._chosen(parameters, every=True)}
            case "Depth":
                return {
                    x.symbol: self._depth(x, parameters, now_ms) for x in self._chosen(parameters)
                }
            case "Ticker":
                return {x.symbol: self._ticker(x) for x in self._chosen(parameters, every=True)}
            case "Trades":
                return self._trades(self._chosen(parameters)[0], parameters, now_ms)
            case _:
                raise ApiError("EGeneral:Unknown method")

    def _chosen(self, parameters: Mapping[str, Any], *, every: bool = False) -> list[Listing]:
        names = [name for name in str(parameters.get("pair") or "").split(",") if name]
        if not names and every:
            return list(self.exchange.by_symbol.values())
        if not names:
            raise ApiError("EGeneral:Invalid arguments:pair")
        return [formats.listing_of(self.exchange, name) for name in names]

    def _assets(self) -> dict[str, Any]:
        listings = self.exchange.by_symbol.values()
        assets = dict.fromkeys(a for x in listings for a in (x.base, x.quote))
        return {
            asset_id(asset): {
                "aclass": "currency",
                "altname": altname(asset),
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            }
            for asset in assets
        }

    def _depth(
        self, listing: Listing, parameters: Mapping[str, Any], now_ms: int
    ) -> dict[str, Any]:
        book = self.exchange.books[listing.instrument]
        raw = str(parameters.get("count") or 100)
        if not raw.isdigit():
            raise ApiError("EGeneral:Invalid arguments:count")
        count = min(int(raw), 500)

        def rows(side: BookSide) -> list[list[Any]]:
            return [
                [listing.price_text(p), listing.qty_text(n), now_ms // 1_000]
                for p, n in side.depth(count)
            ]

        return {"asks": rows(book.asks), "bids": rows(book.bids)}

    def _ticker(self, listing: Listing) -> dict[str, Any]:
        book, prints = (
            self.exchange.books[listing.instrument],
            self.exchange.prints[listing.instrument],
        )
        bid, ask = book.bids.depth(1), book.asks.depth(1)

        def best(rows: list[tuple[int, int]]) -> list[str]:
            if not rows:
                return ["0", "0", "0"]
            price, lots = rows[0]
            return [listing.price_text(price), "1", listing.qty_text(lots)]

        ticks = [p.ticks for p in prints] or [bid[0][0] if bid else 0]
        last, lots = listing.price_text(ticks[-1]), prints[-1].lots if prints else 0
        volume = listing.qty_text(sum(p.lots for p in prints))
        low, high = listing.price_text(min(ticks)), listing.price_text(max(ticks))
        return {
            "a": best(ask),
            "b": best(bid),
            "c": [last, listing.qty_text(lots)],
            "v": [volume, volume],
            "p": [last, last],
            "t": [len(prints), len(prints)],
            "l": [low, low],
            "h": [high, high],
            "o": listing.price_text(ticks[0]),
        }

    def _trades(
        self, listing: Listing, parameters: Mapping[str, Any], now_ms: int
    ) -> dict[str, Any]:
        raw = str(parameters.get("since") or 0)
        since = int(raw) if raw.isdigit() else 0
        since_ms = since // 1_000_000 if since > 10**15 else since * 1_000
        rows = [
            [
                listing.price_text(p.ticks),
                listing.qty_text(p.lots),
                p.ts_ms / 1_000,
                "b" if p.side is Side.BUY else "s",
                "m",
                "",
                p.trade_id,
            ]
            for p in self.exchange.prints[listing.instrument]
            if p.ts_ms >= since_ms
        ]
        return {listing.symbol: rows, "last": str(now_ms * 1_000_000)}


def asset_pair(listing: Listing) -> dict[str, Any]:
    """Return a pair's entry of ``AssetPairs``; fees are percent ladders by volume."""
    taker, maker = float(listing.taker_bps) / 100, float(listing.maker_bps) / 100
    return {
        "altname": listing.symbol,
        "wsname": f"{altname(listing.base)}/{altname(listing.quote)}",
        "aclass_base": "currency",
        "base": asset_id(listing.base),
        "aclass_quote": "currency",
        "quote": asset_id(listing.quote),
        "lot": "unit",
        "cost_decimals": 8,
        "pair_decimals": listing.price_scale,
        "lot_decimals": LOT_DECIMALS,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, taker], [50_000, round(taker * 0.8, 4)]],
        "fees_maker": [[0, maker], [50_000, round(maker * 0.8, 4)]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{listing.qty_min:f}",
        "costmin": f"{listing.notional_min:f}",
        "tick_size": f"{listing.tick:f}",
        "status": "online",
    }
