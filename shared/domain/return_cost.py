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

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import split_instrument
from shared.domain.inventory import Held, Stock, VenueAsset
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
"""More than is ever moved: what a step is sized by here is its quantity, not what is held."""


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


class ReturnCost(NamedTuple):
    """Quote units, rounded up to eight decimals; ``None`` is unknown. ``route`` is in words."""

    amount: Decimal | None
    certainty: Certainty
    route: str


NOTHING: Final = ReturnCost(_ZERO, Certainty.KNOWN, "nothing to bring back")
UNKNOWN: Final = ReturnCost(None, Certainty.UNKNOWN, "no route of known cost")


def return_cost(
    shorts: Sequence[Short],
    ways: Iterable[TransferWay],
    back: TradeWay | None,
    qty_back: Decimal,
    price_of: PriceOf,
) -> ReturnCost:
    """Return what bringing all of it back costs, by the cheapest route of known cost.

    Args:
        shorts: What is to be brought back; the usual amount of each is at least its quantity.
        ways: Transfers that can be made.
        back: The same instrument traded the other way round; ``None``: it cannot be.
        qty_back: Base units of that which bring all of it back.
        price_of: What a unit of an asset costs in quote units.
    """
    if not shorts:
        return NOTHING
    known = [_by_transfers(shorts, tuple(ways), price_of)]
    if back is not None:
        known.append(_by_trade(shorts, back, qty_back, price_of))
    found = [each for each in known if each is not None]
    return min(found, key=lambda each: each.amount or _ZERO, default=UNKNOWN)


def _by_transfers(
    shorts: Sequence[Short], ways: Sequence[TransferWay], price_of: PriceOf
) -> ReturnCost | None:
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
    return ReturnCost(_up(total), Certainty.KNOWN, " and ".join(routes))


def _by_trade(
    shorts: Sequence[Short], back: TradeWay, qty: Decimal, price_of: PriceOf
) -> ReturnCost | None:
    most = max(short.usual / short.qty for short in shorts)
    cost = _share(back, qty, qty * most, price_of)
    if cost is None:
        return None
    return ReturnCost(_up(max(_ZERO, cost)), Certainty.ESTIMATED, back.text)


def _share(
    way: TransferWay | TradeWay, qty: Decimal, usual: Decimal, price_of: PriceOf
) -> Decimal | None:
    """Return the part of a usual step's cost that falls to a quantity of it; ``None``: unknown."""
    places = [(venue, asset) for venue in (way.giver, way.taker) for asset in _assets_of(way)]
    held = {place: Held(_AMPLE) for place in places}
    step = size_step(way, usual, Stock((), held, frozenset(), {}), price_of)
    if isinstance(step, str) or step.cost is None:
        return None
    return step.cost * qty / _moved(step)


def _assets_of(way: TransferWay | TradeWay) -> tuple[str, ...]:
    if isinstance(way, TransferWay):
        return (way.asset,)
    name = split_instrument(way.sell.instrument)
    return name.base, name.quote


def _moved(step: Transfer | Trade) -> Decimal:
    if isinstance(step, Trade):
        return step.buy.qty
    assert step.arrives is not None, "its cost is known, and so is its fee"
    return step.arrives


def _up(amount: Decimal) -> Decimal:
    return amount.quantize(MONEY_STEP, ROUND_CEILING, _WIDE)
