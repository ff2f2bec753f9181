"""Public REST answers of Gate spot: pairs, books, trades, tickers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.rows import rows
from shared.venues.gateio.simulated.errors import ApiError, invalid, missing

BOOK_LIMIT_DEFAULT, BOOK_LIMIT_MAX = 10, 1_000
TRADES_LIMIT_DEFAULT, TRADES_LIMIT_MAX = 100, 1_000
NUMBER_CHARS_MAX = 16


class PublicRest:
    """Endpoints under ``/spot`` that need no key."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.shown: dict[str, Listing] = {}  # pairs whose grid differs from what books can hold

    def call(self, name: str, parameters: Mapping[str, str], now_ms: int) -> Any:
        """Answer a public call.

        Raises:
            ApiError: As the venue answers it.
        """
        match name:
            case "time":
                return {"server_time": now_ms}
            case "currency_pairs":
                return [self._pair(x) for x in self.exchange.by_symbol.values()]
            case "currencies":
                return [self._currency(asset) for asset in self._assets()]
            case "order_book":
                return self._book(parameters, now_ms)
            case "trades":
                return self._trades(parameters)
            case "tickers":
                return [self.ticker(listing) for listing in self._chosen(parameters)]
        if name.startswith("currency_pairs/"):
            return self._pair(listing_of(self.exchange, name.partition("/")[2]))
        raise ApiError("NOT_FOUND", f"{name} is not simulated", 404)

    def _assets(self) -> list[str]:
        listings = self.exchange.by_symbol.values()
        return list(dict.fromkeys(asset for x in listings for asset in (x.base, x.quote)))

    def _currency(self, asset: str) -> dict[str, Any]:
        return {
            "currency": asset,
            "name": asset,
            "delisted": False,
            "withdraw_disabled": True,
            "withdraw_delayed": False,
            "deposit_disabled": True,
            "trade_disabled": False,
            "chain": asset,
            "chains": [],
        }

    def _chosen(self, parameters: Mapping[str, str]) -> list[Listing]:
        symbol = parameters.get("currency_pair")
        if symbol:
            return [listing_of(self.exchange, symbol)]
        return list(self.exchange.by_symbol.values())

    def _pair(self, listing: Listing) -> dict[str, Any]:
        listing = self.shown.get(listing.symbol, listing)
        return {
            "id": listing.symbol,
            "base": listing.base,
            "base_name": listing.base,
            "quote": listing.quote,
            "quote_name": listing.quote,
            "fee": f"{listing.taker_bps / 100:f}",
            "min_base_amount": f"{listing.qty_min:f}",
            "min_quote_amount": f"{listing.notional_min:f}",
            "max_quote_amount": "5000000",
            "amount_precision": listing.qty_scale,
            "precision": listing.price_scale,
            "trade_status": "tradable",
            "sell_start": 0,
            "buy_start": 0,
            "type": "normal",
        }

    def _book(self, parameters: Mapping[str, str], now_ms: int) -> dict[str, Any]:
        symbol = parameters.get("currency_pair") or ""
        if not symbol:
            raise missing("currency_pair")
        listing = listing_of(self.exchange, symbol)
        book = self.exchange.books[listing.instrument]
        limit = whole_number(parameters, "limit", BOOK_LIMIT_DEFAULT, BOOK_LIMIT_MAX)
        body: dict[str, Any] = {"id": book.seq} if parameters.get("with_id") == "true" else {}
        return body | {
            "current": now_ms,
            "update": now_ms,
            "asks": rows(listing, book.asks, limit),
            "bids": rows(listing, book.bids, limit),
        }

    def _trades(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        symbol = parameters.get("currency_pair") or ""
        if not symbol:
            raise missing("currency_pair")
        listing = listing_of(self.exchange, symbol)
        limit = whole_number(parameters, "limit", TRADES_LIMIT_DEFAULT, TRADES_LIMIT_MAX)
        recent = list(self.exchange.prints[listing.instrument])[-limit:]
        return [
            {
                "id": str(p.trade_id),
                "create_time": str(p.ts_ms // 1_000),
                "create_time_ms": f"{p.ts_ms}.000",
                "currency_pair": listing.symbol,
                "side": p.side.value,
                "amount": listing.qty_text(p.lots),
                "price": listing.price_text(p.ticks),
                "sequence_id": str(p.trade_id),
            }
            for p in reversed(recent)
        ]

    def ticker(self, listing: Listing) -> dict[str, Any]:
        """Return what the last day was like, over the prints remembered."""
        book = self.exchange.books[listing.instrument]
        prints = self.exchange.prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        ticks = [p.ticks for p in prints] or [book.bids.best() or 0]
        volume = sum(p.lots for p in prints)
        quote = sum(
            (listing.price(p.ticks) * listing.qty(p.lots) for p in prints), listing.tick * 0
        )
        return {
            "currency_pair": listing.symbol,
            "last": listing.price_text(ticks[-1]),
            "lowest_ask": ask[0][0] if ask else "",
            "lowest_size": ask[0][1] if ask else "",
            "highest_bid": bid[0][0] if bid else "",
            "highest_size": bid[0][1] if bid else "",
            "change_percentage": "0",
            "base_volume": listing.qty_text(volume),
            "quote_volume": f"{quote:f}",
            "high_24h": listing.price_text(max(ticks)),
            "low_24h": listing.price_text(min(ticks)),
        }


def listing_of(exchange: Exchange, symbol: str) -> Listing:
    """Return the listing of a pair.

    Raises:
        ApiError: Not listed.
    """
    listing = exchange.by_symbol.get(symbol)
    if listing is None:
        raise ApiError("INVALID_CURRENCY_PAIR", f"Invalid currency pair {symbol[:40]}")
    return listing


def whole_number(parameters: Mapping[str, str], name: str, default: int, top: int) -> int:
    """Return a whole number of 1 to ``top``, or what counts where none is given.

    Raises:
        ApiError: Not such a number.
    """
    text = str(parameters.get(name) or default)
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_CHARS_MAX):
        raise invalid(name)
    if not 1 <= int(text) <= top:
        raise invalid(name)
    return int(text)
