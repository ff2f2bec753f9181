"""What the engine asks of the venues, and the results. Pure data, not bus messages.

Actions are carried out only after the messages and the checkpoint of the same step are confirmed by
the bus: that is the write-ahead. The legs of an approved plan are on record before the executor
even sees it, in the plan itself, so they alone need not wait (docs/adr/0012).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from shared.accounts.gateway import (
    FillReport,
    OrderKey,
    OrderReport,
    OrderRequest,
    PaymentReport,
)
from shared.engine import Action, Result
from shared.errors import Cause
from shared.messages.balances import Balance


class Submit(Action, frozen=True):
    """Place this order, once. ``ts_recv_ns`` is the tick that caused it, 0 for none."""

    order: OrderRequest
    ts_recv_ns: int


class Query(Action, frozen=True):
    """Ask for one order."""

    key: OrderKey


class Cancel(Action, frozen=True):
    """Cancel one order; the result is seen by the next query."""

    key: OrderKey


class CheckAccount(Action, frozen=True):
    """Make the account ready and check what can be checked: keys, mode, clock, instruments."""

    venue: str
    instruments: tuple[str, ...]


class FetchOpenOrders(Action, frozen=True):
    """Ask for the account's working orders."""

    venue: str
    instruments: tuple[str, ...]


class FetchFills(Action, frozen=True):
    """Ask for the account's executions since ``since_ns``."""

    venue: str
    instruments: tuple[str, ...]
    since_ns: int


class FetchBalances(Action, frozen=True):
    """Ask for balances and the positions of these instruments."""

    venue: str
    instruments: tuple[str, ...]


class FetchFunding(Action, frozen=True):
    """Ask for the funding payments of these derivatives from ``since_ns`` to now."""

    venue: str
    instruments: tuple[str, ...]
    since_ns: int
    until_ns: int


class FollowAccount(Action, frozen=True):
    """Follow what the venue pushes about these instruments' orders until the process ends."""

    venue: str
    instruments: tuple[str, ...]


class SetSwitch(Action, frozen=True):
    """Let the venue cancel all open orders ``after_s`` from now unless told again; 0: never.

    ``ts_ns`` is now.
    """

    venue: str
    instruments: tuple[str, ...]
    after_s: int
    ts_ns: int


Fetch = CheckAccount | FetchOpenOrders | FetchFills | FetchBalances | FetchFunding


class Submitted(Result, frozen=True):
    """The venue answered a submission with an order."""

    report: OrderReport
    ts_sent_ns: int


class SubmitRefused(Result, frozen=True):
    """The venue's definite no; ``cause`` tells whether to this one order or to the account."""

    client_order_id: str
    reason: str
    ts_sent_ns: int
    cause: Cause = Cause.ORDER


class SubmitNotSent(Result, frozen=True):
    """The request had no effect: it never reached the venue, or was refused unread."""

    client_order_id: str
    reason: str
    cause: Cause = Cause.SERVICE


class SubmitLost(Result, frozen=True):
    """The answer was lost: the venue may or may not have acted."""

    client_order_id: str
    reason: str
    ts_sent_ns: int


class QueryAnswered(Result, frozen=True):
    """The venue's answer about one order; ``report`` is ``None`` when it has no such order."""

    key: OrderKey
    report: OrderReport | None


class QueryFailed(Result, frozen=True):
    """The query itself got no usable answer."""

    key: OrderKey
    reason: str
    cause: Cause = Cause.SERVICE


class AccountChecked(Result, frozen=True):
    """The account is ready; ``unlisted`` are instruments that the venue does not know."""

    venue: str
    unlisted: tuple[str, ...]


class OpenOrdersAnswered(Result, frozen=True):
    """The account's working orders."""

    venue: str
    reports: tuple[OrderReport, ...]


class FillsAnswered(Result, frozen=True):
    """The account's executions."""

    venue: str
    fills: tuple[FillReport, ...]


class BalancesAnswered(Result, frozen=True):
    """The account's balances and positions."""

    venue: str
    balances: Mapping[str, Balance]
    positions: Mapping[str, Decimal]


class FundingAnswered(Result, frozen=True):
    """Funding payments, signed; ``until_ns`` is when they were asked for."""

    venue: str
    payments: tuple[PaymentReport, ...]
    until_ns: int


class FetchFailed(Result, frozen=True):
    """A check or a fetch failed and may be tried again."""

    action: Fetch
    reason: str
    cause: Cause = Cause.SERVICE


class AccountFollowed(Result, frozen=True):
    """From now on the venue pushes what happens; what happened before must be read by REST."""

    venue: str


class AccountMissed(Result, frozen=True):
    """Some of what it pushed did not arrive; ``is_down`` until the next ``AccountFollowed``."""

    venue: str
    reason: str
    is_down: bool


class AccountSeen(Result, frozen=True):
    """What a venue pushed about an order; it may be late, repeated, or older than an answer."""

    venue: str
    report: OrderReport


class SwitchSet(Result, frozen=True):
    """The venue has taken a ``SetSwitch``, or has no such switch: ``none`` says why."""

    asked: SetSwitch
    none: str = ""


class SwitchFailed(Result, frozen=True):
    """Whether the venue has taken a ``SetSwitch`` is not known, or it has not."""

    asked: SetSwitch
    reason: str


Report = (
    AccountFollowed
    | AccountMissed
    | AccountSeen
    | Submitted
    | SubmitRefused
    | SubmitNotSent
    | SubmitLost
    | QueryAnswered
    | QueryFailed
    | AccountChecked
    | OpenOrdersAnswered
    | FillsAnswered
    | BalancesAnswered
    | FundingAnswered
    | FetchFailed
    | SwitchSet
    | SwitchFailed
)
