"""The simulated public REST of KuCoin: symbols, books, trades, tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.rows import rows
from shared.simulated.context import Context
from shared.simulated.rest import Answer, Pending, Request, json_answer
from shared.venues.kucoin.simulated.listing import VENUE
from shared.venues.kucoin.simulated.tokens import Tokens
from shared.venues.rest_recorded import RecordedRestBooks

OK, TRADES_MAX = "200000", 100
PING_INTERVAL_MS, PING_TIMEOUT_MS = 18_000, 10_000
BOOK_LEVELS = {"market/orderbook/level2_20": 20, "market/orderbook/level2_100": 100}
NOT_SIMULATED: dict[str, list[Any]] = {"contracts/active": [], "currencies": []}
"""What an unmodified ccxt client asks for beside spot, and finds empty."""


class ApiError(Exception):
    """An error as the venue answers it."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


class PublicRest:
    """Answers ``/api``; nothing that needs a key is simulated."""

    def __init__(
        self,
        exchange: Exchange,
        context: Context,
        tokens: Tokens,
        recorded: RecordedRestBooks | None = None,
    ) -> None:
        self._exchange, self._context, self._recorded = exchange, context, recorded
        self._tokens = tokens
        self.shown: dict[str, Listing] = {}  # pairs whose grid differs from what books can hold

    def is_order(self, request: Request) -> bool:
        """Nothing changes by a request."""
        del request
        return False

    def answer(self, request: Request) -> Answer | Pending:
        """Answer a request; a recorded book is answered when its time has come."""
        name = request.path.removeprefix("/api/").partition("/")[2]
        parameters = request.parameters()
        try:
            if request.method == "POST":
                return json_answer({"code": OK, "data": self._token(name, request)})
            answer = json_answer({"code": OK, "data": self._call(name, parameters)})
        except ApiError as error:
            return json_answer({"code": error.code, "msg": error.text}, error.status)
        if self._recorded is None or name not in BOOK_LEVELS:
            return answer
        return self._recorded.book(parameters["symbol"], answer)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        headers = {"Retry-After": str(retry_after_s)}
        return json_answer({"code": "429000", "msg": "Too Many Requests"}, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"code": "500000", "msg": "Internal Server Error"}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return self.failed(504)

    def _token(self, name: str, request: Request) -> dict[str, Any]:
        if name != "bullet-public":
            raise ApiError("404000", f"POST {name} is not simulated", 404)
        server = {
            "endpoint": f"ws://{request.header('host') or 'localhost'}/{VENUE}/endpoint",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": PING_INTERVAL_MS,
            "pingTimeout": PING_TIMEOUT_MS,
        }
        return {"token": self._tokens.new(self._now_ms()), "instanceServers": [server]}

    def _call(self, name: str, parameters: Mapping[str, str]) -> Any:
        if name in BOOK_LEVELS:
            return self._book(self._listing(parameters), BOOK_LEVELS[name])
        if name in NOT_SIMULATED:
            return NOT_SIMULATED[name]
        match name:
            case "timestamp":
                return self._now_ms()
            case "symbols":
                return [self._symbol(x) for x in self._exchange.by_symbol.values()]
            case "market/allTickers":
                tickers = [self._ticker(x) for x in self._exchange.by_symbol.values()]
                return {"time": self._now_ms(), "ticker": tickers}
            case "market/stats":
                return {"time": self._now_ms(), **self._ticker(self._listing(parameters))}
            case "market/histories":
                return self._trades(self._listing(parameters))
        raise ApiError("404000", f"{name} is not simulated", 404)

    def _now_ms(self) -> int:
        return self._context.venue_ms(VENUE)

    def _listing(self, parameters: Mapping[str, str]) -> Listing:
        listing = self._exchange.by_symbol.get(parameters.get("symbol") or "")
        if listing is None:
            raise ApiError("400100", "symbol not exists")
        return listing

    def _symbol(self, listing: Listing) -> dict[str, Any]:
        listing = self.shown.get(listing.symbol, listing)
        return {
            "symbol": listing.symbol,
            "name": listing.symbol,
            "baseCurrency": listing.base,
            "quoteCurrency": listing.quote,
            "feeCurrency": listing.quote,
            "market": listing.quote,
            "baseMinSize": f"{listing.qty_min:f}",
            "quoteMinSize": f"{listing.notional_min:f}",
            "baseMaxSize": "10000000000",
            "quoteMaxSize": "99999999",
            "baseIncrement": f"{listing.lot:f}",
            "quoteIncrement": f"{listing.tick:f}",
            "priceIncrement": f"{listing.tick:f}",
            "priceLimitRate": "0.1",
            "minFunds": f"{listing.notional_min:f}",
            "isMarginEnabled": False,
            "enableTrading": True,
            "feeCategory": 1,
            "makerFeeCoefficient": "1.00",
            "takerFeeCoefficient": "1.00",
        }

    def _book(self, listing: Listing, levels: int) -> dict[str, Any]:
        book = self._exchange.books[listing.instrument]
        return {
            "time": self._now_ms(),
            "sequence": str(book.seq),
            "bids": rows(listing, book.bids, levels),
            "asks": rows(listing, book.asks, levels),
        }

    def _ticker(self, listing: Listing) -> dict[str, Any]:
        """Return what the last day was like, over the prints remembered."""
        book = self._exchange.books[listing.instrument]
        prints = self._exchange.prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        ticks = [p.ticks for p in prints] or [book.bids.best() or 0]
        nothing = listing.tick * 0
        value = sum((listing.price(p.ticks) * listing.qty(p.lots) for p in prints), nothing)
        return {
            "symbol": listing.symbol,
            "symbolName": listing.symbol,
            "buy": bid[0][0] if bid else None,
            "sell": ask[0][0] if ask else None,
            "changeRate": "0",
            "changePrice": "0",
            "high": listing.price_text(max(ticks)),
            "low": listing.price_text(min(ticks)),
            "vol": listing.qty_text(sum(p.lots for p in prints)),
            "volValue": f"{value:f}",
            "last": listing.price_text(ticks[-1]),
            "averagePrice": listing.price_text(ticks[-1]),
            "takerFeeRate": f"{listing.taker_bps / 10_000:f}",
            "makerFeeRate": f"{listing.maker_bps / 10_000:f}",
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }

    def _trades(self, listing: Listing) -> list[dict[str, Any]]:
        recent = list(self._exchange.prints[listing.instrument])[-TRADES_MAX:]
        return [
            {
                "sequence": str(p.trade_id),
                "price": listing.price_text(p.ticks),
                "size": listing.qty_text(p.lots),
                "side": p.side.value,
                "time": p.ts_ms * 1_000_000,
            }
            for p in recent
        ]
