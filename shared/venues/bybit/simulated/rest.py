"""The simulated Bybit REST v5: signed requests, orders and executions. Pure.

An order is answered with its id alone, and what became of it is asked for, as at the venue.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.orders import Order, Refusal, RefusedError
from shared.simulated.context import Context
from shared.simulated.requests import shown
from shared.simulated.rest import Answer, Request, json_answer
from shared.venues.bybit.simulated import orders as formats
from shared.venues.bybit.simulated.account import AccountData
from shared.venues.bybit.simulated.changes import BatchAnswer, amend, answer_batch, named
from shared.venues.bybit.simulated.errors import NOT_FOUND, ApiError, invalid, refused
from shared.venues.bybit.simulated.market_data import (
    PublicRest,
    category_in,
    listing_of,
    moment,
    whole_number,
)
from shared.venues.bybit.symbols import CATEGORIES, LINEAR, category_of

ROOT, MARKET = "/v5/", "market/"
EARLY_MS = 1_000
"""How far the time of a request may be ahead of the venue's."""
WINDOW_MS_DEFAULT = 5_000
SPAN_MS = 7 * 24 * 3_600_000
"""What a request for executions covers where it does not say, and at most."""
CLOSED_MAX = 500
"""Orders that have ended and are told beside those that work."""
ORDERS_PER_S = 10
PLACES = ("order/create", "order/create-batch")
CHANGES = (
    *PLACES,
    *("order/amend", "order/amend-batch"),
    *("order/cancel", "order/cancel-batch", "order/cancel-all"),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key of the simulated account."""

    key: str
    secret: str


class BybitRest:
    """Answers ``/v5``."""

    def __init__(
        self, public: PublicRest, account: AccountData, context: Context, credentials: Credentials
    ) -> None:
        self.exchange: Exchange = public.exchange
        self._public, self._account, self._context = public, account, context
        self._faults, self._credentials = context.faults, credentials
        self._venue = self.exchange.venue
        self._placed: deque[int] = deque(maxlen=ORDERS_PER_S)  # when the newest orders came, ms

    def is_order(self, request: Request) -> bool:
        """Tell whether it changes something."""
        return request.method != "GET"

    def answer(self, request: Request) -> Answer:
        """Answer a request; a refusal has HTTP status 200, too."""
        now_ms = self._context.venue_ms(self._venue)
        name = request.path.removeprefix(ROOT)
        headers: dict[str, str] = {}
        try:
            if name.startswith(MARKET):
                found = self._public.call(name.removeprefix(MARKET), request.parameters(), now_ms)
            else:
                self._check(request, now_ms)
                if name in PLACES:
                    headers = self._limits(now_ms)
                found = self._private(request, name, now_ms)
        except ApiError as error:
            return _answer(error.code, error.text, {}, now_ms, headers)
        return _answer(0, "OK", found, now_ms, headers)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often, or has banned the address."""
        now_ms = self._context.venue_ms(self._venue)
        if status != 429:
            return Answer(b"403, access too frequent", 403)
        reset = {"X-Bapi-Limit-Reset-Timestamp": str(now_ms + retry_after_s * 1_000)}
        return _answer(10006, "Too many visits!", {}, now_ms, reset)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        body = {"retCode": 10016, "retMsg": "Internal System Error.", "result": {}}
        return json_answer(body, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return _answer(10000, "Server Timeout", {}, self._context.venue_ms(self._venue), {})

    # -- who asks --------------------------------------------------------------------------

    def _check(self, request: Request, now_ms: int) -> None:
        key, stamp = request.header("X-BAPI-API-KEY"), request.header("X-BAPI-TIMESTAMP")
        window = request.header("X-BAPI-RECV-WINDOW")
        if not hmac.compare_digest(key.encode(), self._credentials.key.encode()):
            raise ApiError(10003, "API key is invalid.")
        times = {"stamp": stamp, "window": window}
        sent_ms = moment(times, "stamp", 0)
        window_ms = moment(times, "window", WINDOW_MS_DEFAULT)
        if not now_ms - window_ms <= sent_ms < now_ms + EARLY_MS:
            text = "invalid request, please check your server timestamp or recv_window param. "
            raise ApiError(10002, f"{text}req_timestamp[{sent_ms}],server_timestamp[{now_ms}]")
        # The query is signed as the client wrote it; an escape may have changed on its way.
        queries = dict.fromkeys((request.query, unquote(request.query)))
        bodies = [request.body] if request.method == "POST" else list(queries)
        if not any(self._is_signed(stamp + key + window + body, request) for body in bodies):
            raise ApiError(10004, "Error sign, please check your signature generation algorithm.")
        self._check_state(request)

    def _is_signed(self, text: str, request: Request) -> bool:
        wanted = hmac.new(self._credentials.secret.encode(), text.encode(), hashlib.sha256)
        sign = request.header("X-BAPI-SIGN")
        return hmac.compare_digest(sign.encode(), wanted.hexdigest().encode())

    @property
    def _state(self) -> str:
        return self._faults.account_state.get(self._venue, "ok")

    def _check_state(self, request: Request) -> None:
        """Refuse what the injected state of the account does not allow."""
        state, changes = self._state, request.path.removeprefix(ROOT) in CHANGES
        if state == "revoked":
            raise ApiError(10003, "API key is invalid.")
        if state == "read_only" and changes:
            raise ApiError(10005, "Permission denied, please check your API key permissions.")
        if state == "restricted" and request.path.removeprefix(ROOT) in PLACES:
            raise ApiError(10027, "Transactions are banned.")

    def _limits(self, now_ms: int) -> dict[str, str]:
        """Count an order; return what the venue tells of its limit.

        Raises:
            ApiError: Too many in a second.
        """
        at_ms = self._context.now_ns() // 1_000_000  # a fault may set the venue's time back
        recent = sum(at_ms - placed_ms < 1_000 for placed_ms in self._placed)
        if recent >= ORDERS_PER_S:
            raise ApiError(10006, "Too many visits. Exceeded the API Rate Limit.")
        self._placed.append(at_ms)
        return {
            "X-Bapi-Limit": str(ORDERS_PER_S),
            "X-Bapi-Limit-Status": str(ORDERS_PER_S - recent - 1),
            "X-Bapi-Limit-Reset-Timestamp": str(now_ms + 1_000),
        }

    # -- orders and account ----------------------------------------------------------------

    def _private(self, request: Request, name: str, now_ms: int) -> Any:
        parameters: Mapping[str, Any] = request.parameters()
        if request.method == "POST":
            parameters = _body(request)
        match (request.method, name):
            case ("POST", "order/create"):
                return named(self._place(parameters, now_ms))
            case ("POST", "order/cancel"):
                return named(self._cancel(parameters, now_ms))
            case ("POST", "order/amend"):
                return named(self._amend(parameters, now_ms))
            case ("POST", "order/create-batch"):
                return answer_batch(parameters, now_ms, self._place, made=True)
            case ("POST", "order/amend-batch"):
                return answer_batch(parameters, now_ms, self._amend, made=False)
            case ("POST", "order/cancel-batch"):
                return answer_batch(parameters, now_ms, self._cancel, made=False)
            case ("POST", "order/cancel-all"):
                return {"list": [named(o) for o in self._cancel_all(parameters, now_ms)]}
            case ("GET", "order/realtime" | "order/history"):
                return self._orders(parameters, is_history=name.endswith("history"))
            case ("GET", "execution/list"):
                return self._executions(parameters, now_ms)
            case ("GET", "account/wallet-balance"):
                return self._account.wallet(parameters)
            case ("GET", "account/info"):
                return self._account.info()
            case ("GET", "account/fee-rate"):
                return self._account.fees(parameters)
            case ("GET", "user/query-api"):
                return self._account.key(self._state)
            case ("GET", "position/list"):
                is_hedged = self._state == "hedge_mode"
                return self._account.positions(parameters, is_hedged=is_hedged)
            case ("GET", "asset/coin/query-info"):
                return {"rows": []}
        raise ApiError(10017, f"Route not found: {shown(name)} is not simulated")

    def _place(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        name = f"{formats.UNNAMED}{self.exchange.log.number_unnamed()}"
        wanted = formats.parse_order(self.exchange, parameters, name)
        if self._state == "hedge_mode" and not parameters.get("positionIdx"):
            raise ApiError(10001, "position idx not match position mode")
        if self.exchange.find(None, wanted.client_id) is not None:
            raise refused(Refusal.DUPLICATE_ID)
        instrument = wanted.listing.instrument
        if self._faults.take(("reject",), self._venue, instrument):
            raise refused(Refusal.FAULT)
        partial = self._faults.take(("partial_fill",), self._venue, instrument)
        share = Decimal(str(partial.parameters["fraction"])) if partial else Decimal(1)
        if wanted.tag == formats.POST_ONLY and self._would_take(wanted):
            share = Decimal(0)  # accepted, and canceled at once
        try:
            order = self.exchange.place(wanted, now_ms, share)
        except RefusedError as error:
            raise refused(error.reason) from error
        if not share:
            order.reason = formats.WILL_TAKE
        return order

    def _would_take(self, wanted: Any) -> bool:
        listing = wanted.listing
        ticks = listing.ticks(wanted.terms.price_limit)
        book = self.exchange.books[listing.instrument]
        return ticks is not None and bool(book.available(wanted.side, ticks, 1))

    def _find(self, parameters: Mapping[str, Any]) -> Order | None:
        """Return the order that a request names: the venue's id goes before the client's."""
        order_id, link = str(parameters.get("orderId") or ""), parameters.get("orderLinkId")
        if order_id:
            is_number = order_id.isascii() and order_id.isdigit() and len(order_id) <= 19
            return self.exchange.find(int(order_id)) if is_number else None
        return self.exchange.find(None, str(link)) if link else None

    def _cancel(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        listing_of(self.exchange, parameters)
        order = self._find(parameters)
        if order is None or not order.is_open:
            raise NOT_FOUND
        self.exchange.cancel(order, now_ms)
        return order

    def _amend(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        listing_of(self.exchange, parameters)
        return amend(self.exchange, self._find, parameters, now_ms)

    def _cancel_all(self, parameters: Mapping[str, Any], now_ms: int) -> list[Order]:
        found = [o for o in self.exchange.open_orders.values() if _is_meant(o, parameters)]
        for order in found:
            self.exchange.cancel(order, now_ms)
        return found

    def _orders(self, parameters: Mapping[str, Any], *, is_history: bool) -> dict[str, Any]:
        """Answer orders, the newest first, a page at a time."""
        category = category_in(parameters)
        if parameters.get("orderId") or parameters.get("orderLinkId"):
            named = self._find(parameters)
            found = [] if named is None else [named]
        elif is_history:
            rows = reversed(list(self.exchange.orders.values()))
            usual = {} if category != LINEAR else {"settleCoin": "USDT"}
            found = [o for o in rows if _is_meant(o, {**usual, **parameters})]
        else:
            closed = str(parameters.get("openOnly") or "0") != "0"
            some = list(self.exchange.orders.values())[-CLOSED_MAX:]
            rows = reversed(some if closed else list(self.exchange.open_orders.values()))
            found = [o for o in rows if o.is_open != closed and _is_meant(o, parameters)]
        page, cursor = _page(found, parameters, 20, 50)
        listed = [formats.rest_order(order) for order in page]
        return {"category": category, "list": listed, "nextPageCursor": cursor}

    def _executions(self, parameters: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        """Answer executions and fundings, the newest first, a page at a time."""
        category, symbol = category_in(parameters), parameters.get("symbol")
        start_ms, end_ms = _span(parameters, now_ms)
        kind = parameters.get("execType")
        rows: list[dict[str, Any]] = []
        if kind in (None, "", "Trade"):
            rows += [formats.rest_fill(fill) for fill in self.exchange.fills]
        if kind in (None, "", "Funding"):
            rows += [formats.rest_funding(p) for p in self._public.funding.payments]
        wanted = {
            name: str(parameters[name])
            for name in ("orderId", "orderLinkId", "symbol")
            if parameters.get(name)
        }
        found = [
            row
            for row in rows
            if category == category_of(self.exchange.by_symbol[row["symbol"]].instrument)
            and all(row[name] == value for name, value in wanted.items())
            and start_ms <= int(row["execTime"]) <= end_ms
        ]
        if symbol:
            listing_of(self.exchange, parameters)
        found.sort(key=lambda row: int(row["execTime"]), reverse=True)
        page, cursor = _page(found, parameters, 50, 100)
        return {"category": category, "list": page, "nextPageCursor": cursor}


def _answer(code: int, text: str, result: Any, now_ms: int, headers: Mapping[str, str]) -> Answer:
    extra: dict[str, Any] = {}
    if isinstance(result, BatchAnswer):
        result, extra = {"list": result.rows}, {"list": result.codes}
    body = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": extra, "time": now_ms}
    return json_answer(body, headers=headers)


def _is_meant(order: Order, parameters: Mapping[str, Any]) -> bool:
    """Tell whether an order is among those that a request is about."""
    listing, category = order.request.listing, category_in(parameters)
    symbol, base, settle = (
        str(parameters.get(name) or "") for name in ("symbol", "baseCoin", "settleCoin")
    )
    if category in CATEGORIES and not (symbol or base or settle):
        raise invalid("symbol, settleCoin or baseCoin")
    return (
        category == category_of(listing.instrument)
        and symbol in ("", listing.symbol)
        and base in ("", listing.base)
        and settle in ("", listing.settle)
    )


def _body(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.body or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise invalid("request body") from error


def _span(parameters: Mapping[str, Any], now_ms: int) -> tuple[int, int]:
    """Return start and end of what is asked for: seven days where only one is given."""
    start, end = parameters.get("startTime"), parameters.get("endTime")
    if not start and not end:
        return now_ms - SPAN_MS, now_ms
    end_ms = moment(parameters, "endTime", moment(parameters, "startTime", 0) + SPAN_MS)
    start_ms = moment(parameters, "startTime", end_ms - SPAN_MS)
    if not 0 <= end_ms - start_ms <= SPAN_MS:
        raise ApiError(10001, "The time range between startTime and endTime cannot exceed 7 days")
    return start_ms, end_ms


def _page(
    found: list[Any], parameters: Mapping[str, Any], default: int, top: int
) -> tuple[list[Any], str]:
    """Return a page of rows, and the cursor of the next, empty where there is none."""
    limit = whole_number(parameters, "limit", default, top)
    start = moment(parameters, "cursor", 0)
    end = start + limit
    return found[start:end], str(end) if end < len(found) else ""
