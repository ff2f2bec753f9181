"""What the simulated OKX lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing
from shared.venues.okx.symbols import to_symbol

VENUE = "okx"


def pair(base: str, quote: str, *, price_scale: int, qty_scale: int, qty_min: str) -> Listing:
    """Return a spot pair with OKX's ways of writing numbers."""
    instrument = f"{base}/{quote}"
    return Listing(
        venue=VENUE,
        instrument=instrument,
        symbol=to_symbol(instrument),
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=Decimal(qty_min),
        notional_min=Decimal(0),
        taker_bps=Decimal(15),
        maker_bps=Decimal(10),
    )


LISTINGS = (
    pair("BTC", "USDT", price_scale=1, qty_scale=8, qty_min="0.00001"),
    pair("ETH", "USDT", price_scale=2, qty_scale=6, qty_min="0.0001"),
    pair("SOL", "USDT", price_scale=2, qty_scale=6, qty_min="0.001"),
)
MORE_LISTINGS = (pair("ETH", "BTC", price_scale=5, qty_scale=6, qty_min="0.0001"),)
"""Beside these where markets between assets are asked for."""
