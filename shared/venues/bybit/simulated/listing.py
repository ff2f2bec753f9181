"""What the simulated Bybit lists. Data."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from shared.exchange.listing import Listing
from shared.venues.bybit.symbols import to_symbol

VENUE = "bybit"


def perpetual(
    base: str, quote: str, *, price_scale: int, qty_scale: int, notional_min: str
) -> Listing:
    """Return a linear perpetual with Bybit's ways of writing numbers."""
    instrument = f"{base}/{quote}:{quote}"
    return Listing(
        venue=VENUE,
        instrument=instrument,
        symbol=to_symbol(instrument),
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=max(2, price_scale),
        qty_decimals=qty_scale,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(notional_min),
        taker_bps=Decimal("5.5"),
        maker_bps=Decimal(2),
        perpetual=True,
    )


def inverse(base: str, *, price_scale: int) -> Listing:
    """Return an inverse perpetual: contracts of a dollar, settled in coins."""
    instrument = f"{base}/USD:{base}"
    linear = perpetual(base, "USD", price_scale=price_scale, qty_scale=0, notional_min="0")
    return replace(linear, instrument=instrument, symbol=to_symbol(instrument), inverse=True)


LISTINGS = (
    perpetual("BTC", "USDT", price_scale=1, qty_scale=3, notional_min="5"),
    perpetual("ETH", "USDT", price_scale=2, qty_scale=2, notional_min="5"),
    perpetual("SOL", "USDT", price_scale=2, qty_scale=1, notional_min="5"),
)
MORE_LISTINGS = (inverse("BTC", price_scale=1),)
"""Beside these where markets between assets are asked for: there spot trades for dollars, too."""
