"""Making our record equal the venues' own: at the start, and after every plan. Pure.

At the start each venue is asked for its working orders, its executions since a little before our
last record, and its balances. Executions belong to an order we know (booked once per trade id), to
one of ours that the record lost (looked up, **adopted** into its plan), or to none of ours (left
alone). Only when every venue has answered and every doubtful order is settled does trading begin. A
venue that cannot be read within ``READ_WAIT_NS`` stands down (standdown.py): the others need not
wait for it any longer, plans with orders there stay open, and it is asked on.

A ledger that is new, or has lost data, adopts nothing that it did not begin (see survey.py).

Afterwards the executions are read again shortly after each plan's end: that is what finds a fill
that arrived after its order was reported canceled. Balances and working orders are read every few
seconds: a request that was given up can still reach the venue and rest there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from services.executor.account_updates import AccountUpdates
from services.executor.actions import (
    AccountChecked,
    BalancesAnswered,
    Cancel,
    FetchFailed,
    FillsAnswered,
    OpenOrdersAnswered,
    QueryAnswered,
    QueryFailed,
)
from services.executor.balance_check import BalanceCheck
from services.executor.dead_man import DeadManSwitches
from services.executor.funding import FundingPayments
from services.executor.ids import parse_client_order_id
from services.executor.journal import alert
from services.executor.old_fills import LOOK_BACK_NS, began_ns, held_ns, old_until_ns
from services.executor.opening import lock
from services.executor.order_record import OrderRecord
from services.executor.plans import PlanRunner
from services.executor.reductions import Reductions
from services.executor.rereading import Rereading
from services.executor.standdown import StandDown
from services.executor.state import ExecutorState, LedgerStage, PlanRecord
from services.executor.survey import SURVEY_NS, SURVEY_ORDERS_MAX, Survey
from services.executor.unsettled import unsettled_at
from services.executor.venue_account import RETRY_NS, VenueAccount
from services.executor.working_orders import NOT_FOUND_AFTER_SENT_NS, WorkingOrders, key_of
from shared.accounts.gateway import FillReport, OrderKey, OrderReport
from shared.config_sections import ExecutorConfig
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.execution import BalanceReport

BALANCES_EVERY_NS: Final = 5_000_000_000
OPEN_ORDERS_EVERY_NS: Final = 30_000_000_000
START_SWEEP_AFTER_NS: Final = NOT_FOUND_AFTER_SENT_NS + 1_000_000_000
"""When executions are read once more: nothing sent before the start can still take effect then."""


class Reconciler:
    """Takes over what the venues say about the account; returns what it changed."""

    def __init__(
        self,
        state: ExecutorState,
        orders: WorkingOrders,
        plans: PlanRunner,
        stand_down: StandDown,
        *,
        venues: Mapping[str, tuple[str, ...]],
        counts: dict[str, int],
        settings: ExecutorConfig,
    ) -> None:
        self._state, self._counts = state, counts
        self._orders, self._plans, self._stand_down = orders, plans, stand_down
        accounts = {venue: VenueAccount(venue, venues[venue]) for venue in sorted(venues)}
        self._accounts = accounts
        self.funding, self.rereading = FundingPayments(state, accounts), Rereading(state, accounts)
        self.streams = AccountUpdates(state, orders, accounts, settings)
        self.switches, self._cancel_at = DeadManSwitches(venues, settings), set[str]()
        self._survey, self.reductions = Survey(state), Reductions(state)
        self._balances, self._doubtful = BalanceCheck(state, settings.mode), list[str]()

    def begin(self, now_ns: int, out: Step) -> None:
        """Ask every venue what the account did; nothing may be decided before it has answered."""
        since_ns = (self._state.ts_ns or now_ns) - LOOK_BACK_NS
        if self._state.stage is LedgerStage.NEW:
            since_ns = min(since_ns, now_ns - SURVEY_NS)
        for venue, account in self._accounts.items():
            account.begin(min(since_ns, _left_at_ns(self._state, venue, now_ns)), now_ns)
        self.funding.begin(now_ns, out)
        self._doubtful = [name for name, o in self._state.orders.items() if o.is_doubtful]

    @property
    def obstacle(self) -> str:
        """Why the record is not known to equal the venues' yet; empty when it does.

        Venues that stand down are not waited for, nor are orders there.
        """
        for account in self._accounts.values():
            if not account.is_reconciled and account.venue not in self._state.down:
                return f"reconciling with {account.venue}: {account.problem}"
        for order_id in self._doubtful:
            order = self._state.orders.get(order_id)
            if order is not None and order.is_doubtful and order.venue not in self._state.down:
                return f"reconciling: {order_id} at {order.venue} is {order.life.status}"
        return ""

    @property
    def has_fills_of_all(self) -> bool:
        """Whether plans may go on: all executions are known, except at venues that stand down."""
        return all(
            account.venue in self._state.down or (account.has_fills and not account.lookups)
            for account in self._accounts.values()
        )

    @property
    def has_read_all(self) -> bool:
        """Whether every venue's executions have been read since the start, and since a failure."""
        return all(a.has_fills and "fills" not in a.failures for a in self._accounts.values())

    def settle(self, now_ns: int, out: Step) -> None:
        """Take note of who has been read for the first time; wait no longer than allowed."""
        for account in self._accounts.values():
            if account.was_read:
                continue
            if account.is_reconciled:
                account.was_read = True
                self._stand_down.was_read(account.venue, now_ns, out)
            elif account.venue not in self._state.down and account.read_until_ns <= now_ns:
                reason = account.unread + unsettled_at(self._state, account.venue)
                self._stand_down.unreadable(account.venue, account.cause, reason, now_ns, out)

    def check_again(self, now_ns: int) -> set[str]:
        """Check at once the accounts not read since the start; return their venues."""
        unread = {a.venue: a for a in self._accounts.values() if not a.was_read}
        for account in unread.values():
            account.check(now_ns)
        return set(unread)

    def cancel_resting(self, now_ns: int) -> None:
        """Ask for working orders everywhere and cancel ours."""
        self._cancel_at = set(self._accounts)
        for account in self._accounts.values():
            account.due["open"] = now_ns

    def after_plan(self, plan: PlanRecord, now_ns: int) -> None:
        """A plan ended: report balances now, and look for late executions a little later."""
        venues = [order.venue for order in self._state.orders_of(plan)]
        for account in [each for each in self._accounts.values() if each.venue in venues]:
            account.due["balances"] = now_ns
            account.sweep_later(plan.ts_started_ns - LOOK_BACK_NS, now_ns)

    def ask_due(self, now_ns: int, out: Step) -> None:
        """Ask what is due."""
        for venue in self._stand_down.probes_due(now_ns):
            self._accounts[venue].check(now_ns)
        self.funding.on_time(now_ns, out)
        self.switches.on_time(now_ns, out)
        floor_ns = _floor_ns(self._state)
        for account in self._accounts.values():
            out.actions.extend(account.ask_due(floor_ns, now_ns))

    def settle_survey(self, now_ns: int, out: Step) -> None:
        """Halt for what the venues show and this ledger cannot account for."""
        if self._state.stage is LedgerStage.NEW:
            self._state.stage = LedgerStage.SURVEYED
        if found := self._survey.take_news():
            lock(self._state, found, now_ns, out)

    def next_deadline_ns(self) -> int | None:
        """Return when the next fetch is due."""
        due_ns = self.funding.next_deadline_ns(self._stand_down.next_deadline_ns())
        due_ns = self.switches.sooner(due_ns)
        for account in self._accounts.values():  # asked after every step, so written out
            at_ns = account.next_deadline_ns()
            if at_ns is not None and (due_ns is None or at_ns < due_ns):
                due_ns = at_ns
            if not account.was_read and account.venue not in self._state.down:
                due_ns = min(due_ns or account.read_until_ns, account.read_until_ns)
        return due_ns

    def on_failed(self, reply: FetchFailed, now_ns: int, out: Step) -> None:
        """A check or a fetch failed: again in a while, unless only a person can help."""
        account = self._accounts[reply.action.venue]
        account.failed(reply, now_ns)
        reason = reply.reason + unsettled_at(self._state, account.venue)
        self._stand_down.check_failed(account.venue, reply.cause, reason, now_ns, out)

    def on_checked(self, reply: AccountChecked, now_ns: int, out: Step) -> None:
        """The account is as it must be; leave out what the venue does not list, and read on."""
        account = self._accounts[reply.venue]
        account.answered("check")
        account.is_checked = True
        account.listed = tuple(name for name in account.instruments if name not in reply.unlisted)
        self._stand_down.listed(account.venue, reply.unlisted, now_ns, out)
        self._stand_down.check_passed(account.venue, now_ns, out)
        account.read(now_ns)
        self.ask_due(now_ns, out)

    def on_balances(self, reply: BalancesAnswered, now_ns: int, out: Step) -> None:
        """Report balances, where that is what the answer tells; ask again in some seconds."""
        account = self._accounts[reply.venue]
        account.answered("balances")
        is_unknown = self._balances.is_unknown(reply, now_ns)
        account.has_balances = account.has_balances or not is_unknown
        if self._state.stage is LedgerStage.NEW:
            self._survey.take_positions(reply.venue, reply.positions)
        account.due.setdefault("balances", now_ns + BALANCES_EVERY_NS)
        self.reductions.on_positions(account, reply.positions, now_ns)
        if is_unknown:
            return
        balances, positions = dict(reply.balances), dict(reply.positions)
        out.messages.append(
            BalanceReport(ts_ns=now_ns, venue=reply.venue, balances=balances, positions=positions)
        )
        self._balances.on_balances(account, reply, now_ns, out)

    def on_open_orders(self, reply: OpenOrdersAnswered, now_ns: int, out: Step) -> list[str]:
        """Adopt working orders of ours that the record lacks; return the plans touched."""
        account = self._accounts[reply.venue]
        account.answered("open")
        account.has_open_orders = True
        touched = []
        for report in reply.reports:
            order = self._owned(report, now_ns, out)
            if order is None:
                if _is_of(report, self._state.before) or _is_of(report, self._state.done_ids):
                    out.actions.append(Cancel(_key_of_report(report)))
                continue
            self._orders.apply(order, report, now_ns, out)
            touched.append(order.plan_id)
            if reply.venue in self._cancel_at:
                out.actions.append(Cancel(key_of(order)))
        if "open" not in account.due:  # else it was asked for again meanwhile: cancel those too
            self._cancel_at.discard(reply.venue)
            account.due["open"] = now_ns + OPEN_ORDERS_EVERY_NS
        return touched

    def on_fills(self, reply: FillsAnswered, now_ns: int, out: Step) -> list[str]:
        """Book executions the record lacks; return the plans touched."""
        account = self._accounts[reply.venue]
        account.answered("fills")
        if not account.has_fills:
            # A request from before the start may still be on its way: look once more later.
            account.sweep(now_ns + START_SWEEP_AFTER_NS)
        account.has_fills = True
        self._state.read_ns[account.venue] = account.fills_read_ns = now_ns
        known = _orders_known_to(self._state, reply.venue)
        touched = []
        for fill in self._newest(account, reply.fills, known):
            order = known.get(fill.venue_order_id)
            if order is None:
                self.reductions.look_up(account, fill, now_ns, out)
            elif self._orders.apply_fill(order, fill, now_ns, out):
                touched.append(order.plan_id)
        self.reductions.settle(account, now_ns, out)
        return touched

    def _newest(
        self, account: VenueAccount, fills: tuple[FillReport, ...], known: Mapping[str, OrderRecord]
    ) -> list[FillReport]:
        """Return the fills to look at: our orders', and new ones; of a survey not too many."""
        old_ns = old_until_ns(self._state)
        kept = [f for f in fills if f.venue_order_id in known or not 0 < f.ts_venue_ns <= old_ns]
        if not self._state.is_surveying:
            return kept
        recent = sorted(kept, key=lambda fill: fill.ts_venue_ns, reverse=True)
        newest = dict.fromkeys(f.venue_order_id for f in recent if f.venue_order_id not in known)
        chosen = set(list(newest)[:SURVEY_ORDERS_MAX])
        self._survey.leave_out(account.venue, len(newest) - len(chosen))
        return [f for f in kept if f.venue_order_id in known or f.venue_order_id in chosen]

    def on_looked_up(self, reply: QueryAnswered | QueryFailed, now_ns: int, out: Step) -> list[str]:
        """An order behind an unknown execution: ours is adopted, a foreign one left alone."""
        account = self._accounts[reply.key.venue]
        filled_ns = account.lookups.pop(reply.key.venue_order_id, 0)
        if isinstance(reply, QueryFailed):
            account.problem = f"order {reply.key.venue_order_id}: {reply.reason}"
            account.has_fills = False
            account.due["fills"] = now_ns + RETRY_NS
            return []
        order = self._owned(reply.report, now_ns, out, filled_ns) if reply.report else None
        if order is None or reply.report is None:
            self.reductions.not_ours(account, reply, now_ns, out)
            return []
        order.venue_order_id = reply.key.venue_order_id
        self._orders.apply(order, reply.report, now_ns, out)
        self.reductions.settle(account, now_ns, out)
        return [order.plan_id]

    def _owned(
        self, report: OrderReport, now_ns: int, out: Step, filled_ns: int = 0
    ) -> OrderRecord | None:
        """Return our record of this order, made now if the id is ours and the record lost it."""
        known = self._state.orders.get(report.client_order_id)
        parsed = parse_client_order_id(report.client_order_id)
        if known is not None or parsed is None:
            return known
        is_left = self._survey.covers(parsed[0]) or 0 < filled_ns < began_ns(self._state)
        if is_left and self._state.plan_of_key(parsed[0]) is None:
            self._survey.add(parsed[0], report)
            return None
        if parsed[0] in self._state.done_ids and self._state.plan_of_key(parsed[0]) is None:
            self._counts["fills_of_forgotten_plans"] += filled_ns > 0
            text = f"{report.name}: its plan ended and is forgotten"
            alert(out, Severity.WARNING, "FORGOTTEN_PLAN", text, now_ns)
            return None
        _tell_adopted(report, self._counts, now_ns, out)
        return self._plans.adopt(report, parsed, now_ns, out)


