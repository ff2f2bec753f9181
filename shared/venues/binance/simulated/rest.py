"""The simulated Binance spot REST API: ``/api/v3``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder, Order, Refusal, RefusedError
from shared.simulated.faults import FaultTable
from shared.simulated.rest import Request
from shared.venues.binance.simulated import orders as formats
from shared.venues.binance.simulated.changes import amend_keep_priority, cancel_replace
from shared.venues.binance.simulated.key_rights import KEY_RIGHTS, key_rights
from shared.venues.binance.simulated.market_data import SpotMarketData, page
from shared.venues.binance.simulated.signing import (
    ApiError,
    Credentials,
    RateMeter,
    check_key,
    check_signed,
    mandatory,
    parse_parameters,
)

DEPTHS_WEIGHT = ((100, 5), (500, 25), (1000, 50), (5000, 250))
ORDERS_PAGE_MAX = 1_000


DISCOUNT = {
    "enabledForAccount": True,
    "enabledForSymbol": True,
    "discountAsset": "BNB",
    "discount": "1.00000000",
}


Endpoint = Callable[[dict[str, str], int], Any]


NOT_ENABLED = {
    "/api/v3/order/oco": (-2010, "OCO orders are not supported for this symbol"),
    "/api/v3/orderList/": (-2010, "OCO orders are not supported for this symbol"),
}
"""Beginnings of paths, as the listing of every symbol says of itself (``ocoAllowed``, ...)."""


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: what it costs and how it is protected (NONE, KEY or SIGNED)."""

    endpoint: Endpoint
    weight: int
    auth: str = "NONE"
    is_order: bool = False


def place(exchange: Exchange, faults: FaultTable, request: IncomingOrder, now_ms: int) -> Order:
    """Place an order subject to the faults of orders.

    Raises:
        RefusedError: By the venue's rules or by a fault.
    """
    instrument = request.listing.instrument
    if faults.take(("reject",), exchange.venue, instrument):
        raise RefusedError(Refusal.FAULT)
    part = faults.take(("partial_fill",), exchange.venue, instrument)
    if part:
        return exchange.place(request, now_ms, Decimal(str(part.parameters["fraction"])))
    return exchange.place(request, now_ms)


