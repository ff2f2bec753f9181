"""Public REST answers of Bybit v5: instruments, books, trades, tickers, funding. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.exchange.listing import Listing
from shared.exchange.rows import rows
from shared.venues.bybit.simulated.errors import ApiError, invalid
from shared.venues.bybit.symbols import category_of

CATEGORIES = ("spot", "linear", "inverse", "option")
NUMBER_CHARS_MAX = 16


class PublicRest:
    """Endpoints under ``/v5/market``."""

    def __init__(self, exchange: Exchange, funding: Funding) -> None:
        self.exchange, self.funding = exchange, funding
        self.shown: dict[str, Listing] = {}  # those whose grid differs from what books can hold

    def call(self, name: str, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer a public call.

        Raises:
            ApiError: As the venue answers it.
        """
        if name == "time":
            return {"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)}
        category = category_in(parameters)
        match name:
            case "instruments-info":
                rows = [] if parameters.get("status") else self._instruments(parameters)
                return {"category": category, "list": rows, "nextPageCursor": ""}
            case "orderbook":
                return self._book(parameters, now_ms)
            case "recent-trade":
                return {"category": category, "list": self._trades(parameters)}
            case "tickers":
                rows = [self.ticker(x, now_ms) for x in self._chosen(parameters)]
                return {"category": category, "list": rows}
            case "funding/history":
                return {"category": category, "list": self._settled(parameters, now_ms)}
        raise ApiError(10017, "Route not found")

    def _chosen(self, parameters: Mapping[str, str]) -> list[Listing]:
        if parameters.get("symbol"):
            return [listing_of(self.exchange, parameters)]
        category = parameters.get("category")
        return [
            x for x in self.exchange.by_symbol.values() if category_of(x.instrument) == category
        ]

    def _instruments(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        chosen = self._chosen(parameters)
        return [self._instrument(self.shown.get(x.symbol, x)) for x in chosen]

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        terms = self.funding.terms
        minutes = terms.interval_hours * 60
        return {
            "symbol": listing.symbol,
            "contractType": "InversePerpetual" if listing.inverse else "LinearPerpetual",
            "status": "Trading",
            "baseCoin": listing.base,
            "quoteCoin": listing.quote,
            "launchTime": "1584230400000",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": str(listing.price_decimals),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {
                "minPrice": listing.price_text(1),
                "maxPrice": "1999999.80",
                "tickSize": listing.price_text(1),
            },
            "lotSizeFilter": {
                "maxOrderQty": "1190000",
                "minOrderQty": f"{listing.qty_min:f}",
                "qtyStep": listing.qty_text(1),
                "postOnlyMaxOrderQty": "1190000",
                "maxMktOrderQty": "500000",
                "minNotionalValue": f"{listing.notional_min:f}",
            },
            "unifiedMarginTrade": True,
            # A compressed interval is a part of a minute, which the venue has not.
            "fundingInterval": int(minutes) if minutes == int(minutes) else float(minutes),
            "settleCoin": listing.settle,
            "copyTrading": "none",
            "upperFundingRate": f"{terms.rate_cap:f}",
            "lowerFundingRate": f"{terms.rate_floor:f}",
            "isPreListing": False,
            "preListingInfo": None,
        }

    def _book(self, parameters: Mapping[str, str], now_ms: int) -> dict[str, Any]:
        listing = listing_of(self.exchange, parameters)
        book = self.exchange.books[listing.instrument]
        limit = whole_number(parameters, "limit", 25, 1_000)
        return {
            "s": listing.symbol,
            "b": rows(listing, book.bids, limit),
            "a": rows(listing, book.asks, limit),
            "ts": now_ms,
            "u": book.seq,
            "seq": book.seq,
            "cts": now_ms,
        }

    def _trades(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        listing = listing_of(self.exchange, parameters)
        limit = whole_number(parameters, "limit", 500, 1_000)
        recent = list(self.exchange.prints[listing.instrument])[-limit:]
        return [
            {
                "execId": str(p.trade_id),
                "symbol": listing.symbol,
                "price": listing.price_text(p.ticks),
                "size": listing.qty_text(p.lots),
                "side": p.side.value.capitalize(),
                "time": str(p.ts_ms),
                "isBlockTrade": False,
            }
            for p in reversed(recent)
        ]

    def ticker(self, listing: Listing, now_ms: int) -> dict[str, Any]:
        """Return prices, marks and the running rate; the last day is that of what is remembered."""
        book, funding = self.exchange.books[listing.instrument], self.funding
        prints = self.exchange.prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        ticks = [p.ticks for p in prints] or [book.bids.best() or 0]
        return {
            "symbol": listing.symbol,
            "lastPrice": listing.price_text(ticks[-1]),
            "highPrice24h": listing.price_text(max(ticks)),
            "lowPrice24h": listing.price_text(min(ticks)),
            "prevPrice24h": listing.price_text(ticks[0]),
            "price24hPcnt": "0",
            "volume24h": listing.qty_text(sum(p.lots for p in prints)),
            "turnover24h": "0",
            "openInterest": "0",
            "markPrice": f"{funding.mark(listing):.4f}",
            "indexPrice": f"{funding.index(listing):.4f}",
            "fundingRate": f"{funding.rate(listing):.8f}",
            "nextFundingTime": str(funding.next_ms(now_ms)),
            "bid1Price": bid[0][0] if bid else "",
            "bid1Size": bid[0][1] if bid else "",
            "ask1Price": ask[0][0] if ask else "",
            "ask1Size": ask[0][1] if ask else "",
        }

    def _settled(self, parameters: Mapping[str, str], now_ms: int) -> list[dict[str, Any]]:
        listing = listing_of(self.exchange, parameters)
        limit = whole_number(parameters, "limit", 200, 200)
        start_ms, end_ms = moment(parameters, "startTime", 0), moment(parameters, "endTime", now_ms)
        found = [
            {
                "symbol": listing.symbol,
                "fundingRate": f"{settled.rate:.8f}",
                "fundingRateTimestamp": str(settled.ts_ms),
            }
            for settled in self.funding.history(listing, now_ms)
            if start_ms <= settled.ts_ms <= end_ms
        ]
        return found[::-1][:limit]


def category_in(parameters: Mapping[str, Any]) -> str:
    """Return the category that a request names.

    Raises:
        ApiError: None that there is.
    """
    category = str(parameters.get("category") or "")
    if category not in CATEGORIES:
        raise invalid("category")
    return category


def listing_of(exchange: Exchange, parameters: Mapping[str, Any]) -> Listing:
    """Return the listing of a symbol in a category.

    Raises:
        ApiError: Not listed.
    """
    listing = exchange.by_symbol.get(str(parameters.get("symbol") or ""))
    if listing is None or category_in(parameters) != category_of(listing.instrument):
        raise invalid("symbol")
    return listing


def whole_number(parameters: Mapping[str, Any], name: str, default: int, top: int) -> int:
    """Return a whole number of 1 to ``top``, or what counts where none is given.

    Raises:
        ApiError: Not such a number.
    """
    value = moment(parameters, name, default)
    if not 1 <= value <= top:
        raise invalid(name)
    return value


def moment(parameters: Mapping[str, Any], name: str, default: int) -> int:
    """Return a time in ms, or what counts where none is given.

    Raises:
        ApiError: Not a time.
    """
    text = str(parameters.get(name) or default)
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_CHARS_MAX):
        raise invalid(name)
    return int(text)
