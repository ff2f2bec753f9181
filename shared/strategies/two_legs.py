"""Buying a base asset on one book and selling it on another at once: size and arithmetic. Pure.

Everything up to the best prices is float and fast; what may become an order is walked again in
Decimal, rounded to what both venues accept, and carries arithmetic that every reader can recompute:

    notional = qty * buy.price_avg                gross = qty * sell.price_avg - notional
    fee      = fee_amount(qty * price_avg, fee_bps), per leg, in quote units
    net      = gross - fees                       edge_bps = edge_bps(net, notional)
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from shared.domain.contracts import Contract
from shared.domain.depth import (
    Costs,
    CrossedDepth,
    ExactLevel,
    costs_of,
)
from shared.domain.fees import cash_flow, edge_bps, fee_amount, fee_fraction
from shared.domain.instrument import split_instrument
from shared.domain.quantities import worth_of
from shared.domain.rounding import is_enough, lot_common, price_to_tick, qty_to_lot, round_noise
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.gates import Gate
from shared.strategies.near_misses import Stopped

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL

_ZERO = Decimal(0)


class Offer(msgspec.Struct, frozen=True):
    """Where one leg would trade: a view of a live book, and the venue's rules.

    ``levels`` are those of the side taken that the walk found to pay, best first.
    """

    view: DepthView
    rules: InstrumentRules
    levels: list[ExactLevel]


class PairRules(NamedTuple):
    """What is constant for a directed pair as long as the venues' rules are."""

    costs: Costs
    lot: Decimal
    base: str
    quote: str


class Sizing(NamedTuple):
    """Who publishes, and the configured bounds of it; ``notional_max`` in quote units."""

    strategy_id: str
    edge_bps_min: Decimal
    notional_max: Decimal
    ttl_ns: int


def pair_rules(buy: InstrumentRules, sell: InstrumentRules, edge_bps_min: float) -> PairRules:
    """Return the constants of the pair that buys on ``buy`` and sells on ``sell``."""
    name = split_instrument(buy.instrument)
    return PairRules(
        costs_of(fee_fraction(buy.taker_fee_bps), fee_fraction(sell.taker_fee_bps), edge_bps_min),
        lot_common(buy.lot_size, sell.lot_size),
        name.base,
        name.quote,
    )


def size_opportunity(
    buy: Offer, sell: Offer, lot: Decimal, found: CrossedDepth, sizing: Sizing
) -> Decimal | Stopped:
    """Return the quantity both venues accept, not above what was found or ``notional_max``."""
    qty_max = min(
        round_noise(found.qty),
        # The noise taken out above must not reach a level that the walk refused, nor the cap.
        sum([qty for _, qty in buy.levels], _ZERO),
        sum([qty for _, qty in sell.levels], _ZERO),
        sizing.notional_max / sell.levels[0][0],
        *(offer.rules.qty_max for offer in (buy, sell) if offer.rules.qty_max is not None),
    )
    qty = qty_to_lot(qty_max, lot)
    if qty <= 0:
        return Stopped(Gate.LOT, (qty_max, lot), found.edge_bps)
    # At the least price the leg may trade at, so that the venue cannot find it too small.
    for offer, price in ((buy, buy.levels[0][0]), (sell, sell.levels[-1][0])):
        if not is_enough(offer.rules, qty, price):
            return Stopped(Gate.NOTIONAL_MIN, (qty, price), found.edge_bps)
    return qty


def build_opportunity(
    buy: Offer, sell: Offer, pair: PairRules, qty: Decimal, sizing: Sizing, *, now_ns: int
) -> Opportunity | Stopped:
    """Return the opportunity of ``qty`` with its arithmetic, all rounded against us.

    ``Stopped`` where that rounding leaves less than the least edge.
    """
    bought, sold = make_leg(buy, _BUY, qty), make_leg(sell, _SELL, qty)
    assert bought is not None, "the quantity was capped at the depth walked"
    assert sold is not None, "as above"
    (buy_leg, notional), (sell_leg, proceeds) = bought, sold
    gross = proceeds - notional
    fees = buy_leg.fee + sell_leg.fee
    net = gross - fees
    edge = edge_bps(net, notional)
    if edge < sizing.edge_bps_min:
        return Stopped(Gate.EDGE_MIN, (sell_leg.price_avg, buy_leg.price_avg), float(edge))
    newest = sell.view if sell.view.ts_recv_ns > buy.view.ts_recv_ns else buy.view
    return Opportunity(
        ts_ns=now_ns,
        opportunity_id=opportunity_id(sizing.strategy_id, buy_leg.book_id, sell_leg.book_id),
        detector=sizing.strategy_id,
        base=pair.base,
        quote=pair.quote,
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
        strategy_id=sizing.strategy_id,
    )


def opportunity_id(strategy_id: str, buy_book_id: str, sell_book_id: str) -> str:
    """Return the id of buying against one book state and selling against another: 16 hex digits."""
    text = f"{strategy_id}>{buy_book_id}>{sell_book_id}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def make_leg(offer: Offer, side: Side, qty: Decimal) -> tuple[OpportunityLeg, Decimal] | None:
    """Return the leg, and what it trades in quote units; ``None`` if its levels lack that much."""
    view, rules = offer.view, offer.rules
    walked = Contract(split_instrument(view.instrument).kind).walk(offer.levels, qty, side)
    if walked is None:
        return None
    notional = worth_of(view.instrument, qty, walked.price_avg)
    fee = fee_amount(notional, rules.taker_fee_bps)
    leg = OpportunityLeg(
        venue=view.venue,
        instrument=view.instrument,
        side=side,
        qty=qty,
        # A venue's own prices are on its grid already; if one is not, never pay more than walked.
        price_limit=price_to_tick(walked.price_worst, rules.tick_size, side, aggressive=False),
        price_avg=walked.price_avg,
        fee_bps=rules.taker_fee_bps,
        fee=fee,
        levels_used=walked.levels_used,
        book_id=view.book_id,
        book_ts_recv_ns=view.ts_recv_ns,
        cash_flow=cash_flow(side, notional, fee),
    )
    return leg, notional
