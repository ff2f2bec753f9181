"""The rule on what each venue should hold of each asset, as in ``limits.py``. Pure.

``shared/domain/skew.py`` says how much more a plan must earn. What a venue holds is what may still
be spent there: what plans in flight may spend counts as gone, what they bring in as not there yet.
A plan is judged by what its spot legs together do to each place, so one that spends an asset at a
venue and gets it back there moves nothing. Rounds are not asked: what they move, they bring back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from services.risk.decision_context import DecisionContext
from services.risk.exposure import ZERO, Ledger
from services.risk.inventory_costs import CostTerms, inventory_cost, share_bps
from services.risk.reasons import Denial, DenyReason, deny
from shared.config_inventory import targets_of, transfer_ways
from shared.config_sections import Config
from shared.domain.asset_paths import flow_of
from shared.domain.inventory import Band, Target, VenueAsset, band_of, plain
from shared.domain.rounding import exact
from shared.domain.skew import Change, SkewLimits, skew_of
from shared.messages.inventory import InventoryTold, PlaceHeld

_MS = 1_000_000


class InventoryLimits(NamedTuple):
    """What is asked of a plan because of inventory.

    Attributes:
        targets: By venue and asset.
        skew: The most that is charged and rewarded.
        age_ns_max: Of a venue's report of its balances.
        edge_bps_min: What a strategy asks for where nothing is skewed, by its id.
        edge_bps_min_usual: The same of a strategy whose parameters do not say it.
        costs: How what is taken is brought back.
    """

    targets: Mapping[VenueAsset, Target]
    skew: SkewLimits
    age_ns_max: int
    edge_bps_min: Mapping[str, Decimal]
    edge_bps_min_usual: Decimal
    costs: CostTerms


def inventory_limits(config: Config) -> InventoryLimits | None:
    """Return what is asked; ``None``: nothing."""
    given = config.inventory
    if not given.skew_bps_max:
        return None
    targets = targets_of(given)
    told: dict[str, Any] = {each.id: each.params.get("edge_bps_min") for each in config.strategies}
    return InventoryLimits(
        {target.venue_asset: target for target in targets},
        SkewLimits(given.skew_bps_max, given.reward_bps_max),
        given.balance_age_ms_max * _MS,
        {name: exact(bps) for name, bps in told.items() if type(bps) in {int, float}},
        exact(config.scanner.edge_bps_min),
        CostTerms(
            tuple(transfer_ways(given, targets)),
            given.cost_in_edge,
            None if given.cost_unknown == "deny" else given.cost_estimate_bps,
        ),
    )


def inventory_told(limits: InventoryLimits, ledger: Ledger, now_ns: int) -> InventoryTold:
    """Return what every place holds, for the strategies that trade from it."""
    places = []
    for (venue, asset), target in limits.targets.items():
        held, band = ledger.available(venue, asset), _band(ledger, limits, target, now_ns)
        if held is not None and band is not None:
            place = PlaceHeld(
                venue=venue,
                asset=asset,
                held=held,
                low=band.low,
                target=band.target,
                high=band.high,
            )
            places.append(place)
    return InventoryTold(
        ts_ns=now_ns,
        charge_bps_max=limits.skew.charge_bps_max,
        reward_bps_max=limits.skew.reward_bps_max,
        places=places,
    )


def inventory(context: DecisionContext) -> Denial | None:
    """What a plan takes from a venue leaves it within its band, and pays for what it empties."""
    limits = context.inventory
    if limits is None:
        return None
    changes: list[Change] = []
    for place, moved in _moved(context).items():
        target = limits.targets.get(place)
        if target is None or not moved:
            continue
        before = context.ledger.available(*place)
        band = _band(context.ledger, limits, target, context.now_ns)
        if before is not None and band is not None:
            changes.append(Change(place, band, before, before + moved))
        elif moved < 0:
            return deny(DenyReason.INVENTORY_UNKNOWN, venue=place[0], asset=place[1])
    for change in changes:
        if change.is_below_band:
            return deny(DenyReason.INVENTORY_BAND, **_told(change))
    return _edge(context, limits, changes)


def _edge(
    context: DecisionContext, limits: InventoryLimits, changes: Sequence[Change]
) -> Denial | None:
    found, skew = context.opportunity, skew_of(changes, limits.skew)
    cost = context.inventory_cost = inventory_cost(context, limits.costs, changes)
    extra = skew.net_bps
    if limits.costs.in_edge:
        if cost.amount is None:
            return deny(DenyReason.INVENTORY_UNKNOWN, cost="unknown", why=cost.route)
        extra += share_bps(cost.amount, found.notional)
    least = limits.edge_bps_min.get(found.strategy_id, limits.edge_bps_min_usual)
    if extra <= 0 or found.edge_bps >= least + extra:
        return None
    dearest = max(changes, key=lambda each: skew_of([each], limits.skew).charge_bps)
    return deny(
        DenyReason.INVENTORY_EDGE,
        edge_bps=plain(found.edge_bps),
        needs_bps=plain(least + extra),
        usual_bps=plain(least),
        charge_bps=plain(skew.charge_bps),
        reward_bps=plain(skew.reward_bps),
        cost_bps=plain(extra - skew.net_bps),
        cost=cost.certainty,
        route=cost.route,
        **_told(dearest),
    )


def _told(change: Change) -> dict[str, object]:
    venue, asset = change.place
    low, target = change.band.low, change.band.target
    return {
        "venue": venue,
        "asset": asset,
        "held": plain(change.before),
        "after": plain(change.after),
        "target": plain(target),
        "low": plain(low),
    }


def _moved(context: DecisionContext) -> dict[VenueAsset, Decimal]:
    """Return what the plan's spot legs together bring to each place, at the expected prices."""
    moved: dict[VenueAsset, Decimal] = {}
    for leg in context.legs:
        if not leg.market.is_spot:
            continue
        offered, venue = leg.offered, leg.market.venue
        flow = flow_of(
            offered.instrument,
            offered.side,
            offered.qty,
            offered.price_avg,
            offered.fee_bps,
            offered.fee_asset,
        )
        for asset, amount in ((flow.given, -flow.spent), (flow.taken, flow.brought)):
            moved[venue, asset] = moved.get((venue, asset), ZERO) + amount
    return moved


def _band(ledger: Ledger, limits: InventoryLimits, target: Target, now_ns: int) -> Band | None:
    """Return a target in units; ``None`` while what it depends on is not known, or too old."""
    total = ZERO
    for place in limits.targets if target.is_share else (target.venue_asset,):
        if place[1] != target.asset:
            continue
        known = ledger.balances.get(place[0])
        if known is None or now_ns - known.ts_ns > limits.age_ns_max:
            return None
        total += known.free.get(target.asset, ZERO)
    return band_of(target, total)
