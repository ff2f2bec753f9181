"""What the simulated Kraken Futures lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing
from shared.venues.krakenfutures.symbols import QUOTE, spelled

VENUE = "krakenfutures"


def future(
    instrument: str, *, price_scale: int, qty_scale: int = 0, tick_units: int = 1
) -> Listing:
    """Return a perpetual, or a dated future of a recording; inverse ones are dollars each."""
    symbol = spelled(instrument)
    is_inverse = symbol[1] == "I"
    return Listing(
        venue=VENUE,
        instrument=instrument,
        symbol=symbol,
        base=instrument.partition("/")[0],
        quote=QUOTE,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(0),
        taker_bps=Decimal(5),
        maker_bps=Decimal(2),
        perpetual=True,
        tick_units=tick_units,
        inverse=is_inverse,
    )


LISTINGS = (
    future("BTC/USD:USD", price_scale=0, qty_scale=4),
    future("ETH/USD:USD", price_scale=1, qty_scale=3),
    future("SOL/USD:USD", price_scale=2, qty_scale=2),
)
MORE_LISTINGS = (future("BTC/USD:BTC", price_scale=1, tick_units=5),)
"""Beside these where markets between assets are asked for."""
