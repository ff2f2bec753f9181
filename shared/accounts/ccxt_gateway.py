"""A venue account through ccxt (async): the same code for the real venue and for a simulated one.

What is peculiar to a venue is in ``shared/venues/<venue>/orders.py``, how one request is made in
``ccxt_requests``; secrets are revealed only to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from shared.accounts.account_stream import AccountSource, AccountStream
from shared.accounts.ccxt_requests import Requests
from shared.accounts.gateway import (
    FillReport,
    OrderKey,
    OrderReport,
    OrderRequest,
    PaymentReport,
    StreamNews,
    Touch,
    forced_by_sentinel,
)
from shared.clock import Clock
from shared.config import Secret
from shared.errors import Cause, OutcomeUnknown, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.messages.terms import OrderTerms, OrderType, TimeInForce
from shared.venues.ccxt_classes import load_exchange
from shared.venues.key_rights import KeyRights, refuse_withdrawals
from shared.venues.order_port import FundingRow, OrderQuirks

_STATUSES: Mapping[str, OrderStatus] = {
    "open": OrderStatus.ACCEPTED,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "canceling": OrderStatus.ACCEPTED,
    "expired": OrderStatus.CANCELED,
    "expired_in_match": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
}


TOUCH_LEVELS = 5
"""Levels of a book that are asked for to know its best prices: the fewest that all venues take."""

# What an answer does not say is as we send it.
_TYPES: Mapping[str, OrderType] = {kind.value.lower(): kind for kind in OrderType}
_TIMES: Mapping[str, TimeInForce] = {time.value: time for time in TimeInForce}


class CcxtGateway:
    """One venue account. ``client`` is a ccxt async exchange, already pointed at its address."""

    def __init__(
        self,
        venue: str,
        client: Any,
        quirks: OrderQuirks,
        clock: Clock,
        *,
        account: AccountSource | None = None,
        refuses_withdrawals: bool = True,
    ) -> None:
        self.venue = venue
        self._client = client
        self._quirks = quirks
        self._requests = Requests(venue, client, quirks, clock)
        self._account, self._clock, self._refuses = account, clock, refuses_withdrawals

    async def start(self) -> None:
        """Load the venue's markets, take its time, and check that account and key may trade.

        A key that may withdraw is refused where the venue tells. May be called again at any time.
        """
        await self._requests.ask("markets", self._client.load_markets())
        await self._requests.measure_clock()
        with self._requests.readable():
            await self._quirks.check_account(self._client, self._requests.ask)
            if self._refuses:
                await refuse_withdrawals(self._quirks.key_rights(self._client, self._requests.ask))
        await self.balances()
        self._requests.forget()

    async def key_rights(self) -> KeyRights:
        """Return what the venue tells of the key beside whether it may trade."""
        await self._requests.measure_clock()
        with self._requests.readable():
            return await self._quirks.key_rights(self._client, self._requests.ask)

    def unlisted(self, instruments: Sequence[str]) -> list[str]:
        """Return those that are not among the venue's markets."""
        return [name for name in instruments if name not in self._client.markets]

    async def submit(self, order: OrderRequest) -> OrderReport:
        """Place the order, once; as it is, or not at all."""
        terms = order.terms
        made = await self._requests.ask(
            "submit",
            self._client.create_order(
                terms.instrument,
                "limit",
                terms.side.value,
                plain(terms.qty),
                plain(terms.price_limit),
                _params(self._quirks, order),
            ),
        )
        with self._requests.readable():
            if not made.get("id"):
                raise OutcomeUnknown(
                    f"{self.venue}: the answer to an order carries no order id", cause=Cause.SERVICE
                )
            trades = self._quirks.fills_in(self._client, made, terms.instrument)
            report = self._report(made, terms.instrument, trades)
            # Some answers say neither status nor side: what was asked for stands until a query.
            return msgspec.structs.replace(
                report, client_order_id=order.client_order_id, terms=terms
            )

    async def query(self, key: OrderKey) -> OrderReport | None:
        """Return the order with its executions, ``None`` if the venue has no such order."""
        with self._requests.readable():
            found = await self._find(key)
            if found is None:
                return None
            trades: list[dict[str, Any]] = []
            if _decimal(found.get("filled")) > 0:
                trades = await self._quirks.fills_of(
                    self._client, self._requests.ask, key.instrument, found
                )
            return self._report(found, key.instrument, trades)

    async def _find(self, key: OrderKey) -> dict[str, Any] | None:
        try:
            return await self._quirks.find(
                self._client,
                self._requests.ask,
                key.instrument,
                key.client_order_id,
                key.venue_order_id,
            )
        except VenueError as error:
            if self._quirks.is_not_found(str(error)):
                return None
            raise

    async def cancel(self, key: OrderKey) -> None:
        """Cancel an order; one that no longer rests is no error."""
        try:
            await self._requests.ask(
                "cancel",
                self._quirks.cancel(
                    self._client, key.instrument, key.client_order_id, key.venue_order_id
                ),
            )
        except VenueError as error:
            if not self._quirks.is_canceled(str(error)):
                raise

    async def cancel_all_after(self, instruments: Sequence[str], after_s: int) -> str:
        """Set the dead-man's switch; return why there is none."""
        if not self._quirks.NO_DEAD_MAN:
            read = self._requests.ask
            await self._quirks.cancel_all_after(self._client, read, instruments, after_s)
        return self._quirks.NO_DEAD_MAN

    async def cancel_all(self, instruments: Sequence[str]) -> str:
        """Cancel the account's orders by the venue's own cancel-all; return why there is none."""
        if not self._quirks.NO_CANCEL_ALL:
            listed = [name for name in instruments if name in self._client.markets]
            with self._requests.readable():
                await self._quirks.cancel_all(self._client, self._requests.ask, listed)
        return self._quirks.NO_CANCEL_ALL

    def budget_used(self) -> float:
        """Return which part of the venue's rate limit is used up."""
        return self._requests.budget_used()

    async def open_orders(self, instruments: Sequence[str]) -> list[OrderReport]:
        """Return the account's working orders in all instruments."""
        del instruments  # one request for all; orders elsewhere may be ours from another time
        orders = await self._requests.ask("open", self._client.fetch_open_orders())
        self._requests.note_known("open")
        with self._requests.readable():
            return [self._report(order, order["symbol"], []) for order in orders]

    async def fills_since(self, instruments: Sequence[str], since_ns: int) -> list[FillReport]:
        """Return the account's executions, all pages, with as few requests as the venue allows."""
        since_ms = max(0, since_ns // 1_000_000)
        groups = [instruments] if self._quirks.FILLS_TOGETHER else [[i] for i in instruments]
        trades: list[dict[str, Any]] = []
        with self._requests.readable():
            for group in groups:
                trades += await self._quirks.fills_since(
                    self._client, self._requests.ask, group, since_ms
                )
            self._requests.note_known("fills")
            return [_fill(trade, trade["symbol"], str(trade["order"] or "")) for trade in trades]

    async def balances(self) -> Mapping[str, Balance]:
        """Return every asset of the account that orders may use."""
        with self._requests.readable():
            told = await self._quirks.balances(self._client, self._requests.ask)
        self._requests.note_known("balances")
        return told

    async def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units."""
        with self._requests.readable():
            return await self._quirks.positions(self._client, self._requests.ask, instruments)

    def hurry(self) -> None:
        """Let the next readings use what is kept of the rate limit for what must not wait."""
        self._requests.forget()

    async def touch(self, instrument: str) -> Touch:
        """Return the best prices of an instrument, asked from the venue itself."""
        told = await self._requests.ask(
            "book", self._client.fetch_order_book(instrument, TOUCH_LEVELS)
        )
        with self._requests.readable():
            tick_size = Decimal(self._client.market(instrument)["precision"]["price"])
            (bid, *_), (ask, *_) = told["bids"][0], told["asks"][0]
            if not tick_size > 0:
                raise ValueError(f"a tick of {tick_size}")
            return Touch(bid=_decimal(bid), ask=_decimal(ask), tick_size=tick_size)

    async def funding_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what funding of these derivatives paid and cost since ``since_ns``."""
        since_ms = max(0, since_ns // 1_000_000)
        with self._requests.readable():
            rows = await self._quirks.funding_since(
                self._client, self._requests.ask, instruments, since_ms
            )
        self._requests.note_known("funding")
        return [_payment(row) for row in rows]

    async def follow(self, instruments: Sequence[str], take: Callable[[StreamNews], None]) -> None:
        """Hand over what the venue pushes about the account, where that is known here."""
        if self._account is None:
            return
        source = self._account
        names = {source.to_symbol(instrument): instrument for instrument in instruments}
        await AccountStream(
            self.venue,
            source,
            self._client,
            self._requests,
            clock=self._clock,
            forced_by=self._forced_by,
        ).follow(names, take)

    def _forced_by(self, client_order_id: str) -> str:
        """Return why an order was made that nobody ordered here; empty where somebody did."""
        return self._quirks.forced_by(client_order_id) or forced_by_sentinel(client_order_id)

    async def close(self) -> None:
        """Close the client's connections."""
        await self._requests.close()
        await self._client.close()

    def _report(
        self, order: Mapping[str, Any], instrument: str, trades: Sequence[Mapping[str, Any]]
    ) -> OrderReport:
        order_id, trades = str(order["id"]), _of_order(trades, order)
        filled = _decimal(order.get("filled"))
        qty = _decimal(order.get("amount"))
        status = _STATUSES.get(str(order.get("status")), OrderStatus.ACCEPTED)
        if status is OrderStatus.FILLED and filled < qty:
            status = OrderStatus.CANCELED  # "closed" with a remainder: it works no longer
        elif status is OrderStatus.ACCEPTED and filled > 0:
            status = OrderStatus.PARTIALLY_FILLED
        return OrderReport(
            client_order_id=str(order.get("clientOrderId") or ""),
            terms=OrderTerms(
                venue=self.venue,
                instrument=instrument,
                side=Side(order.get("side") or Side.BUY),
                qty=qty,
                price_limit=_decimal(order.get("price")),
                order_type=_TYPES.get(str(order.get("type")), OrderType.LIMIT),
                time_in_force=_time_in_force(order),
            ),
            status=status,
            venue_order_id=order_id,
            filled_qty=filled,
            fills=tuple(_fill(trade, instrument, order_id) for trade in trades),
            forced=self._forced_by(str(order.get("clientOrderId") or "")),
        )


def _params(quirks: OrderQuirks, order: OrderRequest) -> dict[str, Any]:
    """Return what ccxt needs beside the usual.

    Raises:
        Unavailable: The venue takes no such order from here, so it is not sent.
    """
    terms, known = order.terms, quirks.TIMES_IN_FORCE
    if terms.order_type is not OrderType.LIMIT or terms.time_in_force not in known:
        raise Unavailable(
            f"{terms.venue}: not sent, {terms.kind} orders cannot be sent there "
            f"(LIMIT with {', '.join(sorted(known))} can)",
            cause=Cause.ORDER,
        )
    params = quirks.order_params(order.client_order_id)
    only = quirks.REDUCE_ONLY if order.reduce_only else {}
    if terms.time_in_force is TimeInForce.PO:
        return {**params, **only, "postOnly": True}  # ccxt says it in the venue's own way
    return {**params, **only, "timeInForce": terms.time_in_force.value}


def _payment(row: FundingRow) -> PaymentReport:
    return PaymentReport(
        payment_id=row.payment_id,
        instrument=row.instrument,
        amount=row.amount,
        asset=row.asset,
        ts_venue_ns=row.ts_ms * 1_000_000,
    )


def _time_in_force(order: Mapping[str, Any]) -> TimeInForce:
    if order.get("postOnly"):
        return TimeInForce.PO
    return _TIMES.get(str(order.get("timeInForce")), TimeInForce.IOC)


def make_client(
    ccxt_id: str, options: Mapping[str, Any], key: Secret, secret: Secret, timeout_ms: int
) -> Any:
    """Return a ccxt client that repeats nothing, waits for nothing and keeps decimals as text."""
    client = load_exchange(ccxt_id)(
        {
            "apiKey": key.reveal(),
            "secret": secret.reveal(),
            "enableRateLimit": False,  # our own bucket has a reserve for what must not wait
            "timeout": timeout_ms,
            "options": {**options, "maxRetriesOnFailure": 0},
        }
    )
    client.number = str
    # Orders are on tick and lot by rules of our own; ccxt knows fewer, and dies of a tick of zero.
    client.price_to_precision = client.amount_to_precision = lambda symbol, value: value
    return client


def _of_order(
    trades: Sequence[Mapping[str, Any]], order: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    """Leave out the other side of a self-trade, which some venues list with an order, too."""
    return [
        trade
        for trade in trades
        if trade.get("order") in {None, "", order["id"]} or trade["side"] == order.get("side")
    ]


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


def plain(value: Decimal) -> str:
    """Return a number without an exponent and without trailing zeros."""
    return format(value.normalize(), "f")


def _decimal(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value))
