"""Orders in Binance's format: request parameters in, order objects and refusals out. Pure.

Shared by spot and futures, REST and WebSocket API. Field lists follow the venue's documentation
(binance-spot-api-docs rest-api.md; USDS-M trade endpoints).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing, parse_decimal
from shared.exchange.orders import Fill, IncomingOrder, Order, Refusal
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from shared.simulated.requests import first_unread, shown
from shared.venues.binance.simulated.signing import ApiError, mandatory

SPOT_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.PRICE_FILTER: (-1013, "Filter failure: PRICE_FILTER"),
    Refusal.LOT_SIZE: (-1013, "Filter failure: LOT_SIZE"),
    Refusal.NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    Refusal.BALANCE: (-2010, "Account has insufficient balance for requested action."),
    Refusal.MARGIN: (-2010, "Account has insufficient balance for requested action."),
    Refusal.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Refusal.DUPLICATE_ID: (-2010, "Duplicate order sent."),
    Refusal.NO_LIQUIDITY: (-2010, "Market is closed."),
    Refusal.TOO_MANY_OPEN: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    Refusal.REDUCE_ONLY: (-2010, "Order rejected."),
    Refusal.NOT_OPEN: (-2013, "Order does not exist."),
    Refusal.FAULT: (-2010, "Order rejected by the matching engine."),
}
FUTURES_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.PRICE_FILTER: (-4014, "Price not increased by tick size."),
    Refusal.LOT_SIZE: (-1111, "Precision is over the maximum defined for this asset."),
    Refusal.NOTIONAL: (-4164, "Order's notional must be no smaller than the minimum."),
    Refusal.BALANCE: (-2019, "Margin is insufficient."),
    Refusal.MARGIN: (-2019, "Margin is insufficient."),
    Refusal.WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    Refusal.FOK_UNFILLED: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected.",
    ),
    Refusal.DUPLICATE_ID: (-4116, "ClientOrderId is duplicated."),
    Refusal.NO_LIQUIDITY: (-4131, "The counterparty's best price does not meet the filter."),
    Refusal.TOO_MANY_OPEN: (-2025, "Reach max open order limit."),
    Refusal.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Refusal.FAULT: (-2010, "NEW_ORDER_REJECTED"),
}
TYPES_SPOT = {"LIMIT", "MARKET", "LIMIT_MAKER"}
TYPES_FUTURES = {"LIMIT", "MARKET"}
READ = frozenset(
    {
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "quoteOrderQty",
        "price",
        "newClientOrderId",
        "newOrderRespType",
        "recvWindow",
        "timestamp",
        "signature",
        "apiKey",
        "returnRateLimits",
    }
)
READ_FUTURES = (READ - {"quoteOrderQty"}) | {"reduceOnly", "positionSide"}
NOT_ENABLED = {
    "icebergQty": (-2010, "Iceberg orders are not supported for this symbol."),
    "trailingDelta": (-2010, "Trailing stop orders are not supported for this symbol."),
}
"""As the listing of every symbol says of itself."""
CONDITIONAL = {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}


def listing_of(exchange: Exchange, parameters: Mapping[str, Any]) -> Listing:
    """Return the listing that ``symbol`` names.

    Raises:
        ApiError: -1102 without it, -1121 for one that is not listed.
    """
    symbol = parameters.get("symbol")
    if not symbol:
        raise mandatory("symbol")
    listing = exchange.by_symbol.get(str(symbol))
    if listing is None:
        raise ApiError(-1121, "Invalid symbol.")
    return listing


def illegal(name: str) -> ApiError:
    """Return the error for a parameter that is not what it should be."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'.")


def whole_number(parameters: Mapping[str, Any], name: str) -> int | None:
    """Return an integer parameter, ``None`` if absent.

    Raises:
        ApiError: Not an integer.
    """
    raw = parameters.get(name)
    if raw is None or raw == "":
        return None
    text = str(raw)
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise illegal(name)
    return int(text)


