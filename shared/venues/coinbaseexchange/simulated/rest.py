"""The simulated public REST of Coinbase Exchange: products, books, tickers, trades. Pure."""

from __future__ import annotations

from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.rows import rows
from shared.simulated.context import Context
from shared.simulated.requests import shown
from shared.simulated.rest import Answer, Request, json_answer
from shared.venues.coinbaseexchange.simulated.frames import maker_side, stamp
from shared.venues.coinbaseexchange.simulated.listing import VENUE

TRADES_MAX = 100


class ApiError(Exception):
    """An error as the venue answers it."""


class PublicRest:
    """Answers what needs no key."""

    def __init__(self, exchange: Exchange, context: Context) -> None:
        self.exchange, self._context = exchange, context
        self.shown: dict[str, Listing] = {}  # pairs whose grid differs from what books can hold

    def is_order(self, request: Request) -> bool:
        """Nothing changes by a request."""
        del request
        return False

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        parts = request.path.strip("/").split("/")
        try:
            return json_answer(self._call(parts, request.parameters()))
        except ApiError as error:
            return json_answer({"message": str(error)}, 404)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        headers = {"Retry-After": str(retry_after_s)}
        return json_answer({"message": "Public rate limit exceeded"}, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"message": "Internal server error"}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return self.failed(504)

    def ticker(self, listing: Listing) -> dict[str, Any]:
        """Return the best prices and the last trade."""
        book = self.exchange.books[listing.instrument]
        prints = self.exchange.prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        last = prints[-1].ticks if prints else book.bids.best() or 0
        return {
            "bid": bid[0][0] if bid else "0",
            "bid_size": bid[0][1] if bid else "0",
            "ask": ask[0][0] if ask else "0",
            "ask_size": ask[0][1] if ask else "0",
            "price": listing.price_text(last),
            "size": listing.qty_text(prints[-1].lots if prints else 0),
            "volume": listing.qty_text(sum(each.lots for each in prints)),
        }

    def _call(self, parts: list[str], parameters: dict[str, str]) -> Any:
        now_ms = self._context.venue_ms(VENUE)
        match parts:
            case ["time"]:
                return {"iso": stamp(now_ms), "epoch": now_ms / 1_000}
            case ["currencies"]:
                return []
            case ["products"]:
                return [self._product(x) for x in self.exchange.by_symbol.values()]
            case ["products", symbol]:
                return self._product(self._listing(symbol))
            case ["products", symbol, "book"]:
                return self._book(self._listing(symbol), parameters.get("level", "1"), now_ms)
            case ["products", symbol, "ticker"]:
                listing = self._listing(symbol)
                return {"trade_id": 1, **self.ticker(listing), "time": stamp(now_ms)}
            case ["products", symbol, "trades"]:
                return self._trades(self._listing(symbol))
        raise ApiError(f"{shown('/'.join(parts))} is not simulated")

    def _listing(self, symbol: str) -> Listing:
        listing = self.exchange.by_symbol.get(symbol)
        if listing is None:
            raise ApiError("NotFound")
        return listing

    def _product(self, listing: Listing) -> dict[str, Any]:
        listing = self.shown.get(listing.symbol, listing)
        return {
            "id": listing.symbol,
            "base_currency": listing.base,
            "quote_currency": listing.quote,
            "quote_increment": f"{listing.tick:f}",
            "base_increment": f"{listing.lot:f}",
            "display_name": listing.symbol,
            "min_market_funds": f"{listing.notional_min:f}",
            "margin_enabled": False,
            "post_only": False,
            "limit_only": False,
            "cancel_only": False,
            "trading_disabled": False,
            "auction_mode": False,
            "status": "online",
            "status_message": "",
        }

    def _book(self, listing: Listing, level: str, now_ms: int) -> dict[str, Any]:
        book = self.exchange.books[listing.instrument]
        depth = 1 if level == "1" else len(book.bids.keys) + len(book.asks.keys)
        bids, asks = (
            [(price, qty, 1) for price, qty in rows(listing, side, depth)]
            for side in (book.bids, book.asks)
        )
        return {"bids": bids, "asks": asks, "sequence": book.seq, "time": stamp(now_ms)}

    def _trades(self, listing: Listing) -> list[dict[str, Any]]:
        recent = list(self.exchange.prints[listing.instrument])[-TRADES_MAX:]
        return [
            {
                "time": stamp(trade.ts_ms),
                "trade_id": trade.trade_id,
                "price": listing.price_text(trade.ticks),
                "size": listing.qty_text(trade.lots),
                "side": maker_side(trade),
            }
            for trade in reversed(recent)
        ]
