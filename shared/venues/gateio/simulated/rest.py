"""The simulated Gate REST v4: signed requests, orders and account. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.orders import Order, RefusedError
from shared.simulated.context import Context
from shared.simulated.faults import FaultTable
from shared.simulated.rest import Answer, Pending, Request, json_answer
from shared.venues.gateio.simulated import orders as formats
from shared.venues.gateio.simulated.changes import amend, amend_batch, cancel_batch, place_batch
from shared.venues.gateio.simulated.errors import ApiError, invalid, missing, refused
from shared.venues.gateio.simulated.market_data import PublicRest, listing_of, whole_number
from shared.venues.gateio.simulated.recorded import RecordedGate

ROOT = "/api/v4/"
VALID_S = 60
"""How far the time of a signed request may be from the venue's own."""
PAGE_DEFAULT, PAGE_MAX, PAGES_MAX = 100, 1_000, 100
PRIVATE = (
    *("orders", "open_orders", "my_trades", "accounts"),
    *("batch_orders", "cancel_batch_orders", "amend_batch_orders"),
)
TIME_CHARS_MAX, MS_CHARS_MAX = 12, 15


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key of the simulated account."""

    key: str
    secret: str


class GateRest:
    """Answers ``/api/v4``."""

    def __init__(
        self,
        public: PublicRest,
        context: Context,
        credentials: Credentials,
        recorded: RecordedGate | None = None,
    ) -> None:
        self.exchange: Exchange = public.exchange
        self._public, self._context, self._recorded = public, context, recorded
        self._faults: FaultTable = context.faults
        self._credentials = credentials
        self._venue = self.exchange.venue

    def is_order(self, request: Request) -> bool:
        """Tell whether it changes something."""
        return request.method != "GET"

    def answer(self, request: Request) -> Answer | Pending:
        """Answer a request; a recorded book is answered when its time has come."""
        now_ms = self._context.venue_ms(self._venue)
        name = request.path.removeprefix(ROOT).removeprefix("spot/")
        parameters = request.parameters()
        try:
            if request.path.startswith(f"{ROOT}spot/") and name.split("/")[0] not in PRIVATE:
                answer = json_answer(self._public.call(name, parameters, now_ms))
                if self._recorded is None or name != "order_book":
                    return answer
                return self._recorded.book(parameters["currency_pair"], answer)
            self._check(request, now_ms)
            return json_answer(self._private(request, name, parameters, now_ms))
        except ApiError as error:
            return json_answer({"label": error.label, "message": error.text}, error.status)

    def too_many(self, status: int, retry_after_s: int) -> Answer:
        """Return the answer of a venue that is asked too often."""
        headers = {"Retry-After": str(retry_after_s)}
        body = {"label": "TOO_MANY_REQUESTS", "message": "Request rate limit exceeded"}
        return json_answer(body, status, headers)

    def failed(self, status: int) -> Answer:
        """Return the answer of a venue that has failed."""
        return json_answer({"label": "SERVER_ERROR", "message": "Internal server error"}, status)

    def timed_out(self) -> Answer:
        """Return the answer of a venue that lost track of the request."""
        return json_answer({"label": "SERVER_ERROR", "message": "Request timed out"}, 504)

    # -- who asks --------------------------------------------------------------------------

    def _check(self, request: Request, now_ms: int) -> None:
        key, stamp = request.header("KEY"), request.header("Timestamp")
        if not hmac.compare_digest(key.encode(), self._credentials.key.encode()):
            raise ApiError("INVALID_KEY", "Invalid key provided", 401)
        is_time = stamp.isascii() and stamp.isdigit() and len(stamp) <= TIME_CHARS_MAX
        if not is_time or abs(int(stamp) - now_ms // 1_000) > VALID_S:
            raise ApiError("REQUEST_EXPIRED", "Gap between request time and server time", 403)
        body = hashlib.sha512(request.body.encode()).hexdigest()
        # The query is signed as it reads without escapes.
        text = "\n".join((request.method, request.path, unquote(request.query), body, stamp))
        wanted = hmac.new(self._credentials.secret.encode(), text.encode(), hashlib.sha512)
        if not hmac.compare_digest(request.header("SIGN").encode(), wanted.hexdigest().encode()):
            raise ApiError("INVALID_SIGNATURE", "Signature mismatch", 401)
        self._check_state(request)

    def _check_state(self, request: Request) -> None:
        """Refuse what the injected state of the account does not allow."""
        state = self._faults.account_state.get(self._venue, "ok")
        if state == "revoked":
            raise ApiError("INVALID_KEY", "Invalid key provided", 401)
        if state == "read_only" and request.method != "GET":
            raise ApiError("READ_ONLY", "The key may only read", 403)
        cancels = request.path.endswith("cancel_batch_orders")
        if state == "restricted" and request.method in {"POST", "PATCH"} and not cancels:
            raise ApiError("ACCOUNT_LOCKED", "The account is locked", 403)

    # -- orders and account ----------------------------------------------------------------

    def _private(
        self, request: Request, name: str, parameters: Mapping[str, str], now_ms: int
    ) -> Any:
        what, _, rest = name.partition("/")
        match (request.method, what, bool(rest)):
            case ("POST", "orders", False):
                return formats.rest_order(self._place(request, now_ms))
            case ("PATCH", "orders", True):
                wanted = {**parameters, **_object(request), "order_id": rest}
                return formats.rest_order(amend(self.exchange, wanted, now_ms))
            case ("POST", "batch_orders", False):
                self._check_in_time(request, now_ms)
                return place_batch(request.body, now_ms, self._place_one)
            case ("POST", "amend_batch_orders", False):
                return amend_batch(request.body, now_ms, partial(amend, self.exchange))
            case ("POST", "cancel_batch_orders", False):
                return cancel_batch(request.body, now_ms, self._cancel_one)
            case ("GET", "orders", True):
                return formats.rest_order(formats.find_order(self.exchange, rest))
            case ("DELETE", "orders", True):
                return formats.rest_order(self._cancel(rest, now_ms))
            case ("GET", "orders", False):
                return self._orders(parameters)
            case ("DELETE", "orders", False):
                return [formats.rest_order(o) for o in self._cancel_all(parameters, now_ms)]
            case ("GET", "open_orders", False):
                return self._open_by_pair()
            case ("GET", "my_trades", False):
                return self._my_trades(parameters)
            case ("GET", "accounts", False):
                return self._accounts(parameters)
            case ("GET", "account", True):
                return {"user_id": 1, "key": {"mode": 1}, "tier": 0, "currency_pairs": []}
        raise ApiError("NOT_FOUND", f"{request.method} {name} is not simulated", 404)

    def _place(self, request: Request, now_ms: int) -> Order:
        self._check_in_time(request, now_ms)
        return self._place_one(_object(request), now_ms)

    def _check_in_time(self, request: Request, now_ms: int) -> None:
        until = request.header("X-Gate-Exptime")
        if until and not (len(until) <= MS_CHARS_MAX and until.isascii() and until.isdigit()):
            raise invalid("X-Gate-Exptime")
        if until and now_ms > int(until):
            raise ApiError("REQUEST_EXPIRED", "The request came after its own time", 403)

    def _place_one(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        name = f"{formats.UNNAMED}{self.exchange.log.number_unnamed()}"
        wanted = formats.parse_order(self.exchange, parameters, name)
        instrument = wanted.listing.instrument
        if self._faults.take(("reject",), self._venue, instrument):
            raise ApiError("INVALID_PARAM_VALUE", "Order rejected by the matching engine")
        part = self._faults.take(("partial_fill",), self._venue, instrument)
        share = Decimal(str(part.parameters["fraction"])) if part else Decimal(1)
        try:
            return self.exchange.place(wanted, now_ms, share)
        except RefusedError as error:
            raise refused(error.reason) from error

    def _cancel(self, name: str, now_ms: int) -> Order:
        order = formats.find_order(self.exchange, name)
        if not order.is_open:
            raise ApiError("ORDER_CLOSED", "The order is closed")
        self.exchange.cancel(order, now_ms)
        return order

    def _cancel_one(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        return self._cancel(str(parameters.get("id") or ""), now_ms)

    def _cancel_all(self, parameters: Mapping[str, str], now_ms: int) -> list[Order]:
        symbol = parameters.get("currency_pair")
        if not symbol:
            raise missing("currency_pair")
        listing = listing_of(self.exchange, symbol)
        found = [o for o in self.exchange.open_orders.values() if o.request.listing is listing]
        for order in found:
            self.exchange.cancel(order, now_ms)
        return found

    def _orders(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer open or finished orders, the newest first, a page at a time."""
        status = parameters.get("status")
        if status not in ("open", "finished"):
            raise missing("status")
        listing = self._listing(parameters)
        found = [
            order
            for order in reversed(list(self.exchange.orders.values()))
            if order.is_open == (status == "open")
            and (listing is None or order.request.listing is listing)
            and order.updated_ms // 1_000 >= moment(parameters, "from")
        ]
        return [formats.rest_order(order) for order in _page(found, parameters)]

    def _open_by_pair(self) -> list[dict[str, Any]]:
        rows: dict[str, list[dict[str, Any]]] = {}
        for order in self.exchange.open_orders.values():
            rows.setdefault(order.request.listing.symbol, []).append(formats.rest_order(order))
        return [
            {"currency_pair": symbol, "total": len(orders), "orders": orders}
            for symbol, orders in rows.items()
        ]

    def _my_trades(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer executions, the newest first, a page at a time."""
        listing, order_id = self._listing(parameters), parameters.get("order_id")
        from_s, to_s = (moment(parameters, name) for name in ("from", "to"))
        found = [
            fill
            for fill in reversed(self.exchange.fills)
            if (listing is None or fill.listing is listing)
            and (not order_id or str(fill.order_id) == order_id)
            and fill.ts_ms // 1_000 >= from_s
            and (not to_s or fill.ts_ms // 1_000 <= to_s)
        ]
        return [formats.rest_trade(fill) for fill in _page(found, parameters)]

    def _accounts(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        wanted = parameters.get("currency")
        return [
            {"currency": asset, "available": f"{b.free:f}", "locked": f"{b.used:f}"}
            for asset, b in self.exchange.ledger.balances.items()
            if not wanted or asset == wanted
        ]

    def _listing(self, parameters: Mapping[str, str]) -> Any:
        symbol = parameters.get("currency_pair")
        return listing_of(self.exchange, symbol) if symbol else None


def moment(parameters: Mapping[str, str], name: str) -> int:
    """Return a time in seconds, 0 where none is given.

    Raises:
        ApiError: Not a time.
    """
    text = parameters.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= TIME_CHARS_MAX):
        raise invalid(name)
    return int(text)


def _page(found: list[Any], parameters: Mapping[str, str]) -> list[Any]:
    limit = whole_number(parameters, "limit", PAGE_DEFAULT, PAGE_MAX)
    start = (whole_number(parameters, "page", 1, PAGES_MAX) - 1) * limit
    return found[start : start + limit]


def _object(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ApiError("INVALID_PROTOCOL", "The body is no JSON object") from error
