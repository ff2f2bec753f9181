"""The port to one venue account: what the executor asks, and the facts it gets back. Pure.

Errors mean exactly one thing each (see shared/errors.py): ``Rejected`` is a definite no,
``Unavailable`` means that nothing was done, ``OutcomeUnknown`` that the venue may have acted. An
answer that an implementation cannot read is ``OutcomeUnknown``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose, OrderStatus
from shared.messages.fill_key import FillKey
from shared.messages.terms import OrderTerms

SENTINEL_ID_LENGTH: Final = 18
SENTINEL_PREFIX: Final = "as"
"""Client order ids of the sentinel's closing orders begin so; the executor's with another."""
BY_SENTINEL: Final = "closed by the sentinel"
"""Why such an order was made: the executor books what it closed like what a venue closed itself."""


def forced_by_sentinel(client_order_id: str) -> str:
    """Return why an order was made that the executor did not order; empty for any other."""
    is_its = len(client_order_id) == SENTINEL_ID_LENGTH and client_order_id.startswith(
        SENTINEL_PREFIX
    )
    return BY_SENTINEL if is_its else ""


BEFORE_SENDING: ContextVar[Callable[[], None] | None] = ContextVar("before_sending", default=None)
"""Called right before a request leaves for a venue, however long it waited for its turn; what it
raises keeps the request from leaving. Set by who asks for something that trades."""


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """Best bid and ask of an instrument, and the tick that its prices are on."""

    bid: Decimal
    ask: Decimal
    tick_size: Decimal


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order to place; its terms are already on lot and tick.

    One that is ``reduce_only`` must not open or turn a position: a venue that cannot hold to that
    has none.
    """

    client_order_id: str
    terms: OrderTerms
    purpose: OrderPurpose = OrderPurpose.LEG
    reduce_only: bool = False


class OrderKey(msgspec.Struct, frozen=True, kw_only=True):
    """Which order is meant. One of the ids may be empty: the venue's own is used where known."""

    venue: str
    instrument: str
    client_order_id: str = ""
    venue_order_id: str = ""


class FillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as the venue reports it; ``fee`` is ``None`` where it does not.

    ``venue_order_id`` names the order it belongs to.
    """

    trade_id: str
    venue_order_id: str
    instrument: str
    side: Side
    price: Decimal
    qty: Decimal
    fee: Decimal | None = None
    fee_asset: str = ""
    ts_venue_ns: int = 0

    def key_at(self, venue: str) -> FillKey:
        """Return its natural key at the venue that reports it."""
        return FillKey(venue, self.instrument, self.trade_id, self.side)


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue shows it now.

    ``status`` is ACCEPTED, PARTIALLY_FILLED, FILLED, CANCELED or REJECTED; ``filled_qty`` is
    cumulative; ``fills`` are those that came with it, possibly fewer than ``filled_qty`` explains.
    In ``terms`` a quantity or limit of 0 was not told. ``forced`` is why the venue made the order
    itself (a liquidation, ...); empty where somebody ordered it.
    """

    client_order_id: str
    terms: OrderTerms
    status: OrderStatus
    venue_order_id: str = ""
    filled_qty: Decimal = Decimal(0)
    fills: tuple[FillReport, ...] = ()
    reason: str = ""
    forced: str = ""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.client_order_id} at {self.terms.venue}"


class PaymentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue booked on the account when funding settled; received: positive."""

    payment_id: str
    instrument: str
    amount: Decimal
    asset: str
    ts_venue_ns: int


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The account is followed from now on, or something of it is missing; ``is_down``: all."""

    is_followed: bool
    is_down: bool = False
    reason: str = ""


StreamNews = OrderReport | StreamState


class Gateway(Protocol):
    """One venue account; calls raise ``Rejected``, ``Unavailable`` or ``OutcomeUnknown``."""

    venue: str

    async def start(self) -> None:
        """Make ready to trade (load the venue's markets, check the keys).

        Raises:
            Unavailable: Not now; may be tried again.
            ConfigError: It cannot work as configured.
        """

    def unlisted(self, instruments: Sequence[str]) -> list[str]:
        """Return those that the venue does not know; call it after ``start``."""

    async def submit(self, order: OrderRequest) -> OrderReport:
        """Place the order, once. Never tries again by itself."""

    async def query(self, key: OrderKey) -> OrderReport | None:
        """Return the order with all its fills, or ``None`` when the venue has no such order."""

    async def cancel(self, key: OrderKey) -> None:
        """Cancel an order; one that no longer rests is no error."""

    async def cancel_all_after(self, instruments: Sequence[str], after_s: int) -> str:
        """Let the venue cancel all open orders in so many seconds unless told again; 0: never.

        Returns:
            Why the venue cannot; empty where it will.
        """

    def budget_used(self) -> float | None:
        """Return which part of the venue's rate limit is used up, 0 to 1; ``None``: has none."""

    async def open_orders(self, instruments: Sequence[str]) -> list[OrderReport]:
        """Return the account's working orders, ours or not."""

    async def fills_since(self, instruments: Sequence[str], since_ns: int) -> list[FillReport]:
        """Return the account's executions in ``instruments`` since ``since_ns`` (UNIX)."""

    async def balances(self) -> Mapping[str, Balance]:
        """Return every asset of the account."""

    async def positions(self, instruments: Sequence[str]) -> Mapping[str, Decimal]:
        """Return perpetual positions in signed base units; empty where the venue has none."""

    async def funding_since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what funding of these derivatives paid and cost since ``since_ns`` (UNIX)."""

    async def follow(self, instruments: Sequence[str], take: Callable[[StreamNews], None]) -> None:
        """Hand over what the venue pushes about the account until canceled; return if it cannot."""

    async def close(self) -> None:
        """Close its connections."""


class PricedGateway(Gateway, Protocol):
    """A gateway that can be asked for prices as well, where no book of ours is to be relied on."""

    async def cancel_all(self, instruments: Sequence[str]) -> str:
        """Cancel the account's orders by the venue's own cancel-all, whoever placed them.

        What still works after it is to be read: orders of other instruments may be left, those on
        their way as well, and a venue may acknowledge before it acts.

        Returns:
            Why the venue cannot; empty where it was asked.
        """

    def hurry(self) -> None:
        """Let the next readings use what is kept of the rate limit for what must not wait."""

    async def touch(self, instrument: str) -> Touch:
        """Return the best prices of an instrument, asked from the venue itself."""
