"""Deliberately broken variants of the system: each is caught by a checker within a few seeds.

A mutant that survives means that nobody would notice the same mistake made in earnest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.executor import actions as act
from services.executor import engine, intake, journal, plans, rebalance, working_orders
from services.executor.account_updates import AccountUpdates
from services.executor.closing_plans import ClosingPlans
from services.executor.survey import Survey
from services.executor.working_orders import WorkingOrders
from services.lab import chaos, losses, variety, world
from services.lab.host import Host
from services.lab.simulate import run_seed
from services.orderbook.tracked import TrackedBook
from services.risk import decision_context
from services.risk.exposure import Ledger
from shared.domain.accounting import Books, holding_place
from shared.domain.executions import Execution
from shared.domain.fees import share_of
from shared.domain.instrument import is_spot
from shared.domain.order import OrderNews
from shared.domain.strategy_books import StrategyBooks
from shared.ledger import LedgerOpening, LossDetector, Opened
from shared.messages.base import BookState
from shared.messages.market import DepthView
from shared.strategies.pairs import Pairs

SEEDS_MAX = 100
Patch = Callable[[pytest.MonkeyPatch], None]


def lose_answers(patch: pytest.MonkeyPatch) -> None:
    """Let answers be lost in every bad weather, and no stream of the account tell of them sooner.

    Otherwise one world of fifty, or of twenty-five, shows what follows from a lost answer.
    """
    patch.setattr(chaos, "BAD_WEATHERS", ({"lost_answer": 0.5},))
    patch.setattr(world, "is_streamed", lambda seed: False)


def resend_on_timeout(patch: pytest.MonkeyPatch) -> None:
    """A lost answer is taken for a request that never arrived, so the order is made up for."""
    lose_answers(patch)

    def on_lost(self: WorkingOrders, heard: act.SubmitLost, now_ns: int, out: Any) -> Any:
        unsent = act.SubmitNotSent(heard.client_order_id, heard.reason)
        return self.on_not_sent(unsent, now_ns, out)

    patch.setattr(WorkingOrders, "on_lost", on_lost)


def forget_late_fills(patch: pytest.MonkeyPatch) -> None:
    """What fills after its plan ended is booked, but nobody evens it out."""
    patch.setattr(WorkingOrders, "take_late", lambda self: [])


def zero_for_unknown(patch: pytest.MonkeyPatch) -> None:
    """A query without an answer is taken to say that there is no such order."""
    lose_answers(patch)

    def on_query(self: WorkingOrders, heard: Any, now_ns: int, out: Any) -> Any:
        if isinstance(heard, act.QueryFailed):
            order = self._state.orders.get(heard.key.client_order_id)
            if order is not None and not order.life.is_settled:
                order.query_pending = False
                self._apply_news(order, OrderNews.NOT_SENT, "no answer", now_ns, out)
            return order
        return original(self, heard, now_ns, out)

    original = WorkingOrders.on_query
    patch.setattr(WorkingOrders, "on_query", on_query)


def skip_the_write_ahead(patch: pytest.MonkeyPatch) -> None:
    """Orders leave before they are on record."""
    original = Host._finish

    def finish(self: Host, step: Any, batch: Any) -> None:
        step.at_once, step.actions = [*step.at_once, *step.actions], []
        original(self, step, batch)

    patch.setattr(Host, "_finish", finish)


def acknowledge_before_the_effect(patch: pytest.MonkeyPatch) -> None:
    """A batch is acknowledged when it is read: what a crash interrupts is lost."""
    original = Host._take

    def take(self: Host, inputs: Any, batch: Any, *, redelivered: bool) -> None:
        if batch is not None and batch.pending:
            assert self._bus is not None
            self._bus.apply(batch, [])
            batch.pending = {}
            self._lab.crash_point(self.service)
        original(self, inputs, batch, redelivered=redelivered)

    patch.setattr(Host, "_take", take)


def release_twice(patch: pytest.MonkeyPatch) -> None:
    """The end of one plan gives back what another one holds, too."""
    original = Ledger.release

    def release(self: Ledger, plan_id: str) -> Any:
        held = original(self, plan_id)
        if held is not None and self.reservations:
            original(self, next(iter(self.reservations)))
        return held

    patch.setattr(Ledger, "release", release)


def apply_a_delta_that_does_not_follow(patch: pytest.MonkeyPatch) -> None:
    """A gap goes unnoticed."""
    original = TrackedBook.on_delta

    def on_delta(self: TrackedBook, delta: Any, now_ns: int) -> None:
        if delta.epoch == self.epoch:
            delta = msgspec.structs.replace(delta, seq_prev=self.seq)
        original(self, delta, now_ns)

    patch.setattr(TrackedBook, "on_delta", on_delta)


def price_a_book_that_is_down(patch: pytest.MonkeyPatch) -> None:
    """The scanner keeps to the last good view of a book that is not LIVE, as if it were new."""
    original = Pairs.take_view
    last: dict[tuple[str, str], DepthView] = {}

    def take_view(self: Pairs, view: DepthView) -> Any:
        key = (view.venue, view.instrument)
        if view.state is BookState.LIVE:
            last[key] = view
        elif key in last:
            view = msgspec.structs.replace(last[key], ts_ns=view.ts_ns)
        return original(self, view)

    patch.setattr(Pairs, "take_view", take_view)


def count_a_fill_twice(patch: pytest.MonkeyPatch) -> None:
    """Risk does not remember which fills it has booked."""
    original = Ledger.apply_fill

    def apply_fill(self: Ledger, fill: Any) -> bool:
        self.fills_seen.clear()
        return original(self, fill)

    patch.setattr(Ledger, "apply_fill", apply_fill)
    patch.setattr(Ledger, "ownership_flaw", lambda self, fill: "")


def lose_a_fee(patch: pytest.MonkeyPatch) -> None:
    """Fees are not told on."""
    original = journal.record_fill

    def record_fill(state: Any, order: Any, fill: Any, markets: Any, now_ns: int) -> Any:
        free = msgspec.structs.replace(fill, fee=Decimal(0))
        return original(state, order, free, markets, now_ns)

    patch.setattr(working_orders, "record_fill", record_fill)


def leave_it_uneven(patch: pytest.MonkeyPatch) -> None:
    """A plan ends when its legs have ended, even or not."""
    patch.setattr(plans, "next_order", lambda *args, **names: plans.NoOrder.EVEN)


def forget_the_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """A restart begins with an empty memory."""
    original = engine.ExecutorEngine.start

    def start(self: engine.ExecutorEngine, saved: Mapping[str, bytes], now_ns: int) -> Any:
        return original(self, {}, now_ns)

    patch.setattr(engine.ExecutorEngine, "start", start)


def count_on_from_the_record(patch: pytest.MonkeyPatch) -> None:
    """After a restart rebalancing orders get the numbers that follow those on record."""
    original = WorkingOrders.query_all_unsettled

    def query_all_unsettled(self: WorkingOrders, now_ns: int) -> None:
        for plan in self._state.open_plans():
            attempts = [order.attempt for order in self._state.orders_of(plan)]
            plan.attempt_next = 1 + max(attempts, default=0)
        original(self, now_ns)

    patch.setattr(WorkingOrders, "query_all_unsettled", query_all_unsettled)
    patch.setattr(plans, "attempt_after_loss", lambda now_ns: 1)


def take_over_what_a_loss_left(patch: pytest.MonkeyPatch) -> None:
    """Orders found at the venues after all data was lost are adopted like any other."""
    patch.setattr(Survey, "covers", lambda self, key: False)


def book_a_strategy_twice(patch: pytest.MonkeyPatch) -> None:
    """A strategy's account takes every fill twice, the ledger once."""
    original = StrategyBooks.trade

    def trade(self: StrategyBooks, done: Execution, strategy: str) -> None:
        original(self, done, strategy)
        original(self, done, strategy)

    patch.setattr(StrategyBooks, "trade", trade)


