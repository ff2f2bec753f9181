"""Decides on an arriving plan: start it, look for its orders, or refuse it. Pure."""

from __future__ import annotations

from collections.abc import MutableMapping

from services.executor.intake import Intake, on_grid
from services.executor.journal import alert, plan_refused
from services.executor.plans import PlanRunner
from services.executor.standdown import StandDown
from services.executor.state import ExecutorState
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.execution import ApprovedPlan, PlanOutcome


class PlanEntry:
    """Takes plans in, each once."""

    def __init__(
        self,
        state: ExecutorState,
        intake: Intake,
        plans: PlanRunner,
        stand_down: StandDown,
        counts: MutableMapping[str, int],
    ) -> None:
        self._state, self._intake, self._plans = state, intake, plans
        self._stand_down, self._counts = stand_down, counts
        self.last_plan: ApprovedPlan | None = None
        """The last one that was started."""

    def take(
        self, plan: ApprovedPlan, redelivered: bool, why_none: str, now_ns: int, out: Step
    ) -> bool:
        """Take a plan; ``why_none`` is what keeps every plan from starting.

        Returns:
            Whether it was looked for at the venues: what is due is to be asked.
        """
        if self._state.is_known(plan.plan_id):
            self._counts["plans_repeated"] += 1
            if redelivered:
                self._plans.complete(self._intake.bounded(plan), now_ns, out)
            return redelivered
        if self._state.was_refused(plan.plan_id) and not redelivered:
            self._counts["plans_repeated"] += 1
            return False  # risk has given back what it held for it
        flaw = self._intake.malformed(plan)
        if redelivered and not flaw:
            # It was handed to an executor that left no record of it: start nothing, look for it.
            self._plans.check_only(self._intake.bounded(plan), now_ns, out)
            return True
        if now_ns >= plan.ts_expire_ns:
            self._refuse(plan, PlanOutcome.EXPIRED, "received after it expired", now_ns, out)
        elif reason := (
            why_none
            or self._stand_down.objection(plan.legs)
            or self._plans.resting.objection(plan.legs)
        ):
            self._refuse(plan, PlanOutcome.REFUSED, reason, now_ns, out)
        elif reason := flaw or self._intake.objection(plan, now_ns):
            # Risk would not have approved this: one of us is wrong, or the market moved.
            self._refuse(plan, PlanOutcome.REFUSED, reason, now_ns, out)
            text = f"plan {plan.plan_id} was not started: {reason}"
            alert(out, Severity.WARNING, "PLAN_REFUSED", text, now_ns)
        else:
            self._counts["plans_started"] += 1
            self.last_plan = plan
            self._plans.start(plan, on_grid(plan, self._intake.markets), now_ns, out)
        return False

    def _refuse(
        self, plan: ApprovedPlan, outcome: PlanOutcome, reason: str, now_ns: int, out: Step
    ) -> None:
        self._counts[f"plans_{outcome.value.lower()}"] += 1
        self._state.remember_refused(plan.plan_id, plan.ts_expire_ns, now_ns)
        out.messages.append(plan_refused(plan, outcome, reason, now_ns))
