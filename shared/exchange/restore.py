"""An exchange as ``state.py`` recorded it, made again from the records. Pure.

``restore`` carries changes out on an exchange that is new, and ``rest_orders`` puts its open orders
on the books, before anybody quotes: at their prices they stand in front.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.exchange.accounts import Balance, Position
from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding, Payment, Settled
from shared.exchange.orders import Fill, IncomingOrder, Order
from shared.exchange.state import Change, Money, OrderRow


class StateError(Exception):
    """A record does not fit this venue; the text says why."""


def restore(exchange: Exchange, funding: Funding | None, changes: Iterable[Change]) -> None:
    """Carry changes out, oldest first, on an exchange to which nothing happened yet.

    Raises:
        StateError: A record is of an instrument that is not listed, or of an unknown order.
    """
    for change in changes:
        try:
            _orders(exchange, change)
            _fills(exchange, change)
            _restore_money(exchange, change.money)
            _restore_funding(exchange, funding, change)
        except KeyError as error:
            raise StateError(f"it is about {error}, which this venue does not have") from error
        counters = change.counters
        exchange.last_order_id = counters.last_order_id
        exchange.trade_ids.continue_after(counters.trade_ids)
        exchange.log.unnamed = counters.unnamed
        exchange.forgotten.update(counters.forgotten)


def rest_orders(exchange: Exchange) -> None:
    """Put the open orders of a restored exchange on its books, which are empty."""
    for order in exchange.open_orders.values():
        request = order.request
        book = exchange.books[request.listing.instrument]
        book.rest(request.side, order.ticks, order.id, order.remaining_lots)


def _orders(exchange: Exchange, change: Change) -> None:
    log = exchange.log
    for row in sorted(change.orders, key=lambda row: row.id):
        order = log.orders.get(row.id)
        if order is None:
            order = _new_order(exchange, row)
            log.add(order)
        order.lots, order.updated_ms, order.status = row.lots, row.updated_ms, row.status
        order.filled_lots, order.cost = row.filled_lots, row.cost
        order.fee, order.fee_asset = row.fee, row.fee_asset
        order.locked, order.on_book, order.reason = row.locked, row.on_book, row.reason
    for row in change.orders:
        order = log.orders[row.id]
        if not order.is_open:
            log.close(order)


def _new_order(exchange: Exchange, row: OrderRow) -> Order:
    request = IncomingOrder(
        listing=exchange.by_instrument[row.terms.instrument],
        terms=row.terms,
        client_id=row.client_id,
        post_only=row.post_only,
        reduce_only=row.reduce_only,
        tag=row.tag,
    )
    order = Order(row.id, request, row.ticks, row.lots, row.ts_ms, row.updated_ms)
    order.lock_asset = row.lock_asset
    return order


def _fills(exchange: Exchange, change: Change) -> None:
    log = exchange.log
    for row in change.fills:
        fill = Fill(
            trade_id=row.trade_id,
            order_id=row.order_id,
            client_id=row.client_id,
            listing=exchange.by_instrument[row.instrument],
            side=row.side,
            ticks=row.ticks,
            lots=row.lots,
            fee=row.fee,
            fee_asset=row.fee_asset,
            maker=row.maker,
            ts_ms=row.ts_ms,
            pnl=row.pnl,
        )
        order = log.orders.get(row.order_id)
        log.fills.append(fill)
        if order is not None:  # else it is forgotten
            order.fills.append(fill)


def _restore_money(exchange: Exchange, money: Money) -> None:
    ledger = exchange.ledger
    ledger.balances.clear()
    ledger.positions.clear()
    for asset, (free, used) in money.balances.items():
        ledger.balances[asset] = Balance(free, used)
    for instrument, (qty, cost) in money.positions.items():
        listing = exchange.by_instrument[instrument]
        ledger.positions[instrument] = Position(listing.settle, qty, cost, listing.inverse)
    ledger.house, ledger.fees, ledger.funding = money.house, money.fees, money.funding


def _restore_funding(exchange: Exchange, funding: Funding | None, change: Change) -> None:
    for row in change.payments:
        exchange.ledger.fundings.append((row.ts_ms, row.asset, row.amount))
    if funding is None:
        return
    for row in change.payments:
        listing = exchange.by_instrument[row.instrument]
        funding.payments.append(Payment(row.id, listing, row.amount, row.asset, row.ts_ms))
    for settled in change.settled:
        past = Settled(settled.rate, settled.mark, settled.ts_ms)
        funding.settled[settled.instrument].append(past)
    due_ms, interval_ms = change.counters.next_settlement_ms, funding.terms.interval_ms
    funding.due_ms = funding.next_ms(due_ms) if due_ms % interval_ms else due_ms
    funding.next_payment_id = change.counters.next_payment_id
