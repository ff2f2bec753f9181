"""What the simulated Binance spot lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "binance"


def spot(base: str, quote: str, *, price_scale: int, qty_scale: int, notional_min: str) -> Listing:
    """Return a listing with Binance's ways of writing numbers."""
    return Listing(
        venue=VENUE,
        instrument=f"{base}/{quote}",
        symbol=f"{base}{quote}",
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=8,
        qty_decimals=8,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(notional_min),
        taker_bps=Decimal(10),
        maker_bps=Decimal(10),
    )


LISTINGS = (
    spot("BTC", "USDT", price_scale=2, qty_scale=5, notional_min="5"),
    spot("ETH", "USDT", price_scale=2, qty_scale=4, notional_min="5"),
    spot("SOL", "USDT", price_scale=2, qty_scale=3, notional_min="5"),
    spot("BNB", "USDT", price_scale=2, qty_scale=3, notional_min="5"),
)
MORE_LISTINGS = (
    spot("ETH", "BTC", price_scale=5, qty_scale=4, notional_min="0.0001"),
    spot("BNB", "BTC", price_scale=6, qty_scale=3, notional_min="0.0001"),
)
"""Beside these where markets between assets are asked for."""
