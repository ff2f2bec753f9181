"""What plans may lose beyond their caps, and the caps of those found without a record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from services.executor.closing_plans import OWN_LOSS_BPS
from shared.config_sections import ExecutorConfig
from shared.domain.fees import BPS
from shared.domain.instrument import split_instrument
from shared.domain.quantities import is_inverse, worth_of
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone, PlanLeg
from shared.messages.rounds import Intent, round_key

ZERO = Decimal(0)


def _traded(plan: ApprovedPlan) -> Decimal:
    """Return what a plan trades in all, in its quote asset."""
    return _worth(plan, plan.legs)


def beyond_cap(plan: ApprovedPlan, told: Iterable[Fill]) -> Decimal:
    """Return what a plan may lose beyond its cap: 0.1 % of what it trades, and a venue's part.

    A venue that closes part of a position does so at its own price, which no cap limits. What
    inverse contracts lose by that is in coins, and not in the result of a plan.
    """
    key, most = round_key(plan.strategy, plan.round_id), Decimal("0.001") * _traded(plan)
    for fill in told:
        closed = fill.of_rounds.get(key, ZERO)
        for leg in plan.legs if closed and not is_inverse(fill.instrument) else ():
            if leg.market == (fill.venue, fill.instrument) and leg.side is not fill.side:
                most += closed * max(ZERO, fill.side.signed(fill.price - leg.price_expected))
    return most


def lost(plan: ApprovedPlan, done: PlanDone, told: Iterable[Fill]) -> Decimal:
    """Return what a plan has lost of its cap; a gain is negative.

    An opening is measured in cash (docs/adr/0016): two prices that it holds against each other
    count, which ``realized`` leaves out. A rest counts at the price that the plan expected. Where a
    fill's money is not known, or is in coins, ``realized`` is all there is.
    """
    own = [fill for fill in told if fill.plan_id == plan.plan_id]
    if plan.intent is not Intent.OPEN or not own:
        return -done.realized
    cash = net = ZERO
    for fill in own:
        if fill.fee_quote is None or is_inverse(fill.instrument):
            return -done.realized
        cash -= fill.side.signed(fill.qty * fill.price) + fill.fee_quote
        net += fill.side.signed(fill.qty)
    cash += net * plan.legs[0].price_expected
    return min(-done.realized, -cash)


def own_cap(plan: ApprovedPlan, orders: Mapping[str, OrderEvent]) -> Decimal:
    """Return the executor's cap of a plan found without its record: a share of its orders."""
    found = [each for each in orders.values() if each.plan_id == plan.plan_id]
    return _worth(plan, found) * OWN_LOSS_BPS / BPS


def _worth(plan: ApprovedPlan, orders: Sequence[PlanLeg | OrderEvent]) -> Decimal:
    """Return the notional of orders, with quote assets at the values that the plan states."""
    worth = {each.asset: each.price for each in plan.values}
    total = ZERO
    for order in orders:
        quote = split_instrument(order.instrument).quote
        traded = worth_of(order.instrument, order.qty, order.price_limit)
        total += traded * worth.get(quote, Decimal(1))
    return total


def may_be_left(
    plan: ApprovedPlan | None,
    done: PlanDone,
    worth: Decimal,
    settings: ExecutorConfig,
    orders: Mapping[str, OrderEvent],
) -> bool:
    """Tell whether a rest may stay on record: nothing traded it in time, and the cap covers it.

    Args:
        plan: The plan that has left it, as risk approved it; ``None`` where it approved none.
        done: Its end.
        worth: Of the rest, in the plan's quote asset.
        settings: The executor's: from when on a plan is late.
        orders: All that were told: those of a plan found without its record give its cap.
    """
    if plan is None or done.ts_ns - plan.ts_ns < settings.hedge_deadline_ms * 1_000_000:
        return False
    cap = plan.loss_cap if done.is_approved else own_cap(plan, orders)
    return done.realized - worth >= -cap
