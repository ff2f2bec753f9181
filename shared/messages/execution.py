"""Plans, orders, fills and what became of them: the money path, Decimal throughout."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from shared.messages.balances import Balance
from shared.messages.base import Certainty, DecisionMessage, Side, TradingState
from shared.messages.bounds import (
    LEGS_MAX,
    Amount,
    AmountOrZero,
    Asset,
    Attempt,
    Bps,
    Count,
    Deadline,
    FundingTime,
    Id,
    Instrument,
    Key,
    LegIndex,
    MaybeAsset,
    MaybeId,
    Moment,
    Name,
    OrderId,
    PauseEnd,
    PlanId,
    Price,
    PriceOrZero,
    Qty,
    QtyOrZero,
    Strategy,
    Venue,
    VenueTime,
)
from shared.messages.limits import LimitsReport
from shared.messages.position_reports import PositionReport, StrategyReport
from shared.messages.rounds import Intent
from shared.messages.switches import DeadManSwitch
from shared.messages.terms import (
    AssetPrice,
    InventoryCost,
    LegPolicy,
    OrderTerms,
    OrderType,
    Resting,
    Shrunk,
    TimeInForce,
)

OPERATOR_STRATEGY: Final = "operator"
"""Stands for a strategy where an operator had orders made (FLATTEN)."""
RESERVED_STRATEGIES: Final = frozenset((OPERATOR_STRATEGY, "unknown", "other", "netted"))
"""Rows of ``RiskReport.by_strategy`` that are no strategy; none may have such an id."""


class PlanLeg(OrderTerms, frozen=True, kw_only=True):
    """One order to place, ``price_limit`` being the worst acceptable price.

    ``cash_flow`` is what it should bring in at ``price_expected``, its fee taken off, in quote
    units of its instrument (negative: what it costs; ``None``: not stated). ``fee_asset`` is what
    the fee is charged in (empty: the quote asset). ``inverse_entry`` is the average entry price of
    the inverse contracts that the leg closes, at which they count as coins (0: at what they trade).
    """

    price_expected: Price
    fee_bps: Bps
    cash_flow: Amount | None = None
    fee_asset: MaybeAsset = ""
    inverse_entry: PriceOrZero = Decimal(0)

    @classmethod
    def of(
        cls,
        terms: OrderTerms,
        *,
        price_expected: Decimal,
        fee_bps: Decimal,
        cash_flow: Decimal | None = None,
        fee_asset: str = "",
        inverse_entry: Decimal = Decimal(0),
    ) -> PlanLeg:
        """Return a leg with these terms."""
        return cls(
            venue=terms.venue,
            instrument=terms.instrument,
            side=terms.side,
            qty=terms.qty,
            price_limit=terms.price_limit,
            order_type=terms.order_type,
            time_in_force=terms.time_in_force,
            price_expected=price_expected,
            fee_bps=fee_bps,
            cash_flow=cash_flow,
            fee_asset=fee_asset,
            inverse_entry=inverse_entry,
        )


class ApprovedPlan(DecisionMessage, frozen=True, kw_only=True, tag="approved_plan"):
    """Risk's yes; the executor accepts nothing else.

    ``plan_id`` is a function of the opportunity. After ``ts_expire_ns`` it must not be started.
    ``loss_cap`` (quote units, positive) bounds what hedging or unwinding may cost.
    ``strategy`` is the id of the strategy that proposed it; all its orders and fills carry it.
    A plan with an ``intent`` to OPEN or CLOSE belongs to the round ``round_id`` of that strategy,
    and so do its fills. ``opening`` is the signed base units that the round leaves unhedged before
    it: what the plan evens out together with its own fills. A plan of one leg evens nothing out.
    ``values`` are given where the legs lead from ``quote`` through other assets back to it: what
    each was worth when the plan was made. Loss cap and result are in ``quote``, at these values.
    ``policy`` is SEQUENTIAL only where there are two legs of one base asset. What its fills leave
    uneven is given up after ``hedge_deadline_ms`` (0: the executor's own; never later than that).
    A MAKER_TAKER plan has ``resting``, and two legs at two venues: the post-only one rests, the IOC
    one hedges its fills, and its ``price_limit`` is the worst at which the other may go on resting.
    A fill is hedged within the loss cap, whatever that. ``inventory_cost`` is due later: no result.
    ``shrunk`` is given where the plan is smaller than its opportunity.
    """

    plan_id: PlanId
    opportunity_id: Id
    base: Asset
    quote: Asset
    legs: Annotated[list[PlanLeg], msgspec.Meta(min_length=1, max_length=LEGS_MAX)]
    net_expected: Amount
    loss_cap: AmountOrZero
    ts_recv_ns: Moment
    ts_depth_ns: Moment
    ts_opportunity_ns: Moment
    ts_expire_ns: Deadline
    strategy: Strategy = ""
    intent: Intent = Intent.INSTANT
    round_id: MaybeId = ""
    opening: Amount = Decimal(0)
    values: Annotated[list[AssetPrice], msgspec.Meta(max_length=LEGS_MAX)] = []
    policy: LegPolicy = LegPolicy.CONCURRENT
    hedge_deadline_ms: Count = 0
    resting: Resting | None = None
    inventory_cost: InventoryCost | None = None
    shrunk: Shrunk | None = None

    @property
    def is_directional(self) -> bool:
        """Whether it changes a position by one leg, and has nothing to even out."""
        return self.intent is not Intent.INSTANT and len(self.legs) == 1


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

    ``filled_qty`` is cumulative; ``ts_sent_ns`` is when the request left, after the write-ahead.
    ``strategy`` is that of its plan, ``attempt`` modulo 1,296. ``reduce_only``: it opens nothing.
    ``price_arrival``, of a plan's leg that takes, is the average at which all of it would have
    traded in the newest book when it was put on record (0: no LIVE book held it all, or it rests).
    """

    plan_id: PlanId
    client_order_id: OrderId
    leg_index: LegIndex
    attempt: Attempt
    purpose: OrderPurpose
    venue: Venue
    instrument: Instrument
    side: Side
    qty: QtyOrZero
    price_limit: PriceOrZero
    status: OrderStatus
    filled_qty: QtyOrZero = Decimal(0)
    venue_order_id: MaybeId = ""
    reason: str = ""
    ts_sent_ns: Moment = 0
    ts_recv_ns: Moment = 0
    strategy: Strategy = ""
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.IOC
    reduce_only: bool = False
    price_arrival: PriceOrZero = Decimal(0)


class Fill(DecisionMessage, frozen=True, kw_only=True, tag="fill"):
    """One execution of one of our orders; unique by (venue, instrument, trade_id, side).

    ``fee`` is ``None`` while the venue has not reported it. ``fee_quote`` is the fee valued in the
    quote asset, ``None`` where no price for the fee asset is known. ``strategy`` is that of its
    plan: empty where a plan was found at a venue without a record of it, ``operator`` for FLATTEN.
    ``round_id`` is the strategy's round that its plan belongs to, if any. Where its plan is of
    several assets its result is stated in ``report_asset`` (empty: in the quote asset), in which a
    unit of the quote asset counts ``report_price``: what the plan says it is worth.
    ``reduced_by``: the venue made it (a liquidation, ...), which only closes what we hold; no plan.
    ``of_no_round``: what plans without a round had opened, or what one closed too. ``of_rounds``
    names rounds (``strategy|round``) of which a plan in flight trades there, and what each lost.
    """

    plan_id: PlanId
    client_order_id: OrderId
    venue: Venue
    instrument: Instrument
    side: Side
    trade_id: Id
    price: Price
    qty: Qty
    fee: Amount | None = None
    fee_asset: MaybeAsset = ""
    fee_quote: Amount | None = None
    ts_venue_ns: VenueTime = 0
    strategy: Strategy = ""
    round_id: MaybeId = ""
    report_asset: MaybeAsset = ""
    report_price: PriceOrZero = Decimal(0)
    reduced_by: Name = ""
    of_no_round: QtyOrZero = Decimal(0)
    of_rounds: dict[Key, QtyOrZero] = {}


class FundingPaid(DecisionMessage, frozen=True, kw_only=True, tag="funding_paid"):
    """What a venue booked on our account when funding settled; received: positive.

    Unique by (venue, instrument, payment_id), from the venue's own income history.
    ``ts_funding_ns`` is the venue's time of the booking, ``ts_settled_ns`` that of the settlement
    it is for (0: not told, the same): who held the position then is paid, and its day's result.
    """

    venue: Venue
    instrument: Instrument
    payment_id: Id
    amount: Amount
    asset: Asset
    ts_funding_ns: FundingTime
    ts_settled_ns: FundingTime = 0

    @property
    def ts_paid_for_ns(self) -> int:
        """The instant whose position is paid."""
        return self.ts_settled_ns or self.ts_funding_ns


class FundingKnown(DecisionMessage, frozen=True, kw_only=True, tag="funding_known"):
    """How far a venue's funding payments are known: those settled up to ``ts_known_ns``.

    ``reason`` says why more may have been paid, or charged, since; empty where nothing is missing.
    """

    venue: Venue
    ts_known_ns: Moment
    reason: str = ""


class BalanceReport(DecisionMessage, frozen=True, kw_only=True, tag="balance_report"):
    """Balances as the venue reports them; perpetual positions in signed base units."""

    venue: Venue
    balances: dict[Asset, Balance]
    positions: dict[Instrument, Amount] = {}


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

    ``residual`` is the base quantity per asset that it leaves unhedged, ``dust`` what is too small
    for any venue to trade: on record, no failure. ``realized`` is what its fills have closed, less
    fees; a rest or a position that it leaves open has realized nothing. ``round_id`` is its
    strategy's round: earlier fills of a plan found without a record may not have said so. What is
    not ``is_approved`` by risk the executor began: FLATTEN, late fills, orders found. ``late_of``
    is the plan whose late fill it evens out, ``began_with`` what it evened out beside its own fills
    (that, or what a venue closed of it by itself): signed base units by key of the holding.
    """

    plan_id: PlanId
    outcome: PlanOutcome
    base: Asset
    quote: Asset
    realized: Amount
    fees: Amount
    certainty: Certainty
    residual: dict[Asset, Amount] = {}
    reason: str = ""
    dust: dict[Asset, Amount] = {}
    strategy: Strategy = ""
    round_id: MaybeId = ""
    is_approved: bool = True
    late_of: MaybeId = ""
    began_with: dict[Key, Amount] = {}


class ExecutorReady(DecisionMessage, frozen=True, kw_only=True, tag="executor_ready"):
    """The executor has reconciled with every venue (or says why not); repeated every second.

    ``mode`` is paper, simulated or live. ``open_plans`` and ``unknown_orders`` count unfinished
    work. ``venues_down`` is what gets no new orders, by ``venue`` or ``venue|instrument``, and the
    venue's reason. ``plans_waiting`` is what may be open at worst, by id of the plans that wait for
    such a venue to report the outcome of an order. ``switches`` are of the venues that are traded.
    """

    ready: bool
    mode: Name
    open_plans: Count
    unknown_orders: Count
    reason: str = ""
    venues_down: dict[str, str] = {}
    plans_waiting: dict[str, str] = {}
    switches: dict[Venue, DeadManSwitch] = {}


class Denied(DecisionMessage, frozen=True, kw_only=True, tag="denied"):
    """Risk denied an opportunity: a code of docs/denials.md, and its numbers in ``context``."""

    opportunity_id: Id
    reason: Name
    context: dict[Key, str]


class TradingStateChanged(DecisionMessage, frozen=True, kw_only=True, tag="trading_state"):
    """The trading state, on every change and every second."""

    state: TradingState
    reason: str
    ts_since_ns: Moment
    commands: list[Id] = []  # the newest it follows: who sent one sees that risk has taken it


class RiskReport(DecisionMessage, frozen=True, kw_only=True, tag="risk_report"):
    """Exposure and result as risk sees them, every second.

    ``exposure`` is net base quantity per asset from our fills; ``realized`` (closed, after fees),
    ``fees`` and ``unrealized`` (``None``: a position has no price) are per quote asset.
    ``inventory`` is how trading changed balances, by venue and asset, ``transfers`` what moved
    beside. ``reserved_by_quote`` is the notional of plans in flight, ``reserved`` the largest of
    these. ``by_strategy`` splits results and positions, and adds up to them (what ``unknown``,
    ``operator``, ``other``, ``netted`` are: ``shared/domain/strategy_books.py``). ``funding``
    (received: positive) is in ``realized``; ``funding_unknown`` says by venue why more may have
    been paid. ``today`` is the day's result, open positions at executable prices, ``equity`` that
    since the ledger began, ``drawdown`` what is lost since its peak, ``marks_estimated`` what
    counts where no book prices one; ``paused`` are strategies that lost too often in a row.
    ``fees_unpriced`` are in no figure above. ``limits`` is not told by older ones.
    """

    state: TradingState
    exposure: dict[Asset, Amount]
    realized: dict[Asset, Amount]
    fees: dict[Asset, Amount]
    realized_today: dict[Asset, Amount]
    reserved: Amount
    plans_in_flight: Count
    certainty: Certainty
    unrealized: dict[Asset, Amount | None] = {}
    positions: list[PositionReport] = []
    inventory: dict[Venue, dict[Asset, Amount]] = {}
    by_strategy: dict[Strategy, StrategyReport] = {}
    funding: dict[Asset, Amount] = {}
    funding_unknown: dict[Venue, str] = {}
    reserved_by_quote: dict[Asset, Amount] = {}
    today: dict[Asset, Amount] = {}
    drawdown: dict[Asset, Amount] = {}
    marks_estimated: dict[str, str] = {}
    paused: dict[Strategy, PauseEnd] = {}
    fees_unpriced: dict[Asset, dict[Asset, Amount]] = {}
    equity: dict[Asset, Amount] = {}
    transfers: dict[Venue, dict[Asset, Amount]] = {}
    limits: LimitsReport | None = None
