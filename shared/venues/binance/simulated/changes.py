"""Changes of orders at the simulated Binance spot: cancel-replace, and amend keep priority.

Cancel-replace makes a new order, which goes to the back of its queue; filters are looked at before
anything is canceled. An amended order is a smaller one that keeps its id and its place, and gets a
new client order id unless one is given (rest-api.md, errors.md, faqs/order_amend_keep_priority.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.exchange.amending import parse_amendment
from shared.exchange.filters import check_limits
from shared.exchange.orders import Order, Refusal, RefusedError, Status
from shared.simulated.requests import first_unread, shown
from shared.venues.binance.simulated import orders as formats
from shared.venues.binance.simulated.signing import ApiError, mandatory

if TYPE_CHECKING:
    from shared.venues.binance.simulated.rest import SpotRest

STOP, ALLOW = "STOP_ON_FAILURE", "ALLOW_FAILURE"
CANCELED_BY = {
    "cancelOrderId": "orderId",
    "cancelOrigClientOrderId": "origClientOrderId",
    "cancelNewClientOrderId": "newClientOrderId",
}
RESTRICTIONS = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}
OF_CANCEL = {"cancelReplaceMode", "cancelRestrictions", *CANCELED_BY}
READ_AMEND = frozenset(
    {
        *("symbol", "orderId", "origClientOrderId", "newClientOrderId", "newQty"),
        *("recvWindow", "timestamp", "signature", "apiKey"),
    }
)
SUCCESS, FAILURE, NOT_ATTEMPTED = "SUCCESS", "FAILURE", "NOT_ATTEMPTED"


def cancel_replace(rest: SpotRest, parameters: Mapping[str, Any], now_ms: int) -> Any:
    """Cancel an order and place another.

    Raises:
        ApiError: One of it was not done (409), or none of it (400); ``data`` has both answers.
    """
    mode = parameters.get("cancelReplaceMode")
    if mode not in {STOP, ALLOW}:
        raise ApiError(-1100, "Illegal characters found in parameter 'cancelReplaceMode'.")
    new = {name: value for name, value in parameters.items() if name not in OF_CANCEL}
    wanted = formats.parse_order(rest.exchange, new, "unnamed", futures=False)
    try:
        check_limits(wanted.listing, wanted.terms)
    except RefusedError as error:
        raise formats.refused(error.reason, futures=False) from error
    data: dict[str, Any] = {
        "cancelResult": FAILURE,
        "newOrderResult": NOT_ATTEMPTED,
        "cancelResponse": None,
        "newOrderResponse": None,
    }
    try:
        data["cancelResponse"] = formats.spot_cancel(*_cancel(rest, parameters, now_ms))
        data["cancelResult"] = SUCCESS
    except ApiError as error:
        data["cancelResponse"] = error.body()
    if data["cancelResult"] == SUCCESS or mode == ALLOW:
        try:
            data["newOrderResponse"] = rest.new_order(new, now_ms)
            data["newOrderResult"] = SUCCESS
        except ApiError as error:
            data["newOrderResponse"], data["newOrderResult"] = error.body(), FAILURE
    done = [data["cancelResult"], data["newOrderResult"]].count(SUCCESS)
    if done == 2:
        return data
    code, text, status = (
        (-2021, "Order cancel-replace partially failed.", 409)
        if done
        else (-2022, "Order cancel-replace failed.", 400)
    )
    raise ApiError(code, text, status, data)


def _cancel(rest: SpotRest, parameters: Mapping[str, Any], now_ms: int) -> tuple[Order, str]:
    named = {to: parameters[name] for name, to in CANCELED_BY.items() if parameters.get(name)}
    if not {"orderId", "origClientOrderId"} & set(named):
        raise mandatory("cancelOrderId")
    asked = {"symbol": parameters.get("symbol"), **named}
    restriction = parameters.get("cancelRestrictions")
    if restriction:
        order = rest.wanted_order(asked, -2011, "Unknown order sent.")
        if RESTRICTIONS.get(str(restriction)) is not order.status:
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
    return rest.cancel(asked, now_ms)


def amend_keep_priority(rest: SpotRest, parameters: Mapping[str, Any], now_ms: int) -> Any:
    """Make an open order smaller; it keeps its place.

    Raises:
        ApiError: It stays as it is.
    """
    if name := first_unread(parameters, READ_AMEND):
        raise ApiError(-1104, f"Not all sent parameters were read; {shown(name)} is not simulated.")
    order = rest.wanted_order(parameters, -2013, "Order does not exist.")
    if not order.is_open:
        raise ApiError(-2013, "Order does not exist.")
    old_id = order.request.client_id
    new_id = str(parameters.get("newClientOrderId") or rest.new_id())
    other = rest.exchange.find(None, new_id)
    if other is not None and other.is_open and other is not order:
        raise ApiError(-2038, "Duplicate order sent.")
    try:
        wanted = parse_amendment(order, None, formats.number(parameters, "newQty"))
        if wanted.lots == order.lots:
            raise ApiError(-2038, "The requested action would change no state; rejecting.")
        if wanted.lots > order.lots:
            raise ApiError(-2038, "Order amend (quantity increase) is not supported.")
        if wanted.lots <= order.filled_lots:
            raise RefusedError(Refusal.LOT_SIZE)
        rest.exchange.amend(order, replace(wanted, client_id=new_id), now_ms)
    except RefusedError as error:
        raise formats.refused(error.reason, futures=False) from error
    return {
        "transactTime": now_ms,
        "executionId": order.id * 2 + len(order.fills),
        "amendedOrder": formats.amended(order, old_id),
    }