def number(parameters: Mapping[str, Any], name: str) -> Decimal:
    """Return a decimal parameter.

    Raises:
        ApiError: Missing or not a number.
    """
    raw = parameters.get(name)
    if raw is None or raw == "":
        raise mandatory(name)
    value = parse_decimal(str(raw))
    if value is None:
        raise illegal(name)
    return value


def parse_order(
    exchange: Exchange, parameters: Mapping[str, Any], default_id: str, *, futures: bool
) -> IncomingOrder:
    """Return the order that a request asks for.

    Raises:
        ApiError: As the venue answers it.
    """
    listing = listing_of(exchange, parameters)
    if name := first_unread(parameters, READ_FUTURES if futures else READ):
        text = f"Not all sent parameters were read; {shown(name)} is not simulated."
        raise ApiError(*NOT_ENABLED.get(name, (-1104, text)))
    kind, side = str(parameters.get("type", "")), str(parameters.get("side", ""))
    if side not in {"BUY", "SELL"}:
        raise ApiError(-1117, "Invalid side.") if side else mandatory("side")
    if futures and kind in CONDITIONAL:
        raise ApiError(-4120, "Order type not supported for this endpoint. Use the Algo Order API.")
    if kind not in (TYPES_FUTURES if futures else TYPES_SPOT):
        raise ApiError(-1116, "Invalid orderType.") if kind else mandatory("type")
    client_id = str(parameters.get("newClientOrderId") or default_id)
    if len(client_id) > 36:
        raise illegal("newClientOrderId")
    tif, post_only = _time_in_force(parameters, kind, futures=futures)
    price = None if kind == "MARKET" else number(parameters, "price")
    if kind == "MARKET" and not futures and parameters.get("quoteOrderQty"):
        quantity = _from_quote(exchange, listing, side, number(parameters, "quoteOrderQty"))
    else:
        quantity = number(parameters, "quantity")
    order_type = OrderType.MARKET if kind == "MARKET" else OrderType.LIMIT
    return IncomingOrder(
        listing=listing,
        terms=listing.terms(Side(side.lower()), quantity, price, order_type, tif),
        client_id=client_id,
        post_only=post_only,
        reduce_only=str(parameters.get("reduceOnly", "")).lower() == "true",
        tag="GTX" if futures and post_only else kind,
    )


def _time_in_force(
    parameters: Mapping[str, Any], kind: str, *, futures: bool
) -> tuple[TimeInForce, bool]:
    if kind == "MARKET":
        return TimeInForce.IOC, False
    if kind == "LIMIT_MAKER":
        return TimeInForce.GTC, True
    raw = str(parameters.get("timeInForce") or "")
    if not raw:
        raise mandatory("timeInForce")
    if futures and raw == "GTX":
        return TimeInForce.GTC, True
    if raw not in {"GTC", "IOC", "FOK"}:
        raise ApiError(-1115, "Invalid timeInForce.")
    return TimeInForce(raw), False


def _from_quote(exchange: Exchange, listing: Listing, side: str, quote: Decimal) -> Decimal:
    book = exchange.books[listing.instrument]
    best = (book.asks if side == "BUY" else book.bids).best()
    if best is None:
        raise ApiError(-2010, "Market is closed.")
    return (quote / listing.price(best)).quantize(listing.lot, rounding="ROUND_DOWN")


def refused(reason: Refusal, *, futures: bool) -> ApiError:
    """Return a refusal as the venue's error."""
    code, text = (FUTURES_REFUSALS if futures else SPOT_REFUSALS)[reason]
    return ApiError(code, text)


def _time_in_force_text(order: Order) -> str:
    request = order.request
    if request.tag == "GTX":
        return "GTX"
    return "GTC" if request.type is OrderType.MARKET else request.tif.value


def _type_text(order: Order) -> str:
    return "LIMIT" if order.request.tag == "GTX" else order.request.tag


