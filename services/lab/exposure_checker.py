"""Checks that no plan opens beyond the limits on exposure, open orders, leverage and liquidation.

Each figure is worked out from the plans approved, the fills told and the venues' own accounts, at
the first prices; risk goes by the dearest that it knows, so a quarter more is let pass. Fills of
plans in flight count as these plans do: risk may not have read them yet.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from services.lab.holdings import (
    flows_in_flight,
    flows_of,
    held_by_fills,
    place_of,
    plans_in_flight,
    worst,
    worth_of_side,
)
from services.lab.rounds_checker import went_on_lately
from shared.config_limits import RiskConfig
from shared.domain.fees import BPS
from shared.domain.instrument import MarketKey, is_spot, split_instrument
from shared.domain.quantities import base_of, is_inverse, worth_of
from shared.domain.rounding import exact
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, Fill
from shared.messages.rounds import Intent

if TYPE_CHECKING:
    from services.lab.world import World

ZERO, ONE = Decimal(0), Decimal(1)
PRICE_SLACK: Final = Decimal("1.25")
"""What is held is worth so much more at most than at the first prices, and margin so much less."""


class ExposureChecker:
    """Watches plans that open, before they count among those in flight."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._strategy_max = {each.id: each.notional_max for each in world.config.strategies}

    def on_plan(self, plan: ApprovedPlan) -> None:
        """Check a plan that was approved now and does not close a round."""
        limits = self._world.config.risk.limits_in(plan.quote)
        checkers = self._world.checkers
        if limits is None or checkers.has_lost_records or went_on_lately(self._world, "risk"):
            return  # risk cannot know, or reads now what came meanwhile
        if limits.open_orders_max:
            self._check_orders(plan, limits.open_orders_max)
        if limits.net_notional_max:
            self._check_net(plan, limits.net_notional_max)
        if most := self._strategy_max.get(plan.strategy, ZERO):
            self._check_strategy(plan, most)
        if limits.leverage_max or limits.liquidation_bps_min:
            self._check_margin(plan, limits)

    def _report(self, checker: str, plan: ApprovedPlan, text: str) -> None:
        self._world.checkers.report(checker, f"plan {plan.plan_id} {text}")

    def _check_orders(self, plan: ApprovedPlan, most: int) -> None:
        """No venue has more legs of plans in flight than it may have open orders."""
        every = [*plans_in_flight(self._world.checkers), plan]
        for venue in sorted({leg.venue for leg in plan.legs}):
            legs = sum(leg.venue == venue for each in every for leg in each.legs)
            if legs > most:
                self._report("open_orders_max", plan, f"makes {legs} orders at {venue}")

    def _check_net(self, plan: ApprovedPlan, most: Decimal) -> None:
        """What ended plans left unhedged, and one side of all others, is within the limit."""
        checkers = self._world.checkers
        net: dict[str, Decimal] = defaultdict(Decimal)
        for fill in checkers.fills.values():
            base, quote, _ = split_instrument(fill.instrument)
            owner = checkers.plans.get(fill.plan_id)
            is_path = owner is not None and bool(owner.values)
            if quote == plan.quote and not is_path and not self._is_in_flight(fill):
                net[base] += fill.side.signed(base_of(fill.instrument, fill.qty, fill.price))
        price = self._world.price
        unhedged = sum((abs(qty) * price(base, plan.quote) for base, qty in net.items()), ZERO)
        reserved = self._notional_in_flight(plan)
        if unhedged + reserved > most * PRICE_SLACK:
            text = f"adds up to {reserved} in flight, beside {unhedged} unhedged"
            self._report("net_notional", plan, text)

    def _check_strategy(self, plan: ApprovedPlan, most: Decimal) -> None:
        """What its strategy holds in rounds and has in flight is within its own limit."""
        checkers = self._world.checkers
        if checkers.has_flattened or any(f.reduced_by for f in checkers.fills.values()):
            return  # which closes of rounds what no plan of theirs does
        rounds: dict[str, dict[tuple[str, str], Decimal]] = defaultdict(
            lambda: defaultdict(Decimal)
        )
        for fill in checkers.fills.values():
            owner = checkers.plans.get(fill.plan_id)
            if owner is None or not owner.round_id or owner.strategy != plan.strategy:
                continue
            if owner.quote == plan.quote and not (
                owner.intent is Intent.OPEN and self._is_in_flight(fill)
            ):
                place = (fill.venue, fill.instrument)
                rounds[owner.round_id][place] += fill.side.signed(fill.qty)
        held = sum((self._worth_of_round(each, plan.quote) for each in rounds.values()), ZERO)
        reserved = self._notional_in_flight(plan, plan.strategy)
        if held + reserved > most * PRICE_SLACK:
            text = f"adds up to {reserved} of {plan.strategy} in flight, beside {held} in rounds"
            self._report("strategy_notional", plan, text)

    def _worth_of_round(self, legs: dict[MarketKey, Decimal], quote: str) -> Decimal:
        """Return what its purchases or its sales are worth, whichever is more."""
        of_side: dict[bool, Decimal] = defaultdict(Decimal)
        for (_, instrument), qty in legs.items():
            base = split_instrument(instrument).base
            of_side[qty > 0] += worth_of(instrument, abs(qty), self._world.price(base, quote))
        return max(of_side.values(), default=ZERO)

    def _notional_in_flight(self, plan: ApprovedPlan, strategy: str = "") -> Decimal:
        """Return one side of this plan and of those in flight in its quote asset.

        Args:
            plan: Counted, too.
            strategy: Only plans of this one that do not close; empty: of all.
        """
        total = ZERO
        for each in [*plans_in_flight(self._world.checkers), plan]:
            is_counted = not strategy or (
                each.strategy == strategy and each.intent is not Intent.CLOSE
            )
            if is_counted and each.quote == plan.quote and each.resting is None:
                legs = [x for x in each.legs if split_instrument(x.instrument).quote == plan.quote]
                total += max(worth_of_side(legs, side) for side in Side)
        return total

    def _is_in_flight(self, fill: Fill) -> bool:
        checkers = self._world.checkers
        return fill.plan_id in checkers.plans and fill.plan_id not in checkers.done

    def _check_margin(self, plan: ApprovedPlan, limits: RiskConfig) -> None:
        """The derivatives of each venue have the margin that the limits ask, if it adds to them."""
        for venue in sorted({leg.venue for leg in plan.legs if not is_spot(leg.instrument)}):
            exchange = self._world.exchanges[venue]
            listed = {each.settle: each for each in exchange.by_instrument.values()}
            for asset, listing in listed.items():
                before, after = self._derivatives(plan, venue, asset)
                if after <= before or not self._world.checkers.funds.is_known(venue, asset):
                    continue
                balance = exchange.ledger.balance(asset)
                price = self._world.price(asset, listing.quote)
                margin = (balance.free + balance.used) * price * PRICE_SLACK
                in_coins = is_inverse(listing.instrument)
                self._check_backed(plan, limits, after, margin, in_coins=in_coins)

    def _derivatives(self, plan: ApprovedPlan, venue: str, asset: str) -> tuple[Decimal, Decimal]:
        """Return what derivatives settled in an asset are worth at worst, without and with it."""
        checkers, exchange = self._world.checkers, self._world.exchanges[venue]
        held, flows = held_by_fills(checkers), flows_in_flight(checkers)
        before = after = ZERO
        for listing in exchange.by_instrument.values():
            if listing.settle != asset:
                continue
            place = place_of(venue, listing.instrument)
            mine = [qty for at, qty in flows if at == place]
            added = mine + [qty for at, qty in flows_of(plan) if at == place]
            price = self._world.price(listing.base, listing.quote)
            before += worst(held.get(place, ZERO), mine) * price
            after += worst(held.get(place, ZERO), added) * price
        return before, after

    def _check_backed(
        self,
        plan: ApprovedPlan,
        limits: RiskConfig,
        worth: Decimal,
        margin: Decimal,
        *,
        in_coins: bool,
    ) -> None:
        """Let prices move against all positions by the least distance: the margin must outlast it.

        Of money, a rise by ``d`` takes ``worth * d`` and leaves positions worth ``1 + d`` times as
        much. Of coins, a fall by ``d`` leaves margin and contracts in ``1 - d`` times the money,
        less what the contracts did not lose; they are worth the same money as before.
        """
        most, least_bps = exact(limits.leverage_max), exact(limits.liquidation_bps_min)
        if most and worth > margin * most:
            self._report("leverage", plan, f"makes {worth} on a margin of {margin}")
        if not least_bps:
            return
        moved, keep = least_bps / BPS, limits.maintenance_margin_bps / BPS
        if in_coins:
            left, needed = (margin + worth) * (ONE - moved) - worth, worth * keep
        else:
            left, needed = margin - worth * moved, worth * (ONE + moved) * keep
        if left < needed:
            text = f"makes {worth} on a margin of {margin}, of which {left} outlast {least_bps} bps"
            self._report("liquidation", plan, text)
