"""Everything the executor must remember across a crash: plans, orders, ledger. Pure data.

One ``ExecutorState`` is the checkpoint; it is saved in the same transaction as the messages that
announce what it holds, so the two never disagree.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from functools import cached_property

import msgspec

from services.executor.answers import VenueAnswers
from services.executor.down import Down, FailureCosts, market_key
from services.executor.funding_record import FundingRecord
from services.executor.ids import plan_key
from services.executor.order_record import OrderRecord
from shared.domain.accounting import Books, holding_key, holding_place
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import base_of, is_inverse
from shared.messages.execution import Fill, OrderStatus, PlanLeg, PlanOutcome
from shared.messages.terms import Resting

RECENT_PLANS_MAX = 64
"""Finished plans kept whole, so that a late fill finds its owner."""
RECENT_PLAN_AGE_NS = 60_000_000_000
DONE_IDS_MAX = 256
"""Plan ids remembered after that, so that a plan delivered again is recognised."""
CHECKPOINT_VERSION = 3
"""3: a plan may belong to a round; 2: an order holds its terms as one value; 1: it had them side by
side, and said no version."""
BEFORE_IDS_MAX = 1_024
"""Plans found at the venues that an earlier ledger began."""


class PlanKind(StrEnum):
    """Where a plan came from."""

    ARBITRAGE = "arbitrage"  # risk approved it
    FLATTEN = "flatten"  # an operator asked for it
    ADOPTED = "adopted"  # found at the venue under our ids, not in our records


class LedgerStage(StrEnum):
    """How far a ledger has come."""

    NEW = "new"  # the venues have not yet been asked for what is there already
    SURVEYED = "surveyed"  # they have, and no plan was started since
    USED = "used"


class PlanRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One plan, from its start to some time after its end.

    ``opening`` is exposure in base units that it began with (FLATTEN, or a late fill of a finished
    plan), ``opening_cash`` what was received for it less what was paid, and ``holding`` the key of
    the holding that it belongs to (empty: spot); ``reference`` is a price that made sense then.
    ``uneven_since_ns`` is when all orders were over and the fills did not match; ``attempts``
    counts rebalancing orders, ``attempt_next`` numbers them: after a restart no number comes twice.
    ``strategy`` proposed it (empty: not known); all its orders and fills carry it. ``round_id`` is
    the strategy's round that it belongs to, which it closes if ``is_closing``; a plan that
    ``is_directional`` changes a position by one leg and evens nothing out. ``checked_only`` plans
    were delivered again: they are looked for, never started. A plan of several assets has
    ``values``: what each but ``quote`` counts in it (zero: not known), and ``openings`` in place of
    ``opening``: what it began with of each. ``legs_left`` are the indexes of legs that wait for the
    one before them to be over; ``hedge_deadline_ns`` is its own, 0 where that is the executor's.
    ``late_of`` is the plan whose late fill it evens out, ``told`` what may have to be restated,
    ``closed_by_venue`` what the venue closed by itself that an order was to close, signed.
    ``resting`` is given as long as one of its legs may rest, which is then its first order.
    ``inverse_entry`` is the entry price of the inverse contracts that ``holding`` and ``opening``
    are of, which then is in quote units as they are; 0 for everything else.
    """

    plan_id: str
    kind: PlanKind
    base: str
    quote: str
    legs: list[PlanLeg]  # dropped at the end: what is kept of finished plans should be small
    loss_cap: Decimal
    reference: Decimal
    ts_started_ns: int
    ts_recv_ns: int = 0
    opening: Decimal = ZERO
    opening_cash: Decimal = ZERO
    orders: list[str] = []
    attempts: int = 0
    attempt_next: int = 1
    uneven_since_ns: int = 0
    wait_until_ns: int = 0
    checked_only: bool = False
    outcome: PlanOutcome | None = None
    ts_done_ns: int = 0
    reason: str = ""
    holding: str = ""
    strategy: str = ""
    round_id: str = ""
    is_directional: bool = False
    values: dict[str, Decimal] = {}
    openings: dict[str, Decimal] = {}
    is_closing: bool = False
    legs_left: list[int] = []
    hedge_deadline_ns: int = 0
    late_of: str = ""
    told: list[Fill] = []
    closed_by_venue: Decimal = ZERO
    resting: Resting | None = None
    inverse_entry: Decimal = ZERO

    @property
    def is_open(self) -> bool:
        """Whether work is left to do."""
        return self.outcome is None

    def reports(self, instrument: str) -> tuple[str, Decimal]:
        """Return the asset that an instrument's fills are reported in, and its quote asset's price.

        Empty where fills are reported in the quote asset itself, also because it has no price.
        """
        base, quote, _ = split_instrument(instrument)
        price = self.values.get(quote, ZERO)
        is_known = price > 0 and (base == self.quote or base in self.values)
        return (self.quote, price) if is_known else ("", ZERO)

    def inverse_entry_of(self, venue: str, instrument: str) -> Decimal:
        """Return the entry of the inverse contracts that it closes there; 0 where it closes none.

        Those that it is about as a whole (FLATTEN, a late fill) are closed where they are held.
        """
        if not is_inverse(instrument):
            return ZERO
        if self.inverse_entry and self.holding == holding_key(venue, instrument):
            return self.inverse_entry
        found = (leg.inverse_entry for leg in self.legs if leg.market == (venue, instrument))
        return next(found, ZERO)

    @property
    def opening_base(self) -> Decimal:
        """``opening`` in base units."""
        if not self.inverse_entry:
            return self.opening
        return base_of(holding_place(self.holding)[1], self.opening, self.inverse_entry)

    @property
    def opening_key(self) -> str:
        """The key of the holding that ``opening`` belongs to."""
        return self.holding or f"{self.base}/{self.quote}"


