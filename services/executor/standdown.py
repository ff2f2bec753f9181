"""Which venues take no new orders, why, and how each comes back. Pure.

A venue that refuses costs a naked leg with every plan sent to it, so refusals are counted. A
refusal that concerns the venue or the account (key, permissions, mode) counts at once; a temporary
one (clock, rate limit, service, lost answers) or one of a single order counts after
``REFUSALS_MAX`` in a row. Refusals in one instrument stop that instrument; refusals in several,
without a success between, stop the venue.

A venue that fails every second order never reaches a count in a row, yet each failure leaves a leg
that is traded back at a loss. Therefore the losses of plans that a venue failed are added up, as
shares of their loss caps; ``COSTS_MAX_SHARE`` within ten minutes stands the venue down as well. It
is probed like the others, and any further loss within that time stands it down again.

The last answers of a venue are judged together as well, where ``[executor]`` has limits on them:
the share of failed orders, and the time that half of the answers took (``answers.py``).

What **stands down** gets no new leg, and is the last resort for rebalancing. ``EndsBy`` tells how
it comes back. After a probe one refusal is enough to stand it down again; after ``FALLS_MAX`` of
these without a success only an operator brings it back.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, MutableMapping
from decimal import Decimal
from typing import Final

from services.executor.answers import VenueAnswers
from services.executor.down import COST_WINDOW_NS, Down, EndsBy, FailureCosts, market_key
from services.executor.journal import alert, plan_books
from services.executor.order_record import OrderRecord
from services.executor.reduce_only import had_nothing_to_reduce
from services.executor.state import ExecutorState, PlanKind, PlanRecord
from services.executor.unsettled import open_at_worst, unsettled_at
from shared.config_sections import ExecutorConfig
from shared.domain.order import ZERO
from shared.engine import Step
from shared.errors import Cause, Scope
from shared.messages.control import Severity
from shared.messages.execution import OrderStatus, PlanLeg, PlanOutcome

REFUSALS_MAX: Final = 3
"""Refusals in a row, of an instrument or a venue, before it stands down."""
PROBE_PAUSE_NS: Final = 10_000_000_000
"""Before the first probe; each further one waits twice as long."""
PROBE_PAUSE_NS_MAX: Final = 300_000_000_000
FALLS_MAX: Final = 3
"""Times that the next order may be refused though the probe had succeeded."""
COSTS_MAX_SHARE: Final = Decimal(1)
"""What a venue's failures may cost together: as much as one plan may lose."""
PASSING: Final = frozenset({Cause.CLOCK, Cause.RATE, Cause.SERVICE})
"""Causes that can pass by themselves."""

_ENDS: Final = {
    EndsBy.PROBE: "it is checked again after a pause",
    EndsBy.READ: "it is read again until that succeeds",
    EndsBy.SETTLED: "its orders are asked for until they are known",
    EndsBy.LISTED: "remove it from the configuration, or restart once it is listed",
    EndsBy.OPERATOR: "correct it, then run `arb resume`",
}
_REFUSED = frozenset({OrderStatus.REJECTED, OrderStatus.NOT_SENT, OrderStatus.UNKNOWN})
"""An answer that is lost is no success either."""


