"""Checks of rounds: risk shows what the fills of their plans made, and closes only reduce."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from services.lab.ledger_checker import left_alone
from services.lab.positions import fill_key_of, key_of
from services.risk.engine import RiskEngine
from services.risk.round_closes import BEYOND_MAX
from services.risk.rounds import Round
from shared.domain.accounting import holding_key, holding_place
from shared.domain.instrument import split_instrument
from shared.domain.quantities import base_of
from shared.exchange.orders import Fill as ExchangeFill
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, ApprovedPlan, Fill, PlanOutcome
from shared.messages.rounds import Intent, StrategyPosition, round_key

if TYPE_CHECKING:
    from services.lab.world import World

ZERO = Decimal(0)
READ_NS_MAX = 200_000_000
"""Every service has read what was published after this long, unless it stood still or was away."""
Held = dict[str, Decimal]
"""Signed base units by key of the holding: spot is one over all venues."""
Closed = dict[tuple[str, bool], Decimal]
"""Signed base units by holding and whether they were bought."""


def went_on_lately(world: World, service: str) -> bool:
    """Tell whether a process was paused until now, and may still have messages to read."""
    now_ns = world.kernel.now_ns()
    hosts = (host for host in world.hosts.values() if host.service == service)
    return any(now_ns - host.went_on_ns <= READ_NS_MAX for host in hosts)


class RoundsChecker:
    """Watches rounds from outside: by the plans approved, the fills told and the venues' own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told: dict[str, StrategyPosition] = {}
        self._in_flight: dict[str, str] = {}
        """Round -> its plan that has not ended."""
        self.opened = 0
        """Rounds that had a fill at the venues."""

    # At every step

    def on_bus_lost(self) -> None:
        """Plans, fills and what was told of rounds may be gone; what is known is told again."""
        self.told.clear()
        plans = self._world.checkers.plans
        self._in_flight = {key: plan for key, plan in self._in_flight.items() if plan in plans}

    def on_position(self, told: StrategyPosition) -> None:
        """Take risk's report of a round."""
        self.told[round_key(told.strategy_id, told.round_id)] = told

    def on_end(self, plan_id: str) -> None:
        """Take the end of a plan."""
        self._in_flight = {key: plan for key, plan in self._in_flight.items() if plan != plan_id}

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check that a round has one plan at a time, and that a closing one only reduces it."""
        if not plan.round_id:
            return
        key, report = round_key(plan.strategy, plan.round_id), self._world.checkers.report
        other = self._in_flight.get(key, plan.plan_id)
        if other != plan.plan_id:
            report("round_plans", f"{key} has plan {plan.plan_id} while {other} is in flight")
        self._in_flight[key] = plan.plan_id
        if plan.intent is not Intent.CLOSE or not self._is_read(key, plan):
            return
        held = self._made()[0].get(key, {})
        for holding, change in _change_of(plan).items():
            before = held.get(holding, ZERO)
            if before * change > 0 or abs(change) > abs(before):
                report("round_closes", f"{plan.plan_id} changes {before} {holding} by {change}")

    def _is_read(self, key: str, plan: ApprovedPlan) -> bool:
        """Whether risk knows of all fills that may bear on what a round holds before it closes."""
        if went_on_lately(self._world, "risk"):
            return False
        bases = {split_instrument(leg.instrument).base for leg in plan.legs}
        return all(
            self._is_settled(fill, key)
            for exchange in self._world.exchanges.values()
            for fill in exchange.fills
            if fill.listing.base in bases
        )

    def _is_settled(self, fill: ExchangeFill, key: str) -> bool:
        """Whether a fill is of another round, or has been told for long and closed of no round."""
        checkers, place = self._world.checkers, fill_key_of(fill)
        told, plan_id = checkers.fills.get(place), key_of(fill)
        if told is not None and self._may_close_any(told):
            return False
        owner = checkers.plans.get(plan_id)
        if not plan_id or (owner is not None and self._round_of(plan_id, told) != key):
            return True
        if told is None or place in checkers.fills_lost:
            return False  # the bus has lost that it was told, and the venue tells it late
        return self._world.kernel.now_ns() - told.ts_ns > READ_NS_MAX

    # When quiet

    def check_quiet(self) -> None:
        """Compare what risk holds in rounds with the venues' fills of their plans.

        What rounds hold against each other ends with FLATTEN alone, and what no order can close any
        more: rounds show all that is open, which was compared with the venues before.
        """
        risk = self._world.engine("risk")
        assert isinstance(risk, RiskEngine)
        made, operator = self._made()
        self.opened = len(made)
        shown = {key: each.held for key, each in risk.ledger.rounds.rounds.items()}
        closed: Closed = {}
        for key in sorted(made.keys() | shown.keys()):
            self.compare(key, made.get(key, {}), shown.get(key, {}), closed)
        unowned = _without(risk.ledger.books.opened(), shown.values())
        for (holding, is_purchase), qty in closed.items():
            traded = operator.get((holding, is_purchase), ZERO)
            canceled = min(abs(qty), abs(closed.get((holding, not is_purchase), ZERO)))
            if not self._world.checkers.has_flattened:
                canceled = ZERO
            elif abs(unowned.get(holding, ZERO)) <= BEYOND_MAX * abs(qty):
                continue
            elif not holding_place(holding)[0]:
                canceled = ZERO
            if abs(qty) - canceled > abs(traded):
                text = f"{qty} {holding} is gone from rounds, no more than {traded} may be"
                self._world.checkers.report("rounds", text)
        self._check_even(risk)

    def compare(self, key: str, made: Held, shown: Held, closed: Closed) -> None:
        """Compare a round; what is less than its plans made must have been closed otherwise.

        A plan to close it that the bus has lost was adopted, and may have closed a little more:
        lots, and fees in the base asset. What a venue closed by itself may be booked to a round of
        which a fill is told late, and then it shows the other side.
        """
        share = BEYOND_MAX if self._has_lost_a_close() else ZERO
        for holding in sorted(made.keys() | shown.keys()):
            truth, ours = made.get(holding, ZERO), shown.get(holding, ZERO)
            if ours == truth:
                continue
            beyond = -ours if truth > 0 else ours
            little = max(abs(truth) * share, self.fees_in_base(holding, key))
            is_booked_here = abs(ours - truth) <= self._closed_by_venue(holding, ours > truth)
            if (beyond > little or abs(ours) > abs(truth)) and not is_booked_here:
                text = f"{key}: risk shows {ours} {holding}, its plans made {truth}"
                self._world.checkers.report("rounds", text)
            side = (holding, ours > truth)
            closed[side] = closed.get(side, ZERO) + ours - truth

    def fees_in_base(self, holding: str, key: str) -> Decimal:
        """Return the fees in a base asset of what an operator closed: charged to what it closed.

        After it has closed a round a late fill may be traded back, which is charged so as well.
        """
        checkers = self._world.checkers
        late = {done.plan_id for done in checkers.done.values() if done.late_of}
        fees = (
            fill.fee or ZERO
            for fill in checkers.fills.values()
            if (
                fill.strategy == OPERATOR_STRATEGY
                or (fill.plan_id in late and self._round_of(fill.plan_id, fill) == key)
            )
            and holding_key(fill.venue, fill.instrument) == holding
            and fill.fee_asset == split_instrument(fill.instrument).base
        )
        return sum(fees, ZERO)

    def _closed_by_venue(self, holding: str, is_purchase: bool) -> Decimal:
        """Return how much the venues bought, or sold, of a holding to close positions."""
        return sum(
            (
                fill.qty
                for fill in self._world.checkers.fills.values()
                if fill.reduced_by
                and holding_key(fill.venue, fill.instrument) == holding
                and (fill.side is Side.BUY) is is_purchase
            ),
            ZERO,
        )

    def _check_even(self, risk: RiskEngine) -> None:
        """No round is uneven by more than dust, and risk has told what each holds.

        One may be of which FLATTEN has closed a part: an operator's RESUME ended it, and the
        operator was told what was left open.
        """
        checkers = self._world.checkers
        has_failed = any(done.outcome is PlanOutcome.FAILED for done in checkers.done.values())
        has_failed |= any(fill.reduced_by for fill in checkers.fills.values())
        for key, each in risk.ledger.rounds.rounds.items():
            rest_max = 2 * self._world.dust(each.base) + self._held_against(each, risk)
            is_even = each.is_directional or abs(each.net) <= rest_max
            is_even |= any(holding_place(key) in checkers.unowned for key in each.held)
            if not (is_even or has_failed):
                checkers.report("flat", f"round {key} is uneven by {each.net} and no plan failed")
            if not each.held:
                continue
            told = self.told.get(key)
            legs = {} if told is None else {(x.venue, x.instrument): x.qty for x in told.legs}
            if legs != {tuple(k.split("|", 1)): q for k, q in each.books.quantities.items()}:
                checkers.report("rounds", f"{key}: last told {legs}, risk holds {each.held}")

    def _held_against(self, found: Round, risk: RiskEngine) -> Decimal:
        """Return what other rounds hold against a round, once FLATTEN was said.

        It closes what a venue shows, which is the net of all rounds there, and of spot the net over
        all venues. What they hold against each other in derivatives ends too, but not of rounds
        whose plan was in flight at a RESUME soon after; in spot it stays.
        """
        if not self._world.checkers.has_flattened:
            return ZERO
        most = ZERO
        for key, qty in found.held.items():
            others = (each.held.get(key, ZERO) for each in risk.ledger.rounds.rounds.values())
            against = sum((abs(other) for other in others if other * qty < 0), ZERO)
            price = self._world.price(found.base, found.quote)
            most += base_of(holding_place(key)[1], min(abs(qty), against), price)
        return most

    def _made(self) -> tuple[dict[str, Held], Closed]:
        """Return what the venues' fills made of every round, and what may have closed any."""
        world = self._world
        rounds: dict[str, Held] = {}
        operator: Closed = {}
        left: dict[tuple[str, str], Decimal] = {}
        for venue, exchange in world.exchanges.items():
            alone = set(map(fill_key_of, left_alone(world, exchange)))
            for fill in exchange.fills:
                told = world.checkers.fills.get(fill_key_of(fill))
                if told is not None and told.reduced_by:
                    side = holding_key(venue, fill.listing.instrument), fill.side is Side.BUY
                    signed = fill.side.signed(told.qty)
                    operator[side] = operator.get(side, ZERO) + signed
                if not key_of(fill) or fill_key_of(fill) in alone:
                    continue
                holding, qty = holding_key(venue, fill.listing.instrument), _received(fill)
                if key := self._round_of(key_of(fill), told):
                    held = rounds.setdefault(key, {})
                    held[holding] = held.get(holding, ZERO) + qty
                elif told is not None and self._may_close_any(told):
                    side = (holding, qty > 0)
                    operator[side] = operator.get(side, ZERO) + qty
                elif told is not None and self._left_dust(told):
                    place = (told.plan_id, holding)
                    left[place] = left.get(place, ZERO) + qty
        for (_, holding), qty in left.items():
            side = (holding, qty > 0)
            operator[side] = operator.get(side, ZERO) + qty
        return rounds, operator

    def _left_dust(self, told: Fill) -> bool:
        """Tell whether a plan adopted without a record left less than any order may be.

        A venue keeps one position, so contracts of its rest count against the round that holds
        the other side.
        """
        done = self._world.checkers.done.get(told.plan_id)
        return done is not None and not done.is_approved and bool(done.dust)

    def _may_close_any(self, told: Fill) -> bool:
        """An operator's may, a venue's own, and a lost plan's that was to close a round."""
        if told.reduced_by:
            return True
        if told.strategy:
            return told.strategy == OPERATOR_STRATEGY
        plan = self._world.checkers.plans_lost.get(told.plan_id)
        return plan is not None and plan.intent is Intent.CLOSE

    def _has_lost_a_close(self) -> bool:
        lost = self._world.checkers.plans_lost.values()
        return any(plan.intent is Intent.CLOSE for plan in lost)

    def _round_of(self, plan_id: str, told: Fill | None) -> str:
        """Return the round of a plan: the approved one's, else what its end or its fill names."""
        checkers = self._world.checkers
        done = checkers.done.get(plan_id)
        named = checkers.plans.get(plan_id) or (done if done and done.round_id else told)
        return round_key(named.strategy, named.round_id) if named and named.round_id else ""


def _change_of(plan: ApprovedPlan) -> Held:
    change: Held = {}
    for leg in plan.legs:
        key = holding_key(leg.venue, leg.instrument)
        change[key] = change.get(key, ZERO) + leg.side.signed(leg.qty)
    return change


def _received(fill: ExchangeFill) -> Decimal:
    """Return the signed base units of a fill, less a fee that was taken of them."""
    received = fill.side.signed(fill.qty)
    in_base = fill.fee_asset == fill.listing.base and not fill.listing.perpetual
    return received - fill.fee if in_base else received


def _without(opened: Held, shown: Iterable[Held]) -> Held:
    """Return what is open beside what rounds show of it."""
    left = dict(opened)
    for holding, qty in (item for held in shown for item in held.items()):
        left[holding] = left.get(holding, ZERO) - qty
    return left
