"""The rules for what opens and closes rounds, one function each, as in ``limits.py``. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.risk import limits
from services.risk.decision_context import DecisionContext, coarsest_lot, mark_of, market_of
from services.risk.exposure import ZERO
from services.risk.reasons import Denial, DenyReason, deny
from services.risk.rounds import ROUNDS_OPEN_MAX, has_room
from shared.domain.accounting import holding_key
from shared.domain.fees import BPS
from shared.messages.rounds import Intent, RoundState

LATE_FILL_PAUSE_NS: Final = 10_000_000_000
"""The executor trades a late fill back by a plan of its own, within half of this as shipped."""


def round_named(context: DecisionContext) -> Denial | None:
    """What opens or closes a round names it and its strategy; nothing else does."""
    found = context.opportunity
    is_named = bool(found.round_id and found.strategy_id)
    if is_named if found.intent is not Intent.INSTANT else not found.round_id:
        return None
    return deny(
        DenyReason.MALFORMED,
        intent=found.intent,
        round=found.round_id,
        strategy=found.strategy_id,
    )


def edge_max_of_pairs(context: DecisionContext) -> Denial | None:
    """Too good to be true, where a purchase and a sale say what it brings in."""
    return None if context.is_directional else limits.edge_max(context)


def round_may_open(context: DecisionContext) -> Denial | None:
    """The round is new or open, of the same assets, and there is room for it."""
    found, ledger = context.opportunity, context.ledger
    state = ledger.round_state(found.strategy_id, found.round_id)
    known = context.round
    is_new = known is None or not known.was_traded
    if (
        known is not None
        and state is not RoundState.OPEN
        and not (is_new and state is RoundState.CLOSED)
    ):
        return deny(DenyReason.ROUND_STATE, round=found.round_id, state=state)
    markets = [leg.market.key for leg in context.legs]
    if known is not None and not is_new and known.ending:  # what is added would be closed at once
        return deny(DenyReason.ROUND_STATE, round=found.round_id, ending=known.ending)
    if known is not None and not is_new:
        kind = "directional" if known.is_directional else "hedged"
        if (known.base, known.quote) != (found.base, found.quote):
            assets = f"{known.base}/{known.quote}"
            return deny(DenyReason.ROUND_STATE, round=found.round_id, trades=assets)
        if known.is_directional != context.is_directional or not has_room(known, markets):
            return deny(DenyReason.ROUND_STATE, round=found.round_id, kind=kind)
        return None
    in_flight = ledger.rounds_in_flight
    count = sum(
        each.state(in_flight.get(key)) is not RoundState.CLOSED
        for key, each in ledger.rounds.rounds.items()
    )
    if count >= ROUNDS_OPEN_MAX:
        return deny(DenyReason.ROUNDS_OPEN, rounds=count, max=ROUNDS_OPEN_MAX)
    return None


def hedged_or_directional(context: DecisionContext) -> Denial | None:
    """Several legs bring in as much as they take out; one alone is a matter of its budget."""
    return None if context.is_directional else limits.hedged(context)


def is_stop(stop_bps: Decimal) -> bool:
    """Tell whether a distance from the entry is a stop, which a price can reach."""
    return 0 < stop_bps < BPS


def directional_stop(context: DecisionContext) -> Denial | None:
    """A single leg that opens a position states a stop at which risk will close it."""
    if not context.is_directional or is_stop(context.opportunity.stop_bps):
        return None
    return deny(
        DenyReason.DIRECTIONAL_STOP,
        strategy=context.opportunity.strategy_id,
        stop_bps=context.opportunity.stop_bps,
    )


def directional_budget(context: DecisionContext) -> Denial | None:
    """What the strategy holds by single legs, in flight and with this plan, is within its own.

    Each quote asset counts apart, as all limits do.
    """
    if not context.is_directional:
        return None
    ledger, found = context.ledger, context.opportunity
    held = ZERO
    for each in ledger.rounds.rounds.values():
        is_own = each.is_directional and each.strategy == found.strategy_id
        if is_own and each.quote == found.quote:
            for market, qty in each.books.quantities.items():
                held += abs(qty) * mark_of(context, market_of(market))
    for plan in ledger.reservations.values():
        is_one = plan.intent is Intent.OPEN and len(plan.legs) == 1
        if is_one and plan.strategy == found.strategy_id and plan.quote == found.quote:
            held += plan.notional
    after = held + context.notional
    if after <= context.directional_max:
        return None
    denial = deny(
        DenyReason.DIRECTIONAL_BUDGET,
        strategy=found.strategy_id,
        notional=after,
        held=held,
        max=context.directional_max,
    )
    return denial.with_room(context.directional_max - held, context.notional)


def opening_cost(context: DecisionContext) -> Denial | None:
    """Opening a hedged round costs no more than the share that hedging it may cost."""
    cap = context.evening_cap
    if context.cost <= cap:
        return None
    return deny(DenyReason.OPENING_COST, cost=context.cost, max=cap)


def round_may_close(context: DecisionContext) -> Denial | None:
    """The round is known, has no plan in flight, and has room for these markets."""
    found = context.opportunity
    state = context.ledger.round_state(found.strategy_id, found.round_id)
    if state is None:
        return deny(DenyReason.ROUND_UNKNOWN, round=found.round_id, strategy=found.strategy_id)
    if state not in {RoundState.OPEN, RoundState.HALTED}:
        return deny(DenyReason.ROUND_STATE, round=found.round_id, state=state)
    known, markets = context.round, [leg.market.key for leg in context.legs]
    if known is not None and not has_room(known, markets):
        count = len(known.books.quantities)
        return deny(DenyReason.ROUND_STATE, round=found.round_id, markets=count)
    return None


def no_late_fill(context: DecisionContext) -> Denial | None:
    """No fill came late just now: what the executor trades back must not be closed twice."""
    known = context.round
    if known is None or context.now_ns - known.ts_late_ns >= LATE_FILL_PAUSE_NS:
        return None
    age_ms = (context.now_ns - known.ts_late_ns) // 1_000_000
    return deny(DenyReason.ROUND_STATE, round=known.round_id, late_fill_age_ms=age_ms)


def only_reduces(context: DecisionContext) -> Denial | None:
    """Every leg reduces what the round holds, by no more than that, and leaves it no less hedged.

    Spot counts over all venues together: what was bought here may be sold there.
    """
    known = context.round
    assert known is not None, "round_may_close comes first"
    held = known.held  # in the instruments' own quantities, as legs are
    for leg in context.legs:
        key = holding_key(*leg.market.book)
        left = held.get(key, ZERO) + leg.offered.signed_qty
        is_less = held.get(key, ZERO) * leg.offered.signed_qty < 0 <= left * held.get(key, ZERO)
        if not is_less:
            return deny(
                DenyReason.REDUCE_ONLY,
                round=context.opportunity.round_id,
                book=leg.market.text,
                holds=held.get(key, ZERO),
                leg=leg.offered.signed_qty,
            )
        held[key] = left
    lot = coarsest_lot(context)
    before, after = abs(known.net), abs(known.net + context.net)
    if after >= lot and after > before:
        return deny(DenyReason.UNHEDGED, open=known.net + context.net, before=known.net, lot=lot)
    return None
