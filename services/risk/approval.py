"""Turns a decision into a reservation and a plan, or into a denial. Pure."""

from __future__ import annotations

import msgspec

from services.risk.decision_context import DecisionContext
from services.risk.exposure import ZERO
from services.risk.reasons import Denial
from services.risk.reservations import Reservation, plan_id_of
from services.risk.rounds import Round
from shared.messages.arb import Opportunity
from shared.messages.execution import ApprovedPlan, Denied, PlanLeg
from shared.messages.terms import InventoryCost, Resting, Shrunk

_MS = 1_000_000


def denied(found_id: str, denial: Denial, now_ns: int) -> Denied:
    """Return the message that denies an opportunity or signal."""
    return Denied(
        ts_ns=now_ns,
        opportunity_id=found_id,
        reason=denial.reason.value,
        context=denial.context,
    )


def reservation_of(context: DecisionContext) -> Reservation:
    """Return what an approved opportunity may use."""
    found = context.opportunity
    return Reservation(
        plan_id=plan_id_of(found.opportunity_id),
        opportunity_id=found.opportunity_id,
        quote=found.quote,
        notional=context.notional,
        loss_cap=context.loss_cap,
        legs=context.reserved,
        ts_expire_ns=context.now_ns + context.config.plan_ttl_ms * _MS,
        strategy=found.strategy_id,
        intent=found.intent,
        round_id=found.round_id,
        opening=context.opening,
        base=found.base,
        values=context.values,
        policy=context.policy,
        hedge_deadline_ms=context.hedge_deadline_ms,
        resting=_resting_of(context),
        inverse_entries={
            f"{venue}|{name}": entry for (venue, name), entry in context.inverse_entries.items()
        },
    )


def _resting_of(context: DecisionContext) -> Resting | None:
    """Return how long a leg may rest: as long as was asked for, or as risk allows at most."""
    wanted, most_ms = context.opportunity.resting, context.config.rest_ms_max
    if wanted is None or wanted.rest_ms <= most_ms:
        return wanted
    return msgspec.structs.replace(wanted, rest_ms=most_ms)


def approved_plan(
    found: Opportunity,
    held: Reservation,
    now_ns: int,
    inventory_cost: InventoryCost | None = None,
    shrunk: Shrunk | None = None,
) -> ApprovedPlan:
    """Return the plan that an opportunity became; ``held`` is reserved for it."""
    legs = []
    for leg in found.legs:
        planned = PlanLeg.of(
            leg,
            price_expected=leg.price_avg,
            fee_bps=leg.fee_bps,
            cash_flow=leg.cash_flow,
            fee_asset=leg.fee_asset,
            inverse_entry=held.inverse_entries.get(f"{leg.venue}|{leg.instrument}", ZERO),
        )
        legs.append(planned)
    return ApprovedPlan(
        ts_ns=now_ns,
        plan_id=held.plan_id,
        opportunity_id=found.opportunity_id,
        base=found.base,
        quote=found.quote,
        legs=legs,
        net_expected=found.net,
        loss_cap=held.loss_cap,
        ts_recv_ns=found.ts_recv_ns,
        ts_depth_ns=found.ts_depth_ns,
        ts_opportunity_ns=found.ts_ns,
        ts_expire_ns=held.ts_expire_ns,
        strategy=found.strategy_id,
        intent=held.intent,
        round_id=held.round_id,
        opening=held.opening,
        values=found.values,
        policy=held.policy,
        hedge_deadline_ms=held.hedge_deadline_ms,
        resting=held.resting,
        inventory_cost=inventory_cost,
        shrunk=shrunk,
    )


def round_of(context: DecisionContext) -> Round:
    """Return the round that a plan begins."""
    found = context.opportunity
    return Round(
        strategy=found.strategy_id,
        round_id=found.round_id,
        base=found.base,
        quote=found.quote,
        is_directional=context.is_directional,
        ts_opened_ns=context.now_ns,
        horizon_ns=found.horizon_ns,
    )
