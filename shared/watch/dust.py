"""Which rests are too small for any venue to trade: stated at the end of a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from shared.domain.accounting import Books, holding_place
from shared.domain.instrument import split_instrument
from shared.domain.rounding import is_enough, qty_accepted
from shared.domain.valuation import FindClose
from shared.messages.rounds import StrategyPosition
from shared.messages.rules import InstrumentRules

IsDust = Callable[[str, Decimal], bool]
"""Key of a holding and signed base units -> whether nobody takes an order that small."""


def dust_test(rules: Iterable[InstrumentRules], find: FindClose) -> IsDust:
    """Return what tells dust; without rules or a price nothing is.

    Args:
        rules: Of every instrument that is traded.
        find: Closing prices.
    """
    known: dict[str, list[InstrumentRules]] = {}
    for each in rules:
        known.setdefault(each.instrument, []).append(each)

    def is_dust(key: str, qty: Decimal) -> bool:
        venue, instrument = holding_place(key)
        close = find(venue, instrument, qty)
        if close is None:
            return False
        base, quote, settle = split_instrument(instrument)
        here = [r for r in known.get(instrument, ()) if venue in ("", r.venue)]
        size, price = abs(qty), close.price
        if not here and settle is None:  # it is traded the other way round
            here = known.get(f"{quote}/{base}", [])
            size, price = size * price, 1 / price
        return bool(here) and not any(
            is_enough(each, qty_accepted(each, size), price) for each in here
        )

    return is_dust


def more_than_dust(books: Books, is_dust: IsDust) -> dict[str, Decimal]:
    """Return net base units by asset of what trades hold open, without what nobody would trade.

    Inverse contracts count as coins, so what hedges them does so but for less than a contract.
    """
    left: dict[str, Decimal] = {}
    pairs: dict[str, set[str]] = {}
    in_base = books.opened_base()
    for key, qty in books.opened().items():
        if not is_dust(key, qty):
            base, quote, _ = split_instrument(holding_place(key)[1])
            left[base] = left.get(base, Decimal(0)) + in_base[key]
            pairs.setdefault(base, set()).add(f"{base}/{quote}")
    return {
        asset: qty
        for asset, qty in left.items()
        if qty and not all(is_dust(pair, qty) for pair in pairs[asset])
    }


def beside_rounds(
    left: Mapping[str, Decimal], rounds: Iterable[StrategyPosition]
) -> dict[str, Decimal]:
    """Return what is left open where it is not what open directional rounds hold."""
    held: dict[str, Decimal] = {}
    for each in rounds:
        if each.is_directional:
            held[each.base] = held.get(each.base, Decimal(0)) + each.unhedged
    return {asset: qty for asset, qty in left.items() if held.get(asset) != qty}
