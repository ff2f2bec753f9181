"""The simulated Kraken REST API: ``/0/public`` and ``/0/private``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shared.exchange.countdowns import WHOLE_ACCOUNT, Countdowns
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill, IncomingOrder, Order, Refusal, RefusedError
from shared.simulated.faults import FaultTable
from shared.simulated.requests import shown
from shared.venues.kraken.simulated import orders as formats
from shared.venues.kraken.simulated.changes import Changes
from shared.venues.kraken.simulated.listing import asset_id
from shared.venues.kraken.simulated.signing import ApiError, RequestChecks
from shared.venues.kraken.simulated.timestamps import rfc3339

PAGE = 50
ORDERS_AT_ONCE = 50
TRADES_AT_ONCE = 20
PLACES = ("AddOrder", "AddOrderBatch", "AmendOrder")
CHANGES = (*PLACES, "CancelOrder", "CancelOrderBatch", "CancelAll", "CancelAllOrdersAfter")
TIMEOUT_CHARS_MAX = 6  # of the dead-man switch, seconds
CANCELED = "User requested"
"""Why an order has ended that was canceled."""
TOKEN = "simulated-websocket-token"
TOKEN_LIFE_S = 900

Endpoint = Callable[[dict[str, Any], int], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint and what it adds to the call counter."""

    endpoint: Endpoint
    cost: float = 1.0


