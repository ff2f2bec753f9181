"""What the simulated KuCoin spot lists. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "kucoin"


def pair(base: str, quote: str, price_scale: int, qty_scale: int, notional_min: str) -> Listing:
    """Return a listing with KuCoin's ways of writing numbers."""
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
        taker_bps=Decimal(10),
        maker_bps=Decimal(10),
    )


LISTINGS = (
    pair("BTC", "USDT", 1, 8, "0.1"),
    pair("ETH", "USDT", 2, 7, "0.1"),
    pair("SOL", "USDT", 3, 4, "0.1"),
)
MORE_LISTINGS = (
    pair("ETH", "BTC", 5, 7, "0.000001"),
    pair("BTC", "USDC", 1, 8, "0.1"),
    pair("USDC", "USDT", 4, 4, "0.1"),
)
"""Beside these where markets between assets are asked for."""