class StandDown:
    """Counts refusals and keeps ``state.down``. Every method changes ``state``, adds to ``out``."""

    def __init__(
        self, state: ExecutorState, counts: MutableMapping[str, int], settings: ExecutorConfig
    ) -> None:
        self._state = state
        self._error_rate_max = settings.venue_error_rate_max
        self._latency_ms_max = settings.venue_latency_ms_max
        self._counts = counts
        self._has_changed = False

    def take_change(self) -> bool:
        """Tell whether anything stood down or came back since this was last asked."""
        changed, self._has_changed = self._has_changed, False
        return changed

    def keep_only(self, venues: Mapping[str, Container[str]]) -> None:
        """Forget what is not configured any more."""
        state = self._state
        for kept in (state.down, state.refusals, state.falls, state.failure_costs, state.answers):
            for key in list(kept):
                venue, _, instrument = key.partition("|")
                if venue not in venues or (instrument and instrument not in venues[venue]):
                    del kept[key]

    def objection(self, legs: Iterable[PlanLeg]) -> str:
        """Return why a plan with these legs must not start; empty if it may."""
        if not self._state.down:
            return ""
        for leg in legs:
            down = self._state.down_at(leg.venue, leg.instrument)
            if down is not None:
                return f"{down.name} stands down: {down.reason}"
        return ""

    def judge(self, order: OrderRecord, now_ns: int, out: Step) -> None:
        """Count a venue's answer to an order."""
        venue, key = order.venue, market_key(order.venue, order.instrument)
        refusals, status = self._state.refusals, order.life.status
        if status is OrderStatus.SUBMITTED:
            return
        if had_nothing_to_reduce(order):
            return  # it tells of the position, neither for nor against the venue
        if order.terms.rests and order.cause is Cause.WOULD_TAKE:
            return  # it tells of the market; an order that may take is refused for no such reason
        if status is OrderStatus.NOT_SENT and order.not_found:
            return  # counted when the answer was lost; or a crash came before it was sent
        if status not in _REFUSED:
            refusals.pop(venue, None)
            refusals.pop(key, None)
            self._state.falls.pop(venue, None)
            return
        refusals[venue] = refusals.get(venue, 0) + 1
        refusals[key] = refusals.get(key, 0) + 1
        down = Down(venue=venue, cause=order.cause, reason=order.reason, ts_since_ns=now_ns)
        scope = order.cause.scope
        if scope is Scope.VENUE:
            needed = 1 if venue in self._state.falls else REFUSALS_MAX
            if order.cause not in PASSING:
                self._fall(down, out)
            elif refusals[venue] >= needed:
                self._fall_for_a_while(down, out)
        elif refusals[venue] >= REFUSALS_MAX and refusals[venue] > refusals[key]:
            self._fall(down, out)
        elif scope is Scope.INSTRUMENT or refusals[key] >= REFUSALS_MAX:
            down.instrument = order.instrument
            self._fall(down, out)

    def judge_lately(self, order: OrderRecord, now_ns: int, out: Step) -> None:
        """Judge how a request ended together with those before it."""
        if not (self._error_rate_max or self._latency_ms_max):
            return
        answers = self._state.answers.setdefault(order.venue, VenueAnswers())
        failed = order.life.status in _REFUSED and order.cause.scope is Scope.VENUE
        took_ns = order.ts_ended_ns - order.ts_sent_ns if order.ts_sent_ns else 0
        answers.add(took_ns, is_failure=failed)
        why = answers.flaw(self._error_rate_max, self._latency_ms_max)
        if not why or order.venue in self._state.down:
            return
        down = Down(venue=order.venue, cause=Cause.SERVICE, reason=why, ts_since_ns=now_ns)
        falls = answers.fall(now_ns)
        if falls <= FALLS_MAX:
            _probe_later(down, falls - 1)
        self._fall(down, out)

    def plan_ended(self, plan: PlanRecord, now_ns: int, out: Step) -> None:
        """Charge a plan's loss to the venues that failed it; one left open counts in full."""
        orders = self._state.orders_of(plan)
        failed = {order.venue: order for order in orders if order.cause.scope is Scope.VENUE}
        if not failed or plan.kind is not PlanKind.ARBITRAGE or plan.loss_cap <= 0:
            return
        lost = -plan_books(plan, orders).result(plan.quote).realized
        share = max(ZERO, lost / plan.loss_cap)
        if plan.outcome is PlanOutcome.FAILED:
            share = max(share, COSTS_MAX_SHARE)
        for venue, order in failed.items() if share else ():
            costs = self._state.failure_costs.setdefault(venue, FailureCosts())
            if (total := costs.add(share, now_ns)) < COSTS_MAX_SHARE or venue in self._state.down:
                continue
            reason = (
                f"plans that it failed lost {total:.2f} of what one may lose, in "
                f"{COST_WINDOW_NS // 60_000_000_000} minutes; the last time: {order.reason}"
            )
            costs.falls += 1
            down = Down(venue=venue, cause=order.cause, reason=reason, ts_since_ns=now_ns)
            if costs.falls <= FALLS_MAX:
                _probe_later(down, costs.falls - 1)
            self._fall(down, out)

    def unreadable(self, venue: str, cause: Cause, reason: str, now_ns: int, out: Step) -> None:
        """Stand a venue down whose account was not read in time; others need not wait."""
        down = Down(venue=venue, cause=cause, reason=reason, ts_since_ns=now_ns)
        if cause in PASSING or cause.scope is not Scope.VENUE:
            down.ends_by = EndsBy.READ
        self._fall(down, out)

    def overdue(self, orders: Iterable[OrderRecord], now_ns: int, out: Step) -> None:
        """Send no orders to a venue that does not report an outcome, until all are known."""
        for order in orders:
            if not order.is_overdue:
                order.is_overdue = True
                plan = self._state.plans[order.plan_id]
                text = (
                    f"{order.client_order_id} at {order.venue} is {order.life.status} after "
                    f"{order.queries} queries; asking on, its plan stays open: "
                    f"{open_at_worst(plan, self._state.orders_of(plan))}"
                )
                alert(
                    out, Severity.CRITICAL, "ORDER_UNSETTLED", text, now_ns, order.client_order_id
                )
            if order.venue not in self._state.down:
                self._fall(
                    Down(
                        venue=order.venue,
                        cause=Cause.SERVICE,
                        reason="it does not report the outcome of an order"
                        + unsettled_at(self._state, order.venue),
                        ts_since_ns=now_ns,
                        ends_by=EndsBy.SETTLED,
                    ),
                    out,
                )
        for key, down in list(self._state.down.items()):
            if down.ends_by is EndsBy.SETTLED and all(
                order.life.is_settled
                for order in self._state.orders.values()
                if order.venue == down.venue
            ):
                self._rise(key, "every order there is known", now_ns, out)

    def check_failed(self, venue: str, cause: Cause, reason: str, now_ns: int, out: Step) -> None:
        """The account is not as it must be, or could not be asked."""
        if cause.scope is Scope.VENUE and cause not in PASSING:
            self._fall(Down(venue=venue, cause=cause, reason=reason, ts_since_ns=now_ns), out)

    def check_passed(self, venue: str, now_ns: int, out: Step) -> None:
        """The account is as it must be."""
        down = self._state.down.get(venue)
        if down is not None and down.ends_by is EndsBy.PROBE:
            self._rise(venue, "it answers as it should", now_ns, out)

    def was_read(self, venue: str, now_ns: int, out: Step) -> None:
        """The account has been read."""
        down = self._state.down.get(venue)
        if down is not None and down.ends_by is EndsBy.READ:
            self._rise(venue, "its account has been read", now_ns, out)

    def listed(self, venue: str, unlisted: Iterable[str], now_ns: int, out: Step) -> None:
        """The venue has just said which of the configured instruments it does not know."""
        missing = {market_key(venue, instrument): instrument for instrument in unlisted}
        for key, down in list(self._state.down.items()):
            if down.venue == venue and down.ends_by is EndsBy.LISTED and key not in missing:
                self._rise(key, "the venue lists it", now_ns, out)
        for instrument in missing.values():
            down = Down(
                venue=venue,
                instrument=instrument,
                cause=Cause.INSTRUMENT,
                reason="the venue does not list it",
                ts_since_ns=now_ns,
                ends_by=EndsBy.LISTED,
            )
            self._fall(down, out)

    def resume(self, unread: Container[str], now_ns: int, out: Step) -> None:
        """Let all come back, as an operator wants; ``unread`` accounts must be read first."""
        for key, down in list(self._state.down.items()):
            if down.ends_by in {EndsBy.LISTED, EndsBy.SETTLED}:
                continue  # not for a person to say
            if not down.instrument and down.venue in unread:
                down.ends_by = EndsBy.READ
            else:
                self._rise(key, "resumed by an operator", now_ns, out)
        self._state.refusals.clear()
        self._state.falls.clear()
        self._state.failure_costs.clear()
        self._state.answers.clear()

    def probes_due(self, now_ns: int) -> list[str]:
        """Return the venues to be checked now, once each; the next time is later."""
        due = [down for down in self._state.down.values() if 0 < down.ts_probe_ns <= now_ns]
        for down in due:
            down.probes += 1
            down.ts_probe_ns = now_ns + _pause_ns(down.probes)
        return [down.venue for down in due]

    def next_deadline_ns(self) -> int | None:
        """Return when the next probe is due."""
        if not self._state.down:  # nearly always
            return None
        times = [down.ts_probe_ns for down in self._state.down.values() if down.ts_probe_ns]
        return min(times, default=None)

    def _fall_for_a_while(self, down: Down, out: Step) -> None:
        falls = self._state.falls
        falls[down.venue] = falls.get(down.venue, 0) + 1
        if falls[down.venue] <= FALLS_MAX:
            _probe_later(down, falls[down.venue] - 1)
        self._fall(down, out)

    def _fall(self, down: Down, out: Step) -> None:
        """Stand down, alerted once; what only an operator ends replaces what may pass."""
        known = self._state.down.get(down.key)
        by_operator = down.ends_by is EndsBy.OPERATOR
        if known is not None and (known.ends_by is EndsBy.OPERATOR or not by_operator):
            return
        self._state.down[down.key] = down
        self._counts["stood_down"] += 1
        self._has_changed = True
        code = "INSTRUMENT_STANDS_DOWN" if down.instrument else "VENUE_STANDS_DOWN"
        severity = Severity.WARNING if down.ends_by is EndsBy.LISTED else Severity.CRITICAL
        why = f"{down.name} gets no new orders ({down.cause}): {down.reason}"
        text = f"{why}; {_ENDS[down.ends_by]}"
        alert(out, severity, code, text, down.ts_since_ns, down.key)

    def _rise(self, key: str, why: str, now_ns: int, out: Step) -> None:
        down = self._state.down.pop(key)
        self._has_changed = True
        for name in (down.venue, key):
            self._state.refusals.pop(name, None)
        if not down.instrument and (answers := self._state.answers.get(down.venue)):
            answers.answers = []  # it begins again, whatever it stood down for
        text = f"{down.name} is traded: {why}"
        alert(out, Severity.INFO, "STANDS_DOWN_NO_MORE", text, now_ns, key)


def _probe_later(down: Down, probes: int) -> None:
    """Let a venue come back by a probe; after ``probes`` in vain the pause is longer."""
    down.ends_by, down.probes = EndsBy.PROBE, probes
    down.ts_probe_ns = down.ts_since_ns + _pause_ns(probes)


def _pause_ns(probes: int) -> int:
    pause: int = PROBE_PAUSE_NS << min(probes, 10)
    return min(pause, PROBE_PAUSE_NS_MAX)
