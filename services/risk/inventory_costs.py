"""What bringing back will cost that a plan takes from venues below their targets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from services.risk.decision_context import DecisionContext, LegContext
from services.risk.exposure import ZERO
from shared.domain.depth import ExactLevel, exact_levels
from shared.domain.fees import BPS, MONEY_STEP, ONE_BP
from shared.domain.instrument import split_instrument
from shared.domain.rebalance_steps import Market, PriceOf, TradeWay, TransferWay
from shared.domain.return_cost import Short, TradeBack, return_cost
from shared.domain.rounding import exact
from shared.domain.skew import Change
from shared.messages.base import Certainty, Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.messages.terms import InventoryCost

_BUY: Final = Side.BUY
_WIDE: Final = Context(prec=60, rounding=ROUND_CEILING)
_ROUNDED: Final = Decimal("1e-9")
LEVELS_MAX: Final = 20
"""Of a side of a book that a trade back is priced on."""


class CostTerms(NamedTuple):
    """How inventory is brought back, and what is made of its cost.

    Attributes:
        ways: Transfers that can be made.
        in_edge: Whether a plan must earn it.
        estimate_bps: What an unknown one counts, of what the plan buys; ``None``: it stays unknown.
    """

    ways: tuple[TransferWay, ...]
    in_edge: bool
    estimate_bps: Decimal | None


def inventory_cost(
    context: DecisionContext, terms: CostTerms, changes: Sequence[Change]
) -> InventoryCost:
    """Return what bringing back costs, in the plan's quote asset."""
    shorts = [
        Short(each.place, each.qty_short, max(each.qty_short, each.band.target - each.band.low))
        for each in changes
        if each.qty_short
    ]
    back = _trade_back(context, shorts) if shorts else None
    found = return_cost(shorts, terms.ways, back, _price_of(context))
    if found.amount is None and terms.estimate_bps is not None:
        amount = context.opportunity.notional * terms.estimate_bps * ONE_BP
        rounded = amount.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)
        return InventoryCost(amount=rounded, certainty=Certainty.ESTIMATED, route=found.route)
    return InventoryCost(amount=found.amount, certainty=found.certainty, route=found.route)


def share_bps(amount: Decimal, notional: Decimal) -> Decimal:
    """Return an amount in basis points of a notional, rounded up to eight decimals."""
    share = _WIDE.divide(amount * BPS, notional)
    return share.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)


def _trade_back(context: DecisionContext, shorts: Sequence[Short]) -> TradeBack | None:
    """Return what trades two legs of one instrument back, as if both books had the same middle."""
    if len(context.legs) != 2 or context.values:
        return None
    bought, sold = context.legs
    if bought.offered.instrument != sold.offered.instrument:
        return None
    views = [context.views[leg.market.book] for leg in context.legs]
    if not all(view.bids and view.asks for view in views):
        return None
    ratio = _middle(views[0]) / _middle(views[1])

    def way() -> TradeWay:
        bids = exact_levels(views[0].bids[:LEVELS_MAX], LEVELS_MAX)
        asks = [(p * ratio, qty) for p, qty in exact_levels(views[1].asks[:LEVELS_MAX], LEVELS_MAX)]
        sell, buy = _market(context, bought, bids), _market(context, sold, asks)
        return TradeWay(context.opportunity.base, sell, buy)

    qty = _qty_back(context, shorts)
    rules = [context.rules[leg.market.book] for leg in context.legs]
    bid, ask = exact(views[0].bids[0][0]), exact(views[1].asks[0][0]) * ratio
    return TradeBack(qty, qty * unit_cost_least(bid, ask, *rules), way)


def unit_cost_least(
    bid: Decimal, ask: Decimal, sell: InstrumentRules, buy: InstrumentRules
) -> Decimal:
    """Return what selling a unit and buying it costs at least: at the best prices, with both fees.

    A billionth less than that, which is more than averages and fees are rounded by.
    """
    spent = ask * (1 + buy.taker_fee_bps * ONE_BP)
    return spent - bid * (1 - sell.taker_fee_bps * ONE_BP) - ask * _ROUNDED


def _market(context: DecisionContext, leg: LegContext, levels: Sequence[ExactLevel]) -> Market:
    rules = context.rules[leg.market.book]
    return Market(
        venue=leg.market.venue,
        instrument=leg.offered.instrument,
        bids=levels,
        asks=levels,
        lot_size=rules.lot_size,
        fee_bps=rules.taker_fee_bps,
        qty_min=rules.qty_min,
        qty_max=rules.qty_max,
        notional_min=rules.notional_min,
    )


def _middle(view: DepthView) -> Decimal:
    return (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2


def _qty_back(context: DecisionContext, shorts: Sequence[Short]) -> Decimal:
    """Return the base units that, traded back, bring back all that is short."""
    found = context.opportunity
    price = found.legs[0].price_avg
    return max((s.qty if s.place[1] == found.base else s.qty / price for s in shorts), default=ZERO)


def _price_of(context: DecisionContext) -> PriceOf:
    """Return what a unit of an asset of the plan costs in its quote asset: its dearest price."""
    found = context.opportunity
    prices = {found.quote: Decimal(1), **context.values}
    for leg in found.legs:
        base, quote, _ = split_instrument(leg.instrument)
        if quote == found.quote:
            prices[base] = max(prices.get(base, ZERO), leg.price_avg)
    return lambda asset, _: prices.get(asset)
