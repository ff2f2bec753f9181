"""The simulated public REST of Kraken Futures: instruments, books, tickers, trades. Pure.

Rates that have settled are not simulated: whether the venue stamps them with the beginning or the
end of their period is not documented.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.exchange.listing import Listing
from shared.simulated.context import Context
from shared.simulated.requests import shown
from shared.simulated.rest import Answer, Request, json_answer
from shared.venues.krakenfutures.simulated.frames import number
from shared.venues.krakenfutures.simulated.listing import VENUE

ROOT, HISTORY = "/derivatives/api/v3/", "/api/history/v3/market/"
TRADES_MAX = 100


class ApiError(Exception):
    """An error as the venue answers it."""


class PublicRest:
    """Answers what needs no key."""

    def __init__(self, exchange: Exchange, funding: Funding, context: Context) -> None:
        self.exchange, self.funding, self._context = exchange, funding, context
        self.shown: dict[str, Listing] = {}  # those whose grid differs from what books can hold

    def is_order(self, request: Request) -> bool:
        """Nothing changes by a request."""
        del request
        return False

    def answer(self, request: Request) -> Answer:
        """Answer a request; a refusal has HTTP status 200, too."""
        try:
            if request.path.startswith(HISTORY):
                name, _, what = request.path.removeprefix(HISTORY).partition("/")
                if what != "executions":
                    raise ApiError("notFound")
                return json_answer(self._executions(self._listing(name)))
            return self._ok(self._call(request.path.removeprefix(ROOT), request))
        except ApiError as error:
            body = {"result": "error", "error": str(error), "serverTime": self._time()}
            return json_answer(body)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        body = {"result": "error", "error": "apiLimitExceeded", "serverTime": self._time()}
        return json_answer(body, status, {"Retry-After": str(retry_after_s)})

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"result": "error", "error": "Server Error"}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return self.failed(504)

    def ticker(self, listing: Listing, now_ms: int) -> dict[str, Any]:
        """Return the WebSocket's ticker; the funding rate is that of the hour under way."""
        book, funding = self.exchange.books[listing.instrument], self.funding
        bid, ask = book.bids.depth(1), book.asks.depth(1)
        mark, rate = funding.mark(listing), funding.rate(listing)
        absolute = rate / mark if listing.inverse else rate * mark
        body: dict[str, Any] = {
            "time": now_ms,
            "product_id": listing.symbol,
            "feed": "ticker",
            "funding_rate": float(absolute),
            "relative_funding_rate": float(rate),
            "next_funding_rate_time": funding.next_ms(now_ms),
            "index": float(funding.index(listing)),
            "markPrice": float(mark),
            "last": self._last(listing),
            "volume": 0,
            "volumeQuote": 0,
            "openInterest": 0,
            "change": 0,
            "suspended": False,
            "post_only": False,
            "tag": "perpetual",
            "pair": f"{listing.symbol[3:-3]}:USD",
            "dtm": 0,
            "maturityTime": 0,
            "leverage": "50x",
        }
        for name, best in (("bid", bid), ("ask", ask)):
            if best:
                body[name] = number(listing.price_text(best[0][0]))
                body[f"{name}_size"] = number(listing.qty_text(best[0][1]))
        return body

    def _ok(self, found: dict[str, Any]) -> Answer:
        return json_answer({"result": "success", **found, "serverTime": self._time()})

    def _time(self) -> str:
        moment = datetime.fromtimestamp(self._context.venue_ms(VENUE) / 1_000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _listing(self, symbol: str) -> Listing:
        listing = self.exchange.by_symbol.get(symbol.upper())
        if listing is None:
            raise ApiError("Invalid symbol")
        return listing

    def _call(self, name: str, request: Request) -> dict[str, Any]:
        symbol = request.parameters().get("symbol", "")
        match name:
            case "instruments":
                return {"instruments": [self._row(x) for x in self.exchange.by_symbol.values()]}
            case "tickers":
                return {"tickers": [self._rest_ticker(x) for x in self.exchange.by_symbol.values()]}
            case "orderbook":
                return {"orderBook": self._book(self._listing(symbol))}
            case "history":
                return {"history": self._trades(self._listing(symbol))}
        if name.startswith("tickers/"):
            return {"ticker": self._rest_ticker(self._listing(name.removeprefix("tickers/")))}
        raise ApiError(f"{shown(name)} is not simulated")

    def _row(self, listing: Listing) -> dict[str, Any]:
        listing = self.shown.get(listing.symbol, listing)
        return {
            "symbol": listing.symbol,
            "type": "futures_inverse" if listing.inverse else "flexible_futures",
            "tickSize": float(listing.tick),
            "contractSize": 1,
            "tradeable": True,
            "impactMidSize": 1,
            "maxPositionSize": 1_000_000,
            "openingDate": "2022-01-01T00:00:00.000Z",
            "contractValueTradePrecision": listing.qty_scale,
            "marginLevels": [],
            "fundingRateCoefficient": 24,
            "maxRelativeFundingRate": 0.01,
            "postOnly": False,
            "tags": [],
        }

    def _book(self, listing: Listing) -> dict[str, Any]:
        book = self.exchange.books[listing.instrument]
        bids, asks = (
            [
                (number(listing.price_text(price)), number(listing.qty_text(lots)))
                for price, lots in side.depth(len(side.keys))
            ]
            for side in (book.bids, book.asks)
        )
        return {"bids": bids, "asks": asks}

    def _last(self, listing: Listing) -> Any:
        prints = self.exchange.prints[listing.instrument]
        ticks = prints[-1].ticks if prints else self.exchange.books[listing.instrument].bids.best()
        return number(listing.price_text(ticks or 0))

    def _rest_ticker(self, listing: Listing) -> dict[str, Any]:
        told = self.ticker(listing, self._context.venue_ms(VENUE))
        names = {"bid_size": "bidSize", "ask_size": "askSize", "index": "indexPrice"}
        names |= {"funding_rate": "fundingRate", "product_id": "symbol"}
        left_out = ("time", "feed", "relative_funding_rate", "next_funding_rate_time")
        row = {names.get(key, key): value for key, value in told.items() if key not in left_out}
        return {**row, "lastTime": self._time(), "vol24h": 0, "open24h": told["last"]}

    def _trades(self, listing: Listing) -> list[dict[str, Any]]:
        recent = list(self.exchange.prints[listing.instrument])[-TRADES_MAX:]
        return [
            {
                "time": _iso(trade.ts_ms),
                "trade_id": trade.trade_id,
                "price": number(listing.price_text(trade.ticks)),
                "size": number(listing.qty_text(trade.lots)),
                "side": trade.side.value,
                "type": "fill",
                "uid": f"simulated-{listing.symbol}-{trade.trade_id}",
            }
            for trade in reversed(recent)
        ]

    def _executions(self, listing: Listing) -> dict[str, Any]:
        recent = list(self.exchange.prints[listing.instrument])[-TRADES_MAX:]
        elements = []
        for trade in reversed(recent):
            uid = f"simulated-{listing.symbol}-{trade.trade_id}"
            order = {
                "uid": uid,
                "tradeable": listing.symbol,
                "direction": trade.side.value.capitalize(),
                "quantity": listing.qty_text(trade.lots),
                "timestamp": trade.ts_ms,
                "limitPrice": listing.price_text(trade.ticks),
                "orderType": "Limit",
                "reduceOnly": False,
            }
            execution = {
                "uid": uid,
                "takerOrder": order,
                "makerOrder": None,
                "timestamp": trade.ts_ms,
                "quantity": listing.qty_text(trade.lots),
                "price": listing.price_text(trade.ticks),
                "markPrice": listing.price_text(trade.ticks),
                "limitFilled": True,
                "usdValue": "0",
            }
            event = {"Execution": {"execution": execution, "takerReducedQuantity": ""}}
            elements.append({"uid": uid, "timestamp": trade.ts_ms, "event": event})
        return {"elements": elements, "len": len(elements)}


def _iso(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
