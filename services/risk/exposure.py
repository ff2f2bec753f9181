"""What we hold, owe and may lose: positions, balances, reservations and results. Pure.

The ledger is one msgspec structure, so that what is saved of it is its encoding and nothing else;
``checkpoint.py`` saves the reservations, which every decision changes, apart from the rest. It is
fed by the executor's events, each of which may come twice:

* a fill counts once by its natural key (``shared/messages/fill_key.py``); when it is repeated
  because the venue has now reported the fee, only the fee is added;
* a plan's end counts once per plan.

A reservation is held from the approval until the plan's end. What a plan has spent stays out of
reach afterwards ("settling") until the venue reports balances that are newer than its last fill; so
does what was spent that no reservation holds.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

import msgspec

from services.risk.equity import Equity, Valued
from services.risk.funding_known import KnownFunding
from services.risk.order_rates import OrderRates
from services.risk.path_orders import path_order_flaw
from services.risk.plan_orders import order_flaw
from services.risk.remembered import digest, fill_name, remember
from services.risk.reservations import InFlight, Reservation
from services.risk.rounds import Rounds
from services.risk.settling import Spent, balance_shows, settle, spent_beside
from services.risk.streaks import Streaks
from shared.domain.accounting import Books, worst_certainty
from shared.domain.executions import Execution, execution_of, plain_trades
from shared.domain.instrument import split_instrument
from shared.domain.ownership import OrdersOnRecord, reduction_flaw
from shared.domain.strategy_books import Payment, StrategyBooks, payment_of, shares_of
from shared.messages.base import Certainty
from shared.messages.execution import (
    BalanceReport,
    Fill,
    FundingKnown,
    FundingPaid,
    OrderEvent,
    OrderPurpose,
    PlanDone,
    PlanOutcome,
)
from shared.messages.restated import FillRestated
from shared.messages.rounds import Intent, RoundState
from shared.messages.terms import OrderTerms, is_same_side

FILLS_REMEMBERED_MAX = 512
"""Fills known by their id. A repeat comes from the executor's recovery of unfinished plans, so it
is never this late; the bound keeps the ledger, saved with every fill, at a few KB."""
PAYMENTS_REMEMBERED_MAX = 128
"""Funding payments, and moves of balances, known by their id."""
PLANS_REMEMBERED_MAX = 128
"""Ended plans and approved opportunities known by their id."""
DAY_NS = 86_400 * 1_000_000_000
ZERO, ONE = Decimal(0), Decimal(1)


class VenueBalance(msgspec.Struct, kw_only=True):
    """Balances as last reported: free, and ``used`` by orders and as margin."""

    ts_ns: int
    free: dict[str, Decimal]
    used: dict[str, Decimal] = {}


class Ledger(InFlight, kw_only=True, dict=True):
    """Everything risk knows about money; ``books`` are the accounts of our fills.

    ``prices`` are those of the last fill by ``venue|instrument``. ``realized_at_midnight`` is what
    was realized per quote asset before ``day`` began. ``orders`` are those that fills
    may belong to. ``plans_ended`` says whether each left nothing over. ``strategies`` are the same
    fills, booked to whose they are, ``rounds`` those of rounds, booked to each.
    ``payments_seen`` are payments and moves of balances that were booked, ``funding`` says by venue
    how far payments are known. ``equity`` is by quote asset what it all came to when worked
    out last, ``streaks`` are the losses in a row of strategies. ``flattens`` holds from FLATTEN to
    RESUME. ``order_rates`` are counted where there is a limit on them. ``transfers_accepted`` are
    those of ``books`` when ``day`` began or an operator last resumed, or more by what came in since
    and stayed; ``came_in`` is what may not stay: since when, and what transfers come to with it;
    ``unpriced`` says where something was lost that nothing has priced yet, ``unpriced_starts`` how
    many processes have waited for that.
    """

    books: Books = msgspec.field(default_factory=Books)
    prices: dict[str, Decimal] = msgspec.field(default_factory=dict)
    balances: dict[str, VenueBalance] = msgspec.field(default_factory=dict)
    settling: Spent = msgspec.field(default_factory=dict)
    day: int = 0
    realized_at_midnight: dict[str, Decimal] = msgspec.field(default_factory=dict)
    certainty: Certainty = Certainty.KNOWN
    fills_seen: dict[str, bool] = msgspec.field(default_factory=dict)
    plans_ended: dict[str, bool] = msgspec.field(default_factory=dict)
    approved: dict[str, bool] = msgspec.field(default_factory=dict)
    orders: OrdersOnRecord = msgspec.field(default_factory=OrdersOnRecord)
    strategies: StrategyBooks = msgspec.field(default_factory=StrategyBooks)
    rounds: Rounds = msgspec.field(default_factory=Rounds)
    payments_seen: dict[str, bool] = msgspec.field(default_factory=dict)
    funding: dict[str, KnownFunding] = msgspec.field(default_factory=dict)
    equity: dict[str, Equity] = msgspec.field(default_factory=dict)
    streaks: Streaks = msgspec.field(default_factory=Streaks)
    flattens: bool = False
    order_rates: OrderRates = msgspec.field(default_factory=OrderRates)
    transfers_accepted: dict[str, Decimal] = msgspec.field(default_factory=dict)
    came_in: dict[str, tuple[int, Decimal]] = msgspec.field(default_factory=dict)
    unpriced: dict[str, bool] = msgspec.field(default_factory=dict)
    unpriced_starts: dict[str, int] = msgspec.field(default_factory=dict)

    @cached_property
    def valued(self) -> dict[str, Valued]:
        """The open result by quote asset as it was last worked out; not saved."""
        return {}

    @cached_property
    def above_soft(self) -> dict[str, str]:
        """What is above its soft limit and not worked off yet, in words; saved apart."""
        return {}

    @property
    def rounds_in_flight(self) -> dict[str, Intent]:
        """What the plans in flight do to their rounds, by ``strategy|round``."""
        return {h.round_key: h.intent for h in self.reservations.values() if h.round_id}

    def round_state(self, strategy: str, round_id: str) -> RoundState | None:
        """Return the state of a round, ``None`` where it is not known."""
        found = self.rounds.get(strategy, round_id)
        return None if found is None else found.state(self.rounds_in_flight.get(found.key))

    @property
    def positions(self) -> dict[str, Decimal]:
        """Net base units by ``venue|instrument``: our fills, less fees charged in the base."""
        return self.books.quantities

    @property
    def exposure(self) -> dict[str, Decimal]:
        """Net base units by asset."""
        return self.books.exposure

    def realized_today(self, quote: str) -> Decimal:
        """Return what was realized in a quote asset since the UTC day began."""
        result = self.books.results.get(quote)
        before = self.realized_at_midnight.get(quote, ZERO)
        return (result.realized if result is not None else ZERO) - before

    def reserve(self, reservation: Reservation) -> None:
        """Hold what a plan may use until it ends."""
        assert reservation.plan_id not in self.reservations
        self.reservations[reservation.plan_id] = reservation
        remember_plan(self.approved, reservation.opportunity_id)

    def release(self, plan_id: str) -> Reservation | None:
        """Give back what a plan held, less what it spent; ``None`` if it held nothing."""
        held = self.reservations.pop(plan_id, None)
        if held is None:
            return None
        for leg in held.legs:
            venue = leg.terms.venue
            ts_fill_ns = held.ts_fill_ns.get(venue)
            known = self.balances.get(venue)
            if ts_fill_ns is None or (known is not None and balance_shows(known.ts_ns, ts_fill_ns)):
                continue  # nothing spent, or the reported balance shows it already
            settle(self.settling, venue, leg.asset, leg.amount, ts_fill_ns)
        return held

    def refuses(self, event: OrderEvent) -> str:
        """Return why an order cannot be its plan's, as it was approved or is on record; else empty.

        Plans that were not approved here are of the executor's own making: it adopts, evens out
        late fills, flattens.
        """
        held = self.reservations.get(event.plan_id)
        why = ""
        if held is not None:
            if held.values and event.purpose is not OrderPurpose.LEG:
                filled = self.orders.filled_in(event.plan_id, event.venue, event.instrument)
                why = path_order_flaw(held, event, filled)
            else:
                against = self.orders.filled(event.plan_id, event.side.opposite)
                why = order_flaw(held, event, against)
        return why or self.orders.refuses(event)

    def ownership_flaw(self, fill: Fill) -> str:
        """Return why a fill cannot be ours, empty if it can, or if it repeats what is booked."""
        why = _owner_flaw(self, fill)
        if not why:
            why = self.orders.overfills(fill)
            return "" if not why or fill_name(fill, self.fills_seen) in self.fills_seen else why
        seen = self.fills_seen.get(fill_name(fill, self.fills_seen))
        return "" if seen or (seen is not None and fill.fee is None) else why

    def apply_fill(self, fill: Fill) -> bool:
        """Count a fill; return False where nothing was new about it."""
        key = fill_name(fill, self.fills_seen)
        seen = self.fills_seen.get(key)
        has_fee = fill.fee is not None
        if seen is not None and (seen or not has_fee):
            return False
        self.roll_day(fill.ts_ns)
        done = execution_of(fill)
        quote = done.cash
        if quote not in self.books.results:
            self.equity.setdefault(quote, Equity())
        realized_before = self.books.result(quote).realized
        held = self.reservations.get(fill.plan_id)
        # What the executor adopted without a record is that plan's if it was approved here.
        strategy = (held.strategy if held is not None else "") or fill.strategy
        if seen is None:
            self.prices[f"{fill.venue}|{fill.instrument}"] = fill.price
            note_prices(self, done)
            self.books.trade(done)
            self.strategies.trade(done, strategy)
            self.orders.book(fill)
        else:
            self.books.fee_told(done)
            self.strategies.fee_told(done, strategy)
        self.rounds.book(fill, is_new=seen is None, in_flight=held is not None)
        if self.is_of_earlier_day(fill.ts_ns):
            self._count_before_today(quote, realized_before)
        remember(self.fills_seen, key, has_fee, FILLS_REMEMBERED_MAX)
        if held is not None:
            held.ts_fill_ns[fill.venue] = max(held.ts_fill_ns.get(fill.venue, 0), fill.ts_ns)
            for leg, amount in held.give_back(fill, fill.qty) if seen is None else ():
                settle(self.settling, leg.terms.venue, leg.asset, amount, fill.ts_ns)
        beside = spent_beside(fill, held.legs if held is not None else ()) if seen is None else None
        if beside is not None:
            settle(self.settling, fill.venue, *beside, fill.ts_ns)
        return True

    def apply_funding(self, paid: FundingPaid | FundingKnown) -> bool:
        """Book what a venue paid, or note how far that is known; return False if it was booked."""
        if isinstance(paid, FundingKnown):
            self.funding[paid.venue] = KnownFunding(paid.ts_known_ns, paid.reason)
            return True
        key = digest(paid.venue, paid.instrument, paid.payment_id)
        if key in self.payments_seen:
            return False
        self.roll_day(paid.ts_ns)
        remember(self.payments_seen, key, True, PAYMENTS_REMEMBERED_MAX)
        payment = payment_of(paid)
        quote = split_instrument(paid.instrument).cash
        realized_before = self.books.result(quote).realized
        self.books.fund(paid.venue, paid.instrument, paid.amount, paid.asset)
        if self.is_of_earlier_day(payment.ts_ns):
            self._count_before_today(quote, realized_before)
        self.strategies.fund(payment, self.books)
        _fund_rounds(self, payment)
        return True

    def is_of_earlier_day(self, ts_ns: int) -> bool:
        """Tell whether a time lies before the UTC day whose result is counted."""
        return ts_ns // DAY_NS < self.day

    def _count_before_today(self, quote: str, realized_before: Decimal) -> None:
        """Leave what was realized since ``realized_before`` out of today's result."""
        earned = self.books.result(quote).realized - realized_before
        before = self.realized_at_midnight.get(quote, ZERO)
        self.realized_at_midnight[quote] = before + earned
        if quote in self.equity:
            self.equity[quote].day += earned

    def apply_balances(self, report: BalanceReport, assets: frozenset[str]) -> None:
        """Take the venue's word for its balances; only ``assets`` that are traded are kept."""
        known = self.balances.get(report.venue)
        if known is not None and report.ts_ns < known.ts_ns:
            return
        free = {name: b.free for name, b in sorted(report.balances.items()) if name in assets}
        used = {name: report.balances[name].used for name in free if report.balances[name].used}
        self.balances[report.venue] = VenueBalance(ts_ns=report.ts_ns, free=free, used=used)
        of_venue = self.settling.get(report.venue, {})
        for asset, spent in list(of_venue.items()):
            if balance_shows(report.ts_ns, spent.ts_ns):
                del of_venue[asset]

    def apply_end(self, done: PlanDone) -> bool:
        """Release what a plan held; return False if this plan's end was counted before.

        One that leaves something over counts after one that did not: it is not to be hidden.
        """
        is_even = done.outcome is not PlanOutcome.FAILED and not any(done.residual.values())
        was_even = self.plans_ended.get(done.plan_id)
        if was_even is not None and (is_even or not was_even):
            return False
        self.release(done.plan_id)
        self.orders.end(done.plan_id)
        remember(self.plans_ended, done.plan_id, is_even, PLANS_REMEMBERED_MAX)
        self.certainty = worst_certainty(self.certainty, done.certainty)
        return True

    def roll_day(self, now_ns: int) -> bool:
        """Begin a new UTC day where one has begun; tell whether it has."""
        if now_ns // DAY_NS <= self.day:
            return False
        self.day = now_ns // DAY_NS
        self.realized_at_midnight = {q: each.realized for q, each in self.books.results.items()}
        for each in self.equity.values():
            each.day = each.now
        waiting = {key: self.transfers_accepted.get(key, ZERO) for key in self.unpriced}
        self.transfers_accepted = self.books.transfers | waiting
        return True

    def available(self, venue: str, asset: str) -> Decimal | None:
        """Return what may still be spent of an asset; ``None`` while that is unknown.

        While a plan is in flight its fills may already be in the reported balance and are then
        counted twice: too little may be approved for a moment, never too much.
        """
        known = self.balances.get(venue)
        if known is None:
            return None
        free = known.free.get(asset, ZERO)
        spent = self.settling.get(venue, {}).get(asset)
        return free - self.reserved_amount(venue, asset) - (ZERO if spent is None else spent.amount)

    def position_left(self, terms: OrderTerms) -> Decimal:
        """Return the net base units held in an instrument, once plans in flight have filled there.

        Only those on the same side: two must not reduce one position, and so open another. What
        they have filled is counted twice until they end: for a moment less may be reduced.
        """
        left = self.positions.get(f"{terms.venue}|{terms.instrument}", ZERO)
        for held in self.reservations.values():
            for leg in held.legs:
                if is_same_side(leg.terms, terms):
                    left += leg.terms.signed_qty
        return left

    def has_unknown_fees(self) -> bool:
        """Tell whether the venue still owes us the fee of a remembered fill."""
        return not all(self.fills_seen.values())


