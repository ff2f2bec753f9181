"""Orders in batches, and changes of orders, at the simulated USDT-M.

Each order of a batch has an answer of its own, in the order of the batch. A changed order keeps
its id and goes to the back of its queue; it is canceled where less is wanted than was filled, and
where a post-only one would match at its new price (Modify-Order).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared.exchange.amending import parse_amendment, would_take
from shared.exchange.orders import Order, Refusal, RefusedError
from shared.messages.terms import OrderType
from shared.simulated.requests import decode_list, first_unread, shown
from shared.venues.binance.simulated import orders as common
from shared.venues.binance.simulated.signing import ApiError, mandatory
from shared.venues.binanceusdm.simulated import orders as formats

if TYPE_CHECKING:
    from shared.venues.binanceusdm.simulated.rest import FuturesRest

ORDERS_MAX = 5
"""In a batch of new or changed orders."""
CANCELS_MAX = 10
IDS, CLIENT_IDS = "orderIdList", "origClientOrderIdList"
READ = frozenset(
    {
        *("symbol", "side", "quantity", "price", "orderId", "origClientOrderId"),
        *("recvWindow", "timestamp", "signature", "apiKey"),
    }
)
REFUSALS = {
    Refusal.NOTIONAL: (-5029, "Order's notional must be no smaller than the minimum."),
    Refusal.NOT_OPEN: (-2013, "Order does not exist."),
}
TOO_MANY = ApiError(-4082, "Invalid number of batch orders.")


class Changes:
    """The endpoints; ``rest`` places and cancels."""

    def __init__(self, rest: FuturesRest) -> None:
        self._rest = rest

    def modify(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Change price and quantity of a limit order."""
        return formats.futures_order(self._modify(parameters, now_ms))

    def place_batch(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Place orders."""
        return self._each_order(parameters, now_ms, self._rest.new_order)

    def modify_batch(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Change orders."""
        return self._each_order(parameters, now_ms, self.modify)

    def cancel_batch(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Cancel orders of a symbol, by the venue's ids or the client's."""
        common.listing_of(self._rest.exchange, parameters)
        named = {name.lower(): value for name, value in parameters.items()}
        ids, client_ids = (decode_list(str(named.get(n.lower()) or "")) for n in (IDS, CLIENT_IDS))
        if ids and client_ids:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        name, wanted = ("orderId", ids) if ids else ("origClientOrderId", client_ids)
        if not wanted:
            raise mandatory(IDS)
        if len(wanted) > CANCELS_MAX:
            raise ApiError(-1130, f"Data sent for parameter '{IDS}' is not valid.")
        symbol = parameters["symbol"]
        return [
            self._one({"symbol": symbol, name: each}, now_ms, self._rest.cancel_order)
            for each in wanted
        ]

    def _each_order(
        self,
        parameters: Mapping[str, Any],
        now_ms: int,
        do: Callable[[Mapping[str, Any], int], Any],
    ) -> list[Any]:
        orders = decode_list(str(parameters.get("batchOrders") or ""))
        if orders is None or not all(isinstance(each, dict) for each in orders):
            raise mandatory("batchOrders")
        if not 1 <= len(orders) <= ORDERS_MAX:
            raise TOO_MANY

        def counted(order: Mapping[str, Any], now_ms: int) -> Any:
            self._rest.check_state(order, changes_orders=True, places=True)
            self._rest.meter.order(now_ms)
            return do(order, now_ms)

        return [self._one(each, now_ms, counted) for each in orders]

    @staticmethod
    def _one(
        order: Mapping[str, Any], now_ms: int, do: Callable[[Mapping[str, Any], int], Any]
    ) -> Any:
        try:
            return do(order, now_ms)
        except ApiError as error:
            return error.body()

    def _modify(self, parameters: Mapping[str, Any], now_ms: int) -> Order:
        if name := first_unread(parameters, READ):
            text = f"Not all sent parameters were read; {shown(name)} is not simulated."
            raise ApiError(-1104, text)
        order = self._rest.wanted_order(parameters, -2013, "Order does not exist.")
        if order.request.type is not OrderType.LIMIT:
            raise ApiError(-5025, "Only limit order is supported.")
        if parameters.get("side") != order.request.side.value.upper():
            raise ApiError(-1117, "Invalid side.") if parameters.get("side") else mandatory("side")
        qty, price = (common.number(parameters, name) for name in ("quantity", "price"))
        exchange = self._rest.exchange
        try:
            wanted = parse_amendment(order, price, qty)
            if (wanted.ticks, wanted.lots) == (order.ticks, order.lots):
                raise ApiError(-5027, "No need to modify the order.")
            book = exchange.books[order.request.listing.instrument]
            if wanted.lots <= order.filled_lots or would_take(book, order, wanted.ticks):
                exchange.cancel(order, now_ms)
            else:
                exchange.amend(order, wanted, now_ms, keeps_place=False)
        except RefusedError as error:
            if error.reason in REFUSALS:
                raise ApiError(*REFUSALS[error.reason]) from error
            raise common.refused(error.reason, futures=True) from error
        return order
