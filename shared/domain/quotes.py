"""Quotes on one venue, priced by what hedging a fill on another would cost. Pure, Decimal.

    bid = floor_tick(H_bid (1 - f_T) (1 - edge) / (1 + f_M))
    ask = ceil_tick (H_ask (1 + f_T) (1 + edge) / (1 - f_M))

H(Q) is the average on the taker venue for *all* own open quotes, since all may fill at once, behind
what hedges on their way will take from that book first. Every fill, also late or partial, is hedged
at once; what is too small for an order adds up under a cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from shared.domain.depth import ExactLevel
from shared.domain.fees import ONE_BP
from shared.domain.rounding import price_to_tick, qty_to_lot
from shared.messages.base import BookState, Side

_ZERO = Decimal(0)


class QuoteCosts(NamedTuple):
    """``maker_fee_bps`` below zero is a rebate; ``edge_bps`` is earned after both fees."""

    maker_fee_bps: Decimal
    taker_fee_bps: Decimal
    edge_bps: Decimal


class Band(NamedTuple):
    """How far a standing quote may be from where it belongs.

    Attributes:
        better_bps: On the side that earns more than the edge, and is filled less.
        worse_bps: On the side that earns less; must be less than the edge.
    """

    better_bps: Decimal
    worse_bps: Decimal


class Withdrawal(StrEnum):
    """Why a quote must be taken back at once."""

    NOT_LIVE = "NOT_LIVE"  # the taker's book cannot be trusted
    DEPTH = "DEPTH"  # it holds less than so many times the open quotes
    CAP = "CAP"  # what could not be hedged yet is at its cap


def hedge_price(
    levels: Sequence[ExactLevel], open_qty: Decimal, pending_qty: Decimal = _ZERO
) -> Decimal | None:
    """Return H(Q): the average of ``open_qty`` behind ``pending_qty``; ``None`` if not there.

    Args:
        levels: The taker's bids for our bids (a fill is sold there), its asks for our asks.
        open_qty: All own open quotes of that side.
        pending_qty: Hedges on their way to that side of that book.
    """
    assert open_qty > 0
    skip, left, cost = pending_qty, open_qty, _ZERO
    for price, there in levels:
        here = there - min(skip, there)
        skip -= there - here
        step = min(left, here)
        cost += step * price
        left -= step
        if not left:
            return cost / open_qty
    return None


def quote_price(
    side: Side,
    hedge: Decimal,
    costs: QuoteCosts,
    tick_size: Decimal,
    *,
    opposite_best: Decimal | None,
) -> Decimal | None:
    """Return where to quote, on the tick; ``None`` where no price above zero earns the edge.

    Args:
        side: Of the quote.
        hedge: H(Q) of its hedge.
        costs: Of both venues, and the edge.
        tick_size: Of the maker's venue.
        opposite_best: The maker venue's best price of the other side, which the quote must not
            reach: it would be a taker; ``None`` if there is none.
    """
    maker, taker, edge = (bps * ONE_BP for bps in costs)
    if side is Side.BUY:
        price = hedge * (1 - taker) * (1 - edge) / (1 + maker)
        if opposite_best is not None:
            price = min(price, opposite_best - tick_size)
    else:
        price = hedge * (1 + taker) * (1 + edge) / (1 - maker)
        if opposite_best is not None:
            price = max(price, opposite_best + tick_size)
    price = price_to_tick(price, tick_size, side, aggressive=False)
    return price if price > 0 else None


def must_requote(side: Side, resting: Decimal, wanted: Decimal, band: Band) -> bool:
    """Tell whether a standing quote is outside its band; at its edge it stays."""
    # Above zero: the quote is more generous than wanted.
    generous = side.signed(resting - wanted) / wanted / ONE_BP
    return generous > band.worse_bps or -generous > band.better_bps


def band_problem(band: Band, edge_bps: Decimal) -> str:
    """Return why a band is of no use, in one line; empty if it is."""
    if band.better_bps < 0 or band.worse_bps < 0:
        return f"a band of {band.worse_bps} and {band.better_bps} bps; give 0 or more"
    if band.worse_bps >= edge_bps:
        return (
            f"a standing quote may be {band.worse_bps} bps worse than wanted, which is all of its "
            f"edge of {edge_bps} bps; give less"
        )
    return ""


def withdrawal(
    state: BookState,
    levels: Sequence[ExactLevel],
    *,
    open_qty: Decimal,
    depth_ratio: Decimal,
    unhedged_qty: Decimal,
    unhedged_qty_max: Decimal,
) -> Withdrawal | None:
    """Return why quotes of one side must go; ``None`` if they may stand.

    Args:
        state: Of the taker's book.
        levels: The side of it that would hedge them.
        open_qty: All own open quotes of that side.
        depth_ratio: How many times those the book must hold.
        unhedged_qty: What is filled and not hedged, base units.
        unhedged_qty_max: At which nothing more is quoted.
    """
    if state is not BookState.LIVE:
        return Withdrawal.NOT_LIVE
    if sum((there for _, there in levels), _ZERO) < depth_ratio * open_qty:
        return Withdrawal.DEPTH
    return Withdrawal.CAP if abs(unhedged_qty) >= unhedged_qty_max else None


class Hedge(NamedTuple):
    """An order that evens out fills; a quantity of zero waits for more."""

    side: Side
    qty: Decimal


def hedge_of(
    unhedged_qty: Decimal,
    price: Decimal,
    *,
    lot_size: Decimal,
    qty_min: Decimal = _ZERO,
    notional_min: Decimal = _ZERO,
) -> Hedge:
    """Return the hedge of what is filled and not hedged.

    Args:
        unhedged_qty: Signed base units: bought is above zero.
        price: The worst that the hedge may trade at.
        lot_size: Of the taker's venue.
        qty_min: Its least order.
        notional_min: Its least order in quote units.
    """
    side = Side.SELL if unhedged_qty > 0 else Side.BUY
    qty = qty_to_lot(abs(unhedged_qty), lot_size)
    enough = qty > 0 and qty >= qty_min and qty * price >= notional_min
    return Hedge(side, qty if enough else _ZERO)