class FlattenProgress(msgspec.Struct, frozen=True):
    """FLATTEN's attempts to close a holding: how many, and base units when the last one began."""

    qty: Decimal
    tries: int


class ExecutorState(msgspec.Struct, kw_only=True, dict=True):
    """The checkpoint.

    ``books`` are the accounts over all fills since the ledger began. ``locked`` is why nothing new
    may start until RESUME. ``flatten`` is the command being carried out, ``closings`` what it
    tried, by holding. ``forgotten_ns`` is the end of the newest plan that is no longer kept whole:
    fills before it may be known. ``read_ns`` says when each venue's executions were last read.
    ``ledger_id`` names the ledger, which began at ``began_ns``; ``stage`` says how far it has come,
    and ``before`` has keys of plans found at venues that it did not begin. ``down`` is what gets no
    new orders, ``refusals`` how many in a row, both by ``venue`` or ``venue|instrument``; ``falls``
    counts probes that proved nothing, by venue; ``funding`` is known of each venue's payments;
    ``reductions`` are venues' own fills; ``lost_ns`` is when data was lost last;
    ``failure_costs`` and ``answers`` are by venue, ``refused`` are plans with their expiry (ns).
    ``opening_balances`` is by venue and asset what was there before anything was booked, and
    ``fees_untold`` by venue how many fees were not told when they were taken.

    Plans come and end by ``add_plan`` and ``end_plan`` only: two indexes, not saved, follow them,
    so that a new plan need not wait for a walk over all old ones.
    """

    version: int = CHECKPOINT_VERSION
    plans: dict[str, PlanRecord] = {}
    orders: dict[str, OrderRecord] = {}
    done_ids: list[str] = []
    command_ids: list[str] = []
    books: Books = msgspec.field(default_factory=Books)
    halted: bool = False
    locked: str = ""
    flatten: str = ""
    closings: dict[str, FlattenProgress] = {}
    forgotten_ns: int = 0
    ts_ns: int = 0
    read_ns: dict[str, int] = {}
    ledger_id: str = ""
    began_ns: int = 0
    stage: LedgerStage = LedgerStage.USED
    before: list[str] = []
    down: dict[str, Down] = {}
    refusals: dict[str, int] = {}
    falls: dict[str, int] = {}
    funding: dict[str, FundingRecord] = {}
    reductions: dict[str, int] = {}
    lost_ns: int = 0
    failure_costs: dict[str, FailureCosts] = {}
    answers: dict[str, VenueAnswers] = {}
    refused: dict[str, int] = {}
    opening_balances: dict[str, dict[str, Decimal]] = {}
    fees_untold: dict[str, int] = {}

    @property
    def is_surveying(self) -> bool:
        """Whether our orders that are not on record must belong to an earlier ledger."""
        return self.stage is not LedgerStage.USED

    def remember_before(self, key: str) -> None:
        """Note a plan of an earlier ledger, the oldest making room."""
        self.before = [*self.before, *({key} - {*self.before})][-BEFORE_IDS_MAX:]

    @cached_property
    def _open(self) -> dict[str, PlanRecord]:
        return {plan.plan_id: plan for plan in self.plans.values() if plan.is_open}

    @cached_property
    def _done(self) -> set[str]:
        return set(self.done_ids)

    def down_at(self, venue: str, instrument: str) -> Down | None:
        """Return what stands down there: the venue, or this instrument of it."""
        if not self.down:
            return None
        return self.down.get(venue) or self.down.get(market_key(venue, instrument))

    def add_plan(self, plan: PlanRecord) -> None:
        """Take in a plan that begins."""
        self.plans[plan.plan_id] = self._open[plan.plan_id] = plan

    def end_plan(self, plan: PlanRecord, outcome: PlanOutcome, now_ns: int) -> None:
        """Note how a plan ended; its legs are dropped."""
        del self._open[plan.plan_id]
        plan.outcome, plan.ts_done_ns = outcome, now_ns
        plan.legs, plan.told, plan.resting = [], [], None
        self.remember_done(plan.plan_id)

    def orders_of(self, plan: PlanRecord) -> list[OrderRecord]:
        """Return a plan's orders in the order they were made."""
        return [self.orders[order_id] for order_id in plan.orders]

    def plan_of_key(self, key: str) -> PlanRecord | None:
        """Return the plan whose orders carry this key."""
        return next((p for p in self.plans.values() if plan_key(p.plan_id) == key), None)

    def is_known(self, plan_id: str) -> bool:
        """Tell whether this plan was seen before: open, finished, or remembered by its id."""
        return plan_id in self.plans or plan_key(plan_id) in self._done

    def open_plans(self) -> list[PlanRecord]:
        """Return the plans with work left, oldest first."""
        return list(self._open.values())

    def unfinished(self) -> list[str]:
        """Return what each open plan waits for, as text for the log."""
        return [
            f"{plan.kind} plan {plan.plan_id}, {plan.attempts} rebalancing orders; "
            + ("; ".join(order.story for order in self.orders_of(plan)) or "no order")
            for plan in self.open_plans()
        ]

    def forget_old_plans(self, now_ns: int, *, by_age: bool = True) -> int:
        """Drop finished plans beyond the bounds; return how many the count bound dropped early.

        Without ``by_age`` only for their number: a venue that is away may still report old fills.
        """
        done = [plan for plan in self.plans.values() if not plan.is_open]
        excess = max(0, len(done) - RECENT_PLANS_MAX)
        early = 0
        for index, plan in enumerate(done):
            aged = by_age and now_ns - plan.ts_done_ns > RECENT_PLAN_AGE_NS
            if not aged and index >= excess:
                continue
            early += not aged
            self.forgotten_ns = max(self.forgotten_ns, plan.ts_done_ns)
            for order_id in plan.orders:
                del self.orders[order_id]
            del self.plans[plan.plan_id]
        return early

    @property
    def unknown_orders(self) -> int:
        """How many orders the venue must still be asked about."""
        return sum(order.life.status is OrderStatus.UNKNOWN for order in self.orders.values())

    def gauges(self) -> dict[str, float]:
        """Return how many plans and orders are kept."""
        return {
            "open_plans": float(len(self.open_plans())),
            "unknown_orders": float(self.unknown_orders),
            "plans_kept": float(len(self.plans)),
            "orders_kept": float(len(self.orders)),
        }

    def remember_refused(self, plan_id: str, ts_expire_ns: int, now_ns: int) -> None:
        """Keep the id of a plan that was refused until it has expired, the oldest making room."""
        kept = [each for each in self.refused.items() if each[1] > now_ns]
        self.refused = dict([*kept, (plan_key(plan_id), ts_expire_ns)][-DONE_IDS_MAX:])

    def was_refused(self, plan_id: str) -> bool:
        """Tell whether this plan was refused and has told its end."""
        return plan_key(plan_id) in self.refused

    def remember_done(self, plan_id: str) -> None:
        """Keep the id of a finished plan, the oldest making room."""
        key = plan_key(plan_id)
        if key not in self._done:
            self._done.add(key)
            self.done_ids.append(key)
            self._done.difference_update(self.done_ids[:-DONE_IDS_MAX])
            del self.done_ids[:-DONE_IDS_MAX]
