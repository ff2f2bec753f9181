"""Checks of executions at the venues: FLATTEN only reduces, and we never trade with ourselves.

Accounts at one venue share its books there, and not in the lab: for them the prices are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.lab.positions import is_ours, key_of
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill as ExchangeFill
from shared.exchange.orders import Order
from shared.messages.execution import OrderEvent, OrderPurpose
from shared.messages.terms import OrderTerms

Report = Callable[[str, str], None]
"""Takes the name of a checker and what it says."""


def watch_positions(exchange: Exchange, records: Mapping[str, OrderEvent], report: Report) -> None:
    """Report an execution of FLATTEN that opens, turns or adds to a position."""

    def on_order(order: Order, what: str, fill: ExchangeFill | None) -> None:
        if fill is None or not key_of(fill):
            return
        record = records.get(fill.client_id)
        if record is None or record.purpose is not OrderPurpose.FLATTEN:
            return
        name = fill.listing.instrument
        after = exchange.ledger.positions[name].qty
        before = after - fill.side.signed(fill.qty)
        if before * after < 0 or abs(after) > abs(before):
            report("closes", f"FLATTEN made {before} of {name} to {after}")

    exchange.order_listeners.append(on_order)


def watch_trades(exchange: Exchange, report: Report) -> None:
    """Report an order of ours that trades with another one of ours."""
    sides: dict[tuple[str, int], str] = {}

    def on_order(order: Order, what: str, fill: ExchangeFill | None) -> None:
        if fill is None or not key_of(fill):
            return
        trade = fill.listing.instrument, fill.trade_id
        other = sides.setdefault(trade, fill.client_id)
        if other != fill.client_id:
            report("self_trade", f"{fill.client_id} trades with {other}")

    exchange.order_listeners.append(on_order)


def watch_accounts(
    exchanges: Mapping[str, Exchange], same_books: Mapping[str, str], report: Report
) -> None:
    """Report an order that takes what another account of ours at the same venue has resting.

    Args:
        exchanges: By venue.
        same_books: Of venues that are further accounts at another one, which that is.
        report: Takes what is found.
    """
    if not same_books:
        return

    def watch(venue: str, exchange: Exchange) -> None:
        book = same_books.get(venue, venue)
        others = [
            each
            for name, each in exchanges.items()
            if name != venue and same_books.get(name, name) == book
        ]
        seen: dict[int, None] = {}

        def on_order(order: Order, what: str, fill: ExchangeFill | None) -> None:
            terms = order.request.terms
            if order.id in seen or terms.rests or not is_ours(order.request.client_id):
                return
            seen[order.id] = None
            for each in others:
                for resting in each.open_orders.values():
                    if _would_take(terms, resting.request.terms):
                        text = f"{order.request.client_id} takes {resting.request.client_id}"
                        report("self_trade", f"{text}, of another account of ours")

        exchange.order_listeners.append(on_order)

    for venue, exchange in exchanges.items():
        watch(venue, exchange)


def _would_take(taking: OrderTerms, resting: OrderTerms) -> bool:
    if taking.instrument != resting.instrument or taking.side is resting.side:
        return False
    return taking.side.signed(taking.price_limit - resting.price_limit) >= 0
