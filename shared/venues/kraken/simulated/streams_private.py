"""Kraken WebSocket v2, authenticated: executions, balances, and order entry."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from shared.exchange.orders import Fill, Order, Status
from shared.messages.terms import OrderType
from shared.simulated.hub import Client
from shared.simulated.port import SocketRoute
from shared.simulated.requests import first_unread, shown
from shared.venues.kraken.simulated import orders as formats
from shared.venues.kraken.simulated.rest import CANCELED, TOKEN, PrivateRest
from shared.venues.kraken.simulated.signing import ApiError
from shared.venues.kraken.simulated.streams import PublicStreams
from shared.venues.kraken.simulated.timestamps import rfc3339

CHANNELS = ("executions", "balances")
STATUS_TEXT = {
    Status.NEW: "new",
    Status.PARTIALLY_FILLED: "partially_filled",
    Status.FILLED: "filled",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "canceled",
}
EXEC_TEXT = {
    "NEW": "new",
    "AMENDED": "amended",
    "TRADE": "trade",
    "CANCELED": "canceled",
    "EXPIRED": "canceled",
}
SNAPSHOT_TRADES = 50
READ = frozenset(
    {
        "token",
        "symbol",
        "side",
        "order_type",
        "order_qty",
        "limit_price",
        "time_in_force",
        "post_only",
        "cl_ord_id",
        "order_userref",
    }
)
"""Parameters of an order."""


class PrivateStreams:
    """``/auth/v2``: needs the token of ``GetWebSocketsToken`` in every request."""

    def __init__(self, public: PublicStreams, rest: PrivateRest) -> None:
        self._public, self._rest = public, rest
        self._hub, self._exchange = public.hub, public.exchange
        self._sequences: dict[Client, int] = {}
        self._methods: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
            "add_order": self._add_order,
            "cancel_order": self._cancel_order,
            "cancel_all": self._cancel_all,
            "cancel_all_orders_after": self._cancel_all_after,
            "batch_cancel": self._batch_cancel,
        }
        self._exchange.order_listeners.append(self._on_order)

    def route(self) -> SocketRoute:
        """Return the authenticated path."""
        return SocketRoute("/auth/v2", self._on_text, self._public.on_open, self._on_close)

    def _on_close(self, client: Client) -> None:
        self._sequences.pop(client, None)

    def _on_text(self, client: Client, text: str) -> None:
        time_in = self._public.now_text()
        message = self._public.decode(client, text)
        if message is None or self._public.answered_ping(client, message, time_in):
            return
        params = message.get("params")
        if not isinstance(params, dict) or params.get("token") != TOKEN:
            self._public.fail(client, message, time_in, "EAPI:Invalid token")
            return
        method = message["method"]
        if method in {"subscribe", "unsubscribe"}:
            self._change(client, message, time_in)
            return
        now_ms = self._hub.now_ms()
        try:
            if method == "batch_add":
                result: Any = self._batch_add(params, now_ms)
            elif method in self._methods:
                result = self._methods[method](params, now_ms)
            else:
                raise ApiError(f"Unsupported method: {shown(method)}")
        except ApiError as error:
            self._public.fail(client, message, time_in, str(error))
            return
        self._public.succeed(client, message, time_in, result)

    def _change(self, client: Client, message: dict[str, Any], time_in: str) -> None:
        params, channel = message["params"], shown(message["params"].get("channel"))
        if channel not in CHANNELS:
            self._public.fail(client, message, time_in, f"Channel not supported: {channel}")
            return
        if message["method"] == "unsubscribe":
            self._hub.unsubscribe(client, channel)
            self._public.succeed(client, message, time_in, {"channel": channel})
            return
        self._hub.subscribe(client, channel)
        self._public.succeed(client, message, time_in, {"channel": channel, "snapshot": True})
        if channel == "balances":
            rows = [self._balance(asset) for asset in self._exchange.ledger.balances]
            self._push(client, {"channel": channel, "type": "snapshot", "data": rows})
            return
        rows = []
        if params.get("snap_orders"):
            rows += [self.execution(o, "new", None) for o in self._exchange.open_orders.values()]
        if params.get("snap_trades"):
            recent = list(self._exchange.fills)[-SNAPSHOT_TRADES:]
            rows += [
                self.execution(self._exchange.orders[f.order_id], "trade", f)
                for f in recent
                if f.order_id in self._exchange.orders
            ]
        self._push(client, {"channel": channel, "type": "snapshot", "data": rows})

    # -- order entry -------------------------------------------------------------------------

    def _add_order(self, params: dict[str, Any], now_ms: int) -> dict[str, Any]:
        order = self._rest.place(self._rest.parse(_rest_parameters(params)), now_ms)
        answer = {"order_id": formats.order_id(order)}
        if formats.has_client_id(order):
            answer["cl_ord_id"] = order.request.client_id
        return answer

    def _batch_add(self, params: dict[str, Any], now_ms: int) -> list[dict[str, Any]]:
        orders = params.get("orders")
        if not isinstance(orders, list) or not 2 <= len(orders) <= 15:
            raise ApiError("EGeneral:Invalid arguments:orders")
        if not all(isinstance(order, dict) for order in orders):
            raise ApiError("EGeneral:Invalid arguments:orders")
        whole = {name: value for name, value in params.items() if name != "orders"}
        return [self._add_order(whole | order, now_ms) for order in orders]

    def _cancel_order(self, params: dict[str, Any], now_ms: int) -> dict[str, Any]:
        names = [*_listed(params, "order_id"), *_listed(params, "cl_ord_id")]
        names += [str(ref) for ref in _listed(params, "order_userref")]
        orders = [order for name in names for order in self._rest.matching(name)]
        if not orders:
            raise ApiError("EOrder:Unknown order")
        for order in orders:
            self._exchange.cancel(order, now_ms, CANCELED)
        return {"order_id": formats.order_id(orders[0])}

    def _batch_cancel(self, params: dict[str, Any], now_ms: int) -> dict[str, Any]:
        names = [*_listed(params, "orders"), *_listed(params, "cl_ord_id")]
        orders = [order for name in names for order in self._rest.matching(str(name))]
        for order in orders:
            self._exchange.cancel(order, now_ms, CANCELED)
        return {"orders_cancelled": len(orders)}

    def _cancel_all(self, params: dict[str, Any], now_ms: int) -> dict[str, Any]:
        return dict(self._rest.cancel_all(params, now_ms))

    def _cancel_all_after(self, params: dict[str, Any], now_ms: int) -> dict[str, Any]:
        return dict(self._rest.cancel_all_after(params, now_ms))

    # -- events ------------------------------------------------------------------------------

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        if "executions" in self._hub.topics:
            if what == "NEW":
                self._send_execution(self.execution(order, "pending_new", None))
            self._send_execution(self.execution(order, EXEC_TEXT[what], fill))
            if fill is not None and order.status is Status.FILLED:
                self._send_execution(self.execution(order, "filled", None))
        if "balances" in self._hub.topics and fill is not None:
            rows = [self._balance(a) for a in (fill.listing.base, fill.listing.quote)]
            for client in tuple(self._hub.topics["balances"]):
                self._push(client, {"channel": "balances", "type": "update", "data": rows})

    def _send_execution(self, row: dict[str, Any]) -> None:
        for client in tuple(self._hub.listeners("executions")):
            self._push(client, {"channel": "executions", "type": "update", "data": [row]})

    def _push(self, client: Client, body: dict[str, Any]) -> None:
        sequence = self._sequences.get(client, 0) + 1
        self._sequences[client] = sequence
        self._hub.send(client, msgspec.json.encode(body | {"sequence": sequence}))

    def _balance(self, asset: str) -> dict[str, Any]:
        balance = self._exchange.ledger.balance(asset)
        total = float(balance.free + balance.used)
        wallet = {"type": "spot", "id": "main", "balance": total}
        return {"asset": asset, "asset_class": "currency", "balance": total, "wallets": [wallet]}

    def execution(self, order: Order, exec_type: str, fill: Fill | None) -> dict[str, Any]:
        """Return a row of the ``executions`` channel; cancels carry no symbol, as at the venue."""
        request, listing = order.request, order.request.listing
        body: dict[str, Any] = {
            "order_id": formats.order_id(order),
            "exec_type": exec_type,
            "order_status": "pending_new"
            if exec_type == "pending_new"
            else STATUS_TEXT[order.status],
            "cum_qty": float(listing.qty(order.filled_lots)),
            "cum_cost": float(order.cost),
            "avg_price": float(order.average),
            "fee_usd_equiv": float(order.fee),
            "order_userref": int(request.tag) if request.tag.lstrip("-").isdigit() else 0,
            "timestamp": rfc3339(order.updated_ms * 1_000_000),
        }
        if formats.has_client_id(order):
            body["cl_ord_id"] = request.client_id
        if exec_type == "canceled":
            return body | {"reason": order.reason or "Order expired"}
        body |= {
            "symbol": listing.wire_symbol,
            "side": request.side.value,
            "order_type": request.type.value.lower(),
            "order_qty": float(listing.qty(order.lots)),
            "time_in_force": request.tif.value,
            "fee_ccy_pref": "fciq",
        }
        if request.type is OrderType.LIMIT:
            body |= {"limit_price": float(listing.price(order.ticks)), "limit_price_type": "static"}
        if fill is not None:
            body |= {
                "exec_id": formats.trade_id(fill),
                "trade_id": fill.trade_id,
                "last_qty": float(fill.qty),
                "last_price": float(fill.price),
                "cost": float(fill.price * fill.qty),
                "liquidity_ind": "m" if fill.maker else "t",
                "fees": [{"asset": fill.fee_asset, "qty": float(fill.fee)}],
            }
        return body


def _listed(params: dict[str, Any], name: str) -> list[Any]:
    value = params.get(name, [])
    values = value if isinstance(value, list) else [value]
    return [shown(value) for value in values]


def _rest_parameters(params: dict[str, Any]) -> dict[str, Any]:
    """Return WebSocket order parameters in REST's words."""
    if name := first_unread(params, READ):
        raise ApiError(f"EGeneral:Invalid arguments:{shown(name)} is not simulated")
    flags = "post" if params.get("post_only") else ""
    answer: dict[str, Any] = {
        "pair": params.get("symbol"),
        "type": params.get("side"),
        "ordertype": params.get("order_type"),
        "volume": _plain(params.get("order_qty")),
        "timeinforce": params.get("time_in_force"),
        "oflags": flags,
        "cl_ord_id": params.get("cl_ord_id"),
        "userref": params.get("order_userref"),
    }
    if "limit_price" in params:
        answer["price"] = _plain(params["limit_price"])
    return {name: value if value is None else shown(value) for name, value in answer.items()}


def _plain(value: Any) -> str:
    """Return a JSON number as text without exponent."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{Decimal(repr(value)):f}" if is_number else str(value)
