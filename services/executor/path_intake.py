"""Checks on a plan of several assets before it starts: its path and the prices it states.

Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.executor.market import Markets
from shared.domain.asset_paths import (
    PathFlow,
    Stake,
    assets_on_the_way,
    flow_of,
    left_over,
    lots_of_assets,
    stake_of,
)
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.messages.execution import ApprovedPlan
from shared.messages.rounds import Intent

VALUE_BAND: Final = Decimal("0.05")
"""How far what a plan says an asset is worth may be from the LIVE books."""


def values_of(plan: ApprovedPlan) -> dict[str, Decimal]:
    """Return what its assets are worth in its quote asset."""
    return {each.asset: each.price for each in plan.values}


def path_flaw(plan: ApprovedPlan) -> str:
    """Return why its legs do not lead from its quote asset and back; empty if they do."""
    assets = assets_on_the_way(tuple((leg.instrument, leg.side) for leg in plan.legs), plan.quote)
    if len(assets) < 2 or assets[0] != plan.base:
        names = ", ".join(leg.text for leg in plan.legs)
        return f"its legs do not lead from {plan.quote} by {plan.base} and others back: {names}"
    if sorted(values_of(plan)) != sorted(assets) or len(plan.values) != len(assets):
        return f"it must say what {', '.join(assets)} are worth"
    if plan.intent is not Intent.INSTANT or plan.round_id or plan.opening:
        return "it is of several assets, which no round is"
    return ""


def path_net_flaw(plan: ApprovedPlan, markets: Markets) -> str:
    """Return which asset its legs use more of than they bring in, or bring in for nothing."""
    flows = [
        flow_of(x.instrument, x.side, x.qty, x.price_expected, x.fee_bps, x.fee_asset)
        for x in plan.legs
    ]
    left = left_over(flows)
    lots: dict[str, Decimal] = {}
    for leg in plan.legs:
        rules = markets.rules.get(leg.market)
        if rules is None:
            return ""  # nothing starts there anyway
        for asset, lot in lots_of_assets(leg.instrument, rules.lot_size, leg.price_limit):
            lots[asset] = lots.get(asset, ZERO) + lot
    for asset in values_of(plan):
        if not ZERO <= left[asset] <= lots[asset]:
            return f"its legs leave {left[asset]} {asset} open"
    return ""


def path_stake(plan: ApprovedPlan) -> Stake:
    """Return its notional at stake, in quote units."""
    flows: list[PathFlow] = [
        flow_of(
            leg.instrument,
            leg.side,
            leg.qty,
            max(leg.price_limit, leg.price_expected),
            leg.fee_bps,
            leg.fee_asset,
        )
        for leg in plan.legs
    ]
    fees = [leg.fee_bps for leg in plan.legs]
    return stake_of(flows, values_of(plan), plan.quote, fees)


def value_flaw(plan: ApprovedPlan, markets: Markets, now_ns: int) -> str:
    """Return which asset is not worth what the plan says, by the books here; empty if all are."""
    for each in plan.values:
        price = markets.mid((each.venue, each.instrument), now_ns)
        if price is None:
            return f"the book of {each.instrument} at {each.venue} is not LIVE here"
        if split_instrument(each.instrument).base == plan.quote:
            price = 1 / price
        if abs(price - each.price) > price * VALUE_BAND:
            return f"it says {each.asset} is worth {each.price} {plan.quote}, the books say {price}"
    return ""
