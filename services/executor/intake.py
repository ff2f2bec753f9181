"""Checks on a plan before it is started: everything the venues would refuse anyway. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.market import Markets
from services.executor.path_intake import (
    path_flaw,
    path_net_flaw,
    path_stake,
    value_flaw,
    values_of,
)
from services.executor.state import ExecutorState
from shared.config_limits import RiskConfig
from shared.domain.instrument import split_instrument
from shared.domain.plan_cost import ExpectedLeg, expected_cost, loss_cap_of
from shared.domain.quantities import base_of, worth_of
from shared.domain.rounding import is_multiple, is_rest_of_lots, lot_in_base, price_to_tick
from shared.messages.base import Side, TradingState
from shared.messages.bounds import AHEAD_NS_MAX
from shared.messages.execution import ApprovedPlan, PlanLeg
from shared.messages.rounds import Intent
from shared.messages.terms import LegPolicy, OrderType, TimeInForce

_BUY: Final = Side.BUY
_INSTANT: Final = Intent.INSTANT
_CLOSE: Final = Intent.CLOSE
_OPEN: Final = Intent.OPEN
_CONCURRENT: Final = LegPolicy.CONCURRENT
_LIMIT: Final = OrderType.LIMIT
_IOC: Final = TimeInForce.IOC
_POST_ONLY: Final = TimeInForce.PO
_TIMES: Final = frozenset((_IOC, _POST_ONLY))
_MAKER_TAKER: Final = LegPolicy.MAKER_TAKER

PRICE_BAND = Decimal("0.05")
"""How far beyond the LIVE book's best price a leg's limit may lie, and how far from its limit what
it expects: more is no arbitrage."""
OPEN_PLANS_MAX = 32
"""Plans open at a time; more are refused."""
_WITH_BAND = 1 + PRICE_BAND
ZERO, ONE = Decimal(0), Decimal(1)
_MS = 1_000_000


class Intake:
    """Checks plans before they are started: risk approved them, but risk may be faulty.

    Args:
        markets: Rules and books.
        venues: What is traded: venue -> instruments.
        limits: What risk may approve at most, by the same configuration.
    """

    def __init__(
        self, markets: Markets, venues: Mapping[str, Sequence[str]], limits: RiskConfig
    ) -> None:
        self.markets, self._venues = markets, venues
        self._limits = limits
        self._loss_cap_bps = limits.loss_cap_bps
        self._ttl_ns = int(limits.plan_ttl_ms * 1_000_000)

    def malformed(self, plan: ApprovedPlan) -> str:
        """Return why no executor can have started it; empty if one can, configured otherwise."""
        resting = 0
        for leg in plan.legs:
            name = split_instrument(leg.instrument)
            if (name.base != plan.base or name.quote != plan.quote) and not plan.values:
                return f"{leg.instrument} is not {plan.base}/{plan.quote}"
            if leg.order_type is not _LIMIT or leg.time_in_force not in _TIMES:
                return f"a leg is a {leg.kind} order, not a LIMIT IOC one"
            resting += leg.time_in_force is _POST_ONLY
        is_quote = resting or plan.resting is not None or plan.policy is _MAKER_TAKER
        if is_quote and (flaw := _resting_flaw(plan, resting)):
            return flaw
        if plan.policy is not _CONCURRENT and (plan.values or len(plan.legs) != 2):
            return "its legs are to go one after the other, which only two of one asset do"
        if plan.values:
            return path_flaw(plan)
        is_plain = not (plan.round_id or plan.opening) and len(plan.legs) > 1
        return "" if is_plain and plan.intent is _INSTANT else _round_flaw(plan)

    def objection(self, plan: ApprovedPlan, now_ns: int) -> str:
        """Return why this plan must not be started now; empty if it may."""
        for leg in plan.legs:
            if leg.instrument not in self._venues.get(leg.venue, ()):
                return f"{leg.instrument} at {leg.venue} is not traded here"
        if flaw := self._net_flaw(plan):
            return flaw
        limits = self._limits.limits_in(plan.quote)
        if limits is None and plan.intent is not _CLOSE:
            return f"risk.per_quote has no limits in {plan.quote}"
        lives_ns = max(plan.ts_expire_ns - plan.ts_ns, plan.ts_expire_ns - now_ns - AHEAD_NS_MAX)
        if plan.resting is not None and plan.resting.rest_ms > self._limits.rest_ms_max:
            allowed = f"risk.rest_ms_max allows {self._limits.rest_ms_max}"
            return f"a leg would rest {plan.resting.rest_ms} ms, {allowed}"
        if lives_ns > self._ttl_ns:
            allowed = f"risk.plan_ttl_ms allows {self._ttl_ns // _MS} ms"
            return f"it would expire {lives_ns // _MS} ms after its approval, {allowed}"
        if plan.loss_cap > (most := self._loss_cap_max(plan, limits)):
            return f"its loss cap is {plan.loss_cap}, risk allows {most}"
        # What was opened may have become worth more: closing it must be possible all the same.
        bounded = limits if plan.intent is not _CLOSE else None
        for leg in plan.legs:
            if bounded is not None and (why := _size_objection(leg, plan, bounded)):
                return why
            if why := self._leg_objection(leg, now_ns):
                return why
        return value_flaw(plan, self.markets, now_ns) if plan.values else ""

    def _net_flaw(self, plan: ApprovedPlan) -> str:
        """Return what its legs leave unhedged; empty if that may be."""
        if plan.intent is not _INSTANT and plan.is_directional:
            return ""
        if plan.values:
            return path_net_flaw(plan, self.markets)
        net = plan.opening
        for leg in plan.legs:
            qty = base_of(leg.instrument, leg.qty, leg.inverse_entry or leg.price_expected)
            net = net + qty if leg.side is _BUY else net - qty
        # Lots change: by those of another time it may have been started.
        if not net or self._is_rest_of_lots(plan, net) or abs(net) < abs(plan.opening):
            return ""
        return f"its legs leave {net} {plan.base} open"

    def bounded(self, plan: ApprovedPlan) -> ApprovedPlan:
        """Return a plan that may have been started, its loss cap no more than is allowed now."""
        most = self._loss_cap_max(plan, self._limits.limits_in(plan.quote))
        if plan.loss_cap <= most:
            return plan
        return msgspec.structs.replace(plan, loss_cap=most)

    def _loss_cap_max(self, plan: ApprovedPlan, limits: RiskConfig | None) -> Decimal:
        """Return what risk gives such a plan: a share of its dearer side at its worse prices."""
        most = ZERO if limits is None else limits.plan_loss_max
        if plan.values:
            return loss_cap_of(path_stake(plan).notional, self._loss_cap_bps, most)
        bought = sold = ZERO
        for leg in plan.legs:
            price = leg.price_limit
            if leg.price_expected > price:
                price = min(leg.price_expected, price * _WITH_BAND)
            if leg.side is _BUY:
                bought += worth_of(leg.instrument, leg.qty, price)
            else:
                sold += worth_of(leg.instrument, leg.qty, price)
        share = loss_cap_of(max(bought, sold), self._loss_cap_bps, most)
        if plan.intent is _INSTANT:
            return share
        legs = [
            ExpectedLeg(
                leg.side,
                base_of(leg.instrument, leg.qty, leg.inverse_entry or leg.price_expected),
                leg.price_expected,
                leg.fee_bps,
            )
            for leg in plan.legs
        ]
        return share + expected_cost(legs, plan.opening)

    def _is_rest_of_lots(self, plan: ApprovedPlan, net: Decimal) -> bool:
        """Tell whether legs may leave so much open, by the coarsest lot of theirs.

        Where a venue's rules are not known yet, it may be: nothing starts there anyway.
        """
        known = [self.markets.rules.get(leg.market) for leg in plan.legs]
        lots = [
            lot_in_base(rules, leg.inverse_entry or leg.price_expected)
            for rules, leg in zip(known, plan.legs, strict=True)
            if rules is not None
        ]
        is_instant = plan.intent is Intent.INSTANT
        return len(lots) < len(known) or is_rest_of_lots(net, max(lots), is_instant=is_instant)

    def _leg_objection(self, leg: PlanLeg, now_ns: int) -> str:
        key = (leg.venue, leg.instrument)
        rules = self.markets.rules.get(key)
        if rules is None:
            return f"the rules of {leg.instrument} at {leg.venue} are not known yet"
        if not rules.active:
            return f"{leg.instrument} at {leg.venue} is not traded: {rules.reason}"
        if leg.qty <= 0 or not is_multiple(leg.qty, rules.lot_size):
            return f"{leg.qty} is not a multiple of {leg.venue}'s lot {rules.lot_size}"
        if abs(leg.price_expected - leg.price_limit) > leg.price_limit * PRICE_BAND:
            return f"it expects {leg.price_expected}, too far from its limit {leg.price_limit}"
        best = self.markets.best_price(key, leg.side, now_ns)
        if best is None:
            return f"the book of {leg.instrument} at {leg.venue} is not LIVE here"
        beyond = leg.price_limit - best if leg.side is _BUY else best - leg.price_limit
        if beyond > best * PRICE_BAND:
            return f"its limit {leg.price_limit} is too far from {leg.venue}'s best price {best}"
        return ""


def _size_objection(leg: PlanLeg, plan: ApprovedPlan, limits: RiskConfig) -> str:
    """Return why a leg is too large; empty if it is not."""
    notional = worth_of(leg.instrument, leg.qty, leg.price_limit)
    if plan.values:
        notional *= values_of(plan).get(split_instrument(leg.instrument).quote, ONE)
    most = limits.order_notional_max
    if notional > most * _WITH_BAND:
        return f"a leg is worth {notional:f}, {most} are allowed"
    return ""


def _round_flaw(plan: ApprovedPlan) -> str:
    """Return what of a plan that is not plain cannot be; empty if all can."""
    if plan.intent is _INSTANT:
        return "it has one leg, or a round, and no intent to open or close"
    if not plan.round_id:
        return f"it is to {plan.intent} a round and names none"
    if plan.opening and (plan.intent is _OPEN or plan.is_directional):
        return f"it is to even out {plan.opening} {plan.base}, which only closing by pairs does"
    return ""


def _resting_flaw(plan: ApprovedPlan, resting: int) -> str:
    """Return why its legs, of which so many are to rest, may not; empty if they may."""
    if plan.policy is not _MAKER_TAKER:
        return "a leg is to rest, and its policy is not MAKER_TAKER"
    if plan.resting is None or plan.intent is not _INSTANT or len(plan.legs) != 2 or plan.values:
        return "its policy is MAKER_TAKER, and not one of two legs of one asset is to rest"
    one, other = plan.legs
    if resting != 1 or one.venue == other.venue or one.side is other.side:
        return "its policy is MAKER_TAKER: one leg rests, the other is against it at another venue"
    return ""


def on_grid(plan: ApprovedPlan, markets: Markets) -> list[PlanLeg]:
    """Return the legs with their limits on the venues' ticks, never beyond what was approved."""
    legs = []
    for leg in plan.legs:
        tick = markets.rules[leg.venue, leg.instrument].tick_size
        if is_multiple(leg.price_limit, tick):  # nearly always: it was a price of the venue's own
            legs.append(leg)
            continue
        price = price_to_tick(leg.price_limit, tick, leg.side, aggressive=False)
        legs.append(msgspec.structs.replace(leg, price_limit=price))
    return legs


def why_none_rests(state: ExecutorState, trading: TradingState, obstacle: str) -> str:
    """Return what keeps every order from resting on; empty if nothing does."""
    if obstacle or state.halted or state.flatten:
        return obstacle or "halted by an operator"
    return "" if trading is TradingState.ACTIVE else f"trading is {trading}"


def why_none_starts(state: ExecutorState, trading: TradingState, obstacle: str) -> str:
    """Return what keeps every new plan from starting; empty if nothing does."""
    if obstacle:
        return obstacle
    if state.halted:
        return "halted by an operator"
    if state.flatten:
        return "flattening"
    if trading is TradingState.HALTED:
        return "trading is halted"
    full = len(state.open_plans()) >= OPEN_PLANS_MAX
    return f"{OPEN_PLANS_MAX} plans are open" if full else ""