def act_after_the_lease_ran_out(patch: pytest.MonkeyPatch) -> None:
    """A process that stood still for too long goes on as if nothing had happened.

    It shows only where there is a second one: every world has it, and stops processes.
    """
    patch.setattr(variety, "SECOND_CHANCE", 1.0)
    patch.setattr(chaos, "PAUSED_WORLDS", 1.0)
    patch.setattr(Host, "_check_lease", lambda self: None)


def forget_what_the_marks_said(patch: pytest.MonkeyPatch) -> None:
    """No process remembers what it has seen of the ledger's marks."""
    patch.setattr(LossDetector, "look", lambda self, marks: "")


def trade_on_the_ledger_of_another_mode(patch: pytest.MonkeyPatch) -> None:
    """Whose data is on the bus is not looked at."""
    patch.setattr(LedgerOpening, "refuse_foreign", lambda self, marks: None)


def trust_an_older_copy(patch: pytest.MonkeyPatch) -> None:
    """Risk goes on at once, however long nobody has renewed the ledger.

    It shows only if risk and executor are back before a survivor has spoken: every world tries it.
    """
    patch.setattr(losses, "HALTED_CHANCE", 1.0)
    patch.setattr(losses, "KINDS", (losses.OLDER,))
    patch.setattr(Opened, "report_until_ns", lambda self, now_ns: 0)


