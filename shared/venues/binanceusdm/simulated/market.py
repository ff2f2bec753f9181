"""Public answers of USDT-M that differ from spot: symbols, books with times, funding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.exchange.listing import Listing
from shared.venues.binance.simulated import orders as common
from shared.venues.binance.simulated.market_data import SpotMarketData, page
from shared.venues.binance.simulated.streams import book_rows

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
PERPETUAL_EXPIRY_MS = 4_133_404_800_000


class FuturesMarketData(SpotMarketData):
    """Answers of the public endpoints of ``/fapi``."""

    futures = True

    def __init__(self, exchange: Exchange, funding: Funding) -> None:
        super().__init__(exchange)
        self.funding = funding

    def exchange_info(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``exchangeInfo``."""
        assets = dict.fromkeys(listing.quote for listing in self.exchange.by_symbol.values())
        return {
            "timezone": "UTC",
            "serverTime": now_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 2_400,
                },
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1_200},
            ],
            "exchangeFilters": [],
            "assets": [
                {"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"}
                for asset in assets
            ],
            "symbols": [
                futures_symbol(self.shown.get(x.symbol, x))
                for x in self.exchange.by_symbol.values()
            ],
        }

    def depth(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer ``depth``, which on futures carries times."""
        listing = common.listing_of(self.exchange, parameters)
        wanted = page(parameters, 500, 1_000)
        limit = next(top for top in DEPTH_LIMITS if wanted <= top)
        book = self.exchange.books[listing.instrument]
        bids, asks = book_rows(listing, book, limit)
        return {"lastUpdateId": book.seq, "E": now_ms, "T": now_ms, "bids": bids, "asks": asks}

    def premium_index(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer mark prices and funding."""
        funding = self.funding
        rows = [
            {
                "symbol": listing.symbol,
                "markPrice": f"{funding.mark(listing):.8f}",
                "indexPrice": f"{funding.index(listing):.8f}",
                "estimatedSettlePrice": f"{funding.index(listing):.8f}",
                "lastFundingRate": f"{funding.rate(listing):.8f}",
                "interestRate": f"{funding.terms.interest:.8f}",
                "nextFundingTime": funding.next_ms(now_ms),
                "time": now_ms,
            }
            for listing in self._chosen(parameters)
        ]
        return rows[0] if "symbol" in parameters else rows

    def funding_rate(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer the newest settlements, oldest first; between two times if they are given."""
        start_ms, end_ms = span(parameters, now_ms)
        rows: list[dict[str, Any]] = [
            {
                "symbol": listing.symbol,
                "fundingTime": settled.ts_ms,
                "fundingRate": f"{settled.rate:.8f}",
                "markPrice": f"{settled.mark:.8f}",
            }
            for listing in self._chosen(parameters)
            for settled in self.funding.history(listing, now_ms)
            if start_ms <= settled.ts_ms <= end_ms
        ]
        rows.sort(key=lambda row: int(row["fundingTime"]))
        return paged(rows, parameters, start_ms)

    def funding_info(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer interval, cap and floor; a compressed interval is a part of an hour."""
        terms = self.funding.terms
        hours = terms.interval_hours
        return [
            {
                "symbol": listing.symbol,
                "adjustedFundingRateCap": f"{terms.rate_cap:.8f}",
                "adjustedFundingRateFloor": f"{terms.rate_floor:.8f}",
                "fundingIntervalHours": int(hours) if hours == int(hours) else float(hours),
                "disclaimer": False,
            }
            for listing in self.exchange.by_symbol.values()
        ]


def span(parameters: Mapping[str, Any], now_ms: int) -> tuple[int, int]:
    """Return ``startTime`` and ``endTime``; without them everything up to now.

    Raises:
        ApiError: Not numbers.
    """
    start_ms = common.whole_number(parameters, "startTime")
    end_ms = common.whole_number(parameters, "endTime")
    return start_ms or 0, now_ms if end_ms is None else end_ms


def paged(rows: list[dict[str, Any]], parameters: Mapping[str, Any], start_ms: int) -> Any:
    """Return a page of rows in order of time: the first from a start, else the newest.

    Raises:
        ApiError: The limit is no number.
    """
    limit = page(parameters, 100, 1_000)
    return rows[:limit] if start_ms else rows[-limit:]


def mark_price_event(funding: Funding, listing: Listing, now_ms: int) -> dict[str, Any]:
    """Return a ``markPriceUpdate``."""
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": listing.symbol,
        "p": f"{funding.mark(listing):.8f}",
        "i": f"{funding.index(listing):.8f}",
        "P": f"{funding.index(listing):.8f}",
        "r": f"{funding.rate(listing):.8f}",
        "T": funding.next_ms(now_ms),
    }


def futures_symbol(listing: Listing) -> dict[str, Any]:
    """Return a symbol's entry of ``exchangeInfo``; ``pricePrecision`` is not the tick."""
    price_top = "4529764"
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_EXPIRY_MS,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.qty_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": listing.price_text(1),
                "maxPrice": price_top,
                "tickSize": listing.price_text(1),
            },
            {
                "filterType": "LOT_SIZE",
                "stepSize": listing.qty_text(1),
                "maxQty": "100000",
                "minQty": f"{listing.qty_min:f}",
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "stepSize": listing.qty_text(1),
                "maxQty": "10000",
                "minQty": f"{listing.qty_min:f}",
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": 500},
            {"filterType": "MIN_NOTIONAL", "notional": f"{listing.notional_min:f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
