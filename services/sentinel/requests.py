"""What the sentinel asks the venues and Redis, and what comes of it. Pure.

Exactly one result comes back for every action but ``Say``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from shared.accounts.gateway import OrderKey, OrderReport, OrderRequest
from shared.engine import Action, Result
from shared.messages.control import Severity


class ReadTruth(Action, frozen=True):
    """Read what a venue holds of the account: working orders, balances, positions."""

    venue: str
    instruments: tuple[str, ...]


class TruthRead(Result, frozen=True):
    """That; ``balances`` is free and used together, ``positions`` in signed base units."""

    venue: str
    orders: tuple[OrderReport, ...]
    balances: Mapping[str, Decimal]
    positions: Mapping[str, Decimal]


class ReadOrders(Action, frozen=True):
    """Read the account's working orders alone."""

    venue: str
    instruments: tuple[str, ...]


class OrdersRead(Result, frozen=True):
    """The account's working orders, ours or not."""

    venue: str
    orders: tuple[OrderReport, ...]


class CancelAll(Action, frozen=True):
    """Cancel all orders of the account by the venue's own cancel-all."""

    venue: str
    instruments: tuple[str, ...]


class AllCanceled(Result, frozen=True):
    """It ended; what still works shows at the next reading.

    ``problem``: why it is not known to be done. ``none``: why the venue has no such request.
    """

    venue: str
    problem: str = ""
    none: str = ""


class CancelOrder(Action, frozen=True):
    """Cancel an order."""

    key: OrderKey


class CancelAnswered(Result, frozen=True):
    """A cancel ended; whether the order still works shows at the next reading."""

    key: OrderKey
    problem: str = ""


class ReadPositions(Action, frozen=True):
    """Read the positions in derivatives."""

    venue: str
    instruments: tuple[str, ...]


class PositionsRead(Result, frozen=True):
    """Positions in signed base units; what is left out is zero."""

    venue: str
    positions: Mapping[str, Decimal]


class ReadTouch(Action, frozen=True):
    """Ask the venue itself for the best prices of an instrument, and its tick."""

    venue: str
    instrument: str


class TouchRead(Result, frozen=True):
    """Best bid and ask, and the tick that prices must be on."""

    venue: str
    instrument: str
    bid: Decimal
    ask: Decimal
    tick_size: Decimal


class Close(Action, frozen=True):
    """Send an order that may only reduce a position."""

    order: OrderRequest


class CloseAnswered(Result, frozen=True):
    """It was answered, or not: what it did shows in the position."""

    order: OrderRequest
    problem: str = ""


class ReadLags(Action, frozen=True):
    """Read how long what was written has waited for the services."""


class LagsRead(Result, frozen=True):
    """``service stream`` -> how long the oldest entry not handled has waited, in ms."""

    lags_ms: Mapping[str, int]


class Say(Action, frozen=True):
    """Write to the log, as alerts need Redis; it has no result."""

    event: str
    text: str
    severity: Severity


VenueRead = ReadTruth | ReadOrders | ReadPositions | ReadTouch


class ReadFailed(Result, frozen=True):
    """A reading failed, and why."""

    action: VenueRead | ReadLags
    reason: str