class SpotRest:
    """Endpoints of Binance spot; ``handle`` is given what was sent and returns what is answered."""

    venue = "binance"
    futures = False
    restricted_error = (-2010, "This account may not place or cancel orders.")

    def __init__(self, exchange: Exchange, faults: FaultTable, credentials: Credentials) -> None:
        self.exchange, self.faults, self.credentials = exchange, faults, credentials
        self.meter = RateMeter(6_000, 100)
        self.public = SpotMarketData(exchange)
        self.routes = self._routes()

    def new_id(self) -> str:
        """Return an id like the venue's, for an order or a cancel that the client did not name."""
        number = self.exchange.log.number_unnamed()
        return hashlib.sha256(f"{self.venue}/{number}".encode()).hexdigest()[:22]

    def _routes(self) -> dict[tuple[str, str], Route]:
        v3, public = "/api/v3/", self.public
        replaced, amended = partial(cancel_replace, self), partial(amend_keep_priority, self)
        return {
            ("GET", v3 + "ping"): Route(lambda p, now: {}, weight=1),
            ("GET", v3 + "time"): Route(lambda p, now: {"serverTime": now}, weight=1),
            ("GET", v3 + "exchangeInfo"): Route(public.exchange_info, weight=20),
            ("GET", v3 + "depth"): Route(public.depth, weight=0),
            ("GET", v3 + "trades"): Route(public.trades, weight=25),
            ("GET", v3 + "aggTrades"): Route(public.aggregate_trades, weight=4),
            ("GET", v3 + "ticker/bookTicker"): Route(public.book_ticker, weight=4),
            ("GET", v3 + "ticker/price"): Route(public.ticker_price, weight=4),
            ("GET", v3 + "ticker/24hr"): Route(public.ticker_day, weight=80),
            ("POST", v3 + "order"): Route(self.new_order, weight=0, auth="SIGNED", is_order=True),
            ("POST", v3 + "order/test"): Route(self.test_order, weight=1, auth="SIGNED"),
            ("POST", v3 + "order/cancelReplace"): Route(replaced, 1, "SIGNED", is_order=True),
            ("PUT", v3 + "order/amend/keepPriority"): Route(amended, 4, "SIGNED"),
            ("DELETE", v3 + "order"): Route(self.cancel_order, weight=0, auth="SIGNED"),
            ("GET", v3 + "order"): Route(self.query_order, weight=4, auth="SIGNED"),
            ("GET", v3 + "openOrders"): Route(self.open_orders, weight=6, auth="SIGNED"),
            ("DELETE", v3 + "openOrders"): Route(self.cancel_all, weight=1, auth="SIGNED"),
            ("GET", v3 + "allOrders"): Route(self.all_orders, weight=20, auth="SIGNED"),
            ("GET", v3 + "myTrades"): Route(self.my_trades, weight=20, auth="SIGNED"),
            ("GET", v3 + "account"): Route(self.account, weight=20, auth="SIGNED"),
            ("GET", v3 + "account/commission"): Route(self.commission, weight=20, auth="SIGNED"),
            ("GET", v3 + "rateLimit/order"): Route(lambda p, now: [], weight=40, auth="SIGNED"),
            ("GET", KEY_RIGHTS): Route(lambda p, now: key_rights(self.account_state), 1, "SIGNED"),
        }

    def handle(self, sent: Request, now_ms: int) -> Any:
        """Answer a request.

        Raises:
            ApiError: As the venue answers it.
        """
        route = self.routes.get((sent.method, sent.path))
        if route is None:
            self.check_enabled(sent)
            raise ApiError(-1000, f"Path {sent.path}, Method {sent.method} is invalid", 404)
        parameters = parse_parameters(sent.query, sent.body)
        self.meter.spend(route.weight or self._weight(sent.path, parameters), now_ms)
        key = sent.header("X-MBX-APIKEY")
        if route.auth == "SIGNED":
            check_signed(sent.query, sent.body, key, self.credentials, now_ms)
        elif route.auth == "KEY":
            check_key(key, self.credentials)
        if route.auth != "NONE":
            changes_orders = sent.method != "GET" and "rder" in sent.path
            self.check_state(parameters, changes_orders=changes_orders, places=route.is_order)
        if route.is_order:
            self.meter.order(now_ms)
        return route.endpoint(parameters, now_ms)

    def check_enabled(self, sent: Request) -> None:
        """Refuse an endpoint that the listing of every symbol excludes.

        Raises:
            ApiError: It does.
        """
        for beginning, no in NOT_ENABLED.items():
            if sent.path.startswith(beginning):
                raise ApiError(*no)

    def check_state(
        self, parameters: Mapping[str, Any], *, changes_orders: bool, places: bool
    ) -> None:
        """Refuse what the injected state of the account does not allow.

        Raises:
            ApiError: As the venue answers it.
        """
        state = self.account_state
        if state == "revoked" or (state == "read_only" and changes_orders):
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if state == "restricted" and places:
            raise ApiError(*self.restricted_error)

    @property
    def account_state(self) -> str:
        """What is wrong with the account, as injected."""
        return self.faults.account_state.get(self.venue, "ok")

    def _weight(self, path: str, parameters: Mapping[str, str]) -> int:
        if not path.endswith("/depth"):
            return 0  # placing and canceling is free when it succeeds
        limit = page(parameters, 100, 5_000)
        return next(weight for top, weight in DEPTHS_WEIGHT if limit <= top)

    # -- orders --------------------------------------------------------------------------

    def new_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Place an order; LIMIT and MARKET answer FULL unless asked otherwise."""
        order = self.place(parameters, now_ms)
        default = "ACK" if parameters.get("type") == "LIMIT_MAKER" else "FULL"
        kind = str(parameters.get("newOrderRespType") or default)
        return formats.spot_response(order, kind)

    def place(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        """Place an order and return it.

        Raises:
            ApiError: The venue's no.
        """
        default_id = self.new_id()
        request = formats.parse_order(self.exchange, parameters, default_id, futures=self.futures)
        try:
            return place(self.exchange, self.faults, request, now_ms)
        except RefusedError as error:
            raise formats.refused(error.reason, futures=self.futures) from error

    def test_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Check an order without placing it."""
        formats.parse_order(self.exchange, parameters, "test", futures=self.futures)
        return {}

    def wanted_order(self, parameters: Mapping[str, Any], code: int, text: str) -> Order:
        """Return the order that ``orderId`` or ``origClientOrderId`` names.

        Raises:
            ApiError: None named, or unknown.
        """
        listing = formats.listing_of(self.exchange, parameters)
        order_id = formats.whole_number(parameters, "orderId")
        client_id = str(parameters.get("origClientOrderId") or "")
        if order_id is None and not client_id:
            raise mandatory("orderId")
        order = self.exchange.find(order_id, client_id)
        if order is None or order.request.listing is not listing:
            raise ApiError(code, text)
        return order

    def cancel(self, parameters: Mapping[str, Any], now_ms: int) -> tuple[Order, str]:
        """Cancel an order; return it and the id of the cancel."""
        order = self.wanted_order(parameters, -2011, "Unknown order sent.")
        if not order.is_open:
            raise ApiError(-2011, "Unknown order sent.")
        cancel_id = str(parameters.get("newClientOrderId") or self.new_id())
        self.exchange.cancel(order, now_ms, cancel_id)
        return order, cancel_id

    def cancel_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Cancel an order."""
        return formats.spot_cancel(*self.cancel(parameters, now_ms))

    def query_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer the state of one order."""
        return formats.spot_order(self.wanted_order(parameters, -2013, "Order does not exist."))

    def selected_open(self, parameters: Mapping[str, Any]) -> list[Order]:
        """Return open orders, of one symbol if given."""
        listing = (
            formats.listing_of(self.exchange, parameters) if parameters.get("symbol") else None
        )
        return [
            order
            for order in self.exchange.open_orders.values()
            if listing is None or order.request.listing is listing
        ]

    def open_orders(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer open orders."""
        return [formats.spot_order(order) for order in self.selected_open(parameters)]

    def cancel_all(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Cancel all open orders of a symbol."""
        formats.listing_of(self.exchange, parameters)
        orders = self.selected_open(parameters)
        if not orders:
            raise ApiError(-2011, "Unknown order sent.")
        for order in orders:
            self.exchange.cancel(order, now_ms)
        return [formats.spot_cancel(order, order.request.client_id) for order in orders]

    def selected_orders(self, parameters: Mapping[str, Any]) -> list[Order]:
        """Return a symbol's remembered orders from ``orderId`` on."""
        listing = formats.listing_of(self.exchange, parameters)
        first = formats.whole_number(parameters, "orderId") or 0
        found = [
            order
            for order in self.exchange.orders.values()
            if order.request.listing is listing and order.id >= first
        ]
        limit = page(parameters, 500, ORDERS_PAGE_MAX)
        return found[:limit] if first else found[-limit:]

    def all_orders(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer open and closed orders of a symbol."""
        return [formats.spot_order(order) for order in self.selected_orders(parameters)]

    # -- account -------------------------------------------------------------------------

    def my_trades(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer own fills of a symbol."""
        return [formats.spot_trade(fill) for fill in selected_fills(self.exchange, parameters)]

    def account(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer balances and account flags."""
        rates = _rates(self.exchange)
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": rates,
            "canTrade": self.account_state != "restricted",
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": now_ms,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": f"{b.free:.8f}", "locked": f"{b.used:.8f}"}
                for asset, b in self.exchange.ledger.balances.items()
            ],
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def commission(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer a symbol's commission rates."""
        listing = formats.listing_of(self.exchange, parameters)
        none = {"maker": "0.00000000", "taker": "0.00000000", "buyer": "0", "seller": "0"}
        return {
            "symbol": listing.symbol,
            "standardCommission": _rates(self.exchange),
            "specialCommission": none,
            "taxCommission": none,
            "discount": DISCOUNT,
        }


def selected_fills(exchange: Exchange, parameters: Mapping[str, Any]) -> list[Any]:
    """Return own fills of a symbol by order, start time or trade id; oldest first."""
    listing = formats.listing_of(exchange, parameters)
    order_id, from_id, start, end = (
        formats.whole_number(parameters, name)
        for name in ("orderId", "fromId", "startTime", "endTime")
    )
    found = [
        fill
        for fill in exchange.fills
        if fill.listing is listing
        and (order_id is None or fill.order_id == order_id)
        and (from_id is None or fill.trade_id >= from_id)
        and (start is None or fill.ts_ms >= start)
        and (end is None or fill.ts_ms <= end)
    ]
    limit = page(parameters, 500, ORDERS_PAGE_MAX)
    return found[:limit] if from_id or start else found[-limit:]


def _rates(exchange: Exchange) -> dict[str, str]:
    listing = next(iter(exchange.by_instrument.values()))
    return {
        "maker": f"{listing.maker_bps / 10_000:.8f}",
        "taker": f"{listing.taker_bps / 10_000:.8f}",
        "buyer": "0.00000000",
        "seller": "0.00000000",
    }
