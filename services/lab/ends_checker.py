"""Checks of the ends of plans: none leaves more than dust, or loses more than its cap."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from services.executor.even_orders import MINIMUM_MARGIN
from services.lab.loss_caps import beyond_cap, lost, may_be_left, own_cap
from shared.messages.execution import PlanDone, PlanOutcome

if TYPE_CHECKING:
    from services.lab.world import World

PRICE_SLACK = Decimal("1.05")
DUST_SLACK = PRICE_SLACK * MINIMUM_MARGIN
"""Prices are a little other than at the start, and the executor keeps off a venue's least order."""


class EndsChecker:
    """Judges every end that is told; ``left`` is what may stay, by plan and asset."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.left: dict[tuple[str, str], Decimal] = {}

    def on_end(self, done: PlanDone) -> None:
        """Take the end of a plan."""
        self._check_dust(done)
        checkers = self._world.checkers
        plan = checkers.plans.get(done.plan_id)
        if plan is None or done.outcome is PlanOutcome.FAILED:
            return
        cap = plan.loss_cap if done.is_approved else own_cap(plan, checkers.orders)
        told = checkers.fills.values()
        if lost(plan, done, told) > cap + beyond_cap(plan, told):
            text = f"plan {done.plan_id} lost {done.realized}, its cap is {cap}"
            checkers.report("loss_cap", text)

    def _check_dust(self, done: PlanDone) -> None:
        world, checkers = self._world, self._world.checkers
        plan = checkers.plans.get(done.plan_id) or checkers.plans_lost.get(done.plan_id)
        for asset, qty in done.dust.items():
            if abs(qty) <= DUST_SLACK * world.dust(asset):
                continue
            worth = abs(qty) * world.price(asset, done.quote) / PRICE_SLACK
            if may_be_left(plan, done, worth, world.config.executor, checkers.orders):
                self.left[done.plan_id, asset] = abs(qty)
            else:
                checkers.report("flat", f"plan {done.plan_id} calls {qty} {asset} dust")
