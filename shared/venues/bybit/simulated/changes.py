"""Orders in batches, and changes of orders, at the simulated Bybit.

A batch has two lists of equal order: the orders (``result``), and what became of each
(``retExtInfo``). An amended order keeps its ids, and its place in the queue where it only shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.exchange.amending import parse_amendment
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Order, RefusedError
from shared.simulated.requests import first_unread, shown
from shared.venues.bybit.simulated import orders as formats
from shared.venues.bybit.simulated.errors import NOT_FOUND, ApiError, invalid, refused

ORDERS_MAX = 20
"""In a batch of contracts."""
READ = frozenset({"category", "symbol", "orderId", "orderLinkId", "qty", "price"})
UNCHANGED = "The order remains unchanged as the parameters entered match the existing ones."

Do = Callable[[Mapping[str, Any], int], Order]
Find = Callable[[Mapping[str, Any]], Order | None]


@dataclass(slots=True)
class BatchAnswer:
    """The orders of a batch, and beside each a code and a text."""

    rows: list[dict[str, str]] = field(default_factory=list)
    codes: list[dict[str, Any]] = field(default_factory=list)


def answer_batch(parameters: Mapping[str, Any], now_ms: int, do: Do, *, made: bool) -> BatchAnswer:
    """Do each part of a batch by itself.

    Args:
        parameters: ``category``, and ``request``: the parts.
        now_ms: The venue's time.
        do: Places, amends or cancels one order.
        made: Whether it makes orders: then the answer says when.

    Raises:
        ApiError: It is no batch; nothing was done.
    """
    parts, category = parameters.get("request"), parameters.get("category")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise invalid("request")
    if not 1 <= len(parts) <= ORDERS_MAX:
        raise invalid("request size")
    told = BatchAnswer()
    for part in parts:
        row = {
            "category": str(category or ""),
            "symbol": shown(part.get("symbol", "")),
            "orderId": shown(part.get("orderId") or ""),
            "orderLinkId": shown(part.get("orderLinkId") or ""),
        }
        code, text, at_ms = 0, "OK", ""
        try:
            order = do({**part, "category": category}, now_ms)
            row |= named(order)
            at_ms = str(order.ts_ms)
        except ApiError as error:
            code, text = error.code, error.text
        told.rows.append({**row, "createAt": at_ms} if made else row)
        told.codes.append({"code": code, "msg": text})
    return told


def amend(exchange: Exchange, find: Find, parameters: Mapping[str, Any], now_ms: int) -> Order:
    """Change price and quantity of an open limit order.

    Raises:
        ApiError: It stays as it is.
    """
    if name := first_unread(parameters, READ):
        raise ApiError(10001, f"params error: {shown(name)} is not simulated")
    order = find(parameters)
    if order is None or not order.is_open:
        raise ApiError(NOT_FOUND.code, "order not exists or too late to replace")
    qty, price = (
        formats.number(parameters, name) if parameters.get(name) else None
        for name in ("qty", "price")
    )
    if qty is None and price is None:
        raise invalid("qty")
    request = order.request
    try:
        wanted = parse_amendment(order, price, qty)
        if (wanted.ticks, wanted.lots) == (order.ticks, order.lots):
            raise ApiError(10001, UNCHANGED)
        if wanted.lots <= order.filled_lots:
            raise invalid("Qty")
        book = exchange.books[request.listing.instrument]
        takes = bool(book.available(request.side, wanted.ticks, 1))
        if request.tag == formats.POST_ONLY and takes:
            exchange.cancel(order, now_ms, formats.WILL_TAKE)
        else:
            exchange.amend(order, wanted, now_ms)
    except RefusedError as error:
        raise refused(error.reason) from error
    return order


def named(order: Order) -> dict[str, str]:
    """Return what an order is called, by the venue and by the client."""
    return {"orderId": str(order.id), "orderLinkId": formats.link_of(order.request.client_id)}
