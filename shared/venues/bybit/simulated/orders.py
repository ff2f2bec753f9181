"""Bybit's orders, executions and positions: parameters in, REST objects out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.exchange.accounts import Position
from shared.exchange.exchange import Exchange
from shared.exchange.funding import Payment
from shared.exchange.listing import Listing, parse_decimal
from shared.exchange.orders import Fill, IncomingOrder, Order, Status
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from shared.simulated.requests import first_unread, shown
from shared.venues.bybit.simulated.errors import ApiError, invalid
from shared.venues.bybit.simulated.market_data import listing_of
from shared.venues.bybit.symbols import category_of

LINK_CHARS_MAX = 36
UNNAMED = "~"
"""Begins our own name of an order that the client did not name."""
POST_ONLY = "PostOnly"
WILL_TAKE = "EC_PostOnlyWillTakeLiquidity"
"""Why such an order is canceled."""
READ = frozenset(
    {
        "category",
        "symbol",
        "side",
        "orderType",
        "qty",
        "price",
        "timeInForce",
        "orderLinkId",
        "reduceOnly",
        "positionIdx",
    }
)
TIMES = ("GTC", "IOC", "FOK", POST_ONLY)
_STATUSES = {
    Status.NEW: "New",
    Status.PARTIALLY_FILLED: "PartiallyFilled",
    Status.FILLED: "Filled",
    Status.CANCELED: "Cancelled",
    Status.EXPIRED: "Cancelled",
}


def parse_order(
    exchange: Exchange, parameters: Mapping[str, Any], default_id: str
) -> IncomingOrder:
    """Return the order that a request asks for.

    Raises:
        ApiError: As the venue answers it.
    """
    listing = listing_of(exchange, parameters)
    if name := first_unread(parameters, READ):
        raise ApiError(10001, f"params error: {shown(name)} is not simulated")
    side, kind = parameters.get("side"), parameters.get("orderType")
    if side not in ("Buy", "Sell"):
        raise invalid("side")
    if kind not in ("Limit", "Market"):
        raise invalid("orderType")
    is_market = kind == "Market"
    tif = str(parameters.get("timeInForce") or ("IOC" if is_market else "GTC"))
    if tif not in TIMES:
        raise invalid("timeInForce")
    link = str(parameters.get("orderLinkId") or "")
    if link and not _is_legal(link):
        raise invalid("orderLinkId")
    return IncomingOrder(
        listing=listing,
        terms=listing.terms(
            Side(str(side).lower()),
            number(parameters, "qty"),
            None if is_market else number(parameters, "price"),
            OrderType.MARKET if is_market else OrderType.LIMIT,
            TimeInForce.GTC if tif == POST_ONLY else TimeInForce(tif),
        ),
        client_id=link or default_id,
        reduce_only=parameters.get("reduceOnly") is True,
        tag=tif,
    )


def number(parameters: Mapping[str, Any], name: str) -> Decimal:
    """Return a positive decimal parameter.

    Raises:
        ApiError: Missing or not such a number.
    """
    value = parse_decimal(str(parameters.get(name) or ""))
    if value is None or value <= 0:
        raise invalid(name)
    return value


def _is_legal(link: str) -> bool:
    plain = link.replace("-", "").replace("_", "")
    return plain.isascii() and plain.isalnum() and len(link) <= LINK_CHARS_MAX


def link_of(client_id: str) -> str:
    """Return the client's name of an order, empty where it gave none."""
    return "" if client_id.startswith(UNNAMED) else client_id


