"""Frames of Binance's user data stream: bytes to typed values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, field

from shared.errors import ParseError
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.venues.account_port import FillSeen, OrderSeen, checked

Id = Annotated[int, Meta(ge=-1, le=2**62)]
STATUSES: Mapping[str, OrderStatus] = {
    "NEW": OrderStatus.ACCEPTED,
    "PENDING_NEW": OrderStatus.ACCEPTED,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.CANCELED,
    "EXPIRED_IN_MATCH": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
}
SIDES: Mapping[str, Side] = {"BUY": Side.BUY, "SELL": Side.SELL}


class ExecutionReport(msgspec.Struct, frozen=True, gc=False):
    """``executionReport`` of spot, and ``o`` of ``ORDER_TRADE_UPDATE`` of USDT-M.

    ``{"s":"BTCUSDT","c":"abplan00000000000","S":"BUY","o":"LIMIT","f":"IOC","q":"0.01000000",
    "p":"60000.00000000","C":"","x":"TRADE","X":"FILLED","i":4000000001,"l":"0.01000000",
    "z":"0.01000000","L":"59990.00000000","n":"0.59990000","N":"USDT","T":1723161255342,
    "t":70000001}``; on a cancel of spot ``c`` is the request's own id, and ``C`` the order's.
    """

    symbol: str = field(name="s")
    client_id: str = field(name="c")
    side: str = field(name="S")
    qty: Decimal = field(name="q")
    price: Decimal = field(name="p")
    what: str = field(name="x")
    status: str = field(name="X")
    order_id: Id = field(name="i")
    filled: Decimal = field(name="z")
    last_qty: Decimal = field(name="l")
    last_price: Decimal = field(name="L")
    ts_ms: Id = field(name="T")
    trade_id: Id = field(name="t", default=-1)
    fee: Decimal | None = field(name="n", default=None)
    fee_asset: str | None = field(name="N", default=None)
    original_id: str = field(name="C", default="")
    reason: str = field(name="r", default="")


def order_seen(report: ExecutionReport, instrument: str) -> OrderSeen:
    """Return what a report says of an order.

    Raises:
        ParseError: A status or a side that is not documented.
    """
    if report.status not in STATUSES or report.side not in SIDES:
        raise ParseError(f"order {report.order_id} is {report.side} {report.status}")
    checked(report.qty, report.price, report.filled, report.last_qty, report.last_price, report.fee)
    fill = None
    if report.what == "TRADE" and report.trade_id >= 0 and report.last_qty > 0:
        fill = FillSeen(
            trade_id=str(report.trade_id),
            price=report.last_price,
            qty=report.last_qty,
            fee=report.fee if report.fee_asset else None,
            fee_asset=report.fee_asset or "",
            ts_venue_ms=report.ts_ms,
        )
    return OrderSeen(
        instrument=instrument,
        client_order_id=report.original_id or report.client_id,
        venue_order_id=str(report.order_id),
        side=SIDES[report.side],
        status=STATUSES[report.status],
        filled_qty=report.filled,
        qty=report.qty,
        price_limit=report.price,
        fill=fill,
        reason="" if report.reason == "NONE" else report.reason,
    )
