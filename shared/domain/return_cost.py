"""What it costs to bring back what a trade takes from venues below their targets. Pure, Decimal.

By the steps of the planner behind `arb rebalance`, in the size in which inventory is usually moved:
a whole way from the lower edge of a band to its target. A trade pays the share of that which it
makes necessary. Two routes are compared, and the cheaper one of known cost is taken:

* each asset by the cheapest transfer to where it is short: known where its fee is configured;
* selling where the trade bought and buying where it sold, which brings back coins and money at
  once: both taker fees and what the books ask for the size, as if both venues had the same price
  again. That is an estimate: when it is done, prices are others.

Where neither is possible or known, the cost is unknown, which is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.fees import MONEY_STEP
from shared.domain.inventory import Stock, VenueAsset
from shared.domain.rebalance_steps import (
    PriceOf,
    Trade,
    TradeWay,
    Transfer,
    TransferWay,
    size_step,
)
from shared.messages.base import Certainty

_ZERO: Final = Decimal(0)
_WIDE: Final = Context(prec=700)
_AMPLE: Final = Decimal("1e15")
"""More than is ever moved."""


class Short(NamedTuple):
    """What is to be brought back to a place.

    Attributes:
        place: Venue and asset.
        qty: Units that a trade takes from below the target.
        usual: Units that are moved there at a time.
    """

    place: VenueAsset
    qty: Decimal
    usual: Decimal


class TradeBack(NamedTuple):
    """The same instrument traded the other way round.

    Attributes:
        qty: Base units of it that bring all back.
        least: Quote units that they cost at least: where another route costs no more, books are not
            walked.
        way: How it is traded; asked only then.
    """

    qty: Decimal
    least: Decimal
    way: Callable[[], TradeWay]


class _Known(NamedTuple):
    amount: Decimal
    certainty: Certainty
    route: str


class ReturnCost(NamedTuple):
    """Quote units, rounded up to eight decimals; ``None`` is unknown. ``route`` is in words."""

    amount: Decimal | None
    certainty: Certainty
    route: str


NOTHING: Final = ReturnCost(_ZERO, Certainty.KNOWN, "nothing to bring back")
UNKNOWN: Final = ReturnCost(None, Certainty.UNKNOWN, "no route of known cost")


class _Enough(Stock):
    """Any quantity everywhere: a step is sized by what is to be moved, not by what is held."""

    def spare(self, place: VenueAsset) -> Decimal:
        del place
        return _AMPLE

    def room(self, place: VenueAsset) -> Decimal | None:
        del place
        return None


_ENOUGH: Final = _Enough((), {}, frozenset(), {})


def return_cost(
    shorts: Sequence[Short],
    ways: Iterable[TransferWay],
    back: TradeBack | None,
    price_of: PriceOf,
) -> ReturnCost:
    """Return what bringing all of it back costs, by the cheapest route of known cost.

    Args:
        shorts: What is to be brought back; the usual amount of each is at least its quantity.
        ways: Transfers that can be made.
        back: What trades it back; ``None``: nothing can.
        price_of: What a unit of an asset costs in quote units.
    """
    if not shorts:
        return NOTHING
    moved = _by_transfers(shorts, tuple(ways), price_of)
    if back is None or (moved is not None and moved.amount <= back.least):
        return ReturnCost(*moved) if moved is not None else UNKNOWN
    traded = _by_trade(shorts, back.way(), back.qty, price_of)
    found = [each for each in (moved, traded) if each is not None]
    return ReturnCost(*min(found, key=lambda each: each.amount)) if found else UNKNOWN


def _by_transfers(
    shorts: Sequence[Short], ways: Sequence[TransferWay], price_of: PriceOf
) -> _Known | None:
    total, routes = _ZERO, list[str]()
    for short in shorts:
        costs = [
            (cost, way.text)
            for way in ways
            if (way.taker, way.asset) == short.place
            and (cost := _share(way, short.qty, short.usual, price_of)) is not None
        ]
        if not costs:
            return None
        cheapest = min(costs)
        total, routes = total + cheapest[0], [*routes, cheapest[1]]
    return _Known(_up(total), Certainty.KNOWN, " and ".join(routes))


def _by_trade(
    shorts: Sequence[Short], back: TradeWay, qty: Decimal, price_of: PriceOf
) -> _Known | None:
    most = max(short.usual / short.qty for short in shorts)
    cost = _share(back, qty, qty * most, price_of)
    if cost is None:
        return None
    return _Known(_up(max(_ZERO, cost)), Certainty.ESTIMATED, back.text)


def _share(
    way: TransferWay | TradeWay, qty: Decimal, usual: Decimal, price_of: PriceOf
) -> Decimal | None:
    """Return the part of a usual step's cost that falls to a quantity of it; ``None``: unknown."""
    step = size_step(way, usual, _ENOUGH, price_of)
    if isinstance(step, str) or step.cost is None:
        return None
    return step.cost * qty / _moved(step)


def _moved(step: Transfer | Trade) -> Decimal:
    if isinstance(step, Trade):
        return step.buy.qty
    assert step.arrives is not None, "its cost is known, and so is its fee"
    return step.arrives


def _up(amount: Decimal) -> Decimal:
    return amount.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)