def _tell_adopted(report: OrderReport, counts: dict[str, int], now_ns: int, out: Step) -> None:
    counts["orders_adopted"] += 1
    text = f"{report.name} was not on record, adopted"
    alert(out, Severity.WARNING, "ORDER_ADOPTED", text, now_ns)


def _is_of(report: OrderReport, plan_keys: Container[str]) -> bool:
    parsed = parse_client_order_id(report.client_order_id)
    return parsed is not None and parsed[0] in plan_keys


def _key_of_report(report: OrderReport) -> OrderKey:
    return OrderKey(
        venue=report.terms.venue,
        instrument=report.terms.instrument,
        client_order_id=report.client_order_id,
        venue_order_id=report.venue_order_id,
    )


def _left_at_ns(state: ExecutorState, venue: str, now_ns: int) -> int:
    """Return from when on a venue's executions may be new: it may have been away for long."""
    return state.read_ns.get(venue, state.began_ns or now_ns) - LOOK_BACK_NS


def _floor_ns(state: ExecutorState) -> int:
    """Return from when on executions are asked for at the earliest."""
    return max(state.forgotten_ns, held_ns(state))


def _orders_known_to(state: ExecutorState, venue: str) -> dict[str, OrderRecord]:
    """Return our orders at a venue by its own ids."""
    return {
        order.venue_order_id: order
        for order in state.orders.values()
        if order.venue == venue and order.venue_order_id
    }
