"""The grid of prices and quantities that shows in recorded numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from shared.config_limits import DOLLARS
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.messages.rules import InstrumentRules

DECIMALS_MAX = 18


class Grid:
    """The finest tick and lot that the levels seen so far need."""

    def __init__(self) -> None:
        self._price_decimals = self._qty_decimals = 0

    def add(self, levels: Iterable[tuple[str, str]]) -> None:
        """Take price and quantity of levels, as written; what is no number is left out."""
        for price, qty in levels:  # every level of a recording
            if _may_need_more(price, self._price_decimals):
                self._price_decimals = max(self._price_decimals, _decimals(price))
            if _may_need_more(qty, self._qty_decimals):
                self._qty_decimals = max(self._qty_decimals, _decimals(qty))

    def rules(
        self, venue: str, instrument: str, *, taker_fee_bps: Decimal, notional_min: Decimal
    ) -> InstrumentRules:
        """Return rules with this grid; ``notional_min`` is in dollars.

        Against an asset that is no dollar the least value of an order is not known, and lots alone
        bound one.
        """
        lot = Decimal(1).scaleb(-self._qty_decimals)
        return InstrumentRules(
            venue=venue,
            instrument=instrument,
            tick_size=Decimal(1).scaleb(-self._price_decimals),
            lot_size=lot,
            qty_min=lot,
            notional_min=notional_min if split_instrument(instrument).quote in DOLLARS else ZERO,
            taker_fee_bps=taker_fee_bps,
            maker_fee_bps=taker_fee_bps,
        )


def _may_need_more(text: str, decimals: int) -> bool:
    """Tell, quickly, whether a number may need more decimals; one with an exponent always may."""
    return len(text.rstrip("0")) - text.find(".") - 1 > decimals or "-" in text


def _decimals(text: str) -> int:
    """Return how many decimals a number needs, trailing zeros aside; 0 for what is none."""
    whole, dot, fraction = text.partition(".")
    if whole.isdecimal() and (not dot or fraction.isdecimal()):  # nearly always
        return min(DECIMALS_MAX, len(fraction.rstrip("0")))
    try:
        value = Decimal(text)
    except InvalidOperation:
        return 0
    if not value.is_finite():
        return 0
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "finite numbers have one"
    return min(DECIMALS_MAX, max(0, -exponent))
