"""Buying in one quote asset, selling in another, and what the difference is worth. Pure, Decimal.

Buy on A in X, sell on B in Y, turn Y into X at prices that somebody would really pay:

    net in X = q * bid_B (1 - f_B) * c (1 - f_C)  -  q * ask_A (1 + f_A)

c is what the conversion's book pays for *that* amount: the three books are walked together, and
the walk ends where the next unit misses the least edge. Assuming 1:1, or a rate that is older than
the prices, is how such a system loses money on the day when a peg breaks.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from shared.domain.depth import ExactLevel, Obstacle
from shared.domain.fees import BPS, ONE_BP
from shared.domain.instrument import split_instrument
from shared.domain.path import LOTS_TRIED, Outcome, PathLeg, best_outcome, marginal
from shared.messages.base import BookState, Side

_ZERO = Decimal(0)
_ONE = Decimal(1)
_MS = 1_000_000
_NO_LOT: Final = Decimal("1e-18")
_ANY_AMOUNT: Final = Decimal("1e18")


class FxObstacle(StrEnum):
    """Why a conversion's book must not price anything now."""

    FX_NOT_LIVE = "FX_NOT_LIVE"  # its book is not there, not LIVE, or empty on a side
    FX_AGE = "FX_AGE"  # it is old
    FX_OLDER = "FX_OLDER"  # it is much older than the prices it would convert
    FX_THIN = "FX_THIN"  # little is offered near its best price
    FX_NO_REFERENCE = "FX_NO_REFERENCE"  # nobody says what the rate should be
    FX_DEPEG = "FX_DEPEG"  # it is far from its reference: a peg breaks


class FxBook(NamedTuple):
    """The conversion's book as it is now, best first."""

    instrument: str
    state: BookState
    ts_ns: int
    bids: list[ExactLevel]
    asks: list[ExactLevel]


class FxLimits(NamedTuple):
    """When a conversion's book may be believed.

    Attributes:
        age_ms_max: Of its newest view.
        older_ms_max: Than the oldest of the prices that it converts.
        depth_base_min: Base units that must lie within ``depth_bps`` of the best price, each side.
        depth_bps: How near that is.
        deviation_bps_max: Of its middle from the reference.
    """

    age_ms_max: int
    older_ms_max: int
    depth_base_min: Decimal
    depth_bps: Decimal
    deviation_bps_max: Decimal


def fx_obstacle(
    book: FxBook | None,
    limits: FxLimits,
    *,
    reference: Decimal | None,
    ts_legs_ns: int,
    now_ns: int,
) -> FxObstacle | None:
    """Return why a conversion's book must not price anything; ``None`` if it may.

    Args:
        book: ``None`` where there is none.
        limits: As configured.
        reference: What the rate should be: another venue's middle, or the peg.
        ts_legs_ns: Of the oldest view that the conversion would be used with.
        now_ns: Now.
    """
    if book is None or book.state is not BookState.LIVE or not (book.bids and book.asks):
        return FxObstacle.FX_NOT_LIVE
    if now_ns - book.ts_ns > limits.age_ms_max * _MS:
        return FxObstacle.FX_AGE
    if ts_legs_ns - book.ts_ns > limits.older_ms_max * _MS:
        return FxObstacle.FX_OLDER
    near = limits.depth_bps * ONE_BP
    bid, ask = book.bids[0][0], book.asks[0][0]
    there = (
        sum((qty for price, qty in book.bids if price >= bid * (1 - near)), _ZERO),
        sum((qty for price, qty in book.asks if price <= ask * (1 + near)), _ZERO),
    )
    if min(there) < limits.depth_base_min:
        return FxObstacle.FX_THIN
    if reference is None or reference <= 0:
        return FxObstacle.FX_NO_REFERENCE
    if abs((bid + ask) / 2 / reference - 1) * BPS > limits.deviation_bps_max:
        return FxObstacle.FX_DEPEG
    return None


class Terms(NamedTuple):
    """What an order on a market must be like, and costs."""

    lot_size: Decimal
    fee_bps: Decimal
    is_fee_in_base: bool = False
    qty_min: Decimal = _ZERO
    qty_max: Decimal | None = None
    notional_min: Decimal = _ZERO


def leg_of(side: Side, levels: list[ExactLevel], terms: Terms) -> PathLeg:
    """Return an order on a market as one leg of a path."""
    lot, fee_bps, in_base, least, most, worth = terms
    return PathLeg(side, levels, lot, fee_bps, in_base, least, most, worth)


def convert_leg(book: FxBook, sold: str, terms: Terms) -> PathLeg:
    """Return the order that turns ``sold`` into the book's other asset.

    Raises:
        ValueError: The book does not trade that asset.
    """
    base, quote, _ = split_instrument(book.instrument)
    if sold == base:
        return leg_of(Side.SELL, book.bids, terms)
    if sold == quote:
        return leg_of(Side.BUY, book.asks, terms)
    raise ValueError(f"{book.instrument} does not trade {sold}")


def hold_leg(book: FxBook, held: str, haircut_bps: Decimal) -> PathLeg:
    """Return what keeping ``held`` instead of converting it counts for.

    At the price that converting would get now, so half the spread is charged, less a haircut; no
    order is made. How much may be held is a limit of risk.
    """
    convert = convert_leg(book, held, Terms(_NO_LOT, _ZERO))
    rate = marginal(convert, convert.levels[0][0]) * (_ONE - haircut_bps * ONE_BP)
    return PathLeg(Side.SELL, [(rate, _ANY_AMOUNT)], _NO_LOT)


class ConversionLimits(NamedTuple):
    """What a conversion must earn and how large it may be.

    Attributes:
        edge_bps_min: Of the last unit, after everything.
        rebalance_bps: What moving inventory back will cost, charged to every unit.
        notional_max: In X.
        lots_tried: Of the coarsest order.
    """

    edge_bps_min: Decimal
    rebalance_bps: Decimal
    notional_max: Decimal
    lots_tried: int = LOTS_TRIED


def price_conversion(
    buy: PathLeg, sell: PathLeg, fx: PathLeg, limits: ConversionLimits
) -> Outcome | Obstacle | None:
    """Return the most profitable trade of all three in whole lots, or why there is none.

    ``None`` where it would pay, but lots and least orders leave nothing of it.

    Args:
        buy: On A: takes X, gives the base asset.
        sell: On B: takes the base asset, gives Y.
        fx: Takes Y, gives X: ``convert_leg`` or ``hold_leg``.
        limits: As configured.
    """
    legs = (buy, sell, fx)
    asked = limits.edge_bps_min + limits.rebalance_bps
    product = gross = _ONE
    for leg in legs:
        if not leg.levels:
            return Obstacle.NOT_CROSSED
        product *= marginal(leg, leg.levels[0][0])
        gross *= marginal(leg._replace(fee_bps=_ZERO), leg.levels[0][0])
    need = _ONE + asked * ONE_BP
    if product < need:
        if gross <= _ONE:
            return Obstacle.NOT_CROSSED
        return Obstacle.FEES if product < _ONE else Obstacle.EDGE_MIN
    found = best_outcome(legs, need, limits.notional_max, lots_tried=limits.lots_tried)
    if found is not None and found.edge_bps < asked:
        return Obstacle.EDGE_MIN
    return found
