"""Walks over book depth: how much two crossed books pay, and what a quantity costs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from shared.domain.rounding import exact, price_average
from shared.messages.base import Side
from shared.messages.market import Level

ExactLevel = tuple[Decimal, Decimal]
"""A level in Decimal."""

SIZE_MIN, SIZE_MAX = 1e-18, 1e18
"""No price and no quantity of a real book lies beyond; nor is NaN within."""

_BPS = 10_000.0
_ZERO = Decimal(0)


class Obstacle(StrEnum):
    """Why two books do not pay at their best prices."""

    NOT_CROSSED = "NOT_CROSSED"  # the best bid is not above the best ask
    FEES = "FEES"  # crossed, but the taker fees cost more
    EDGE_MIN = "EDGE_MIN"  # a profit, but less than asked for


_NOT_CROSSED: Final = Obstacle.NOT_CROSSED
_FEES: Final = Obstacle.FEES
_EDGE_MIN: Final = Obstacle.EDGE_MIN


class Costs(NamedTuple):
    """What a pair of books must earn, as fractions of notional; build it with ``costs_of``.

    ``buy_cost`` is ``1 + buy fee``, ``sell_keep`` is ``1 - sell fee``, ``buy_need`` is ``buy_cost``
    plus the least edge: a unit pays if ``bid * sell_keep >= ask * buy_need``.
    """

    buy_cost: float
    sell_keep: float
    buy_need: float


class Uncrossed(msgspec.Struct, frozen=True, gc=False):
    """Why two books do not pay, and their best net edge in basis points of the buy side."""

    obstacle: Obstacle
    edge_bps: float


class CrossedDepth(msgspec.Struct, frozen=True, gc=False):
    """The largest size whose every unit earns the edge: base units, money in quote units."""

    qty: float
    buy_avg: float
    sell_avg: float
    buy_worst: float
    sell_worst: float
    buy_levels: int
    sell_levels: int
    gross: float
    fees: float
    net: float

    @property
    def edge_bps(self) -> float:
        """Net edge of the whole size, in basis points of the buy side."""
        return self.net / (self.buy_avg * self.qty) * _BPS


class Walked(NamedTuple):
    """A quantity filled against one side of a book, exactly: quote units and levels touched."""

    price_avg: Decimal
    price_worst: Decimal
    levels_used: int


def is_size(value: float) -> bool:
    """Tell whether a number can be a price or a quantity."""
    return SIZE_MIN <= value <= SIZE_MAX


def are_levels(levels: Sequence[Level]) -> bool:
    """Tell whether every price and quantity can be one; a plain loop, as views have many."""
    for price, qty in levels:
        if not (SIZE_MIN <= price <= SIZE_MAX and SIZE_MIN <= qty <= SIZE_MAX):
            return False
    return True


def costs_of(buy_fee: float, sell_fee: float, edge_bps_min: float) -> Costs:
    """Return the constants of a pair; fees are fractions of notional (0.001 is 10 basis points)."""
    return Costs(1.0 + buy_fee, 1.0 - sell_fee, 1.0 + buy_fee + edge_bps_min / _BPS)


def obstacle_of(ask: float, bid: float, costs: Costs) -> tuple[Obstacle, float]:
    """Return why best prices that do not pay do not, and their edge in basis points."""
    buy_cost, sell_keep, _ = costs
    edge_bps = (bid * sell_keep - ask * buy_cost) / ask * _BPS
    if bid <= ask:
        return _NOT_CROSSED, edge_bps
    return _FEES if edge_bps < 0 else _EDGE_MIN, edge_bps


def take_crossed_depth(
    asks: Sequence[Level],
    bids: Sequence[Level],
    costs: Costs,
    *,
    notional_max: float,
    qty_max: float = float("inf"),
) -> CrossedDepth | Uncrossed:
    """Return the largest size whose last unit still earns the least edge.

    Pairs the buy venue's asks with the sell venue's bids, best first, and stops on the *marginal*
    edge rather than the average one: a good first level must not pay for a bad third one.

    Nearly every call ends at the best prices, so that comes first and costs well under 1 us.

    Args:
        asks: Levels of the buy venue, lowest price first; not empty.
        bids: Levels of the sell venue, highest price first; not empty.
        costs: From ``costs_of``.
        notional_max: Cap in quote units. The size is valued at the best bid, the dearest price in
            the walk, so that neither leg can exceed the cap at any price it may trade at.
        qty_max: Cap in base units.
    """
    ask, ask_left = asks[0]
    bid, bid_left = bids[0]
    buy_cost, sell_keep, buy_need = costs
    if bid * sell_keep < ask * buy_need or bid <= ask:
        return Uncrossed(*obstacle_of(ask, bid, costs))
    room = min(qty_max, notional_max / bid)
    assert room > 0
    qty = cost = proceeds = 0.0
    buy_level = sell_level = 0
    while True:  # every turn uses up a level or the room, so it ends
        step = ask_left if ask_left < bid_left else bid_left  # calling min() takes twice as long
        step = room if room < step else step
        qty += step
        cost += step * ask
        proceeds += step * bid
        buy_used, sell_used = buy_level + 1, sell_level + 1
        room -= step
        ask_left -= step
        bid_left -= step
        if room <= 0:
            break
        if ask_left <= 0:
            buy_level += 1
            if buy_level == len(asks):
                break
            ask, ask_left = asks[buy_level]
        if bid_left <= 0:
            sell_level += 1
            if sell_level == len(bids):
                break
            bid, bid_left = bids[sell_level]
        if bid * sell_keep < ask * buy_need or bid <= ask:
            break
    fees = cost * (buy_cost - 1.0) + proceeds * (1.0 - sell_keep)
    gross = proceeds - cost
    return CrossedDepth(
        qty=qty,
        buy_avg=cost / qty,
        sell_avg=proceeds / qty,
        buy_worst=asks[buy_used - 1][0],
        sell_worst=bids[sell_used - 1][0],
        buy_levels=buy_used,
        sell_levels=sell_used,
        gross=gross,
        fees=fees,
        net=gross - fees,
    )


def qty_of(levels: Sequence[Level], count: int) -> Decimal:
    """Return the exact quantity on the first ``count`` levels (base units)."""
    return sum((exact(qty) for _, qty in levels[:count]), _ZERO)


def exact_levels(levels: Sequence[Level], count: int) -> list[ExactLevel]:
    """Return the first ``count`` levels in Decimal."""
    return [(exact(price), exact(qty)) for price, qty in levels[:count]]


def base_worth(levels: Iterable[ExactLevel], amount: Decimal) -> Decimal | None:
    """Return the base units that trade for ``amount`` quote units; ``None`` if fewer are there."""
    qty, left = Decimal(0), amount
    for price, there in levels:
        if left <= price * there:
            return qty + left / price
        qty += there
        left -= price * there
    return None


def walk_exact(levels: Iterable[ExactLevel], qty: Decimal, side: Side) -> Walked | None:
    """Return what taking ``qty`` costs, in Decimal, or ``None`` if these levels do not hold it.

    Args:
        levels: The side of the book that is taken, best first: asks for a buy, bids for a sell.
        qty: Base units, positive.
        side: Side of the taker; decides to which side the average is rounded (against us).
    """
    assert qty > 0
    left, cost = qty, _ZERO
    for used, (price, available) in enumerate(levels, start=1):
        if left <= available:
            cost += left * price
            return Walked(price_average(cost, qty, side), price, used)
        cost += available * price
        left -= available
    return None


def walk_quantity(levels: Sequence[Level], qty: Decimal, side: Side) -> Walked | None:
    """Return the same for levels as on the wire."""
    return walk_exact(((exact(price), exact(size)) for price, size in levels), qty, side)
