"""What the simulated Bitstamp spot lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "bitstamp"


def pair(base: str, quote: str, price_scale: int, qty_scale: int, notional_min: str) -> Listing:
    """Return a listing with Bitstamp's ways of writing numbers."""
    return Listing(
        venue=VENUE,
        instrument=f"{base}/{quote}",
        symbol=f"{base}{quote}".lower(),
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(notional_min),
        taker_bps=Decimal(40),
        maker_bps=Decimal(30),
    )


LISTINGS = (
    pair("BTC", "USDT", 1, 8, "10"),
    pair("ETH", "USDT", 2, 8, "10"),
    pair("SOL", "USDT", 3, 8, "10"),
)
MORE_LISTINGS = (
    pair("ETH", "BTC", 5, 8, "0.0002"),
    pair("BTC", "USDC", 1, 8, "10"),
    pair("USDC", "USDT", 4, 5, "10"),
)
"""Beside these where markets between assets are asked for."""
