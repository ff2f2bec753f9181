"""Makes an opportunity smaller, so that a limit lets it pass. Pure.

All legs shrink together, to quantities that every one of their venues takes. Prices stay those that
were offered: a part of the levels that were walked trades at their average or better, so the result
is worked out anew and the plan may only turn out better than it says. Which plans are not made
smaller, and why, is in docs/adr/0026-plans-are-made-smaller.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Final

import msgspec

from shared.domain.fees import cash_flow, edge_bps, fee_amount
from shared.domain.instrument import MarketKey
from shared.domain.quantities import base_of, is_inverse, worth_of
from shared.domain.rounding import is_enough, lot_common, qty_to_lot
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side
from shared.messages.rounds import Intent
from shared.messages.rules import InstrumentRules

ZERO: Final = Decimal(0)
SHRINKS_MAX: Final = 4
"""How often one opportunity is made smaller: for as many limits, one after the other."""


def may_shrink(found: Opportunity) -> bool:
    """Tell whether an opportunity may be made smaller at all."""
    return not found.values and found.resting is None and found.intent is not Intent.CLOSE


def shrink(
    found: Opportunity, share: Decimal, rules: Mapping[MarketKey, InstrumentRules]
) -> Opportunity | None:
    """Return no more than ``share`` of an opportunity; ``None`` where too little is left of it.

    That is where a leg would be below its venue's least order, or a profit would be none.

    Args:
        found: One that may be made smaller, well formed.
        share: Above 0 and below 1.
        rules: Of the venues.
    """
    qtys = _qtys(found.legs, share, rules)
    if qtys is None:
        return None
    smaller = _with_qtys(found, qtys)
    return None if smaller.net <= ZERO < found.net else smaller


def _qtys(
    legs: Sequence[OpportunityLeg], share: Decimal, rules: Mapping[MarketKey, InstrumentRules]
) -> list[Decimal] | None:
    """Return a quantity that its venue takes for each leg, all of them the same share."""
    in_coins = [is_inverse(leg.instrument) for leg in legs]
    known = [rules[leg.market] for leg in legs]
    of_base = [
        each.lot_size for each, is_coins in zip(known, in_coins, strict=True) if not is_coins
    ]
    step = reduce(lot_common, of_base or [each.lot_size for each in known])
    qtys = [qty_to_lot(leg.qty * share, step) for leg in legs]
    if not any(in_coins):
        _even_out(legs, qtys)
    elif of_base:
        # Contracts in coins follow what the others become, to the nearest lot.
        ratio = next(
            qty / leg.qty
            for leg, qty, is_coins in zip(legs, qtys, in_coins, strict=True)
            if not is_coins
        )
        for number, leg in enumerate(legs):
            if in_coins[number]:
                lot = known[number].lot_size
                qtys[number] = min(leg.qty, qty_to_lot(leg.qty * ratio + lot / 2, lot))
    for leg, qty in zip(legs, qtys, strict=True):
        least = min(leg.price_limit, leg.price_avg)
        if qty <= 0 or not is_enough(rules[leg.market], qty, least):
            return None
    return qtys


def _even_out(legs: Sequence[OpportunityLeg], qtys: list[Decimal]) -> None:
    """Take what rounding leaves of one side more than of the other from the largest leg of it.

    Several legs lose more by it than one that is as large as all of them. One side alone stays.
    """
    bought, sold = (
        sum((qty for leg, qty in zip(legs, qtys, strict=True) if leg.side is side), ZERO)
        for side in (Side.BUY, Side.SELL)
    )
    if bought and sold and bought != sold:
        more = Side.BUY if bought > sold else Side.SELL
        largest = max(
            (number for number, leg in enumerate(legs) if leg.side is more), key=qtys.__getitem__
        )
        qtys[largest] -= abs(bought - sold)


def _with_qtys(found: Opportunity, qtys: Sequence[Decimal]) -> Opportunity:
    """Return an opportunity with other quantities, and the result that follows from them."""
    legs, bought, sold, fees, qty = [], ZERO, ZERO, ZERO, ZERO
    for leg, wanted in zip(found.legs, qtys, strict=True):
        worth = worth_of(leg.instrument, wanted, leg.price_avg)
        fee = fee_amount(worth, leg.fee_bps)
        flow = None if leg.cash_flow is None else cash_flow(leg.side, worth, fee)
        legs.append(msgspec.structs.replace(leg, qty=wanted, fee=fee, cash_flow=flow))
        fees += fee
        if leg.side is Side.BUY:
            bought += worth
        else:
            sold += worth
        if leg.side is found.legs[0].side:
            qty += base_of(leg.instrument, wanted, leg.price_avg)
    notional, net = bought or sold, sold - bought - fees
    return msgspec.structs.replace(
        found,
        legs=legs,
        qty=qty,
        notional=notional,
        gross=net + fees,
        fees=fees,
        net=net,
        edge_bps=edge_bps(net, notional),
        conversions=[],
        carry=None,
    )
