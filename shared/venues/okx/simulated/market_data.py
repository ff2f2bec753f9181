"""Public REST answers of OKX v5: instruments, books, trades, tickers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.exchange.rows import rows
from shared.simulated.context import Context
from shared.simulated.requests import shown
from shared.simulated.rest import Answer, Request, json_answer
from shared.venues.okx.simulated.listing import VENUE
from shared.venues.okx.simulated.windows import as_level

ROOT = "/api/v5/"
KINDS = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
BOOK_LEVELS_MAX, TRADES_MAX = 400, 500


class ApiError(Exception):
    """An error as the venue answers it."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


class PublicRest:
    """Answers ``/api/v5``; nothing that needs a key is simulated."""

    def __init__(self, exchange: Exchange, context: Context) -> None:
        self.exchange, self._context = exchange, context
        self.shown: dict[str, Listing] = {}  # pairs whose grid differs from what books can hold

    def is_order(self, request: Request) -> bool:
        """Nothing changes by a request."""
        del request
        return False

    def answer(self, request: Request) -> Answer:
        """Answer a request; a refusal may have HTTP status 200, too."""
        try:
            found = self._call(request.path.removeprefix(ROOT), request.parameters())
        except ApiError as error:
            return _answer(error.code, error.text, [], error.status)
        return _answer("0", "", found)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        del retry_after_s  # it does not say
        return _answer("50011", "Too Many Requests", [], status)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return _answer("50026", "System error. Try again later", [], status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return _answer("50004", "API endpoint request timeout", [])

    def _call(self, name: str, parameters: Mapping[str, str]) -> list[Any]:
        match name:
            case "public/time":
                return [{"ts": str(self._now_ms())}]
            case "public/instruments":
                return self._instruments(parameters)
            case "market/books":
                return [self._book(parameters)]
            case "market/trades":
                return self._trades(parameters)
            case "market/ticker":
                return [self.ticker(self._listing(parameters), self._now_ms())]
            case "market/tickers":
                if parameters.get("instType") != "SPOT":
                    return []
                return [self.ticker(x, self._now_ms()) for x in self.exchange.by_symbol.values()]
        raise ApiError("50014", f"{shown(name)} is not simulated", 404)

    def _now_ms(self) -> int:
        return self._context.venue_ms(VENUE)

    def _listing(self, parameters: Mapping[str, str]) -> Listing:
        listing = self.exchange.by_symbol.get(parameters.get("instId") or "")
        if listing is None:
            raise ApiError("51001", "Instrument ID does not exist")
        return listing

    def _instruments(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        kind = parameters.get("instType") or ""
        if kind not in KINDS:
            raise ApiError("51000", "Parameter instType error", 400)
        if kind != "SPOT":
            return []
        wanted = parameters.get("instId")
        found = [x for x in self.exchange.by_symbol.values() if wanted in (None, "", x.symbol)]
        return [self._instrument(self.shown.get(x.symbol, x)) for x in found]

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        return {
            "alias": "",
            "baseCcy": listing.base,
            "category": "1",
            "ctMult": "",
            "ctType": "",
            "ctVal": "",
            "ctValCcy": "",
            "expTime": "",
            "instFamily": "",
            "instId": listing.symbol,
            "instType": "SPOT",
            "lever": "",
            "listTime": "1548133413000",
            "lotSz": f"{listing.lot:f}",
            "maxLmtSz": "9999999999",
            "maxMktSz": "1000000",
            "minSz": f"{listing.qty_min:f}",
            "optType": "",
            "quoteCcy": listing.quote,
            "settleCcy": "",
            "state": "live",
            "stk": "",
            "tickSz": f"{listing.tick:f}",
            "uly": "",
        }

    def _book(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        listing = self._listing(parameters)
        book = self.exchange.books[listing.instrument]
        depth = whole_number(parameters, "sz", 1, BOOK_LEVELS_MAX)
        return {
            "asks": [as_level(row) for row in rows(listing, book.asks, depth)],
            "bids": [as_level(row) for row in rows(listing, book.bids, depth)],
            "ts": str(self._now_ms()),
            "seqId": book.seq,
        }

    def _trades(self, parameters: Mapping[str, str]) -> list[dict[str, str]]:
        listing = self._listing(parameters)
        count = whole_number(parameters, "limit", 100, TRADES_MAX)
        recent = list(self.exchange.prints[listing.instrument])[-count:]
        return [trade_row(p) for p in reversed(recent)]

    def ticker(self, listing: Listing, now_ms: int) -> dict[str, str]:
        """Return the best prices, and the last day as far as prints are remembered."""
        book, prints = self.exchange.books[listing.instrument], self.exchange.prints
        recent = prints[listing.instrument]
        bid, ask = rows(listing, book.bids, 1), rows(listing, book.asks, 1)
        ticks = [p.ticks for p in recent] or [book.bids.best() or 0]
        value = sum(
            (listing.price(p.ticks) * listing.qty(p.lots) for p in recent), listing.tick * 0
        )
        first, last = listing.price_text(ticks[0]), listing.price_text(ticks[-1])
        return {
            "instType": "SPOT",
            "instId": listing.symbol,
            "last": last,
            "lastSz": listing.qty_text(recent[-1].lots) if recent else "0",
            "askPx": ask[0][0] if ask else "",
            "askSz": ask[0][1] if ask else "",
            "bidPx": bid[0][0] if bid else "",
            "bidSz": bid[0][1] if bid else "",
            "open24h": first,
            "high24h": listing.price_text(max(ticks)),
            "low24h": listing.price_text(min(ticks)),
            "volCcy24h": f"{value:f}",
            "vol24h": listing.qty_text(sum(p.lots for p in recent)),
            "sodUtc0": first,
            "sodUtc8": first,
            "ts": str(now_ms),
        }


def trade_row(trade: Print) -> dict[str, str]:
    """Return a trade as REST and the stream tell it."""
    listing = trade.listing
    return {
        "instId": listing.symbol,
        "tradeId": str(trade.trade_id),
        "px": listing.price_text(trade.ticks),
        "sz": listing.qty_text(trade.lots),
        "side": trade.side.value,
        "ts": str(trade.ts_ms),
        "count": "1",
    }


def whole_number(parameters: Mapping[str, str], name: str, default: int, top: int) -> int:
    """Return a whole number of 1 to ``top``, or what counts where none is given.

    Raises:
        ApiError: Not such a number.
    """
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= top):
        raise ApiError("51000", f"Parameter {name} error", 400)
    return int(text)


def _answer(code: str, text: str, data: list[Any], status: int = 200) -> Answer:
    return json_answer({"code": code, "msg": text, "data": data}, status)