class PrivateRest:
    """Endpoints that need a signature; ``call`` is given checked parameters."""

    venue = "kraken"

    def __init__(self, exchange: Exchange, faults: FaultTable, gate: RequestChecks) -> None:
        self.exchange, self.faults, self.gate = exchange, faults, gate
        self.countdowns, changes = Countdowns(exchange), Changes(self)
        self.routes: dict[str, Route] = {
            "AddOrder": Route(self.add_order, cost=0),
            "CancelOrder": Route(self.cancel_order, cost=0),
            "AddOrderBatch": Route(changes.add_batch, cost=0),
            "CancelOrderBatch": Route(changes.cancel_batch, cost=0),
            "AmendOrder": Route(changes.amend, cost=0),
            "CancelAll": Route(self.cancel_all, cost=1),
            "CancelAllOrdersAfter": Route(self.cancel_all_after, cost=0),
            "OpenOrders": Route(self.open_orders),
            "ClosedOrders": Route(self.closed_orders, cost=2),
            "QueryOrders": Route(self.query_orders),
            "TradesHistory": Route(self.trades_history, cost=2),
            "QueryTrades": Route(self.query_trades),
            "Balance": Route(self.balance),
            "BalanceEx": Route(self.balance_extended),
            "TradeVolume": Route(self.trade_volume),
            "GetWebSocketsToken": Route(self.token),
            "GetApiKeyInfo": Route(self.key_info),
        }

    def call(self, name: str, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer a private call.

        Raises:
            ApiError: As the venue answers it.
        """
        route = self.routes.get(name)
        if route is None:
            raise ApiError(f"EGeneral:Unknown method:{shown(name)} is not simulated")
        self._check_state(name)
        self.gate.spend(route.cost, now_ms)
        return route.endpoint(parameters, now_ms)

    def _check_state(self, name: str) -> None:
        """Refuse what the injected state of the account does not allow."""
        state = self.faults.account_state.get(self.venue, "ok")
        if state == "revoked":
            raise ApiError("EAPI:Invalid key")
        if state == "read_only" and name in CHANGES:
            raise ApiError("EGeneral:Permission denied")
        if state == "restricted" and name in PLACES:
            raise ApiError("EAccount:Invalid permissions")

    # -- orders ------------------------------------------------------------------------------

    def parse(self, parameters: Mapping[str, Any]) -> IncomingOrder:
        """Return the order asked for; an unnamed one gets a name of its own."""
        name = f"~{self.exchange.log.number_unnamed()}"
        return formats.parse_order(self.exchange, parameters, name)

    def place(self, request: IncomingOrder, now_ms: int) -> Order:
        """Place an order subject to the faults of orders.

        Raises:
            ApiError: The venue's no.
        """
        instrument = request.listing.instrument
        if self.faults.take(("reject",), self.venue, instrument):
            raise ApiError(formats.REFUSALS[Refusal.FAULT])
        partial = self.faults.take(("partial_fill",), self.venue, instrument)
        share = Decimal(str(partial.parameters["fraction"])) if partial else Decimal(1)
        try:
            return self.exchange.place(request, now_ms, share)
        except RefusedError as error:
            raise ApiError(formats.REFUSALS[error.reason]) from error

    def add_order(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Place an order; the answer tells its id, not its fate."""
        request = self.parse(parameters)
        if str(parameters.get("validate", "")).lower() in {"true", "1"}:
            text = f"{request.side.value} {request.qty:f} {request.listing.symbol}"
            return {"descr": {"order": text}}
        order = self.place(request, now_ms)
        return {
            "txid": [formats.order_id(order)],
            "descr": {"order": formats.description(order)["order"]},
        }

    def cancel_order(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Cancel by ``txid`` (or userref) or ``cl_ord_id``."""
        named = str(parameters.get("cl_ord_id") or parameters.get("txid") or "")
        if not named:
            raise ApiError("EGeneral:Invalid arguments:txid")
        orders = self.matching(named)
        if not orders:
            raise ApiError("EOrder:Unknown order")
        for order in orders:
            self.cancel(order, now_ms)
        return {"count": len(orders)}

    def cancel(self, order: Order, now_ms: int) -> None:
        """Cancel an open order."""
        self.exchange.cancel(order, now_ms, CANCELED)

    def matching(self, name: str) -> list[Order]:
        """Return open orders that a txid, client id or userref names."""
        number = formats.number_of(name)
        return [
            order
            for order in self.exchange.open_orders.values()
            if order.id == number or name in {order.request.client_id, order.request.tag}
        ]

    def cancel_all(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Cancel every open order."""
        orders = list(self.exchange.open_orders.values())
        for order in orders:
            self.cancel(order, now_ms)
        return {"count": len(orders)}

    def cancel_all_after(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Set or stop the dead-man switch (seconds)."""
        raw = str(parameters.get("timeout", ""))
        if not (raw.isascii() and raw.isdigit()) or len(raw) > TIMEOUT_CHARS_MAX:
            raise ApiError("EGeneral:Invalid arguments:timeout")
        timeout_s = int(raw)
        self.countdowns.set(WHOLE_ACCOUNT, timeout_s * 1_000, now_ms)
        at_ms = self.countdowns.until_ms.get(WHOLE_ACCOUNT)
        trigger = rfc3339(at_ms * 1_000_000) if at_ms else "0"
        return {"currentTime": rfc3339(now_ms * 1_000_000), "triggerTime": trigger}

    def open_orders(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer open orders, of one client id or userref if given."""
        found = [o for o in self.exchange.open_orders.values() if _selected(o, parameters)]
        trades = _asked(parameters, "trades")
        return {"open": {formats.order_id(o): formats.rest_order(o, trades=trades) for o in found}}

    def closed_orders(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer closed orders, newest first, a page at a time."""
        start = formats.not_negative(parameters, "start")
        found = [
            o
            for o in reversed(list(self.exchange.orders.values()))
            if not o.is_open and _selected(o, parameters) and o.updated_ms / 1_000 >= start
        ]
        offset = int(formats.not_negative(parameters, "ofs"))
        trades = _asked(parameters, "trades")
        rows = {
            formats.order_id(o): formats.rest_order(o, trades=trades)
            for o in found[offset : offset + PAGE]
        }
        return {"closed": rows, "count": len(found)}

    def query_orders(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer orders by txid."""
        txids = [t for t in str(parameters.get("txid") or "").split(",") if t]
        if len(txids) > ORDERS_AT_ONCE or not (txids or parameters.get("cl_ord_id")):
            raise ApiError("EGeneral:Invalid arguments:txid")
        orders = [self.exchange.find(formats.number_of(txid)) for txid in txids]
        if not txids:
            orders = [self.exchange.find(None, str(parameters["cl_ord_id"]))]
        if any(order is None for order in orders):
            raise ApiError("EOrder:Unknown order")
        trades = _asked(parameters, "trades")
        return {formats.order_id(o): formats.rest_order(o, trades=trades) for o in orders if o}

    def trades_history(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer own fills, newest first, a page at a time."""
        start = formats.not_negative(parameters, "start")
        fills = [f for f in reversed(self.exchange.fills) if f.ts_ms / 1_000 >= start]
        offset = int(formats.not_negative(parameters, "ofs"))
        page = fills[offset : offset + PAGE]
        return {"trades": {formats.trade_id(f): self._trade(f) for f in page}, "count": len(fills)}

    def query_trades(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer own fills by id."""
        txids = str(parameters.get("txid") or "").split(",")
        if len(txids) > TRADES_AT_ONCE:
            raise ApiError("EGeneral:Invalid arguments:txid")
        wanted = {formats.number_of(txid): txid for txid in txids}
        numbered = ((formats.trade_number(fill), fill) for fill in self.exchange.fills)
        return {wanted[n]: self._trade(fill) for n, fill in numbered if n in wanted}

    def _trade(self, fill: Fill) -> dict[str, Any]:
        return formats.rest_trade(fill, self.exchange.orders.get(fill.order_id))

    # -- account -----------------------------------------------------------------------------

    def balance(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer totals per asset."""
        balances = self.exchange.ledger.balances
        return {asset_id(a): f"{b.free + b.used:.10f}" for a, b in balances.items()}

    def balance_extended(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer totals and what open orders hold."""
        return {
            asset_id(asset): {
                "balance": f"{b.free + b.used:.10f}",
                "hold_trade": f"{b.used:.10f}",
            }
            for asset, b in self.exchange.ledger.balances.items()
        }

    def trade_volume(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer the fee tier of the pairs asked for."""
        names = [name for name in str(parameters.get("pair") or "").split(",") if name]
        listings = [formats.listing_of(self.exchange, name) for name in names]

        def fee(bps: Decimal) -> dict[str, Any]:
            rate = f"{bps / 100:.4f}"
            return {
                "fee": rate,
                "minfee": "0.1000",
                "maxfee": rate,
                "nextfee": "0.2000",
                "nextvolume": "50000.0000",
                "tiervolume": "0.0000",
            }

        return {
            "currency": "ZUSD",
            "volume": "0.0000",
            "fees": {x.symbol: fee(x.taker_bps) for x in listings},
            "fees_maker": {x.symbol: fee(x.maker_bps) for x in listings},
        }

    def token(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Return the token of the authenticated WebSocket."""
        return {"token": TOKEN, "expires": TOKEN_LIFE_S}

    def key_info(self, parameters: dict[str, Any], now_ms: int) -> Any:
        """Answer what the key may do; asking needs no permission."""
        state = self.faults.account_state.get(self.venue, "ok")
        permissions = ["query-funds", "query-open-trades", "query-closed-trades"]
        permissions += [] if state == "read_only" else ["modify-trades", "close-trades"]
        permissions += ["withdraw-funds"] if state == "may_withdraw" else []
        return {
            "apiKeyName": "simulated",
            "apiKey": "simulated",
            "nonce": str(now_ms),
            "nonceWindow": 0,
            "permissions": permissions,
            "iban": "AA00 0000 0000 0000",
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "1772542900",
            "modifiedTime": "1772543095",
            "ipAllowlist": [],
            "lastUsed": str(now_ms // 1_000),
        }


def _asked(parameters: Mapping[str, Any], name: str) -> bool:
    return str(parameters.get(name, "")).lower() in {"true", "1"}


def _selected(order: Order, parameters: Mapping[str, Any]) -> bool:
    client_id, userref = parameters.get("cl_ord_id"), parameters.get("userref")
    if client_id and order.request.client_id != client_id:
        return False
    return not userref or order.request.tag == str(userref)
