"""Orders that may only close a position: what they close together, and which are void. Pure."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.accounts import AccountLedger
from shared.exchange.listing import Listing
from shared.exchange.orders import Order
from shared.messages.base import Side


class ReduceOnly:
    """The open reduce-only orders of an account, oldest first."""

    def __init__(self, ledger: AccountLedger) -> None:
        self._ledger = ledger
        self._orders: dict[int, Order] = {}

    def add(self, order: Order) -> None:
        """Watch an order, if it is reduce-only."""
        if order.request.reduce_only and order.request.listing.perpetual:
            self._orders[order.id] = order

    def forget(self, order: Order) -> None:
        """Forget an order that is closed."""
        self._orders.pop(order.id, None)

    def closing(self, listing: Listing, besides: Order | None = None) -> Decimal:
        """Return what the open ones of an instrument have yet to close, base units."""
        others = (order for order in self._of(listing) if order is not besides)
        return sum((abs(_signed(order)) for order in others), Decimal(0))

    def left(self, listing: Listing, side: Side) -> Decimal:
        """Return what another one of a side may close."""
        position = self._ledger.positions.get(listing.instrument)
        held = -side.signed(position.qty) if position else Decimal(0)
        return max(Decimal(0), held - self.closing(listing))

    def void(self, listing: Listing) -> list[Order]:
        """Return the newest orders that are more than what is left of the position."""
        if not self._orders:
            return []
        position = self._ledger.positions.get(listing.instrument)
        held = position.qty if position else Decimal(0)
        void = []
        for order in self._of(listing):
            signed = _signed(order)
            if held * signed < 0 and abs(signed) <= abs(held):
                held += signed
            else:
                void.append(order)
        return void

    def _of(self, listing: Listing) -> list[Order]:
        return [o for o in self._orders.values() if o.request.listing is listing]


def _signed(order: Order) -> Decimal:
    qty = order.request.listing.qty(order.remaining_lots)
    return qty if order.request.side is Side.BUY else -qty
