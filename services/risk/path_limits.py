"""The rules for plans of several assets, one function each, as in ``limits.py``. Pure.

Such a plan leads from its quote asset through others back to it. Amounts of different assets are
compared only at the values that it states, and these are believed only near risk's own books.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.risk.arithmetic import follows_from_legs
from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.asset_paths import (
    PathFlow,
    assets_on_the_way,
    flow_of,
    left_over,
    lots_of_assets,
)
from shared.domain.depth import is_size
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.rounding import exact
from shared.messages.arb import OpportunityLeg
from shared.messages.base import BookState, Side
from shared.messages.rounds import Intent

ZERO: Final = Decimal(0)
VALUE_BAND: Final = Decimal("0.01")
"""How far what an asset is said to be worth may be from the middle of risk's own book."""
MS: Final = 1_000_000


def well_formed(context: DecisionContext) -> Denial | None:
    """The legs lead from the quote asset through others back, and all of these have a value."""
    found = context.opportunity
    for leg in found.legs:
        try:
            split_instrument(leg.instrument)
        except ValueError as error:
            return deny(DenyReason.MALFORMED, instrument=error)
        for number in (leg.qty, leg.price_limit, leg.price_avg):
            if not number.is_finite() or number <= ZERO:
                return deny(DenyReason.MALFORMED, instrument=leg.instrument, qty=leg.qty)
        if not leg.fee_bps.is_finite() or leg.fee_bps < ZERO:
            return deny(DenyReason.MALFORMED, instrument=leg.instrument, fee_bps=leg.fee_bps)
        if not leg.is_limit_ioc:
            return deny(DenyReason.ORDER_KIND, kind=leg.kind, instrument=leg.instrument)
    assets = assets_on_the_way(tuple((leg.instrument, leg.side) for leg in found.legs), found.quote)
    if len(assets) < 2 or found.intent is not Intent.INSTANT:
        names = ",".join(leg.instrument for leg in found.legs)
        return deny(DenyReason.SEVERAL_ASSETS, instruments=names, quote=found.quote)
    flow = _flow(found.legs[0])
    if found.base != assets[0] or found.qty != flow.brought:
        return deny(DenyReason.MALFORMED, base=found.base, qty=found.qty, bought=flow.brought)
    if len({(leg.venue, leg.instrument) for leg in found.legs}) < len(found.legs):
        return deny(DenyReason.MALFORMED, legs=", ".join(leg.text for leg in found.legs))
    valued = [each.asset for each in found.values]
    if sorted(valued) != sorted(assets):
        return deny(DenyReason.ASSET_VALUE, assets=",".join(assets), valued=",".join(valued))
    for each in found.values:
        is_price = each.price.is_finite() and each.price > ZERO
        pair = _pair(each.instrument)
        if not is_price or pair != {each.asset, found.quote}:
            book = f"{each.venue} {each.instrument}"
            return deny(DenyReason.ASSET_VALUE, asset=each.asset, price=each.price, book=book)
    return None


def arithmetic(context: DecisionContext) -> Denial | None:
    """Recompute the result from the legs, in the asset they begin and end with."""
    found = context.opportunity
    values = {each.asset: each.price for each in found.values}
    fees = ZERO
    flows = []
    are_right = True
    for leg in found.legs:
        flow = _flow(leg)
        flows.append(flow)
        quote = split_instrument(leg.instrument).quote
        fees += flow.fee * values.get(quote, Decimal(1))
        in_cash = flow.brought if leg.side is Side.SELL else -flow.spent
        if leg.fee != flow.fee or (leg.cash_flow is not None and leg.cash_flow != in_cash):
            are_right = False
    fees = fees.quantize(MONEY_STEP)
    net = left_over(flows)[found.quote]
    return follows_from_legs(found, are_right, net, fees, flows[0].spent)


def values_trusted(context: DecisionContext) -> Denial | None:
    """Each asset can be traded for the quote asset, and is worth there what the plan says."""
    found, limit = context.opportunity, context.config.book_age_ms_max
    for each in found.values:
        book = f"{each.venue} {each.instrument}"
        view = context.views.get((each.venue, each.instrument))
        rules = context.rules.get((each.venue, each.instrument))
        if each.venue not in context.venues or rules is None or not rules.active:
            return deny(DenyReason.ASSET_VALUE, asset=each.asset, not_traded=book)
        if view is None or view.state is not BookState.LIVE or not (view.bids and view.asks):
            return deny(DenyReason.ASSET_VALUE, asset=each.asset, not_live=book)
        age_ms = (context.now_ns - min(view.ts_ns, each.ts_ns)) // MS
        if age_ms > limit:
            return deny(
                DenyReason.ASSET_VALUE, asset=each.asset, book=book, age_ms=age_ms, max_ms=limit
            )
        bid, ask = view.bids[0][0], view.asks[0][0]
        if not (is_size(bid) and is_size(ask)):
            return deny(DenyReason.ASSET_VALUE, asset=each.asset, not_live=book)
        middle = (exact(bid) + exact(ask)) / 2
        if split_instrument(each.instrument).base == found.quote:
            middle = 1 / middle
        if abs(middle - each.price) > middle * VALUE_BAND:
            return deny(
                DenyReason.ASSET_VALUE,
                asset=each.asset,
                book=book,
                stated=each.price,
                is_now=middle,
            )
    return None


def evened(context: DecisionContext) -> Denial | None:
    """No leg uses more of an asset than came in, nor is more left of one than its lots explain."""
    found = context.opportunity
    left = left_over(_flow(leg) for leg in found.legs)
    lots: dict[str, Decimal] = {}
    for leg in found.legs:
        lot_size = context.rules[leg.venue, leg.instrument].lot_size
        for asset, lot in lots_of_assets(leg.instrument, lot_size, leg.price_limit):
            lots[asset] = lots.get(asset, ZERO) + lot
    for asset in context.values:
        if not ZERO <= left[asset] <= lots[asset]:
            return deny(DenyReason.UNHEDGED, open=left[asset], base=asset, lot=lots[asset])
    return None


def loss_cap(context: DecisionContext) -> Denial | None:
    """The loss cap pays for trading away what any of the legs alone would leave."""
    assert context.stake is not None
    if context.stake.fees <= context.loss_cap:
        return None
    books = ", ".join(leg.market.text for leg in context.legs)
    return deny(DenyReason.LOSS_CAP, book=books, fees=context.stake.fees, cap=context.loss_cap)


def _flow(leg: OpportunityLeg) -> PathFlow:
    """What a leg does at the price it expects."""
    given = leg.instrument, leg.side, leg.qty, leg.price_avg, leg.fee_bps, leg.fee_asset
    return flow_of(*given)


def _pair(instrument: str) -> set[str]:
    try:
        return set(split_instrument(instrument)[:2]) if is_spot(instrument) else set()
    except ValueError:
        return set()
