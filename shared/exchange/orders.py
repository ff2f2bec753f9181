"""Orders, fills and prints as a venue keeps them, and why one is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum

from shared.exchange.listing import Listing
from shared.messages.base import Side
from shared.messages.terms import OrderTerms, OrderType, TimeInForce


class Status(StrEnum):
    """Where an order is in its life."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class Refusal(Enum):
    """Why an order is not accepted; each venue has its own code or text for it."""

    INSTRUMENT = "not listed"
    PRICE_FILTER = "price off the tick grid or not positive"
    LOT_SIZE = "quantity off the lot grid or below the minimum"
    NOTIONAL = "value below the minimum"
    BALANCE = "insufficient balance"
    MARGIN = "insufficient margin"
    WOULD_TAKE = "post-only order would match at once"
    FOK_UNFILLED = "fill-or-kill order cannot be filled"
    DUPLICATE_ID = "client order id is in use by an open order"
    REDUCE_ONLY = "reduce-only order would not reduce"
    NO_LIQUIDITY = "nothing to match a market order with"
    TOO_MANY_OPEN = "too many open orders"
    NOT_OPEN = "no such open order"
    FAULT = "refused by an injected fault"


class RefusedError(Exception):
    """The venue does not accept the order; nothing was done."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class IncomingOrder:
    """An order as asked for; the limit of a MARKET order says nothing."""

    listing: Listing
    terms: OrderTerms
    client_id: str
    post_only: bool = False
    reduce_only: bool = False
    tag: str = ""  # what a venue's protocol wants to remember of the order

    @property
    def side(self) -> Side:
        """Whether it buys or sells."""
        return self.terms.side

    @property
    def qty(self) -> Decimal:
        """Base units."""
        return self.terms.qty

    @property
    def type(self) -> OrderType:
        """How the price is meant."""
        return self.terms.order_type

    @property
    def tif(self) -> TimeInForce:
        """How long it lives."""
        return self.terms.time_in_force


@dataclass(slots=True)
class Fill:
    """One execution of one order; ``fee`` is in ``fee_asset``, ``pnl`` in quote."""

    trade_id: int
    order_id: int
    client_id: str
    listing: Listing
    side: Side
    ticks: int
    lots: int
    fee: Decimal
    fee_asset: str
    maker: bool
    ts_ms: int
    pnl: Decimal = Decimal(0)

    @property
    def price(self) -> Decimal:
        """Price in quote units."""
        return self.listing.price(self.ticks)

    @property
    def qty(self) -> Decimal:
        """Quantity in base units."""
        return self.listing.qty(self.lots)


@dataclass(slots=True)
class Order:
    """An accepted order."""

    id: int
    request: IncomingOrder
    ticks: int  # zero for market orders
    lots: int
    ts_ms: int
    updated_ms: int
    status: Status = Status.NEW
    filled_lots: int = 0
    cost: Decimal = Decimal(0)  # paid or received so far in the asset of settlement, without fees
    fee: Decimal = Decimal(0)  # in ``fee_asset``
    fee_asset: str = ""
    locked: Decimal = Decimal(0)
    lock_asset: str = ""
    on_book: bool = False
    fills: list[Fill] = field(default_factory=list)
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in {Status.NEW, Status.PARTIALLY_FILLED}

    @property
    def remaining_lots(self) -> int:
        """Lots not filled."""
        return self.lots - self.filled_lots

    @property
    def average(self) -> Decimal:
        """Average fill price, zero before the first fill."""
        if not self.filled_lots:
            return Decimal(0)
        qty, is_inverse = self.request.listing.qty(self.filled_lots), self.request.listing.inverse
        return qty / self.cost if is_inverse else self.cost / qty


@dataclass(frozen=True, slots=True)
class Print:
    """A public trade; ``side`` is the taker's."""

    trade_id: int
    listing: Listing
    side: Side
    ticks: int
    lots: int
    ts_ms: int


TRADES_APART = 1_000_000_000
"""Between the first trades of two instruments that are numbered apart."""


class TradeIds:
    """Numbers trades: all of a venue in one sequence, or those of each instrument in its own."""

    def __init__(self, instruments: Iterable[str], first: int, *, apart: bool) -> None:
        self.newest_of = {
            instrument: first + place * TRADES_APART if apart else first
            for place, instrument in enumerate(instruments)
        }
        self._shared = None if apart else first

    def next(self, instrument: str) -> int:
        """Return the number of another trade."""
        if self._shared is None:
            self.newest_of[instrument] += 1
        else:
            self._shared += 1
            self.newest_of[instrument] = self._shared
        return self.newest_of[instrument]

    def newest(self, instrument: str) -> int:
        """Return the number of its last trade."""
        return self.newest_of[instrument]

    def continue_after(self, newest_of: Mapping[str, int]) -> None:
        """Go on with the numbers after these, of each instrument."""
        self.newest_of.update(newest_of)
        if self._shared is not None:
            self._shared = max(self._shared, *self.newest_of.values())
