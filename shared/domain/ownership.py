"""Which fills are ours: the orders announced before them, and how much of each was filled. Pure.

Fills are checked against the orders on record: a fill belongs to an order of its plan that was
announced (the executor publishes SUBMITTED before it sends an order, and announces what it adopts
before its fills), in that order's instrument, venue and side, and all fills of an order together
are no more than was ordered.

Orders are remembered with their plan: while it is open, and after its end for as long as the
executor keeps finished plans, because a late fill belongs to its old order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from shared.domain.accounting import Books
from shared.messages.base import Side
from shared.messages.execution import Fill, OrderEvent
from shared.messages.terms import is_same_side

PLANS_OPEN_MAX: Final = 128
"""Plans with orders that have not ended; the oldest beyond it is forgotten."""
PLANS_ENDED_MAX: Final = 64
"""Ended plans whose orders are remembered: as many as the executor keeps for late fills."""
ORDERS_PER_PLAN_MAX: Final = 64
"""Orders of one plan; more are not taken on record. Legs and rebalancing orders are fewer."""
EARLIER: Final = ""
"""Stands among a plan's orders for those announced before orders were remembered."""


class OwnOrder(msgspec.Struct, array_like=True):
    """An order on record, base units; ``filled`` is what was booked of it."""

    venue: str
    instrument: str
    side: Side
    qty: Decimal
    filled: Decimal = Decimal(0)


Orders = dict[str, OwnOrder]
"""Orders of one plan by client order id."""

_ENCODER = msgspec.json.Encoder(decimal_format="string")
_ORDERS = msgspec.json.Decoder(Orders)


class OrdersOnRecord(msgspec.Struct):
    """Announced orders by plan: of open plans, and of ended ones, the newest last.

    Orders of ended plans are kept as they are saved: they are many, hardly ever looked at, and
    would have to be encoded again whenever anything else changes.
    """

    open: dict[str, Orders] = {}
    ended: dict[str, msgspec.Raw] = {}

    def __post_init__(self) -> None:
        for saved in self.ended.values():
            _ORDERS.decode(saved)  # what was saved is proved when it is read

    def refuses(self, event: OrderEvent) -> str:
        """Return why an order cannot be taken on record; empty if it can, or is there."""
        orders = self._of(event.plan_id)
        if orders is None:
            return ""
        known = orders.get(event.client_order_id)
        if known is None:
            full = len(orders) >= ORDERS_PER_PLAN_MAX
            return f"its plan has {ORDERS_PER_PLAN_MAX} orders" if full else ""
        if not is_same_side(known, event) or known.qty != event.qty:
            return f"it is on record as {_description(known)}"
        return ""

    def announce(self, event: OrderEvent) -> bool:
        """Take an order on record; return False where it was."""
        orders = self._of(event.plan_id)
        if orders is None:
            orders = self.open[event.plan_id] = {}
            if len(self.open) > PLANS_OPEN_MAX:
                del self.open[next(iter(self.open))]
        if event.client_order_id in orders:
            return False
        orders[event.client_order_id] = OwnOrder(
            event.venue, event.instrument, event.side, event.qty
        )
        self._keep(event.plan_id, orders)
        return True

    def filled(self, plan_id: str, side: Side) -> dict[str, Decimal]:
        """Return what was booked of a plan's orders of one side, by instrument."""
        filled: dict[str, Decimal] = {}
        for order in (self._of(plan_id) or {}).values():
            if order.side is side:
                filled[order.instrument] = filled.get(order.instrument, Decimal(0)) + order.filled
        return filled

    def filled_in(self, plan_id: str, venue: str, instrument: str) -> Decimal:
        """Return what was booked of a plan's orders in one instrument, either side, base units."""
        return sum(
            (
                order.filled
                for order in (self._of(plan_id) or {}).values()
                if (order.venue, order.instrument) == (venue, instrument)
            ),
            Decimal(0),
        )

    def knows(self, plan_id: str) -> bool:
        """Tell whether orders of this plan are on record."""
        return plan_id in self.open or plan_id in self.ended

    def expect_earlier(self, plan_id: str, *, is_ended: bool) -> None:
        """Record a plan some of whose orders were announced before orders were kept on record."""
        orders = {EARLIER: OwnOrder("", "", Side.BUY, Decimal(0))}
        if is_ended:
            self._put_ended(plan_id, orders)
        else:
            self.open[plan_id] = orders

    def ownership_flaw(self, fill: Fill) -> str:
        """Return why a fill belongs to no order on record, whatever its quantity; else empty."""
        orders = self._of(fill.plan_id)
        if orders is None:
            return f"its plan {fill.plan_id} is unknown"
        order = orders.get(fill.client_order_id)
        if order is None:
            return "" if EARLIER in orders else f"its plan {fill.plan_id} announced no such order"
        return "" if is_same_side(order, fill) else f"its order is {_description(order)}"

    def overfills(self, fill: Fill) -> str:
        """Return why a fill is more than its order has left; empty if it is not."""
        order = self._order(fill)
        if order is None or order.filled + fill.qty <= order.qty:
            return ""
        return f"its order is {_description(order)}, of which {order.filled} are filled"

    def book(self, fill: Fill) -> None:
        """Count a fill that is new."""
        orders = self._of(fill.plan_id) or {}
        order = orders.get(fill.client_order_id)
        if order is not None:
            order.filled += fill.qty
            self._keep(fill.plan_id, orders)

    def end(self, plan_id: str) -> None:
        """Keep the orders of a plan that ended, the oldest making room."""
        orders = self.open.pop(plan_id, None)
        if orders is not None:
            self._put_ended(plan_id, orders)
            if len(self.ended) > PLANS_ENDED_MAX:
                del self.ended[next(iter(self.ended))]

    def _of(self, plan_id: str) -> Orders | None:
        orders = self.open.get(plan_id)
        if orders is not None:
            return orders
        saved = self.ended.get(plan_id)
        return None if saved is None else _ORDERS.decode(saved)

    def _keep(self, plan_id: str, orders: Orders) -> None:
        """Take over a change of a plan's orders, as ``_of`` has given them."""
        if plan_id not in self.open:
            self._put_ended(plan_id, orders)

    def _put_ended(self, plan_id: str, orders: Orders) -> None:
        self.ended[plan_id] = msgspec.Raw(_ENCODER.encode(orders))

    def _order(self, fill: Fill) -> OwnOrder | None:
        orders = self._of(fill.plan_id)
        return None if orders is None else orders.get(fill.client_order_id)


def reduced_text(fill: Fill) -> str:
    """Describe what a venue closed by itself; empty for a fill that we ordered."""
    if not fill.reduced_by:
        return ""
    what = f"{fill.qty} {fill.instrument} at {fill.price}"
    return f"{fill.venue} closed {what} by itself ({fill.reduced_by})"


def reduction_flaw(fill: Fill, books: Books) -> str:
    """Return why a venue's own fill did more than close what these accounts held then."""
    qty = books.held_at(fill.venue, fill.instrument, fill.ts_venue_ns)
    if fill.side.signed(fill.qty) * qty < 0 and fill.qty <= abs(qty):
        return ""
    return f"the venue is said to have closed it ({fill.reduced_by}), and {qty} was held"


def _description(order: OwnOrder) -> str:
    return f"to {order.side} {order.qty} {order.instrument} at {order.venue}"
