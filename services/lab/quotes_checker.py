"""Checks resting orders: one on each side of a book, and none without a plan in progress.

What they fill is watched like any leg (``uneven.py``), and when a world is quiet after its HALT
nothing may rest at all (``quiet.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.executor.ids import parse_client_order_id, plan_key
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill, Order

if TYPE_CHECKING:
    from services.lab.world import World


class QuotesChecker:
    """Watches the orders of ours that rest at the venues."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.placed = 0
        self.filled = 0
        """Orders that rested, and how often one of them was filled."""
        for exchange in world.exchanges.values():
            self._watch(exchange)

    def _watch(self, exchange: Exchange) -> None:
        def on_order(order: Order, what: str, fill: Fill | None) -> None:
            if not order.request.terms.rests:
                return
            self.filled += what == "TRADE"
            if what == "NEW":
                self.placed += 1
                self._check_place(exchange, order)

        exchange.order_listeners.append(on_order)

    def _check_place(self, exchange: Exchange, order: Order) -> None:
        """A new one stands where none of ours stands: the one before is known to be over."""
        terms = order.request.terms
        for other in exchange.open_orders.values():
            has_place = other.request.terms.market == terms.market
            if other is order or not has_place or other.request.terms.side is not terms.side:
                continue
            if other.request.terms.rests and not self._world.checkers.has_lost_records:
                text = f"{order.request.client_id} rests beside {other.request.client_id}"
                self._world.checkers.report("one_quote", f"{exchange.venue}: {text}")

    def on_end(self, plan_id: str) -> None:
        """A plan has ended: nothing of it rests."""
        if self._world.checkers.has_lost_records:
            return
        key = plan_key(plan_id)
        for venue, exchange in self._world.exchanges.items():
            for order in exchange.open_orders.values():
                parsed = parse_client_order_id(order.request.client_id)
                if parsed is not None and parsed[0] == key and order.request.terms.rests:
                    text = f"{order.request.client_id} rests on, its plan has ended"
                    self._world.checkers.report("no_plan", f"{venue}: {text}")
