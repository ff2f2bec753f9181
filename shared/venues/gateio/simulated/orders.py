"""Gate's orders, executions and balances: parameters in, REST objects out. Pure.

Fees are taken in the quote asset on either side; the venue takes a buyer's in the base asset unless
the account pays in another one. An answer's ``fee_currency`` says which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing, parse_decimal
from shared.exchange.orders import Fill, IncomingOrder, Order, Refusal, Status
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from shared.simulated.requests import first_unread, shown
from shared.venues.gateio.simulated.errors import ApiError, invalid, missing, refused
from shared.venues.gateio.simulated.market_data import listing_of

TEXT_PREFIX = "t-"
TEXT_CHARS_MAX = 28  # behind the prefix
TEXT_OF_OURS = "apiv4"
"""What the venue writes as the text of an order that the client did not name."""
READ = frozenset(
    {
        "currency_pair",
        "account",
        "side",
        "type",
        "amount",
        "price",
        "time_in_force",
        "text",
    }
)
UNNAMED = "~"
"""Begins our own name of such an order."""


def parse_order(
    exchange: Exchange, parameters: Mapping[str, Any], default_id: str
) -> IncomingOrder:
    """Return the order that a request asks for.

    Raises:
        ApiError: As the venue answers it.
    """
    if not parameters.get("currency_pair"):
        raise missing("currency_pair")
    listing = listing_of(exchange, str(parameters["currency_pair"]))
    if name := first_unread(parameters, READ):
        raise ApiError("INVALID_ARGUMENT", f"{shown(name)} is not simulated")
    if parameters.get("account") not in (None, "", "spot"):
        raise ApiError("INVALID_ARGUMENT", "only the spot account is simulated")
    side, kind = parameters.get("side"), parameters.get("type", "limit")
    if side not in ("buy", "sell"):
        raise invalid("side")
    if kind not in ("limit", "market"):
        raise invalid("type")
    text = str(parameters.get("text") or "")
    if text and not _is_legal(text):
        raise invalid("text")
    tif = str(parameters.get("time_in_force") or ("ioc" if kind == "market" else "gtc"))
    if tif not in ("gtc", "ioc", "poc", "fok"):
        raise invalid("time_in_force")
    qty = number(parameters, "amount")
    if kind == "market" and side == "buy":
        qty = _base_of(exchange, listing, qty)
    return IncomingOrder(
        listing=listing,
        terms=listing.terms(
            Side(side),
            qty,
            None if kind == "market" else number(parameters, "price"),
            OrderType.MARKET if kind == "market" else OrderType.LIMIT,
            TimeInForce.GTC if tif == "poc" else TimeInForce(tif.upper()),
        ),
        client_id=text.removeprefix(TEXT_PREFIX) or default_id,
        post_only=tif == "poc",
        tag=tif,
    )


def number(parameters: Mapping[str, Any], name: str) -> Decimal:
    """Return a positive decimal parameter.

    Raises:
        ApiError: Missing or not such a number.
    """
    if parameters.get(name) in (None, ""):
        raise missing(name)
    value = parse_decimal(str(parameters[name]))
    if value is None or value <= 0:
        raise invalid(name)
    return value


def _is_legal(text: str) -> bool:
    name = text.removeprefix(TEXT_PREFIX)
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    is_plain = plain.isascii() and plain.isalnum()
    return text.startswith(TEXT_PREFIX) and is_plain and len(name) <= TEXT_CHARS_MAX


def _base_of(exchange: Exchange, listing: Listing, quote: Decimal) -> Decimal:
    """Return the quantity that a market order to buy for so much quote asks for."""
    best = exchange.books[listing.instrument].asks.best()
    if best is None:
        raise refused(Refusal.NO_LIQUIDITY)
    return (quote / listing.price(best)).quantize(listing.lot, rounding=ROUND_DOWN)


def text_of(client_id: str) -> str:
    """Return the text of an order; one that the client did not name has the venue's."""
    return TEXT_OF_OURS if client_id.startswith(UNNAMED) else TEXT_PREFIX + client_id


def find_order(exchange: Exchange, name: str) -> Order:
    """Return the order that an id of the venue's or a text names.

    Raises:
        ApiError: Unknown.
    """
    is_number = name.isascii() and name.isdigit() and len(name) <= 19
    order = (
        exchange.find(int(name))
        if is_number
        else exchange.find(None, name.removeprefix(TEXT_PREFIX))
    )
    if order is None:
        raise ApiError("ORDER_NOT_FOUND", "Order not found", 404)
    return order


def rest_order(order: Order) -> dict[str, Any]:
    """Return an order as the venue tells it."""
    request, listing = order.request, order.request.listing
    status, ended_as = _state(order)
    left = listing.qty(order.lots - order.filled_lots)
    return {
        "id": str(order.id),
        "text": text_of(request.client_id),
        "create_time": str(order.ts_ms // 1_000),
        "update_time": str(order.updated_ms // 1_000),
        "create_time_ms": order.ts_ms,
        "update_time_ms": order.updated_ms,
        "status": status,
        "currency_pair": listing.symbol,
        "type": request.type.value.lower(),
        "account": "spot",
        "side": request.side.value,
        "amount": f"{listing.qty(order.lots):f}",
        "price": listing.price_text(order.ticks) if request.type is OrderType.LIMIT else "0",
        "time_in_force": request.tag,
        "iceberg": "0",
        "left": f"{left:f}",
        "filled_amount": f"{listing.qty(order.filled_lots):f}",
        "fill_price": f"{order.cost:f}",
        "filled_total": f"{order.cost:f}",
        "avg_deal_price": f"{order.average:f}",
        "fee": f"{order.fee:f}",
        "fee_currency": listing.quote,
        "point_fee": "0",
        "gt_fee": "0",
        "gt_discount": False,
        "rebated_fee": "0",
        "rebated_fee_currency": listing.base,
        "finish_as": ended_as,
    }


def _state(order: Order) -> tuple[str, str]:
    if order.is_open:
        return "open", "open"
    if order.status is Status.FILLED:
        return "closed", "filled"
    return "cancelled", order.request.tag if order.request.tag in ("ioc", "fok") else "cancelled"


def rest_trade(fill: Fill) -> dict[str, Any]:
    """Return an execution as the venue tells it."""
    return {
        "id": str(fill.trade_id),
        "create_time": str(fill.ts_ms // 1_000),
        "create_time_ms": f"{fill.ts_ms}.000",
        "currency_pair": fill.listing.symbol,
        "side": fill.side.value,
        "role": "maker" if fill.maker else "taker",
        "amount": f"{fill.qty:f}",
        "price": fill.listing.price_text(fill.ticks),
        "order_id": str(fill.order_id),
        "fee": f"{fill.fee:f}",
        "fee_currency": fill.fee_asset,
        "point_fee": "0",
        "gt_fee": "0",
        "sequence_id": str(fill.trade_id),
        "text": text_of(fill.client_id),
    }
