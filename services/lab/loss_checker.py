"""Checks limits on losses: no plan is approved that one of them, or a losing streak, forbids.

Losses are judged of instant plans, only before any round was opened and while no record was lost:
until then risk counts nothing but the results that plans ended with.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from services.lab.rounds_checker import READ_NS_MAX, went_on_lately
from shared.messages.control import Command, CommandKind
from shared.messages.execution import ApprovedPlan, PlanDone
from shared.messages.rounds import Intent

if TYPE_CHECKING:
    from services.lab.world import World

ZERO = Decimal(0)


class LossChecker:
    """Adds up the results of plans and counts losses in a row, independently of risk."""

    def __init__(self, world: World) -> None:
        self._world, self._limits = world, world.config.risk
        self._results: dict[str, list[tuple[int, Decimal]]] = defaultdict(list)
        """Quote asset -> when plans ended, and with which result."""
        self._has_paths = False
        """Whether plans through several assets have ended: their results are in several assets."""
        self._in_row: dict[str, int] = {}
        self._paused_ns: dict[str, int] = {}
        """Strategy -> when it had lost too often in a row."""

    def on_end(self, done: PlanDone) -> None:
        """Take the end of a plan, told for the first time."""
        now_ns, plan = self._world.kernel.now_ns(), self._world.checkers.plans.get(done.plan_id)
        if plan is None or plan.intent is not Intent.INSTANT:
            return
        self._has_paths |= bool(plan.values)
        self._results[done.quote].append((now_ns, done.realized))
        if done.realized < 0:
            self._in_row[done.strategy] = self._in_row.get(done.strategy, 0) + 1
        elif done.realized > 0:
            self._in_row[done.strategy] = 0
        most = self._limits.losses_in_row_max
        if most and self._in_row.get(done.strategy, 0) >= most:
            self._in_row[done.strategy] = 0
            self._paused_ns.setdefault(done.strategy, now_ns)

    def on_bus_lost(self) -> None:
        """Forget streaks: risk may have lost its count, and what it begins with is not known."""
        self._in_row.clear()
        self._paused_ns.clear()

    def on_command(self, command: Command) -> None:
        """Forget streaks at a RESUME: every strategy goes on."""
        if command.kind is CommandKind.RESUME:
            self._in_row.clear()
            self._paused_ns.clear()

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check a plan that was approved now."""
        checkers, now_ns = self._world.checkers, self._world.kernel.now_ns()
        if went_on_lately(self._world, "risk"):
            return
        paused_ns = self._paused_ns.get(plan.strategy)
        if paused_ns is not None and now_ns - paused_ns > READ_NS_MAX:
            text = f"plan {plan.plan_id} is of {plan.strategy}, which lost too often in a row"
            checkers.report("losing_streak", text)
        is_known = not (checkers.has_lost_records or checkers.tally.opened)
        if plan.intent is Intent.INSTANT and not plan.values and is_known:
            self._check_losses(plan, now_ns)

    def _check_losses(self, plan: ApprovedPlan, now_ns: int) -> None:
        """Report a plan that at worst would exceed a limit on losses in its quote asset."""
        limits = self._limits.limits_in(plan.quote)
        if limits is None or self._has_paths or self._world.checkers.has_flattened:
            return
        earned = peak = ZERO
        for at_ns, result in self._results[plan.quote]:
            if result > 0 or now_ns - at_ns > READ_NS_MAX:
                earned += result
            peak = max(peak, earned) if now_ns - at_ns > READ_NS_MAX else peak
        for name, lost, most in (
            ("daily_loss", -earned, limits.daily_loss_max),
            ("rolling_loss", -earned, limits.rolling_loss_max),
            ("drawdown", peak - earned, limits.drawdown_max),
        ):
            if most and lost + plan.loss_cap > most:
                text = f"plan {plan.plan_id} may lose {plan.loss_cap} after {lost} of {most}"
                self._world.checkers.report(name, text)