def flatten_a_short_by_selling(patch: pytest.MonkeyPatch) -> None:
    """FLATTEN takes every position in a derivative for a long one. Only perpetuals can tell."""
    original = ClosingPlans.flatten

    def flatten(self: ClosingPlans, command_id: str, key: str, qty: Decimal, now_ns: int) -> Any:
        venue, _ = holding_place(key)
        return original(self, command_id, key, abs(qty) if venue else qty, now_ns)

    patch.setattr(ClosingPlans, "flatten", flatten)
    send_what_closes_as_any_order(patch)


def send_what_closes_as_any_order(patch: pytest.MonkeyPatch) -> None:
    """What is to close a position may also open one. Only perpetuals can tell."""
    patch.setattr(plans, "must_only_reduce", lambda state, plan, terms: False)


def book_what_is_pushed_apart(patch: pytest.MonkeyPatch) -> None:
    """A fill that a venue pushes is another one than the fill that it tells when asked."""
    original, left = AccountUpdates.on_seen, iter(range(5))  # more would be evened out for ever

    def on_seen(self: AccountUpdates, news: act.AccountSeen, now_ns: int, out: Any) -> Any:
        fills = tuple(
            msgspec.structs.replace(fill, trade_id=f"pushed-{fill.trade_id}")
            for fill in news.report.fills
            if next(left, None) is not None
        )
        report = msgspec.structs.replace(news.report, fills=fills)
        return original(self, act.AccountSeen(news.venue, report), now_ns, out)

    patch.setattr(AccountUpdates, "on_seen", on_seen)


def take_a_pushed_fill_without_its_fee(patch: pytest.MonkeyPatch) -> None:
    """What a venue pushes has no fee, and what it tells later is of a fill known already."""
    original = AccountUpdates.on_seen

    def on_seen(self: AccountUpdates, news: act.AccountSeen, now_ns: int, out: Any) -> Any:
        fills = tuple(msgspec.structs.replace(f, fee=None) for f in news.report.fills)
        report = msgspec.structs.replace(news.report, fills=fills)
        return original(self, act.AccountSeen(news.venue, report), now_ns, out)

    patch.setattr(AccountUpdates, "on_seen", on_seen)


def book_what_somebody_else_traded(patch: pytest.MonkeyPatch) -> None:
    """What is pushed of an order that is not ours is booked on ours. Only perpetuals can tell."""
    original = AccountUpdates.on_seen

    def on_seen(self: AccountUpdates, news: act.AccountSeen, now_ns: int, out: Any) -> Any:
        orders, market = self._state.orders, news.report.terms.market
        ours = [name for name, order in orders.items() if order.terms.market == market]
        if news.report.client_order_id not in orders and ours:
            report = msgspec.structs.replace(news.report, client_order_id=ours[-1])
            news = act.AccountSeen(news.venue, report)
        return original(self, news, now_ns, out)

    patch.setattr(AccountUpdates, "on_seen", on_seen)


