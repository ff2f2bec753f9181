"""Cancels every working order of one venue account until the venue shows none. Pure.

The venue's own cancel-all goes first: one request, and none that depends on a list of orders. Then
working orders are read, whatever became of it; each that is left is canceled, and they are read
again: the venue's own list is the only proof. An order on its way may not be in it yet, so the
first empty list is confirmed by a second one ``SETTLE_NS`` later. After a failure cancel-all is
asked for again: an order may have come since.
"""

from __future__ import annotations

from typing import Final

from services.sentinel.requests import (
    AllCanceled,
    CancelAll,
    CancelAnswered,
    CancelOrder,
    OrdersRead,
    ReadOrders,
)
from shared.accounts.gateway import OrderKey, OrderReport
from shared.engine import Action

SETTLE_NS: Final = 500_000_000
RETRY_NS: Final = 200_000_000


class VenueOrders:
    """One account; ``found`` and ``left`` hold orders as text, by the venue's id."""

    def __init__(self, venue: str, instruments: tuple[str, ...], now_ns: int) -> None:
        self.venue, self._instruments = venue, instruments
        self.found: dict[str, str] = {}
        self.left: dict[str, str] | None = None
        """``None`` while the venue was never read: unknown is not none."""
        self.problem = "no answer yet"
        self.cancel_all = "no answer yet"
        """Why the venue is not known to have taken cancel-all; empty where it has, once."""
        self.clear_ns = 0
        """Since when the venue shows no working order; 0: it shows some, or was not read."""
        self.is_clear = False
        self._has_cancel_all = self._cancels_all = True
        self._canceling: dict[str, None] = {}
        self._asked_ns = 0
        self._due_ns: int | None = now_ns

    def next_deadline_ns(self) -> int | None:
        """Return when the next request is due."""
        return self._due_ns

    def on_time(self, now_ns: int) -> list[Action]:
        """Ask for cancel-all, or read the orders, if that is due."""
        if self._due_ns is None or self._due_ns > now_ns:
            return []
        self._due_ns = None
        if self._cancels_all:
            self._cancels_all = False
            return [CancelAll(self.venue, self._instruments)]
        self._asked_ns = now_ns
        return [ReadOrders(self.venue, self._instruments)]

    def on_all_canceled(self, told: AllCanceled, now_ns: int) -> None:
        """Read the orders, whatever the venue said."""
        self._has_cancel_all = not told.none
        self.cancel_all = self.cancel_all and (told.problem or told.none)
        self._due_ns = now_ns

    def on_orders(self, told: OrdersRead, now_ns: int) -> list[Action]:
        """Cancel the working orders; if there are none, read once more to confirm."""
        self.problem = ""
        self.left = {_id_of(order): _order_text(order) for order in told.orders}
        self.found |= self.left
        if not told.orders:
            self.is_clear = 0 < self.clear_ns <= self._asked_ns - SETTLE_NS
            self.clear_ns = self.clear_ns or now_ns
            if not self.is_clear:
                self._due_ns = self.clear_ns + SETTLE_NS
            return []
        self.clear_ns = 0
        keys = [_key_of(order) for order in told.orders]
        self._canceling = dict.fromkeys(_name(key) for key in keys)
        return [CancelOrder(key) for key in keys]

    def on_canceled(self, told: CancelAnswered, now_ns: int) -> None:
        """Read the orders again once every cancel has ended."""
        self._canceling.pop(_name(told.key), None)
        if told.problem:
            self.problem = told.problem
        if not self._canceling and self.problem:
            self._again(now_ns)
        elif not self._canceling:
            self._due_ns = now_ns

    def on_failed(self, reason: str, now_ns: int) -> None:
        """Try again soon."""
        self.problem = reason
        self._again(now_ns)

    def _again(self, now_ns: int) -> None:
        self._due_ns, self._cancels_all = now_ns + RETRY_NS, self._has_cancel_all


def _id_of(order: OrderReport) -> str:
    return order.venue_order_id or order.client_order_id


def _name(key: OrderKey) -> str:
    return key.venue_order_id or key.client_order_id


def _key_of(order: OrderReport) -> OrderKey:
    return OrderKey(
        venue=order.terms.venue,
        instrument=order.terms.instrument,
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
    )


def _order_text(order: OrderReport) -> str:
    terms = order.terms
    name = order.client_order_id or order.venue_order_id
    return f"{name} ({terms.side} {terms.qty:f} {terms.instrument} at {terms.price_limit:f})"