def has_open_rounds(ledger: Ledger) -> bool:
    """Tell whether any round is not closed."""
    in_flight = ledger.rounds_in_flight
    return any(
        each.state(in_flight.get(key)) is not RoundState.CLOSED
        for key, each in ledger.rounds.rounds.items()
    )


def note_prices(ledger: Ledger, done: Execution) -> None:
    """Note what an exchange of other assets was worth in that which its result is stated in."""
    for part in plain_trades(done) if done.report_asset else ():
        if part.cost > 0:  # also where it is held, though nothing was traded there
            ledger.prices[f"{part.venue}|{part.instrument}"] = part.cost / part.qty


def is_first_restating(ledger: Ledger, told: FillRestated) -> bool:
    """Tell whether a fill is booked, and not yet as it is stated now; note that it will be."""
    name = fill_name(told.fill, ledger.fills_seen)
    key = digest(name, f"{told.ts_ns}", told.report_asset)
    if name not in ledger.fills_seen or key in ledger.fills_seen:
        return False
    remember(ledger.fills_seen, key, True, FILLS_REMEMBERED_MAX)
    return True


def _owner_flaw(ledger: Ledger, fill: Fill) -> str:
    if fill.reduced_by:
        return reduction_flaw(fill, ledger.books)
    return ledger.orders.ownership_flaw(fill)


def _fund_rounds(ledger: Ledger, paid: Payment) -> None:
    """Book to each round its share of a payment: what it held of the whole at the instant."""
    place = paid.venue, paid.instrument, paid.ts_ns
    rounds = ledger.rounds.rounds
    held = {key: each.books.held_at(*place) for key, each in rounds.items()}
    shares = shares_of(paid.amount, held, ledger.books.held_at(*place), "")
    for key in [key for key in shares if key]:
        rounds[key].books.fund(paid.venue, paid.instrument, shares[key], paid.asset)
        ledger.rounds.touch(key)


def remember_plan(memory: dict[str, bool], key: str) -> None:
    """Remember the id of a plan or of its opportunity; the oldest beyond the bound is forgotten."""
    memory[key] = True
    if len(memory) > PLANS_REMEMBERED_MAX:
        remember(memory, key, True, PLANS_REMEMBERED_MAX)
