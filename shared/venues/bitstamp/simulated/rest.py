"""The simulated public REST of Bitstamp: markets, books, trades, tickers. Pure."""

from __future__ import annotations

from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.rows import rows
from shared.simulated.rest import Answer, Pending, Request, json_answer
from shared.venues.bitstamp.simulated.times import BookTimes
from shared.venues.rest_recorded import RecordedRestBooks

ROOT = "/api/v2/"
LEVELS_MAX = 5_000
TRADES_MAX = 100


class ApiError(Exception):
    """An error as the venue answers it."""

    def __init__(self, text: str, status: int = 404) -> None:
        super().__init__(text)
        self.text, self.status = text, status


class PublicRest:
    """Answers ``/api/v2``; nothing that needs a key is simulated."""

    def __init__(
        self, exchange: Exchange, times: BookTimes, recorded: RecordedRestBooks | None = None
    ) -> None:
        self._exchange, self._times, self._recorded = exchange, times, recorded
        self.shown: dict[str, Listing] = {}  # pairs whose grid differs from what books can hold

    def is_order(self, request: Request) -> bool:
        """Nothing changes by a request."""
        del request
        return False

    def answer(self, request: Request) -> Answer | Pending:
        """Answer a request; a recorded book is answered when its time has come."""
        name, _, symbol = request.path.removeprefix(ROOT).strip("/").partition("/")
        try:
            answer = json_answer(self._call(name, symbol))
        except ApiError as error:
            body = {"status": "error", "reason": error.text, "code": f"{error.status}"}
            return json_answer(body, error.status)
        if self._recorded is None or name != "order_book":
            return answer
        return self._recorded.book(symbol, answer)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        headers = {"Retry-After": str(retry_after_s)}
        body = {"status": "error", "reason": "Too many requests", "code": "API0101"}
        return json_answer(body, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"status": "error", "reason": "Internal error"}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return self.failed(504)

    def _call(self, name: str, symbol: str) -> Any:
        match name:
            case "markets":
                return [self._market(x) for x in self._exchange.by_symbol.values()]
            case "currencies":
                return []
            case "order_book":
                return self._book(self._listing(symbol))
            case "transactions":
                return self._trades(self._listing(symbol))
            case "ticker":
                return self._ticker(self._listing(symbol))
        raise ApiError(f"{name} is not simulated")

    def _listing(self, symbol: str) -> Listing:
        listing = self._exchange.by_symbol.get(symbol)
        if listing is None:
            raise ApiError("Not found")
        return listing

    def _market(self, listing: Listing) -> dict[str, Any]:
        listing = self.shown.get(listing.symbol, listing)
        return {
            "name": listing.instrument,
            "market_symbol": listing.symbol,
            "base_currency": listing.base,
            "base_decimals": listing.qty_scale,
            "counter_currency": listing.quote,
            "counter_decimals": listing.price_scale,
            "minimum_order_value": f"{listing.notional_min:f}",
            "trading": "Enabled",
            "instant_order_counter_decimals": listing.price_scale,
            "instant_and_market_orders": "Enabled",
            "description": f"{listing.base} / {listing.quote}",
            "market_type": "SPOT",
        }

    def _book(self, listing: Listing) -> dict[str, Any]:
        book = self._exchange.books[listing.instrument]
        micros = self._recorded.seq(listing.symbol) if self._recorded is not None else 0
        micros = micros or self._times.of_book(listing.symbol)
        return {
            "timestamp": str(micros // 1_000_000),
            "microtimestamp": str(micros),
            "bids": rows(listing, book.bids, LEVELS_MAX),
            "asks": rows(listing, book.asks, LEVELS_MAX),
        }

    def _trades(self, listing: Listing) -> list[dict[str, Any]]:
        recent = list(self._exchange.prints[listing.instrument])[-TRADES_MAX:]
        return [
            {
                "date": str(p.ts_ms // 1_000),
                "tid": str(p.trade_id),
                "amount": listing.qty_text(p.lots),
                "type": "0" if p.side.value == "buy" else "1",
                "price": listing.price_text(p.ticks),
            }
            for p in reversed(recent)
        ]

    def _ticker(self, listing: Listing) -> dict[str, Any]:
        """Return what the last day was like, over the prints remembered."""
        book = self._exchange.books[listing.instrument]
        prints = self._exchange.prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        ticks = [p.ticks for p in prints] or [book.bids.best() or 0]
        last = listing.price_text(ticks[-1])
        return {
            "timestamp": str(self._times.of_book(listing.symbol) // 1_000_000),
            "open": listing.price_text(ticks[0]),
            "high": listing.price_text(max(ticks)),
            "low": listing.price_text(min(ticks)),
            "last": last,
            "volume": listing.qty_text(sum(p.lots for p in prints)),
            "vwap": last,
            "bid": bid[0][0] if bid else None,
            "ask": ask[0][0] if ask else None,
            "side": "0",
            "open_24": listing.price_text(ticks[0]),
            "percent_change_24": "0",
        }