def rest_order(order: Order) -> dict[str, Any]:
    """Return an order as the venue tells it."""
    request, listing = order.request, order.request.listing
    is_limit = request.type is OrderType.LIMIT
    left = order.lots - order.filled_lots if order.is_open else 0
    return {
        "symbol": listing.symbol,
        "orderId": str(order.id),
        "orderLinkId": link_of(request.client_id),
        "side": request.side.value.capitalize(),
        "orderType": "Limit" if is_limit else "Market",
        "price": listing.price_text(order.ticks) if is_limit else "0",
        "qty": f"{listing.qty(order.lots):f}",
        "timeInForce": request.tag,
        "orderStatus": _STATUSES[order.status],
        "cancelType": "UNKNOWN" if order.status is not Status.CANCELED else "CancelByUser",
        "rejectReason": order.reason or "EC_NoError",
        "createType": "CreateByUser",
        "avgPrice": f"{order.average:f}" if order.filled_lots else "",
        "leavesQty": f"{listing.qty(left):f}",
        "leavesValue": "0",
        "cumExecQty": f"{listing.qty(order.filled_lots):f}",
        "cumExecValue": f"{order.cost:f}",
        "cumExecFee": f"{order.fee:f}",
        "cumFeeDetail": {order.fee_asset: f"{order.fee:f}"} if order.fee_asset else {},
        "positionIdx": 0,
        "reduceOnly": request.reduce_only,
        "closeOnTrigger": False,
        "stopOrderType": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "createdTime": str(order.ts_ms),
        "updatedTime": str(order.updated_ms),
    }


def rest_fill(fill: Fill) -> dict[str, Any]:
    """Return an execution as the venue tells it."""
    listing = fill.listing
    return {
        "symbol": listing.symbol,
        "orderId": str(fill.order_id),
        "orderLinkId": link_of(fill.client_id),
        "side": fill.side.value.capitalize(),
        "execId": str(fill.trade_id),
        "execType": "Trade",
        "execPrice": listing.price_text(fill.ticks),
        "execQty": f"{fill.qty:f}",
        "execValue": f"{listing.worth(fill.qty, fill.price):f}",
        "execFee": f"{fill.fee:f}",
        "feeCurrency": fill.fee_asset,
        "feeRate": f"{(listing.maker_bps if fill.maker else listing.taker_bps) / 10_000:f}",
        "isMaker": fill.maker,
        "createType": "CreateByUser",
        "execTime": str(fill.ts_ms),
    }


def rest_funding(payment: Payment) -> dict[str, Any]:
    """Return what a settlement paid as an execution; here a fee below zero was received."""
    return {
        "symbol": payment.listing.symbol,
        "orderId": f"funding-{payment.id}",
        "orderLinkId": "",
        "side": "Buy",
        "execId": f"funding-{payment.id}",
        "execType": "Funding",
        "execPrice": "0",
        "execQty": "0",
        "execValue": "0",
        "execFee": f"{-payment.amount:f}",
        "feeCurrency": payment.asset,
        "isMaker": False,
        "createType": "",
        "execTime": str(payment.ts_ms),
    }


def rest_position(
    listing: Listing, position: Position, mark: Decimal, leverage: Decimal, index: int
) -> dict[str, Any]:
    """Return a position as the venue tells it; one of nothing has no side."""
    side = "" if not position.qty else ("Buy" if position.qty > 0 else "Sell")
    size = abs(position.qty)
    return {
        "positionIdx": index,
        "symbol": listing.symbol,
        "side": side,
        "size": f"{size:f}",
        "avgPrice": f"{position.entry_price:.8f}",
        "positionValue": f"{abs(position.cost):.8f}",
        "leverage": f"{leverage:f}",
        "markPrice": f"{mark:f}",
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": f"{abs(position.cost) / leverage:.8f}",
        "positionMM": f"{listing.worth(size, mark) * Decimal('0.005'):.8f}",
        "unrealisedPnl": f"{position.profit_at(mark) if size else size:.8f}",
        "cumRealisedPnl": "0",
        "positionStatus": "Normal",
        "tradeMode": 0,
        "takeProfit": "",
        "stopLoss": "",
        "createdTime": "0",
        "updatedTime": "0",
        "category": category_of(listing.instrument),
    }
