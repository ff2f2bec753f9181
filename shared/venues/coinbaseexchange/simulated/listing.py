"""What the simulated Coinbase Exchange lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "coinbaseexchange"


def pair(base: str, quote: str, price_scale: int, qty_scale: int, notional_min: str) -> Listing:
    """Return a listing with Coinbase's ways of writing numbers."""
    return Listing(
        venue=VENUE,
        instrument=f"{base}/{quote}",
        symbol=f"{base}-{quote}",
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(notional_min),
        taker_bps=Decimal(60),
        maker_bps=Decimal(40),
    )


LISTINGS = (
    pair("BTC", "USDT", 2, 8, "1"),
    pair("ETH", "USDT", 2, 8, "1"),
    pair("SOL", "USDT", 2, 8, "1"),
)
MORE_LISTINGS = (
    pair("ETH", "BTC", 5, 8, "0.000016"),
    pair("USDC", "USDT", 4, 5, "1"),
)
"""Beside these where markets between assets are asked for."""
