"""Facts from the streams: services alive, positions held by risk, orders on record. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from shared.domain.booked_balances import booked_at
from shared.domain.instrument import MarketKey, split_instrument
from shared.domain.order import ZERO
from shared.domain.rounding import exact
from shared.messages.base import BookState, Message
from shared.messages.control import Heartbeat
from shared.messages.execution import OrderEvent, OrderPurpose, OrderStatus, RiskReport
from shared.messages.market import DepthView

ORDERS_MAX: Final = 20_000
"""Orders remembered, the newest."""
SUSPECTS_MAX: Final = 64
"""Orders remembered that left on a book that was not LIVE."""
ENDED: Final = frozenset(
    (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.NOT_SENT)
)


class Facts:
    """Folds messages; times are UNIX ns."""

    def __init__(self) -> None:
        self.beat_ns: dict[str, int] = {}
        """Service -> its newest heartbeat."""
        self.risk: RiskReport | None = None
        self.orders: dict[tuple[str, str], bool] = {}
        """Venue and client order id -> whether it works, as the executor's record has it."""
        self.suspects: dict[tuple[str, str], tuple[str, int]] = {}
        """Orders that left on an untrusted book, by venue and client order id -> text and time."""
        self._views: dict[MarketKey, DepthView] = {}
        self._untrusted_ns: dict[MarketKey, int] = {}

    def on_message(self, message: Message, untrusted_ns_max: int) -> None:
        """Take a message; other kinds are ignored."""
        match message:
            case Heartbeat():
                self.beat_ns[message.service] = max(
                    self.beat_ns.get(message.service, 0), message.ts_ns
                )
            case RiskReport():
                self.risk = message
            case OrderEvent():
                self._on_order(message, untrusted_ns_max)
            case DepthView():
                self._on_view(message)

    def is_heard(self, service: str, now_ns: int, silence_ns_max: int) -> bool:
        """Tell whether a service has sent a heartbeat lately."""
        return now_ns - self.beat_ns.get(service, 0) <= silence_ns_max

    def price(self, base: str, quotes: Iterable[str]) -> Decimal | None:
        """Return the middle of a LIVE book of a base asset against one of these quote assets."""
        wanted = set(quotes)
        for (_, instrument), view in self._views.items():
            name = split_instrument(instrument)
            is_it = name.base == base and name.quote in wanted
            if is_it and view.state is BookState.LIVE and view.bids and view.asks:
                return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
        return None

    def mid(self, venue: str, instrument: str) -> Decimal | None:
        """Return the middle of a LIVE book."""
        view = self._views.get((venue, instrument))
        if view is None or view.state is not BookState.LIVE or not (view.bids and view.asks):
            return None
        return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2

    def _on_view(self, view: DepthView) -> None:
        market = view.venue, view.instrument
        self._views[market] = view
        if view.state is BookState.LIVE:
            self._untrusted_ns.pop(market, None)
        else:
            self._untrusted_ns.setdefault(market, view.ts_ns)

    def _on_order(self, order: OrderEvent, untrusted_ns_max: int) -> None:
        key = order.venue, order.client_order_id
        self.orders.pop(key, None)
        self.orders[key] = order.status not in ENDED
        while len(self.orders) > ORDERS_MAX:
            del self.orders[next(iter(self.orders))]
        since_ns = self._untrusted_ns.get((order.venue, order.instrument), order.ts_ns)
        is_new = order.status is OrderStatus.SUBMITTED and order.purpose is OrderPurpose.LEG
        if is_new and order.ts_ns - since_ns > untrusted_ns_max:
            age_ms = (order.ts_ns - since_ns) // 1_000_000
            text = f"{order.client_order_id} left for {order.instrument} at {order.venue}, whose "
            self.suspects[key] = f"{text}book had not been LIVE for {age_ms} ms", order.ts_ns
            while len(self.suspects) > SUSPECTS_MAX:
                del self.suspects[next(iter(self.suspects))]


def positions_of(risk: RiskReport) -> dict[MarketKey, Decimal]:
    """Return what risk holds of derivatives, by venue and instrument."""
    return {(each.venue, each.instrument): each.qty for each in risk.positions if each.venue}


def spot_of(risk: RiskReport) -> dict[str, Decimal]:
    """Return what spot trades left over per base asset, as risk has it."""
    found: dict[str, Decimal] = {}
    for each in risk.positions:
        if not each.venue:
            base = split_instrument(each.instrument).base
            found[base] = found.get(base, ZERO) + each.qty
    return found


def booked_of(risk: RiskReport, venues: Iterable[str], asset: str) -> Decimal:
    """Return by how much all on record changed an asset's balances, over some venues.

    That is trading, fees and funding, and what the executor told as moved beside them.
    """
    told = (booked_at(venue, risk.inventory, risk.transfers) for venue in venues)
    return sum((each.get(asset, ZERO) for each in told), ZERO)
