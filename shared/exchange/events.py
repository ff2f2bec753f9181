"""What an exchange reports to its client: copies that never change afterwards. Pure."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.exchange.orders import Refusal, Status
from shared.messages.base import Side
from shared.messages.market import Level
from shared.messages.terms import OrderType, TimeInForce

NS_PER_MS = 1_000_000


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as a client sends it; ``price`` is ``None`` for market orders."""

    client_order_id: str
    instrument: str
    side: Side
    qty: Decimal
    price: Decimal | None = None
    type: OrderType = OrderType.LIMIT
    tif: TimeInForce = TimeInForce.IOC
    post_only: bool = False
    reduce_only: bool = False


class FillState(msgspec.Struct, frozen=True, kw_only=True):
    """One execution; ``pnl`` is what it realized of a perpetual position, in quote."""

    trade_id: int
    order_id: int
    client_order_id: str
    instrument: str
    side: Side
    price: Decimal
    qty: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    pnl: Decimal
    ts_ns: int


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stood when it was asked for; ``cost`` is in quote, without fees."""

    order_id: int
    client_order_id: str
    instrument: str
    side: Side
    type: OrderType
    tif: TimeInForce
    price: Decimal | None
    qty: Decimal
    filled_qty: Decimal
    cost: Decimal
    status: Status
    reduce_only: bool
    fills: tuple[FillState, ...]
    ts_ns: int
    updated_ns: int

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in {Status.NEW, Status.PARTIALLY_FILLED}


class BookChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Changed levels of one book, as (price, quantity); a quantity of 0 removes the level.

    ``seq_prev`` is the ``seq`` of the change before, or of the book asked for at the start.
    """

    venue: str
    instrument: str
    seq_prev: int
    seq: int
    bids: list[Level]
    asks: list[Level]
    ts_ns: int


class TrueBook(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole book as the exchange has it, best level first."""

    venue: str
    instrument: str
    seq: int
    bids: list[Level]
    asks: list[Level]


class PublicTrade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A public trade; ``side`` is the taker's."""

    venue: str
    instrument: str
    trade_id: int
    side: Side
    price: float
    qty: float
    ts_ns: int


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The account's own news: an order is NEW, has a TRADE (with its fill), or has ended."""

    venue: str
    what: str
    order: OrderState
    fill: FillState | None = None


Event = BookChange | PublicTrade | OrderUpdate


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The exchange's answer to a request: the order, or why not; and the events it caused."""

    order: OrderState | None
    refusal: Refusal | None
    events: list[Event]
