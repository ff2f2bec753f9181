"""What a venue lists and how it writes its numbers. Pure.

Inside the simulation prices and quantities are whole numbers of a power of ten (called ticks and
lots), so matching is exact; Decimal appears where money moves and text where a frame is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from shared.domain.instrument import InstrumentKind, split_instrument
from shared.messages.base import Side
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms, OrderType, TimeInForce

COIN_UNIT = Decimal("1e-8")
DIGITS_MAX = 24  # of a number in a request; exact arithmetic has 28


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument of one venue.

    ``price_scale`` and ``qty_scale`` are the decimals of one tick and one lot; ``price_decimals``
    and ``qty_decimals`` are how many the venue writes. Prices are multiples of ``tick_units`` ticks
    and quantities of ``lot_units`` lots, where the venue's own steps are no powers of ten. Fees are
    basis points. Quantities of an ``inverse`` perpetual are in quote units.
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
    tick_units: int = 1
    lot_units: int = 1
    qty_max: Decimal | None = None
    inverse: bool = False

    @property
    def settle(self) -> str:
        """The asset that trades are paid in, and a perpetual's profit and fees."""
        return self.base if self.inverse else self.quote

    def worth(self, qty: Decimal, price: Decimal) -> Decimal:
        """Return what a quantity is worth at a price, in the asset of settlement.

        In coins that is rounded to the finest unit accounts are kept in.
        """
        return (qty / price).quantize(COIN_UNIT) if self.inverse else qty * price

    def notional(self, qty: Decimal, price: Decimal) -> Decimal:
        """Return what a quantity is worth in quote units."""
        return qty if self.inverse else qty * price

    @property
    def tick(self) -> Decimal:
        """Smallest price step."""
        return Decimal(self.tick_units).scaleb(-self.price_scale)

    @property
    def lot(self) -> Decimal:
        """Smallest quantity step, base units (of an inverse perpetual quote units)."""
        return Decimal(self.lot_units).scaleb(-self.qty_scale)

    def terms(
        self,
        side: Side,
        qty: Decimal,
        price: Decimal | None,
        order_type: OrderType = OrderType.LIMIT,
        time_in_force: TimeInForce = TimeInForce.IOC,
    ) -> OrderTerms:
        """Return what an order here asks for; without a price the limit is 0."""
        return OrderTerms(
            venue=self.venue,
            instrument=self.instrument,
            side=side,
            qty=qty,
            price_limit=Decimal(0) if price is None else price,
            order_type=order_type,
            time_in_force=time_in_force,
        )

    def price(self, ticks: int) -> Decimal:
        """Return a price in quote units."""
        return Decimal(ticks).scaleb(-self.price_scale)

    def qty(self, lots: int) -> Decimal:
        """Return a quantity in base units."""
        return Decimal(lots).scaleb(-self.qty_scale)

    def ticks(self, price: Decimal) -> int | None:
        """Return the price in ticks, ``None`` if it is off the grid."""
        return _whole(price, self.price_scale, self.tick_units)

    def lots(self, qty: Decimal) -> int | None:
        """Return the quantity in lots, ``None`` if it is off the grid."""
        return _whole(qty, self.qty_scale, self.lot_units)

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


def listing_of(rules: InstrumentRules) -> Listing:
    """Return what a venue's rules say as a listing.

    Raises:
        ValueError: A contract of more than a unit: it is not simulated.
    """
    name = split_instrument(rules.instrument)
    if rules.contract_size != 1:
        raise ValueError(f"{rules.venue} {rules.instrument}: only contracts of one unit")
    tick_units, price_scale = _grid(rules.tick_size)
    lot_units, qty_scale = _grid(rules.lot_size)
    return Listing(
        venue=rules.venue,
        instrument=rules.instrument,
        symbol=rules.instrument,
        base=name.base,
        quote=name.quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=rules.qty_min,
        notional_min=rules.notional_min,
        taker_bps=rules.taker_fee_bps,
        maker_bps=rules.maker_fee_bps,
        perpetual=name.settle is not None,
        tick_units=tick_units,
        lot_units=lot_units,
        qty_max=rules.qty_max,
        inverse=name.kind is InstrumentKind.INVERSE,
    )


def _grid(step: Decimal) -> tuple[int, int]:
    """Return a step as (units, scale): ``units * 10**-scale`` with no negative scale."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "steps are finite"
    scale = max(0, -exponent)
    return int(step.scaleb(scale)), scale


def _whole(value: Decimal, scale: int, units: int) -> int | None:
    scaled = value.scaleb(scale)
    whole = int(scaled)
    return whole if scaled == whole and whole % units == 0 else None


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
