"""Plans with their orders and fills, as the bus tells them. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from services.dashboard.topic import Topic
from services.dashboard.values import amount, amounts, moment, money, ms
from shared.messages.base import Certainty
from shared.messages.execution import ApprovedPlan, Fill, OrderEvent, PlanDone
from shared.messages.fill_key import fill_key
from shared.watch.plan_waterfall import kinds_of, waterfall

PLANS_MAX: Final = 100
ORDERS_MAX: Final = 24
"""Of one plan; so many of the newest are shown."""
FILLS_MAX: Final = 24


@dataclass(slots=True)
class _Plan:
    ts_ns: int
    plan: ApprovedPlan | None = None
    done: PlanDone | None = None
    is_cut: bool = False
    orders: dict[str, OrderEvent] = field(default_factory=dict)
    fills: dict[Any, Fill] = field(default_factory=dict)


@dataclass(slots=True)
class Earned:
    """What the plans that were seen to end were to earn, and did, in one quote asset.

    Of ``directional`` further ones nothing was expected: what such a plan "is to bring" is the cash
    of its one leg, and what it earns comes with the position.
    """

    count: int = 0
    directional: int = 0
    expected: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    certainty: Certainty = Certainty.KNOWN


class Plans:
    """The newest plans."""

    def __init__(self) -> None:
        self.topic = Topic("plans", PLANS_MAX)
        self._plans: dict[str, _Plan] = {}
        self._changed: dict[str, None] = {}
        self._forgotten_ns = 0
        self.approved = 0

    def on_plan(self, message: ApprovedPlan) -> None:
        """Take a plan in that risk has approved."""
        if (plan := self._of(message.plan_id, message.ts_ns)) is not None:
            self.approved += plan.plan is None
            plan.plan, plan.ts_ns = message, message.ts_ns

    def on_order(self, message: OrderEvent) -> None:
        """Keep an order's newest state."""
        if (plan := self._of(message.plan_id, message.ts_ns)) is None:
            return
        known = plan.orders.get(message.client_order_id)
        if known is not None and known.ts_ns > message.ts_ns:
            return
        plan.orders[message.client_order_id] = message
        if len(plan.orders) > ORDERS_MAX:
            plan.is_cut = True
            del plan.orders[next(iter(plan.orders))]

    def on_fill(self, message: Fill) -> None:
        """Take a fill in, once; it may come again with its fee."""
        if (plan := self._of(message.plan_id, message.ts_ns)) is not None:
            plan.fills[fill_key(message)] = message
            if len(plan.fills) > FILLS_MAX:
                plan.is_cut = True
                del plan.fills[next(iter(plan.fills))]

    def on_done(self, message: PlanDone) -> None:
        """Take a plan's end in; a late fill may make it end again."""
        if (plan := self._of(message.plan_id, message.ts_ns)) is None:
            return
        if plan.done is None or message.ts_ns >= plan.done.ts_ns:
            plan.done = message

    def forget_later(self, than_ns: int) -> None:
        """Forget what is said to be of a later time: else no newer plan would find room."""
        for key in [key for key, plan in self._plans.items() if plan.ts_ns > than_ns]:
            del self._plans[key]
            self._changed.pop(key, None)
            self.topic.drop(key)
        self._forgotten_ns = min(self._forgotten_ns, than_ns)

    def outcomes(self) -> Counter[str]:
        """Return how the plans that are kept ended."""
        return Counter(str(p.done.outcome) for p in self._plans.values() if p.done is not None)

    def earned(self) -> dict[str, Earned]:
        """Return what the kept plans that have ended were to earn, and did, by quote asset."""
        found: dict[str, Earned] = {}
        for each in self._plans.values():
            if each.plan is None or each.done is None:
                continue
            total = found.setdefault(each.plan.quote, Earned())
            if each.plan.is_directional:
                total.directional += 1
                continue
            total.count += 1
            total.expected += each.plan.net_expected
            total.realized += each.done.realized
            if each.done.certainty is not Certainty.KNOWN and (
                total.certainty is not Certainty.UNKNOWN
            ):
                total.certainty = each.done.certainty
        return found

    def __len__(self) -> int:
        return len(self._plans)

    def show(self) -> None:
        """Bring the plans up to date."""
        for key in self._changed:
            if (plan := self._plans.get(key)) is not None:
                self.topic.put(key, _row_of(plan))
        self._changed.clear()

    def _of(self, plan_id: str, ts_ns: int) -> _Plan | None:
        """Return a plan to be changed; ``None`` of one that is forgotten."""
        if not plan_id:
            return None
        plan = self._plans.get(plan_id)
        if plan is None:
            if ts_ns <= self._forgotten_ns:
                return None
            plan = self._plans[plan_id] = _Plan(ts_ns)
            if len(self._plans) > PLANS_MAX:
                self._forget_oldest()
        self._changed[plan_id] = None
        return plan

    def _forget_oldest(self) -> None:
        oldest = min(self._plans, key=lambda key: self._plans[key].ts_ns)
        self._forgotten_ns = self._plans.pop(oldest).ts_ns
        self._changed.pop(oldest, None)
        self.topic.drop(oldest)


