"""Plans whose legs are of several assets: their path, and the notional at stake. Pure.

The legs of such a plan lead from its quote asset through other assets back to it: each takes in
what the one before gives out. A triangle on one venue is such a way, and so is buying in one quote
asset, selling in another and converting. All legs go out at once, so any of them may be missing
afterwards; what is at stake is the worst of these cases. Amounts of different assets are added only
at a price that somebody stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from shared.domain.fees import MONEY_STEP, ONE_BP, fee_amount
from shared.domain.instrument import is_spot, split_instrument
from shared.messages.base import Side

ZERO = Decimal(0)
ONE = Decimal(1)

Market = tuple[str, Side]
"""Instrument and side of a leg."""


class PathFlow(NamedTuple):
    """What a leg does: it spends ``spent`` of ``given``, and brings in ``brought`` of ``taken``.

    ``fee`` is what of that is its fee, in quote units of its instrument.
    """

    given: str
    spent: Decimal
    taken: str
    brought: Decimal
    fee: Decimal


@lru_cache(maxsize=4_096)
def assets_on_the_way(legs: tuple[Market, ...], quote: str) -> tuple[str, ...]:
    """Return the assets between leaving ``quote`` and coming back, one for every leg but the last.

    Empty where the legs lead nowhere, elsewhere or twice through an asset, or are not all spot.
    """
    assets: list[str] = []
    at = quote
    for instrument, side in legs:
        base, counter, _ = split_instrument(instrument)
        given, taken = (counter, base) if side is Side.BUY else (base, counter)
        if given != at or taken in assets or not is_spot(instrument):
            return ()
        assets.append(taken)
        at = taken
    return tuple(assets[:-1]) if at == quote and len(legs) > 1 else ()


def flow_of(  # noqa: PLR0917 - a leg, as it is traded
    instrument: str, side: Side, qty: Decimal, price: Decimal, fee_bps: Decimal, fee_asset: str
) -> PathFlow:
    """Return what an order does at a price."""
    base, quote, _ = split_instrument(instrument)
    worth = qty * price
    fee = fee_amount(worth, fee_bps)
    in_base = fee_amount(qty, fee_bps) if fee_asset == base else ZERO
    in_quote = fee if fee_asset in ("", quote) else ZERO
    if side is Side.BUY:
        return PathFlow(quote, worth + in_quote, base, qty - in_base, fee)
    return PathFlow(base, qty + in_base, quote, worth - in_quote, fee)


def left_over(flows: Iterable[PathFlow]) -> dict[str, Decimal]:
    """Return what all legs together bring in of each asset; negative: what they take out."""
    left: dict[str, Decimal] = {}
    for flow in flows:
        left[flow.given] = left.get(flow.given, ZERO) - flow.spent
        left[flow.taken] = left.get(flow.taken, ZERO) + flow.brought
    return left


def lots_of_assets(
    instrument: str, lot: Decimal, price: Decimal
) -> tuple[tuple[str, Decimal], tuple[str, Decimal]]:
    """Return a lot of an instrument in units of its base asset, and of its quote asset."""
    base, quote, _ = split_instrument(instrument)
    return (base, lot), (quote, lot * price)


class Stake(NamedTuple):
    """The worst that can be left where only some legs trade, in the quote asset of the plan.

    ``notional`` is the worth of all that is open then, long and short added up; ``fees`` what the
    legs that traded have cost, and trading away what they left.
    """

    notional: Decimal
    fees: Decimal


def stake_of(
    flows: Sequence[PathFlow],
    values: Mapping[str, Decimal],
    quote: str,
    fee_bps: Sequence[Decimal],
) -> Stake:
    """Return what is at stake in a plan.

    Args:
        flows: Of its legs, at their worst prices.
        values: What the assets on the way are worth in ``quote``.
        quote: Where the way begins and ends.
        fee_bps: Of the legs; what is left open is traded away at the dearest.
    """
    dearest = max(fee_bps) * ONE_BP
    worths = [
        (flow.given, flow.spent * values.get(flow.given, ONE), flow.taken, fee * ONE_BP)
        for flow, fee in zip(flows, fee_bps, strict=True)
    ]
    most = costs = ZERO
    for done in product((False, True), repeat=len(flows)):
        nets: dict[str, Decimal] = {}
        paid = ZERO
        for traded, (given, worth, taken, fee) in zip(done, worths, strict=True):
            if traded:
                nets[given] = nets.get(given, ZERO) - worth
                nets[taken] = nets.get(taken, ZERO) + worth
                paid += worth * fee
        nets.pop(quote, None)
        if all(done):
            continue  # then it is over
        notional = sum((abs(net) for net in nets.values()), ZERO)
        most = max(most, notional)
        costs = max(costs, paid + notional * dearest)
    return Stake(most.quantize(MONEY_STEP), costs.quantize(MONEY_STEP))
