"""A venue account through ccxt (async): the same code for the real venue and for a simulated one.

What is peculiar to a venue is in ``shared/venues/<venue>/orders.py``; here is what they share: one
request, never repeated; errors sorted into no, not sent, unknown; our own rate limit with a reserve
for orders, queries and cancels; secrets that show themselves only to the client.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import aiohttp
import ccxt.async_support as ccxt

from services.executor.gateway import FillReport, OrderKey, OrderReport, OrderRequest
from shared.clock import Clock
from shared.config import Secret
from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable, VenueError
from shared.messages.base import Side
from shared.messages.execution import Balance, OrderStatus
from shared.ratelimit import TokenBucket
from shared.venues.refusals import Meaning

T = TypeVar("T")

ORDERED_WAIT_S = 0.5
"""Where requests must not overtake each other, the next one waits so long for an answer."""
REASON_LENGTH_MAX = 300
"""Characters of a venue's error that are kept; an HTML page is not a reason."""
URGENT = frozenset({"submit", "query", "lookup", "executions", "cancel"})
_STATUSES: Mapping[str, OrderStatus] = {
    "open": OrderStatus.ACCEPTED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.ACCEPTED,
    "expired": OrderStatus.CANCELED,
    "expired_in_match": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
}


@dataclass(slots=True)
class _Trace:
    """What became of one call: whether any request left, and the reply to the last one."""

    is_sent: bool = False
    status: int = 0
    body: str = ""


_TRACE: ContextVar[_Trace | None] = ContextVar("trace", default=None)