def lose_the_profit_of_a_position(patch: pytest.MonkeyPatch) -> None:
    """What closing a position earned is not added to the balance. Only perpetuals can tell."""
    original = Books.trade

    def trade(self: Books, done: Execution) -> None:
        key, fee = f"{done.venue}|USDT", done.fee or Decimal(0)
        before = self.inventory.get(key, Decimal(0))
        original(self, done)
        if not is_spot(done.instrument):
            self.inventory[key] = before - fee

    patch.setattr(Books, "trade", trade)


def close_a_position_on_spot(patch: pytest.MonkeyPatch) -> None:
    """What an order opened in a derivative is evened out with the asset. Only perpetuals can tell.

    The net base is zero then, and both sides stay open.
    """

    def candidates(plan: Any, orders: Any, markets: Any) -> Any:
        return [r for r in markets.tradable(plan.base, plan.quote) if is_spot(r.instrument)]

    patch.setattr(rebalance, "candidate_instruments", candidates)


def send_both_legs_at_once(patch: pytest.MonkeyPatch) -> None:
    """The second of two legs that go one after the other does not wait for the first."""
    patch.setattr(plans, "legs_in_turn", lambda approved, legs, *rest: ([*range(len(legs))], []))


def send_all_of_the_second_leg(patch: pytest.MonkeyPatch) -> None:
    """The second leg is for what was planned, not for what the first has filled."""

    def following_leg(plan: Any, index: int, orders: Any, markets: Any) -> Any:
        return plans.leg_intent(plan.legs[index])

    patch.setattr(plans, "following_leg", following_leg)


def let_a_plan_lose_any_share(patch: pytest.MonkeyPatch) -> None:
    """What a plan may lose in all is not looked at, by risk and executor alike."""
    for module in (decision_context, intake):
        patch.setattr(module, "loss_cap_of", lambda worth, share, most: share_of(worth, share))


MUTANTS: dict[Patch, set[str]] = {
    send_both_legs_at_once: {"legs_in_turn"},
    send_all_of_the_second_leg: {"legs_in_turn"},
    let_a_plan_lose_any_share: {"loss_cap"},
    resend_on_timeout: {"no_is_no"},
    forget_late_fills: {"flat"},
    zero_for_unknown: {"no_is_no"},
    skip_the_write_ahead: {"order_on_record"},
    acknowledge_before_the_effect: {"ledger_is_truth", "quiet", "reservations"},
    release_twice: {"reservations"},
    apply_a_delta_that_does_not_follow: {"true_book"},
    price_a_book_that_is_down: {"trusted_book"},
    count_a_fill_twice: {"ledger_is_truth"},
    lose_a_fee: {"ledger_is_truth"},
    book_a_strategy_twice: {"strategies_add_up"},
    leave_it_uneven: {"flat"},
    forget_the_checkpoint: {"ledger_is_truth"},
    count_on_from_the_record: {"sent_once"},
    take_over_what_a_loss_left: {"after_loss"},
    flatten_a_short_by_selling: {"closes"},
    send_what_closes_as_any_order: {"closes"},
    book_what_is_pushed_apart: {"ledger_is_truth", "every_fill"},
    take_a_pushed_fill_without_its_fee: {"ledger_is_truth"},
    book_what_somebody_else_traded: {"every_fill", "ledger_is_truth", "positions"},
    lose_the_profit_of_a_position: {"ledger_is_truth"},
    close_a_position_on_spot: {"flat"},
    act_after_the_lease_ran_out: {"one_active", "sent_once", "no_is_no"},
    forget_what_the_marks_said: {"halt_kept", "loss_heard"},
    trade_on_the_ledger_of_another_mode: {"foreign_ledger"},
    trust_an_older_copy: {"halt_kept"},
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    for seed in range(1, SEEDS_MAX + 1):
        caught = {violation.checker for violation in run_seed(seed).violations}
        if caught & MUTANTS[mutant]:
            return
    pytest.fail(f"{SEEDS_MAX} seeds let it pass")
