"""Public REST answers of Binance: symbols, books, trades, tickers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.base import Side
from shared.venues.binance.simulated import orders as formats
from shared.venues.binance.simulated.streams import book_rows

PAGE_MAX = 1_000


class SpotMarketData:
    """Answers of the public endpoints."""

    futures = False

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.shown: dict[str, Listing] = {}  # symbols whose grid differs from what books can hold

    def exchange_info(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``exchangeInfo``."""
        chosen = self._chosen(parameters)
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "rateLimits": [
                _limit("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
                _limit("ORDERS", "SECOND", 10, 100),
                _limit("ORDERS", "DAY", 1, 200_000),
                _limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
            ],
            "exchangeFilters": [],
            "symbols": [spot_symbol(self.shown.get(x.symbol, x)) for x in chosen],
        }

    def _chosen(self, parameters: Mapping[str, str]) -> list[Listing]:
        if "symbol" in parameters:
            return [formats.listing_of(self.exchange, parameters)]
        if "symbols" in parameters:
            names = [part.strip(' "') for part in parameters["symbols"].strip("[]").split(",")]
            return [formats.listing_of(self.exchange, {"symbol": name}) for name in names]
        return list(self.exchange.by_symbol.values())

    def depth(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``depth``. Real spot answers carry no times, and clients rely on that."""
        listing = formats.listing_of(self.exchange, parameters)
        book = self.exchange.books[listing.instrument]
        bids, asks = book_rows(listing, book, page(parameters, 100, 5_000))
        return {"lastUpdateId": book.seq, "bids": bids, "asks": asks}

    def trades(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``trades``."""
        listing = formats.listing_of(self.exchange, parameters)
        recent = list(self.exchange.prints[listing.instrument])[-page(parameters, 500, PAGE_MAX) :]
        return [
            {
                "id": p.trade_id,
                "price": listing.price_text(p.ticks),
                "qty": listing.qty_text(p.lots),
                "quoteQty": f"{listing.price(p.ticks) * listing.qty(p.lots):.8f}",
                "time": p.ts_ms,
                "isBuyerMaker": p.side is Side.SELL,
                "isBestMatch": True,
            }
            for p in recent
        ]

    def aggregate_trades(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``aggTrades``."""
        listing = formats.listing_of(self.exchange, parameters)
        recent = list(self.exchange.prints[listing.instrument])[-page(parameters, 500, PAGE_MAX) :]
        return [
            {
                "a": p.trade_id,
                "f": p.trade_id,
                "l": p.trade_id,
                "p": listing.price_text(p.ticks),
                "q": listing.qty_text(p.lots),
                "T": p.ts_ms,
                "m": p.side is Side.SELL,
                "M": True,
            }
            for p in recent
        ]

    def book_ticker(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``ticker/bookTicker``."""
        rows = [self._best(listing, now_ms) for listing in self._chosen(parameters)]
        return rows[0] if "symbol" in parameters else rows

    def _best(self, listing: Listing, now_ms: int) -> dict[str, Any]:
        book = self.exchange.books[listing.instrument]
        bids, asks = book_rows(listing, book, 1)
        bid, ask = (bids or [("0", "0")])[0], (asks or [("0", "0")])[0]
        return {
            "symbol": listing.symbol,
            "bidPrice": bid[0],
            "bidQty": bid[1],
            "askPrice": ask[0],
            "askQty": ask[1],
        } | ({"time": now_ms, "lastUpdateId": book.seq} if self.futures else {})

    def ticker_price(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``ticker/price``."""
        rows = [
            {"symbol": listing.symbol, "price": self._last(listing)}
            | ({"time": now_ms} if self.futures else {})
            for listing in self._chosen(parameters)
        ]
        return rows[0] if "symbol" in parameters else rows

    def _last(self, listing: Listing) -> str:
        prints = self.exchange.prints[listing.instrument]
        best = self.exchange.books[listing.instrument].bids.best() or 0
        return listing.price_text(prints[-1].ticks if prints else best)

    def ticker_day(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``ticker/24hr`` over the prints remembered."""
        rows = [self._day(listing, now_ms) for listing in self._chosen(parameters)]
        return rows[0] if "symbol" in parameters else rows

    def _day(self, listing: Listing, now_ms: int) -> dict[str, Any]:
        prints = self.exchange.prints[listing.instrument]
        last = self._last(listing)
        ticks = [p.ticks for p in prints]
        lots = sum(p.lots for p in prints)
        quote = sum(
            (listing.price(p.ticks) * listing.qty(p.lots) for p in prints), listing.tick * 0
        )
        return self._best(listing, now_ms) | {
            "priceChange": "0.00000000",
            "priceChangePercent": "0.000",
            "weightedAvgPrice": last,
            "prevClosePrice": last,
            "lastPrice": last,
            "lastQty": listing.qty_text(prints[-1].lots if prints else 0),
            "openPrice": listing.price_text(ticks[0]) if ticks else last,
            "highPrice": listing.price_text(max(ticks)) if ticks else last,
            "lowPrice": listing.price_text(min(ticks)) if ticks else last,
            "volume": listing.qty_text(lots),
            "quoteVolume": f"{quote:.8f}",
            "openTime": now_ms - 86_400_000,
            "closeTime": now_ms,
            "firstId": prints[0].trade_id if prints else -1,
            "lastId": prints[-1].trade_id if prints else -1,
            "count": len(prints),
        }


def page(parameters: Mapping[str, Any], default: int, top: int) -> int:
    """Return ``limit`` within what is allowed.

    Raises:
        ApiError: Not a number.
    """
    wanted = formats.whole_number(parameters, "limit")
    return min(wanted or default, top)


def spot_symbol(listing: Listing) -> dict[str, Any]:
    """Return a symbol's entry of ``exchangeInfo``."""
    price_top, qty_top = "1000000.00000000", "9000000.00000000"
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": listing.price_text(1),
                "maxPrice": price_top,
                "tickSize": listing.price_text(1),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": f"{listing.qty_min:.8f}",
                "maxQty": qty_top,
                "stepSize": listing.qty_text(1),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "10000.00000000",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": f"{listing.notional_min:.8f}",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 500},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
