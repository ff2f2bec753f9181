"""The rules on the margin behind derivatives: leverage, and how far liquidation is. Pure.

They take a venue's account as cross margin: the balance of one asset backs all positions that
settle in it. Positions count at their highest price, with the most that plans in flight may add,
and all are assumed to move against us together: neither a hedge between two of them counts, nor one
at another venue, whose profit is not available here. What plans in flight and this one may spend of
that balance on spot is no margin. Plans that close a round are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from services.risk.decision_context import (
    DecisionContext,
    VenueMarket,
    market_of,
    markets_of,
    worst_notional,
    worst_with_plan,
)
from services.risk.exposure import ZERO
from services.risk.reasons import Denial, DenyReason, deny
from services.risk.reservations import ReservedLeg
from shared.domain.depth import is_size
from shared.domain.fees import BPS
from shared.domain.instrument import is_spot
from shared.domain.rounding import exact

UNKNOWN: Final = "not known"


class Margined(NamedTuple):
    """What positions are worth with a plan, and the margin behind them, in quote units.

    ``margin`` is ``None`` where the balance, the price of the coin that it is held in, or what a
    position is worth in this quote asset is not known.
    """

    venue: str
    asset: str
    worth: Decimal
    margin: Decimal | None
    is_in_coins: bool


def leverage(context: DecisionContext) -> Denial | None:
    """A venue's derivatives are worth no more than so many times the margin behind them."""
    limit = context.config.leverage_max
    if not limit:
        return None
    for backed in _touched(context):
        margin, worth = backed.margin, backed.worth
        if margin is None or worth > margin * exact(limit):
            now = worth / margin if margin is not None and margin > 0 else UNKNOWN
            return deny(
                DenyReason.LEVERAGE,
                venue=backed.venue,
                settled_in=backed.asset,
                leverage=now,
                max=limit,
            )
    return None


def liquidation(context: DecisionContext) -> Denial | None:
    """A venue's derivatives are at least ``liquidation_bps_min`` away from liquidation."""
    limit_bps = context.config.liquidation_bps_min
    if not limit_bps:
        return None
    for backed in _touched(context):
        away_bps = _away_bps(backed, context.config.maintenance_margin_bps / BPS)
        if away_bps is None or away_bps < exact(limit_bps):
            return deny(
                DenyReason.LIQUIDATION,
                venue=backed.venue,
                settled_in=backed.asset,
                away_bps=UNKNOWN if away_bps is None else away_bps,
                min_bps=limit_bps,
            )
    return None


def _away_bps(backed: Margined, maintenance: Decimal) -> Decimal | None:
    """Return how far prices may move until the margin left is the least that must be.

    Of money, with ``r`` the margin over the worth: a rise by ``d`` leaves ``r - d``, of which
    ``maintenance * (1 + d)`` must remain. Of coins, which are worth less as the price falls, a long
    is nearest: by its price, ``1 - (1 + maintenance) / (1 + r)`` (``domain/margin.py`` has both).
    """
    if backed.margin is None:
        return None
    ratio = backed.margin / backed.worth
    scale = 1 + (ratio if backed.is_in_coins else maintenance)
    return (ratio - maintenance) / scale * BPS if scale > 0 else None


def _touched(context: DecisionContext) -> Iterator[Margined]:
    """Yield derivatives that the plan adds to, or whose margin it spends; by venue and asset."""
    wanted: dict[tuple[str, str], None] = {}
    for leg in context.legs:
        asset = leg.reserved.asset if leg.market.is_spot else _settled_in(leg.market)
        wanted[leg.market.venue, asset] = None
    for venue, asset in wanted:
        markets = [
            market
            for market in markets_of(context, venue)
            if not market.is_spot and _settled_in(market) == asset
        ]
        before = after = ZERO
        for market in markets:
            before += worst_notional(context, market)
            after += worst_with_plan(context, market)
        spent = _spent_on_spot(context.reserved, venue, asset)
        if after and (after > before or spent):
            margin = _margin(context, venue, asset, markets)
            in_coins = any(market.is_inverse for market in markets)
            yield Margined(venue, asset, after, margin, in_coins)


def _spent_on_spot(legs: Sequence[ReservedLeg], venue: str, asset: str) -> Decimal:
    return sum(
        (
            leg.amount
            for leg in legs
            if leg.terms.venue == venue and leg.asset == asset and is_spot(leg.terms.instrument)
        ),
        ZERO,
    )


def _settled_in(market: VenueMarket) -> str:
    return market.base if market.is_inverse else market.quote


def _margin(
    context: DecisionContext, venue: str, asset: str, markets: list[VenueMarket]
) -> Decimal | None:
    """Return the account's balance, free and used, in quote units; coins at the lowest bid."""
    ledger = context.ledger
    known = ledger.balances.get(venue)
    if known is None or _holds_others(context, venue, asset):
        return None
    held = known.free.get(asset, ZERO) + known.used.get(asset, ZERO)
    held -= _spent_on_spot((*context.held, *context.reserved), venue, asset)
    if (settling := ledger.settling.get(venue, {}).get(asset)) is not None:
        held -= settling.amount
    if not any(market.is_inverse for market in markets):
        return held * context.value_of(asset)
    bids: list[Decimal] = []
    for market in markets:
        view = context.views.get(market.book)
        if view is None or not view.bids or not is_size(view.bids[0][0]):
            return None
        bids.append(exact(view.bids[0][0]) * context.value_of(market.quote))
    return held * min(bids)


def _holds_others(context: DecisionContext, venue: str, asset: str) -> bool:
    """Tell whether the margin carries positions that cannot be counted in this quote asset."""
    for key, position in context.ledger.positions.items():
        market = market_of(key)
        if not position or market.venue != venue or market.is_spot:
            continue
        if _settled_in(market) == asset and not context.counts(market.quote):
            return True
    return False