class OrderQuirks(Protocol):
    """What ``orders`` of a venue folder offers; see those modules."""

    WEIGHT_PER_S: float
    WEIGHT_BURST: float
    WEIGHT_RESERVE: float
    WEIGHTS: Mapping[str, float]
    IS_ORDERED: bool
    FILLS_TOGETHER: bool

    def order_params(self, client_order_id: str) -> dict[str, Any]:
        """Return extra parameters of ``create_order``."""

    def meaning(self, kind: str, text: str, status: int) -> Meaning:
        """Return what an error means: ccxt class, the venue's answer, HTTP status."""

    def is_not_found(self, text: str) -> bool:
        """Tell "no such order" from other errors."""

    def is_canceled(self, text: str) -> bool:
        """Tell "works no longer" from other errors of a cancel."""

    async def find(
        self, client: Any, instrument: str, client_order_id: str, venue_order_id: str
    ) -> dict[str, Any] | None:
        """Return a ccxt order."""

    def fills_in(self, client: Any, order: dict[str, Any], instrument: str) -> list[dict[str, Any]]:
        """Return the ccxt trades that the reply to an order carries."""

    async def fills_of(
        self, client: Any, instrument: str, order: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return an order's ccxt trades."""

    async def fills_since(
        self, client: Any, instruments: Sequence[str], since_ms: int
    ) -> list[dict[str, Any]]:
        """Return the account's ccxt trades; one instrument unless FILLS_TOGETHER."""

    async def cancel(
        self, client: Any, instrument: str, client_order_id: str, venue_order_id: str
    ) -> None:
        """Cancel an order."""

    async def positions(self, client: Any, instruments: Sequence[str]) -> dict[str, str]:
        """Return perpetual positions."""


class CcxtGateway:
    """One venue account. ``client`` is a ccxt async exchange, already pointed at its address."""

    def __init__(self, venue: str, client: Any, quirks: OrderQuirks, clock: Clock) -> None:
        self.venue = venue
        self._client = client
        self._quirks = quirks
        self._clock = clock
        _watch(client)
        self._bucket = TokenBucket(
            quirks.WEIGHT_PER_S, quirks.WEIGHT_BURST, quirks.WEIGHT_RESERVE, clock.monotonic_ns()
        )
        self._turn = asyncio.Lock()
        self._answered: set[str] = set()
        """What was answered since the start: asked for the first time, recovery waits for it."""

    async def start(self) -> None:
        """Load the venue's markets and prove the keys by reading the balances."""
        await self._ask("balances", self._client.load_markets())
        await self.balances()
        self._answered.clear()

    async def submit(self, order: OrderRequest) -> OrderReport:
        """Place the order, once."""
        made = await self._ask(
            "submit",
            self._client.create_order(
                order.instrument,
                "limit",
                order.side.value,
                format(order.qty, "f"),
                format(order.price_limit, "f"),
                self._quirks.order_params(order.client_order_id),
            ),
        )
        if not made.get("id"):
            raise OutcomeUnknown(
                f"{self.venue}: the answer to an order carries no order id", cause=Cause.SERVICE
            )
        trades = self._quirks.fills_in(self._client, made, order.instrument)
        report = self._report(made, order.instrument, trades)
        # Kraken's answer says neither status nor side: what was asked for stands until a query.
        return _completed(report, order)

    async def query(self, key: OrderKey) -> OrderReport | None:
        """Return the order with its executions, ``None`` if the venue has none such."""
        try:
            found = await self._ask(
                "query" if key.venue_order_id else "lookup",
                self._quirks.find(
                    self._client, key.instrument, key.client_order_id, key.venue_order_id
                ),
            )
        except VenueError as error:
            if self._quirks.is_not_found(str(error)):
                return None
            raise
        if found is None:
            return None
        trades: list[dict[str, Any]] = []
        if _decimal(found.get("filled")) > 0:
            trades = await self._ask(
                "executions", self._quirks.fills_of(self._client, key.instrument, found)
            )
        return self._report(found, key.instrument, trades)

    async def cancel(self, key: OrderKey) -> None:
        """Cancel it; an order that works no longer is no error."""
        try:
            await self._ask(
                "cancel",
                self._quirks.cancel(
                    self._client, key.instrument, key.client_order_id, key.venue_order_id
                ),
            )
        except VenueError as error:
            if not self._quirks.is_canceled(str(error)):
                raise

    async def open_orders(self, instruments: Sequence[str]) -> list[OrderReport]:
        """Return the account's working orders in all instruments."""
        del instruments  # one request for all; orders elsewhere may be ours from another time
        orders = await self._ask("open", self._client.fetch_open_orders())
        return [self._report(order, order["symbol"], []) for order in orders]

    async def fills_since(self, instruments: Sequence[str], since_ns: int) -> list[FillReport]:
        """Return the account's executions, with as few requests as the venue allows."""
        since_ms = since_ns // 1_000_000
        groups = [instruments] if self._quirks.FILLS_TOGETHER else [[i] for i in instruments]
        trades: list[dict[str, Any]] = []
        for group in groups:
            trades += await self._ask(
                "fills", self._quirks.fills_since(self._client, group, since_ms)
            )
        return [_fill(trade, trade["symbol"], str(trade.get("order") or "")) for trade in trades]

    async def balances(self) -> Mapping[str, Balance]:
        """Return every asset with a balance."""
        told = await self._ask("balances", self._client.fetch_balance())
        return {
            asset: Balance(free=_decimal(part.get("free")), used=_decimal(part.get("used")))
            for asset, part in told.items()
            if asset in told["total"] and asset not in {"info", "free", "used", "total"}
        }

    async def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units."""
        told = await self._ask("balances", self._quirks.positions(self._client, instruments))
        return {instrument: Decimal(amount) for instrument, amount in told.items()}

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    async def _ask(self, what: str, request: Awaitable[T]) -> T:
        """Make one request when the rate limit allows; sort what goes wrong."""
        trace = _Trace()
        try:
            # Not in turn: what waits for its share must not hold up what need not.
            await self._wait_for_weight(what)
        except asyncio.CancelledError:
            _close(request)
            raise
        try:
            answer = await self._send(request, trace)
        except ccxt.BaseError as error:
            raise self._meaning(error, trace) from error
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            # ccxt reads replies without checking them: an unreadable one shows like this.
            raise OutcomeUnknown(
                f"{self.venue}: unreadable reply: {error!r}", cause=Cause.SERVICE
            ) from error
        self._answered.add(what)
        return answer

    async def _send(self, request: Awaitable[T], trace: _Trace) -> T:
        """Make the request, after the one before it where the venue wants them in order."""
        _TRACE.set(trace)
        if not self._quirks.IS_ORDERED:
            return await request
        try:
            await self._turn.acquire()
        except asyncio.CancelledError:
            _close(request)
            raise
        answer = asyncio.ensure_future(request)  # takes a copy of the context, with the trace
        try:
            await asyncio.wait({answer}, timeout=ORDERED_WAIT_S)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            self._turn.release()
        return await answer

    async def _wait_for_weight(self, what: str) -> None:
        weight = self._quirks.WEIGHTS[what]
        while True:
            now_ns = self._clock.monotonic_ns()
            urgent = what in URGENT or what not in self._answered
            wait_s = self._bucket.wait_s(weight, now_ns, urgent=urgent)
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    def _meaning(self, error: ccxt.BaseError, trace: _Trace) -> VenueError:
        text, kind = str(error), type(error).__name__
        if not trace.is_sent:
            return Rejected(f"{self.venue}: refused before it was sent: {text}", "CLIENT")
        if isinstance(error.__cause__, (aiohttp.ClientConnectorError, socket.gaierror)):
            # No connection, so no request. Anything that breaks later may have been heard.
            return Unavailable(f"{self.venue}: cannot connect: {text}", kind, Cause.SERVICE)
        # Where ccxt knows a venue's sentence it leaves the code out of its text: read the reply.
        body = trace.body or text
        outcome, cause = self._quirks.meaning(kind, body, trace.status)
        if cause is Cause.RATE:
            self._bucket.drain(self._clock.monotonic_ns())
        return outcome(f"{kind}: {body[:REASON_LENGTH_MAX]}", kind, cause)

    def _report(
        self, order: Mapping[str, Any], instrument: str, trades: Sequence[Mapping[str, Any]]
    ) -> OrderReport:
        order_id = str(order["id"])
        filled = _decimal(order.get("filled"))
        qty = _decimal(order.get("amount"))
        status = _STATUSES.get(str(order.get("status")), OrderStatus.ACCEPTED)
        if status is OrderStatus.FILLED and filled < qty:
            status = OrderStatus.CANCELED  # "closed" with a remainder: it works no longer
        elif status is OrderStatus.ACCEPTED and filled > 0:
            status = OrderStatus.PARTIALLY_FILLED
        return OrderReport(
            client_order_id=str(order.get("clientOrderId") or ""),
            venue=self.venue,
            instrument=instrument,
            side=Side(order.get("side") or Side.BUY),
            qty=qty,
            price_limit=_decimal(order.get("price")),
            status=status,
            venue_order_id=order_id,
            filled_qty=filled,
            fills=tuple(_fill(trade, instrument, order_id) for trade in trades),
        )


def make_client(
    exchange_id: str, options: Mapping[str, Any], key: Secret, secret: Secret, timeout_ms: int
) -> Any:
    """Return a ccxt client that repeats nothing, waits for nothing and keeps decimals as text."""
    client = getattr(ccxt, exchange_id)(
        {
            "apiKey": key.reveal(),
            "secret": secret.reveal(),
            "enableRateLimit": False,  # our own bucket has a reserve for what must not wait
            "timeout": timeout_ms,
            "options": {**options, "maxRetriesOnFailure": 0},
        }
    )
    client.number = str
    return client


def _watch(client: Any) -> None:
    """Note on each call's trace that a request left, and what the venue replied."""
    fetch, handle_errors = client.fetch, client.handle_errors

    async def traced_fetch(*args: Any, **kwargs: Any) -> Any:
        trace = _TRACE.get()
        if trace is not None:
            trace.is_sent, trace.status, trace.body = True, 0, ""
        return await fetch(*args, **kwargs)

    def traced_errors(*args: Any) -> Any:
        trace = _TRACE.get()
        if trace is not None:
            # status, reason, url, method, headers, body, ...
            trace.status, trace.body = int(args[0] or 0), args[5] or ""
        return handle_errors(*args)

    client.fetch, client.handle_errors = traced_fetch, traced_errors


def _completed(report: OrderReport, order: OrderRequest) -> OrderReport:
    changes = {
        "client_order_id": order.client_order_id,
        "side": order.side,
        "qty": order.qty,
        "price_limit": order.price_limit,
    }
    return OrderReport(**{**{f: getattr(report, f) for f in report.__struct_fields__}, **changes})


def _fill(trade: Mapping[str, Any], instrument: str, order_id: str) -> FillReport:
    fee = trade.get("fee") or {}
    cost = fee.get("cost")
    return FillReport(
        trade_id=str(trade["id"]),
        venue_order_id=order_id,
        instrument=instrument,
        side=Side(trade["side"]),
        price=_decimal(trade.get("price")),
        qty=_decimal(trade.get("amount")),
        fee=None if cost is None else _decimal(cost),
        fee_asset=str(fee.get("currency") or ""),
        ts_venue_ns=int(trade.get("timestamp") or 0) * 1_000_000,
    )


def _decimal(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value))


def _close(request: Awaitable[Any]) -> None:
    """Dispose of a coroutine that will not be awaited."""
    if asyncio.iscoroutine(request):
        request.close()