def _row_of(kept: _Plan) -> dict[str, Any]:
    plan, done = kept.plan, kept.done
    told = plan or done
    strategies = [each.strategy for each in kept.orders.values()]
    return {
        "ts_ms": ms(kept.ts_ns),
        "strategy": told.strategy if told is not None else next(iter(strategies), ""),
        "base": told.base if told is not None else None,
        "quote": told.quote if told is not None else None,
        "policy": plan.policy if plan is not None else None,
        "intent": plan.intent if plan is not None else None,
        "is_directional": plan is not None and plan.is_directional,
        "opportunity_id": plan.opportunity_id if plan is not None else None,
        "legs": _legs(plan),
        "net_expected": amount(plan.net_expected if plan is not None else None),
        "loss_cap": amount(plan.loss_cap if plan is not None else None),
        **_end(done),
        "waterfall": _waterfall(kept),
        "orders": [_order(each) for each in kept.orders.values()],
        "fills": [_fill(each) for each in kept.fills.values()],
    }


def _waterfall(kept: _Plan) -> list[dict[str, Any]]:
    """Return the steps from the expected edge to what was realized; they add up.

    Empty where they cannot be told apart: what several assets brought in, what not all fills are
    known of, and what was no arbitrage.
    """
    plan, done = kept.plan, kept.done
    if plan is None or done is None or plan.is_directional or kept.is_cut:
        return []
    told = waterfall(plan, kinds_of(kept.orders.values()), list(kept.fills.values()), done)
    steps, realized = told["steps"], told["realized"]
    if steps["slippage"]["amount"] is None or realized["amount"] != done.realized:
        return []
    rows = [(name.replace("_", " "), each) for name, each in steps.items() if each["amount"] != 0]
    return [
        {"step": name, "amount": money(each["amount"], each["certainty"])}
        for name, each in (*rows, ("realized", realized))
    ]


def _end(done: PlanDone | None) -> dict[str, Any]:
    if done is None:
        unknown = money(None, Certainty.UNKNOWN)
        return {
            "realized": unknown,
            "fees": unknown,
            "outcome": None,
            "outcome_reason": "",
            "residual": {},
            "ended_ms": None,
        }
    return {
        "realized": money(done.realized, done.certainty),
        "fees": money(done.fees, done.certainty),
        "outcome": done.outcome,
        "outcome_reason": done.reason,
        "residual": amounts(done.residual),
        "ended_ms": ms(done.ts_ns),
    }


def _legs(plan: ApprovedPlan | None) -> list[dict[str, Any]]:
    return [
        {
            "venue": leg.venue,
            "instrument": leg.instrument,
            "side": leg.side,
            "qty": amount(leg.qty),
            "price_limit": amount(leg.price_limit),
            "price_expected": amount(leg.price_expected),
            "fee_bps": amount(leg.fee_bps),
        }
        for leg in (plan.legs if plan is not None else ())
    ]


def _order(order: OrderEvent) -> dict[str, Any]:
    return {
        "id": order.client_order_id,
        "leg": order.leg_index,
        "purpose": order.purpose,
        "venue": order.venue,
        "instrument": order.instrument,
        "side": order.side,
        "qty": amount(order.qty),
        "price_limit": amount(order.price_limit),
        "status": order.status,
        "filled_qty": amount(order.filled_qty),
        "reason": order.reason,
        "ts_ms": ms(order.ts_ns),
        "sent_ms": moment(order.ts_sent_ns),
        "venue_order_id": order.venue_order_id,
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "order": fill.client_order_id,
        "venue": fill.venue,
        "instrument": fill.instrument,
        "side": fill.side,
        "price": amount(fill.price),
        "qty": amount(fill.qty),
        "fee": amount(fill.fee),
        "fee_asset": fill.fee_asset,
        "ts_ms": ms(fill.ts_ns),
    }
