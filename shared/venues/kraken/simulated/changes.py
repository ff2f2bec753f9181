"""Orders in batches, and changes of orders, at the simulated Kraken.

A batch is looked at as a whole before any of it is placed; what the engine refuses then (funds, a
duplicate id) is said of the one order. An amended order keeps its ids, and its place in the queue
where it only shrinks; where less is wanted than was filled, its rest is canceled (Amend Order).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.exchange.amending import parse_amendment
from shared.exchange.filters import check_limits
from shared.exchange.orders import IncomingOrder, Order, RefusedError
from shared.simulated.requests import first_unread, shown
from shared.venues.kraken.simulated import orders as formats
from shared.venues.kraken.simulated.signing import ApiError

if TYPE_CHECKING:
    from shared.venues.kraken.simulated.rest import PrivateRest

ORDERS_MIN, ORDERS_MAX = 2, 15
CANCELS_MAX = 50
READ_BATCH = frozenset({"nonce", "otp", "pair", "orders", "validate"})
READ_AMEND = frozenset(
    {"nonce", "otp", "txid", "cl_ord_id", "order_qty", "limit_price", "post_only"}
)


class Changes:
    """The endpoints; ``rest`` places and cancels."""

    def __init__(self, rest: PrivateRest) -> None:
        self._rest = rest
        self._amends = 0

    def add_batch(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Place orders of one pair."""
        _check_read(parameters, READ_BATCH)
        asked = parameters.get("orders")
        if not isinstance(asked, list) or not ORDERS_MIN <= len(asked) <= ORDERS_MAX:
            raise _invalid("orders")
        orders = [self._checked(each, parameters.get("pair")) for each in asked]
        if str(parameters.get("validate", "")).lower() == "true":
            return {"orders": [{"descr": {"order": _text(order)}} for order in orders]}
        return {"orders": [self._placed(order, now_ms) for order in orders]}

    def _checked(self, asked: Any, pair: Any) -> IncomingOrder:
        if not isinstance(asked, dict) or "pair" in asked:
            raise _invalid("orders")
        order = self._rest.parse({**asked, "pair": pair})
        try:
            check_limits(order.listing, order.terms)
        except RefusedError as error:
            raise ApiError(formats.REFUSALS[error.reason]) from error
        return order

    def _placed(self, wanted: IncomingOrder, now_ms: int) -> dict[str, Any]:
        try:
            order = self._rest.place(wanted, now_ms)
        except ApiError as error:
            return {"error": str(error), "descr": {"order": _text(wanted)}}
        return {"txid": formats.order_id(order), "descr": {"order": _text(wanted)}}

    def cancel_batch(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Cancel orders by txid, userref or the client's id; return how many there were."""
        names: list[str] = []
        for field in ("orders", "cl_ord_ids"):
            given = parameters.get(field) or []
            if not isinstance(given, list):
                raise _invalid(field)
            names += [_name(each, field) for each in given]
        if not 1 <= len(names) <= CANCELS_MAX:
            raise _invalid("orders")
        found = {order.id: order for name in names for order in self._rest.matching(name)}
        for order in found.values():
            self._rest.cancel(order, now_ms)
        return {"count": len(found)}

    def amend(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Change price and quantity of a limit order."""
        _check_read(parameters, READ_AMEND)
        order = self._one(parameters)
        qty, price = (
            formats.number(parameters, name) if parameters.get(name) else None
            for name in ("order_qty", "limit_price")
        )
        if qty is None and price is None:
            raise _invalid("order_qty")
        exchange = self._rest.exchange
        try:
            wanted = parse_amendment(order, price, qty)
            book = exchange.books[order.request.listing.instrument]
            is_post_only = str(parameters.get("post_only", "")).lower() == "true"
            if is_post_only and book.available(order.request.side, wanted.ticks, 1):
                raise ApiError("EOrder:Post only order")
            if wanted.lots <= order.filled_lots:
                self._rest.cancel(order, now_ms)
            else:
                exchange.amend(order, wanted, now_ms)
        except RefusedError as error:
            raise ApiError(formats.REFUSALS[error.reason]) from error
        self._amends += 1
        return {"amend_id": formats.venue_id("T", order.id * 1_000 + self._amends)}

    def _one(self, parameters: Mapping[str, Any]) -> Order:
        name = str(parameters.get("txid") or parameters.get("cl_ord_id") or "")
        if not name:
            raise _invalid("txid")
        found = self._rest.matching(name)
        if len(found) != 1:
            raise ApiError("EOrder:Unknown order")
        return found[0]


def _name(given: Any, field: str) -> str:
    """Return what an order is called, alone or as the value of an object."""
    if isinstance(given, dict):
        given = given.get("txid" if field == "orders" else "cl_ord_id")
    if not isinstance(given, str | int) or given in ("", True, False):
        raise _invalid(field)
    return str(given)


def _invalid(name: str) -> ApiError:
    return ApiError(f"EGeneral:Invalid arguments:{name}")


def _check_read(parameters: Mapping[str, Any], read: frozenset[str]) -> None:
    if name := first_unread(parameters, read):
        raise _invalid(f"{shown(name)} is not simulated")


def _text(order: IncomingOrder) -> str:
    terms = order.terms
    return f"{terms.side.value} {terms.qty:f} {order.listing.symbol} @ {terms.price_limit:f}"
