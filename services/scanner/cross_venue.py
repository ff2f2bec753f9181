"""The cross-venue detector: buy a base asset on one venue, sell it on another at once. Pure.

Everything up to the best prices is float and fast; what may become an order is walked again in
Decimal, rounded to what both venues accept, and carries arithmetic that anybody can recompute:

    notional = qty * buy.price_avg                gross = qty * sell.price_avg - notional
    fee      = fee_amount(qty * price_avg, fee_bps), per leg, in quote units
    net      = gross - fees                       edge_bps = edge_bps(net, notional)
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from services.scanner.gates import OF_OBSTACLE, Gate
from shared.domain.depth import (
    Costs,
    CrossedDepth,
    Uncrossed,
    costs_of,
    qty_of,
    take_crossed_depth,
    walk_quantity,
)
from shared.domain.fees import edge_bps, fee_amount, fee_fraction
from shared.domain.instrument import InstrumentRules
from shared.domain.rounding import (
    exact,
    is_enough,
    lot_common,
    price_to_tick,
    qty_to_lot,
    without_noise,
)
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.market import DepthView, Level

DETECTOR = "cross_venue"


class Offer(NamedTuple):
    """Where one leg would trade: a view of a live book, and the venue's rules."""

    view: DepthView
    rules: InstrumentRules


class PairRules(NamedTuple):
    """What is constant for a directed pair as long as the venues' rules are."""

    costs: Costs
    lot: Decimal


class Sizing(NamedTuple):
    """The configured bounds of one search; ``notional_max`` in quote units."""

    edge_bps_min: float
    notional_max: float
    ttl_ns: int


class Stopped(NamedTuple):
    """The gate that stopped a comparison, the numbers behind it, and the best edge if known."""

    gate: Gate
    values: tuple[object, ...]
    edge_bps: float | None = None


def pair_rules(buy: InstrumentRules, sell: InstrumentRules, edge_bps_min: float) -> PairRules:
    """Return the constants of the pair that buys on ``buy`` and sells on ``sell``."""
    return PairRules(
        costs_of(fee_fraction(buy.taker_fee_bps), fee_fraction(sell.taker_fee_bps), edge_bps_min),
        lot_common(buy.lot_size, sell.lot_size),
    )


def compare_books(
    asks: list[Level], bids: list[Level], costs: Costs, notional_max: float
) -> CrossedDepth | Stopped:
    """Walk two books; ``Stopped`` with the gate where no size pays."""
    found = take_crossed_depth(asks, bids, costs, notional_max=notional_max)
    if isinstance(found, Uncrossed):
        return Stopped(OF_OBSTACLE[found.obstacle], (bids[0][0], asks[0][0]), found.edge_bps)
    return found


def size_opportunity(
    buy: Offer, sell: Offer, pair: PairRules, found: CrossedDepth, sizing: Sizing
) -> Decimal | Stopped:
    """Return the quantity both venues accept, not above what was found or ``notional_max``."""
    asks, bids = buy.view.asks, sell.view.bids
    qty_max = min(
        without_noise(found.qty),
        # The noise taken out above must not reach a level that the walk refused, nor the cap.
        qty_of(asks, found.buy_levels),
        qty_of(bids, found.sell_levels),
        exact(sizing.notional_max) / exact(bids[0][0]),
    )
    qty = qty_to_lot(qty_max, pair.lot)
    edge = found.net / (found.buy_avg * found.qty) * 10_000
    if qty <= 0:
        return Stopped(Gate.LOT, (qty_max, pair.lot), edge)
    # At the least price the leg may trade at, so that the venue cannot find it too small.
    for offer, price in ((buy, exact(asks[0][0])), (sell, exact(found.sell_worst))):
        if not is_enough(offer.rules, qty, price):
            return Stopped(Gate.NOTIONAL_MIN, (qty, price), edge)
    return qty


def build_opportunity(
    buy: Offer, sell: Offer, qty: Decimal, sizing: Sizing, now_ns: int
) -> Opportunity | Stopped:
    """Return the opportunity of ``qty`` with its arithmetic, all rounded against us.

    ``Stopped`` where that rounding leaves less than the least edge.
    """
    buy_leg = _leg(buy, Side.BUY, qty)
    sell_leg = _leg(sell, Side.SELL, qty)
    notional = qty * buy_leg.price_avg
    gross = qty * sell_leg.price_avg - notional
    fees = buy_leg.fee + sell_leg.fee
    net = gross - fees
    edge = edge_bps(net, notional)
    if edge < exact(sizing.edge_bps_min):
        return Stopped(Gate.EDGE_MIN, (sell_leg.price_avg, buy_leg.price_avg), float(edge))
    newest = max(buy.view, sell.view, key=_recv_ns)
    base, _, quote = buy.view.instrument.partition(":")[0].partition("/")
    return Opportunity(
        ts_ns=now_ns,
        opportunity_id=opportunity_id(buy.view.book_id, sell.view.book_id),
        detector=DETECTOR,
        base=base,
        quote=quote,
        legs=[buy_leg, sell_leg],
        qty=qty,
        notional=notional,
        gross=gross,
        fees=fees,
        net=net,
        edge_bps=edge,
        ts_recv_ns=newest.ts_recv_ns,
        ts_depth_ns=newest.ts_ns,
        ts_expire_ns=now_ns + sizing.ttl_ns,
    )


def opportunity_id(buy_book_id: str, sell_book_id: str) -> str:
    """Return the id of buying against one book state and selling against another: 16 hex digits."""
    text = f"{DETECTOR}>{buy_book_id}>{sell_book_id}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _recv_ns(view: DepthView) -> int:
    return view.ts_recv_ns


def _leg(offer: Offer, side: Side, qty: Decimal) -> OpportunityLeg:
    view, rules = offer
    walked = walk_quantity(view.asks if side is Side.BUY else view.bids, qty, side)
    assert walked is not None, "the quantity was capped at the depth walked"
    return OpportunityLeg(
        venue=view.venue,
        instrument=view.instrument,
        side=side,
        qty=qty,
        # A venue's own prices are on its grid already; if one is not, never pay more than walked.
        price_limit=price_to_tick(walked.price_worst, rules.tick_size, side, aggressive=False),
        price_avg=walked.price_avg,
        fee_bps=rules.taker_fee_bps,
        fee=fee_amount(qty * walked.price_avg, rules.taker_fee_bps),
        levels_used=walked.levels_used,
        book_id=view.book_id,
        book_ts_recv_ns=view.ts_recv_ns,
    )
