"""Plans, orders, fills and what became of them: the money path, Decimal throughout."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from shared.messages.base import Certainty, DecisionMessage, Side, TradingState


class PlanLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One order to place: IOC limit at the worst acceptable price."""

    venue: str
    instrument: str
    side: Side
    qty: Decimal
    price_limit: Decimal
    price_expected: Decimal
    fee_bps: Decimal


class ApprovedPlan(DecisionMessage, frozen=True, kw_only=True, tag="approved_plan"):
    """Risk's yes; the executor accepts nothing else.

    ``plan_id`` is a function of the opportunity. After ``ts_expire_ns`` it must not be started.
    ``loss_cap`` (quote units, positive) bounds what hedging or unwinding may cost.
    """

    plan_id: str
    opportunity_id: str
    base: str
    quote: str
    legs: list[PlanLeg]
    net_expected: Decimal
    loss_cap: Decimal
    ts_recv_ns: int
    ts_depth_ns: int
    ts_opportunity_ns: int
    ts_expire_ns: int


class OrderPurpose(StrEnum):
    """Why an order exists."""

    LEG = "leg"
    HEDGE = "hedge"
    UNWIND = "unwind"
    FLATTEN = "flatten"


class OrderStatus(StrEnum):
    """Life of an order; the legal steps are one table in ``shared/domain/order.py``."""

    SUBMITTED = "SUBMITTED"  # on record; may or may not have reached the venue
    ACCEPTED = "ACCEPTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    UNKNOWN = "UNKNOWN"  # the answer was lost; a query must settle it
    FILLED = "FILLED"
    CANCELED = "CANCELED"  # no longer working; may be partly filled
    REJECTED = "REJECTED"  # the venue's definite no
    NOT_SENT = "NOT_SENT"  # surely never reached the venue


class OrderEvent(DecisionMessage, frozen=True, kw_only=True, tag="order_event"):
    """An order's new state. SUBMITTED is on the stream before the venue hears of the order.

    ``filled_qty`` is cumulative base units; ``ts_sent_ns`` is when the request left (after the
    write-ahead was confirmed). ``certainty`` tells whether fills and fees behind it are known.
    """

    plan_id: str
    client_order_id: str
    leg_index: int
    attempt: int
    purpose: OrderPurpose
    venue: str
    instrument: str
    side: Side
    qty: Decimal
    price_limit: Decimal
    status: OrderStatus
    filled_qty: Decimal = Decimal(0)
    venue_order_id: str = ""
    reason: str = ""
    ts_sent_ns: int = 0
    ts_recv_ns: int = 0


class Fill(DecisionMessage, frozen=True, kw_only=True, tag="fill"):
    """One execution of one of our orders; unique by (venue, instrument, trade_id).

    ``fee`` is ``None`` while the venue has not said it. ``fee_quote`` is the fee valued in the
    quote asset, ``None`` where no price for the fee asset is known.
    """

    plan_id: str
    client_order_id: str
    venue: str
    instrument: str
    side: Side
    trade_id: str
    price: Decimal
    qty: Decimal
    fee: Decimal | None = None
    fee_asset: str = ""
    fee_quote: Decimal | None = None
    ts_venue_ns: int = 0


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One asset on one venue."""

    free: Decimal
    used: Decimal


class BalanceReport(DecisionMessage, frozen=True, kw_only=True, tag="balance_report"):
    """Balances as the venue told them; perpetual positions in signed base units by instrument."""

    venue: str
    balances: dict[str, Balance]
    positions: dict[str, Decimal] = {}


class PlanOutcome(StrEnum):
    """How a plan ended."""

    FILLED = "FILLED"  # all legs filled evenly
    HEDGED = "HEDGED"  # uneven fills, evened out by a hedge
    UNWOUND = "UNWOUND"  # what was filled was sold back or bought back
    UNFILLED = "UNFILLED"  # no leg filled
    EXPIRED = "EXPIRED"  # not started: too late
    REFUSED = "REFUSED"  # not started: halted, or a venue was unavailable
    FAILED = "FAILED"  # exposure is left over and the system halts


class PlanDone(DecisionMessage, frozen=True, kw_only=True, tag="plan_done"):
    """A plan's end and its result in ``quote`` units.

    ``residual`` is the base quantity per asset that the plan leaves unhedged (empty when even).
    ``realized`` is what its fills have closed, less fees; a rest or a position in a derivative that
    it leaves open has realized nothing. ``dust`` is the base quantity
    per asset left over that is too small for any of the venues to trade: on record, not a failure.
    """

    plan_id: str
    outcome: PlanOutcome
    base: str
    quote: str
    realized: Decimal
    fees: Decimal
    certainty: Certainty
    residual: dict[str, Decimal] = {}
    reason: str = ""
    dust: dict[str, Decimal] = {}


class ExecutorReady(DecisionMessage, frozen=True, kw_only=True, tag="executor_ready"):
    """The executor has reconciled with every venue (or says why not); repeated every second.

    ``mode`` is paper, simulated or live. ``open_plans`` and ``unknown_orders`` count unfinished
    work. ``venues_down`` is what gets no new orders, by ``venue`` or, where only one instrument is
    meant, ``venue|instrument``, and the venue's own words for it.
    """

    ready: bool
    mode: str
    open_plans: int
    unknown_orders: int
    reason: str = ""
    venues_down: dict[str, str] = {}


class Denied(DecisionMessage, frozen=True, kw_only=True, tag="denied"):
    """Risk's no; ``reason`` is a code of ``services/risk/reasons.py``, ``context`` its numbers."""

    opportunity_id: str
    reason: str
    context: dict[str, str]


class TradingStateChanged(DecisionMessage, frozen=True, kw_only=True, tag="trading_state"):
    """The trading state, said on every change and repeated every second."""

    state: TradingState
    reason: str
    ts_since_ns: int


class PositionReport(msgspec.Struct, frozen=True, kw_only=True):
    """An open quantity (signed base units) and what closing it now would realize.

    ``venue`` is empty for spot, which counts over all venues together. ``entry`` is the average
    price paid; ``close_price`` the one at which the books would take the whole quantity, ``None``
    where they would not; ``unrealized`` is in quote units.
    """

    venue: str
    instrument: str
    qty: Decimal
    entry: Decimal
    close_price: Decimal | None = None
    unrealized: Decimal | None = None


class RiskReport(DecisionMessage, frozen=True, kw_only=True, tag="risk_report"):
    """Exposure and result as risk sees them, every second.

    ``exposure`` is net base quantity per asset from our fills since the ledger began; ``realized``
    (closed, after fees) and ``fees`` are per quote asset, ``unrealized`` too (``None``: a position
    has no price). ``inventory`` is how trading changed each balance, per venue and asset.
    ``reserved`` is the notional of plans in flight.
    """

    state: TradingState
    exposure: dict[str, Decimal]
    realized: dict[str, Decimal]
    fees: dict[str, Decimal]
    realized_today: dict[str, Decimal]
    reserved: Decimal
    plans_in_flight: int
    certainty: Certainty
    unrealized: dict[str, Decimal | None] = {}
    positions: list[PositionReport] = []
    inventory: dict[str, dict[str, Decimal]] = {}
