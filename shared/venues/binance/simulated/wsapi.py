"""The simulated Binance WebSocket APIs: orders and account; on spot also the user data stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from shared.exchange.orders import Fill, Order
from shared.simulated.context import Context
from shared.simulated.hub import Client, Hub
from shared.simulated.port import SocketRoute
from shared.simulated.requests import decode_object, is_id, shown
from shared.venues.binance.simulated import orders as formats
from shared.venues.binance.simulated.rest import SpotRest
from shared.venues.binance.simulated.signing import ApiError, check_signed_message

USER_TOPIC = "!user"
UNSUBSCRIBE = "userDataStream.unsubscribe"
CHANGES = ("order.place", "order.test", "order.cancel", "openOrders.cancelAll")
Method = Callable[[dict[str, Any], int], Any]


class WebSocketApi:
    """``/ws-api/v3`` or ``/ws-fapi/v1``: ``public`` and ``signed`` methods by name."""

    def __init__(
        self,
        rest: SpotRest,
        hub: Hub,
        context: Context,
        *,
        public: dict[str, Method],
        signed: dict[str, Method],
    ) -> None:
        self._rest, self._hub, self._context = rest, hub, context
        self._public = public | {
            "ping": lambda p, now: {},
            "time": lambda p, now: {"serverTime": now},
        }
        self._signed = signed

    def route(self, path: str) -> SocketRoute:
        """Return the path under which it is served."""
        return SocketRoute(path, self._on_text)

    def _on_text(self, client: Client, text: str) -> None:
        message = decode_object(text)
        identifier = None if message is None else message.get("id")
        if message is None:
            self._error(client, None, _malformed("JSON sent was not an object."))
            return
        if not is_id(identifier):
            text = "Invalid 'id' in JSON request; expected an integer, a string or null."
            self._error(client, None, _malformed(text))
            return
        method, parameters = message.get("method"), message.get("params")
        if not isinstance(method, str):
            text = "Invalid 'method' in JSON request; expected a string."
            self._error(client, identifier, _malformed(text))
            return
        if parameters is not None and not isinstance(parameters, dict):
            text = "Invalid 'params' in JSON request; expected an object."
            self._error(client, identifier, _malformed(text))
            return
        try:
            result = self._call(client, method, parameters or {})
        except ApiError as error:
            self._error(client, identifier, error)
            return
        body = {"id": identifier, "status": 200, "result": result, "rateLimits": []}
        self._hub.send(client, msgspec.json.encode(body))

    def _call(self, client: Client, method: str, parameters: dict[str, Any]) -> Any:
        now_ms = self._context.venue_ms(self._rest.venue)
        self._rest.meter.spend(0 if method.startswith("order.") else 2, now_ms)
        if method in {"ping", "time"}:
            return {} if method == "ping" else {"serverTime": now_ms}
        if method in self._public:
            return self._public[method](parameters, now_ms)
        credentials = self._rest.credentials
        if method not in self._signed and not method.startswith("userDataStream."):
            raise ApiError(-1000, f"Unknown method '{shown(method)}'.")
        if method != UNSUBSCRIBE:  # the one that the venue does not want signed
            check_signed_message(parameters, credentials, now_ms)
        if method.startswith("userDataStream."):
            return self._user_stream(client, method)
        places, changes = method == "order.place", method in CHANGES
        self._rest.check_state(parameters, changes_orders=changes, places=places)
        if places:
            self._rest.meter.order(now_ms)
        return self._signed[method](parameters, now_ms)

    def _error(self, client: Client, identifier: Any, error: ApiError) -> None:
        body = {
            "id": identifier,
            "status": error.status,
            "error": {"code": error.code, "msg": error.text},
            "rateLimits": [],
        }
        self._hub.send(client, msgspec.json.encode(body))

    def _user_stream(self, client: Client, method: str) -> Any:
        raise ApiError(-1000, f"Unknown method '{shown(method)}'.")


def _malformed(text: str) -> ApiError:
    return ApiError(-1135, text)


class SpotWebSocketApi(WebSocketApi):
    """``/ws-api/v3``; events carry the subscription's id."""

    def __init__(self, rest: SpotRest, hub: Hub, context: Context) -> None:
        public = rest.public
        super().__init__(
            rest,
            hub,
            context,
            public={
                "exchangeInfo": public.exchange_info,
                "depth": public.depth,
                "trades.recent": public.trades,
                "ticker.book": public.book_ticker,
                "ticker.price": public.ticker_price,
            },
            signed={
                "order.place": rest.new_order,
                "order.test": rest.test_order,
                "order.cancel": rest.cancel_order,
                "order.status": rest.query_order,
                "openOrders.status": rest.open_orders,
                "openOrders.cancelAll": rest.cancel_all,
                "allOrders": rest.all_orders,
                "myTrades": rest.my_trades,
                "account.status": rest.account,
                "account.commission": rest.commission,
            },
        )
        rest.exchange.order_listeners.append(self._on_order)

    def _user_stream(self, client: Client, method: str) -> Any:
        if method == "userDataStream.subscribe.signature":
            self._hub.subscribe(client, USER_TOPIC)
            return {"subscriptionId": 0}
        if method == UNSUBSCRIBE:
            self._hub.unsubscribe(client, USER_TOPIC)
            return {}
        return super()._user_stream(client, method)

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        if USER_TOPIC not in self._hub.topics:
            return
        now_ms = self._context.venue_ms(self._rest.venue)
        self._event(formats.spot_report(order, what, fill, now_ms))
        listing, ledger = order.request.listing, self._rest.exchange.ledger
        assets = dict.fromkeys(
            (listing.base, listing.quote, fill.fee_asset if fill else listing.base)
        )
        balances = [
            {"a": a, "f": f"{ledger.balance(a).free:.8f}", "l": f"{ledger.balance(a).used:.8f}"}
            for a in assets
        ]
        stamp = {"e": "outboundAccountPosition", "E": now_ms, "u": now_ms}
        self._event(stamp | {"B": balances})

    def _event(self, event: dict[str, Any]) -> None:
        frame = msgspec.json.encode({"subscriptionId": 0, "event": event})
        self._hub.publish(USER_TOPIC, frame, None, "")
