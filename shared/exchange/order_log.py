"""The orders and fills of one account that a venue remembers. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from shared.exchange.accounts import AccountLedger
from shared.exchange.orders import Fill, Order
from shared.exchange.reduce_only import ReduceOnly

ORDERS_MAX = 20_000
"""Closed orders remembered per venue; the oldest are forgotten and counted."""
FILLS_MAX = 50_000
"""Fills remembered per venue."""


class OrderLog:
    """Orders by the venue's id and by the client's, those that are open, and fills, oldest first.

    Orders are in the order in which they were placed; of the closed ones the first closed is the
    first forgotten.
    """

    def __init__(self, ledger: AccountLedger) -> None:
        self.orders: dict[int, Order] = {}
        self.open: dict[int, Order] = {}
        self.fills: deque[Fill] = deque(maxlen=FILLS_MAX)
        self.forgotten = {"orders": 0, "fills": 0}
        self.orders_max = ORDERS_MAX
        self.reduce_only = ReduceOnly(ledger)
        self.closed: deque[int] = deque()
        """Ids, the first closed in front."""
        self.unnamed = 0
        """Orders, and requests, that the venue had to name because the client did not."""
        self._by_client_id: dict[str, int] = {}

    def number_unnamed(self) -> int:
        """Return the number of another one."""
        self.unnamed += 1
        return self.unnamed

    def find(self, order_id: int | None, client_id: str = "") -> Order | None:
        """Return an order by the venue's id or the client's (the newest that used it)."""
        if order_id is not None:
            return self.orders.get(order_id)
        return self.orders.get(self._by_client_id.get(client_id, -1))

    def add(self, order: Order) -> None:
        """Remember a new order."""
        self.orders[order.id] = order
        self.open[order.id] = order
        self.reduce_only.add(order)
        self._by_client_id[order.request.client_id] = order.id

    def rename(self, order: Order, client_id: str) -> None:
        """Give an order another client order id; by the old one it is not found any more."""
        self._forget_name(order)
        order.request = replace(order.request, client_id=client_id)
        self._by_client_id[client_id] = order.id

    def _forget_name(self, order: Order) -> None:
        if self._by_client_id.get(order.request.client_id) == order.id:
            del self._by_client_id[order.request.client_id]

    def add_fill(self, order: Order, fill: Fill) -> None:
        """Remember a fill of an order that is remembered."""
        if len(self.fills) == FILLS_MAX:
            self.forgotten["fills"] += 1
        self.fills.append(fill)
        order.fills.append(fill)

    def close(self, order: Order) -> None:
        """Count an order as closed; the oldest closed ones are forgotten."""
        self.open.pop(order.id, None)
        self.reduce_only.forget(order)
        order.on_book = False
        self.closed.append(order.id)
        if len(self.closed) > self.orders_max:
            gone = self.orders.pop(self.closed.popleft())
            self._forget_name(gone)
            self.forgotten["orders"] += 1
