"""What a venue lists and how it writes its numbers. Pure.

Inside the simulation prices are integer ticks and quantities integer lots (both powers of ten), so
matching is exact; Decimal appears where money moves and text where a frame is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

DIGITS_MAX = 24  # of a number in a request; exact arithmetic has 28


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument of one venue.

    ``price_scale`` and ``qty_scale`` are the decimals of one tick and one lot; ``price_decimals``
    and ``qty_decimals`` are how many the venue writes. Fees are basis points.
    """

    venue: str
    instrument: str
    symbol: str
    base: str
    quote: str
    price_scale: int
    qty_scale: int
    price_decimals: int
    qty_decimals: int
    qty_min: Decimal
    notional_min: Decimal
    taker_bps: Decimal
    maker_bps: Decimal
    perpetual: bool = False
    wire_symbol: str = ""  # where the WebSocket spells it differently

    @property
    def tick(self) -> Decimal:
        """Smallest price step."""
        return Decimal(1).scaleb(-self.price_scale)

    @property
    def lot(self) -> Decimal:
        """Smallest quantity step, base units."""
        return Decimal(1).scaleb(-self.qty_scale)

    def price(self, ticks: int) -> Decimal:
        """Return a price in quote units."""
        return Decimal(ticks).scaleb(-self.price_scale)

    def qty(self, lots: int) -> Decimal:
        """Return a quantity in base units."""
        return Decimal(lots).scaleb(-self.qty_scale)

    def ticks(self, price: Decimal) -> int | None:
        """Return the price in ticks, ``None`` if it is off the grid."""
        return _whole(price, self.price_scale)

    def lots(self, qty: Decimal) -> int | None:
        """Return the quantity in lots, ``None`` if it is off the grid."""
        return _whole(qty, self.qty_scale)

    def price_text(self, ticks: int) -> str:
        """Write a price as the venue does."""
        return scaled_text(ticks, self.price_scale, self.price_decimals)

    def qty_text(self, lots: int) -> str:
        """Write a quantity as the venue does."""
        return scaled_text(lots, self.qty_scale, self.qty_decimals)


def parse_decimal(text: str) -> Decimal | None:
    """Return a number as clients send it, ``None`` if it is none or absurdly large or fine."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX or len(text) > DIGITS_MAX:
        return None
    return value


def _whole(value: Decimal, scale: int) -> int | None:
    scaled = value.scaleb(scale)
    whole = int(scaled)
    return whole if scaled == whole else None


@lru_cache(maxsize=16_384)
def scaled_text(units: int, scale: int, decimals: int) -> str:
    """Write ``units * 10**-scale`` with exactly ``decimals`` (at least ``scale``) decimals."""
    text = str(units)
    if scale:
        text = text.rjust(scale + 1, "0")
        text = f"{text[:-scale]}.{text[-scale:]}"
    elif decimals:
        text += "."
    return text + "0" * (decimals - scale)


def money_text(value: Decimal, decimals: int = 8) -> str:
    """Write an amount with fixed decimals, never in exponent form."""
    return f"{value:.{decimals}f}"
