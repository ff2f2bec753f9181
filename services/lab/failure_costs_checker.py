"""Checks that a venue whose failures have cost as much as one plan may lose gets no further leg.

Failures are what the venue itself answered: not sent, or refused for the account's sake. Costs are
what the plans that they hit ended with, as shares of their caps. An executor that dies meanwhile
counts fewer of them, because its successor learns that an order is not there, but not why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from services.executor import actions as act
from services.lab.access_checker import DOWN, Lives
from shared.accounts.gateway import OrderRequest
from shared.engine import Action, Result
from shared.errors import Scope
from shared.messages.control import Alert, Command, CommandKind
from shared.messages.execution import OrderPurpose, PlanDone

if TYPE_CHECKING:
    from services.lab.world import World

ZERO: Final = Decimal(0)
SHARE_MAX: Final = Decimal("1.25")
"""A quarter above what one plan may lose: some fees may not be known yet when a plan ends."""
TOLD_NS_MAX: Final = 200_000_000


class FailureCostsChecker:
    """Adds up what each venue's failures cost, independently of the executor."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failed: dict[str, dict[str, Lives]] = defaultdict(dict)
        """Plan -> venues that failed an order of it, and which executor knows."""
        self._shares: dict[str, Decimal] = defaultdict(Decimal)
        self._due_ns: dict[str, int] = {}
        """Venue -> since when it must stand down, and an operator was not told that it does."""
        self.judged = 0
        """How often a venue's failures came to that."""

    def on_request(self, action: Action) -> Callable[[Result], None]:
        """Return what is called with the answer to a request."""
        return partial(self._on_answer, action, self._world.checkers.access.lives())

    def _on_answer(self, action: Action, asked_by: Lives, answer: Result) -> None:
        """Note a failure of the venue, if the executor that sent the order still lives."""
        if not isinstance(action, act.Submit) or asked_by != self._world.checkers.access.lives():
            return
        if not isinstance(answer, act.SubmitNotSent | act.SubmitRefused):
            return
        if answer.cause.scope is Scope.VENUE:
            plan_id = action.order.client_order_id[2:-3]
            self._failed[plan_id][action.order.terms.venue] = asked_by

    def on_end(self, done: PlanDone) -> None:
        """Take the end of a plan, told for the first time."""
        plan, now_ns = self._world.checkers.plans.get(done.plan_id), self._world.kernel.now_ns()
        venues = self._failed.pop(done.plan_id, {})
        if plan is None or not done.is_approved or done.realized >= 0:
            return
        for venue, known_by in venues.items():
            if known_by != self._world.checkers.access.lives():
                continue
            self._shares[venue] += -done.realized / plan.loss_cap
            is_down = self._world.checkers.access.is_down(venue)
            if self._shares[venue] >= SHARE_MAX and not is_down and venue not in self._due_ns:
                self._due_ns[venue] = now_ns
                self.judged += 1

    def on_alert(self, alert: Alert) -> None:
        """Note that an operator is told of a venue that gets no new orders."""
        if alert.code == DOWN:
            self._due_ns.pop(alert.subject, None)
            self._shares.pop(alert.subject, None)

    def on_command(self, command: Command) -> None:
        """Begin anew at a RESUME: every venue gets orders again."""
        if command.kind is CommandKind.RESUME:
            self.forget()

    def forget(self) -> None:
        """Forget all: an operator resumed, or what the executor knew was lost."""
        self._failed.clear()
        self._shares.clear()
        self._due_ns.clear()

    def on_submit(self, order: OrderRequest) -> None:
        """Report a leg that goes to a venue which should stand down for what it cost."""
        due_ns = self._due_ns.get(order.terms.venue)
        if due_ns is None or order.purpose is not OrderPurpose.LEG:
            return
        if self._world.kernel.now_ns() - due_ns > TOLD_NS_MAX:
            text = f"{order.client_order_id} goes to {order.terms.venue}, which cost too much"
            self._world.checkers.report("failure_costs", text)
