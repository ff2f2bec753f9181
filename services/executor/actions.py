"""What the engine wants done at the venues, and what it hears back. Pure data, not bus messages.

Actions are carried out only after the messages and the checkpoint of the same step are confirmed by
the bus: that is the write-ahead. The legs of an approved plan are on record before the executor
even sees it, in the plan itself, so they alone need not wait (docs/adr/0012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from services.executor.gateway import FillReport, OrderKey, OrderReport, OrderRequest
from shared.messages.base import Message
from shared.messages.execution import Balance


@dataclass(frozen=True, slots=True)
class Submit:
    """Place this order, once. ``ts_recv_ns`` is the tick that caused it, 0 for none."""

    order: OrderRequest
    ts_recv_ns: int


@dataclass(frozen=True, slots=True)
class Query:
    """Ask for one order."""

    key: OrderKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel one order; the result is seen by the next query."""

    key: OrderKey


@dataclass(frozen=True, slots=True)
class FetchOpenOrders:
    """Ask for the account's working orders."""

    venue: str
    instruments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FetchFills:
    """Ask for the account's executions since ``since_ns``."""

    venue: str
    instruments: tuple[str, ...]
    since_ns: int


@dataclass(frozen=True, slots=True)
class FetchBalances:
    """Ask for balances and the positions of these instruments."""

    venue: str
    instruments: tuple[str, ...]


Action = Submit | Query | Cancel | FetchOpenOrders | FetchFills | FetchBalances


@dataclass(frozen=True, slots=True)
class Submitted:
    """The venue answered a submission with an order."""

    report: OrderReport
    ts_sent_ns: int


@dataclass(frozen=True, slots=True)
class SubmitRefused:
    """The venue's definite no."""

    client_order_id: str
    reason: str
    ts_sent_ns: int


@dataclass(frozen=True, slots=True)
class SubmitNotSent:
    """It surely never reached the venue."""

    client_order_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SubmitLost:
    """The answer was lost: the venue may or may not have acted."""

    client_order_id: str
    reason: str
    ts_sent_ns: int


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """The venue's word on one order; ``report`` is ``None`` when it has none such."""

    key: OrderKey
    report: OrderReport | None


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """The query itself got no usable answer."""

    key: OrderKey
    reason: str


@dataclass(frozen=True, slots=True)
class OpenOrdersAnswered:
    """The account's working orders."""

    venue: str
    reports: tuple[OrderReport, ...]


@dataclass(frozen=True, slots=True)
class FillsAnswered:
    """The account's executions."""

    venue: str
    fills: tuple[FillReport, ...]


@dataclass(frozen=True, slots=True)
class BalancesAnswered:
    """The account's balances and positions."""

    venue: str
    balances: Mapping[str, Balance]
    positions: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """One of the three fetches failed and may be tried again."""

    action: FetchOpenOrders | FetchFills | FetchBalances
    reason: str


Report = (
    Submitted
    | SubmitRefused
    | SubmitNotSent
    | SubmitLost
    | QueryAnswered
    | QueryFailed
    | OpenOrdersAnswered
    | FillsAnswered
    | BalancesAnswered
    | FetchFailed
)


@dataclass(slots=True)
class Out:
    """What one step of the engine produced: messages first, then actions.

    ``at_once`` are orders already on record on the bus, in the pending plan that they follow from:
    they go before anything else.
    """

    messages: list[Message] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    at_once: list[Submit] = field(default_factory=list)