def spot_order(order: Order) -> dict[str, Any]:
    """Return an order as ``GET /api/v3/order`` does."""
    request, listing = order.request, order.request.listing
    return {
        "symbol": listing.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": request.client_id,
        "price": listing.price_text(order.ticks),
        "origQty": listing.qty_text(order.lots),
        "executedQty": listing.qty_text(order.filled_lots),
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": f"{order.cost:.8f}",
        "status": order.status.value,
        "timeInForce": _time_in_force_text(order),
        "type": _type_text(order),
        "side": request.side.value.upper(),
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.ts_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.ts_ms,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def spot_response(order: Order, kind: str) -> dict[str, Any]:
    """Return the answer to a new spot order: ACK, RESULT or FULL."""
    listing = order.request.listing
    body: dict[str, Any] = {
        "symbol": listing.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.request.client_id,
        "transactTime": order.updated_ms,
    }
    if kind == "ACK":
        return body
    known = spot_order(order)
    names = (
        "price",
        "origQty",
        "executedQty",
        "origQuoteOrderQty",
        "cummulativeQuoteQty",
        "status",
        "timeInForce",
        "type",
        "side",
        "workingTime",
        "selfTradePreventionMode",
    )
    body |= {name: known[name] for name in names}
    if kind == "FULL":
        body["fills"] = [
            {
                "price": listing.price_text(fill.ticks),
                "qty": listing.qty_text(fill.lots),
                "commission": f"{fill.fee:.8f}",
                "commissionAsset": fill.fee_asset,
                "tradeId": fill.trade_id,
            }
            for fill in order.fills
        ]
    return body


def spot_cancel(order: Order, cancel_id: str) -> dict[str, Any]:
    """Return the answer to a cancel."""
    body = spot_response(order, "RESULT")
    return body | {"origClientOrderId": order.request.client_id, "clientOrderId": cancel_id}


def amended(order: Order, old_id: str) -> dict[str, Any]:
    """Return an order as an amend answers it."""
    told = spot_response(order, "RESULT")
    told |= {
        "origClientOrderId": old_id,
        "qty": told.pop("origQty"),
        "preventedQty": "0.00000000",
        "quoteOrderQty": told.pop("origQuoteOrderQty"),
        "cumulativeQuoteQty": told.pop("cummulativeQuoteQty"),
    }
    del told["transactTime"]
    return told


def spot_trade(fill: Fill) -> dict[str, Any]:
    """Return a fill as ``GET /api/v3/myTrades`` does."""
    listing = fill.listing
    return {
        "symbol": listing.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": listing.price_text(fill.ticks),
        "qty": listing.qty_text(fill.lots),
        "quoteQty": f"{fill.price * fill.qty:.8f}",
        "commission": f"{fill.fee:.8f}",
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ms,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.maker,
        "isBestMatch": True,
    }


def spot_report(order: Order, what: str, fill: Fill | None, now_ms: int) -> dict[str, Any]:
    """Return an ``executionReport``; on a cancel ``C`` holds the order's own client id."""
    request, listing = order.request, order.request.listing
    canceled = what == "CANCELED"
    last = fill.price * fill.qty if fill else Decimal(0)
    # The status at this moment: NEW comes before the first fill is published.
    status = "NEW" if what == "NEW" else order.status.value
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": listing.symbol,
        "c": order.reason if canceled and order.reason else request.client_id,
        "S": request.side.value.upper(),
        "o": _type_text(order),
        "f": _time_in_force_text(order),
        "q": listing.qty_text(order.lots),
        "p": listing.price_text(order.ticks),
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": request.client_id if canceled else "",
        "x": "REPLACED" if what == "AMENDED" else what,
        "X": status,
        "r": "NONE",
        "i": order.id,
        "l": listing.qty_text(fill.lots if fill else 0),
        "z": listing.qty_text(order.filled_lots),
        "L": listing.price_text(fill.ticks if fill else 0),
        "n": f"{fill.fee:.8f}" if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": order.updated_ms,
        "t": fill.trade_id if fill else -1,
        "I": order.id * 2 + len(order.fills),
        "w": order.is_open and order.filled_lots == 0,
        "m": bool(fill and fill.maker),
        "M": bool(fill),
        "O": order.ts_ms,
        "Z": f"{order.cost:.8f}",
        "Y": f"{last:.8f}",
        "Q": "0.00000000",
        "W": order.ts_ms,
        "V": "EXPIRE_MAKER",
    }
