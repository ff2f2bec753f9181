"""What one venue knows of its account, as records that outlive its process. Pure.

Theory of operation. ``Recorder`` listens to an exchange and its funding, and gives what changed
since it was asked last as one ``Change``: orders and money as they are then, fills and payments
that are new. A host writes it before anybody is told, so whoever was told something finds it again.
Everything is one record, so an order is never known without the fills of the same moment. The whole
state is a ``Change`` too: the one that leads there from a new exchange.

``restore.py`` is the way back. Not kept: the market, its prints, the samples of the running funding
interval, and what belongs to connections (listen keys, tokens, dead-man's switches).

Numbers of trades go on where no trade of the old process can have been: ``TRADE_IDS_AHEAD`` are set
aside at a time, for public trades change nothing that would be written.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding, Payment
from shared.exchange.orders import Fill, Order, Status
from shared.messages.base import Side
from shared.messages.terms import OrderTerms

TRADE_IDS_AHEAD = 10_000
"""Set aside per instrument; far more than one moment has trades."""


class OrderRow(msgspec.Struct, array_like=True, gc=False):
    """An order without its fills; the fields are those of ``Order`` and ``IncomingOrder``."""

    id: int
    terms: OrderTerms
    client_id: str
    post_only: bool
    reduce_only: bool
    tag: str
    ticks: int
    lots: int
    ts_ms: int
    updated_ms: int
    status: Status
    filled_lots: int
    cost: Decimal
    fee: Decimal
    fee_asset: str
    locked: Decimal
    lock_asset: str
    on_book: bool
    reason: str


class FillRow(msgspec.Struct, array_like=True, gc=False):
    """One execution; the fields are those of ``Fill``."""

    trade_id: int
    order_id: int
    client_id: str
    instrument: str
    side: Side
    ticks: int
    lots: int
    fee: Decimal
    fee_asset: str
    maker: bool
    ts_ms: int
    pnl: Decimal


class PaymentRow(msgspec.Struct, array_like=True, gc=False):
    """What a funding gave the account; the fields are those of ``Payment``."""

    id: int
    instrument: str
    amount: Decimal
    asset: str
    ts_ms: int


class SettledRow(msgspec.Struct, array_like=True, gc=False):
    """One settlement of a perpetual; the fields are those of ``Settled``."""

    instrument: str
    rate: Decimal
    mark: Decimal
    ts_ms: int


class Money(msgspec.Struct, array_like=True):
    """All of ``AccountLedger``: balances are (free, used), positions (quantity, cost)."""

    balances: dict[str, tuple[Decimal, Decimal]]
    positions: dict[str, tuple[Decimal, Decimal]]
    house: dict[str, Decimal]
    fees: dict[str, Decimal]
    funding: dict[str, Decimal]


class Counters(msgspec.Struct, array_like=True):
    """Where numbering goes on; trade ids are those set aside, of each instrument."""

    last_order_id: int
    trade_ids: dict[str, int]
    forgotten: dict[str, int]
    next_settlement_ms: int
    next_payment_id: int
    unnamed: int


class Change(msgspec.Struct, array_like=True):
    """What is different after one moment.

    Orders are in the order in which something happened to them last, so closed ones in the order
    of closing; everything else is oldest first.
    """

    orders: list[OrderRow]
    fills: list[FillRow]
    payments: list[PaymentRow]
    settled: list[SettledRow]
    money: Money
    counters: Counters


class Recorder:
    """Notices what changes in an account.

    Args:
        exchange: The venue's; nobody must listen to its orders before.
        funding: Of its perpetuals, if it has any.
    """

    def __init__(self, exchange: Exchange, funding: Funding | None) -> None:
        self._exchange, self._funding = exchange, funding
        self._orders: dict[int, Order] = {}
        self._fills: list[Fill] = []
        self._trade_ids = dict(exchange.trade_ids.newest_of)
        self._payment_id = 0
        self._settled_ms: dict[str, int] = {}
        self._settlement_ms = 0
        self.has_news = False
        exchange.order_listeners.insert(0, self._on_order)
        if funding is not None:
            funding.listeners.insert(0, self._on_payment)

    def look(self) -> None:
        """Notice what nobody is told of: settlements, and trade ids that run out."""
        if self._funding is not None and self._funding.due_ms != self._settlement_ms:
            self.has_news = True
        newest = self._exchange.trade_ids.newest_of
        if any(newest[name] + TRADE_IDS_AHEAD // 2 > ids for name, ids in self._trade_ids.items()):
            self.has_news = True

    def take(self) -> Change:
        """Return what changed since the last call, or since the beginning."""
        orders = [_order_row(order) for order in self._orders.values()]
        return self._told(orders, [_fill_row(fill) for fill in self._fills])

    def everything(self) -> Change:
        """Return the whole state; nothing that came before is needed beside it."""
        log = self._exchange.log
        closed = (log.orders[order_id] for order_id in log.closed)
        orders = [_order_row(order) for order in (*closed, *log.open.values())]
        newer = {id(fill) for fill in log.fills}
        older = [f for order in log.orders.values() for f in order.fills if id(f) not in newer]
        older.sort(key=lambda fill: fill.ts_ms)
        self._payment_id, self._settled_ms = 0, {}
        return self._told(orders, [_fill_row(fill) for fill in (*older, *log.fills)])

    def _told(self, orders: list[OrderRow], fills: list[FillRow]) -> Change:
        self._orders.clear()
        self._fills.clear()
        self.has_news = False
        for name, newest in self._exchange.trade_ids.newest_of.items():
            if newest + TRADE_IDS_AHEAD // 2 > self._trade_ids[name]:
                self._trade_ids[name] = newest + TRADE_IDS_AHEAD
        return Change(
            orders=orders,
            fills=fills,
            payments=self._new_payments(),
            settled=self._newly_settled(),
            money=_money(self._exchange),
            counters=Counters(
                last_order_id=self._exchange.last_order_id,
                trade_ids=dict(self._trade_ids),
                forgotten=dict(self._exchange.forgotten),
                next_settlement_ms=self._settlement_ms,
                next_payment_id=1 if self._funding is None else self._funding.next_payment_id,
                unnamed=self._exchange.log.unnamed,
            ),
        )

    def _new_payments(self) -> list[PaymentRow]:
        rows: list[PaymentRow] = []
        for payment in reversed(() if self._funding is None else self._funding.payments):
            if payment.id <= self._payment_id:
                break
            rows.append(
                PaymentRow(
                    payment.id,
                    payment.listing.instrument,
                    payment.amount,
                    payment.asset,
                    payment.ts_ms,
                )
            )
        if rows:
            self._payment_id = rows[0].id
        return rows[::-1]

    def _newly_settled(self) -> list[SettledRow]:
        found: list[SettledRow] = []
        if self._funding is None:
            return found
        self._settlement_ms = self._funding.due_ms
        for instrument, history in self._funding.settled.items():
            rows: list[SettledRow] = []
            for settled in reversed(history):
                if settled.ts_ms <= self._settled_ms.get(instrument, 0):
                    break
                rows.append(SettledRow(instrument, settled.rate, settled.mark, settled.ts_ms))
            if rows:
                self._settled_ms[instrument] = rows[0].ts_ms
            found += rows[::-1]
        return found

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        del what
        self._orders.pop(order.id, None)  # the last that something happened to is the last
        self._orders[order.id] = order
        if fill is not None:
            self._fills.append(fill)
        self.has_news = True

    def _on_payment(self, payment: Payment) -> None:
        del payment
        self.has_news = True


def _money(exchange: Exchange) -> Money:
    ledger = exchange.ledger
    return Money(
        balances={asset: (b.free, b.used) for asset, b in ledger.balances.items()},
        positions={name: (p.qty, p.cost) for name, p in ledger.positions.items()},
        house=dict(ledger.house),
        fees=dict(ledger.fees),
        funding=dict(ledger.funding),
    )


def _order_row(order: Order) -> OrderRow:
    request = order.request
    return OrderRow(
        id=order.id,
        terms=request.terms,
        client_id=request.client_id,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        tag=request.tag,
        ticks=order.ticks,
        lots=order.lots,
        ts_ms=order.ts_ms,
        updated_ms=order.updated_ms,
        status=order.status,
        filled_lots=order.filled_lots,
        cost=order.cost,
        fee=order.fee,
        fee_asset=order.fee_asset,
        locked=order.locked,
        lock_asset=order.lock_asset,
        on_book=order.on_book,
        reason=order.reason,
    )


def _fill_row(fill: Fill) -> FillRow:
    return FillRow(
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        client_id=fill.client_id,
        instrument=fill.listing.instrument,
        side=fill.side,
        ticks=fill.ticks,
        lots=fill.lots,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        maker=fill.maker,
        ts_ms=fill.ts_ms,
        pnl=fill.pnl,
    )
