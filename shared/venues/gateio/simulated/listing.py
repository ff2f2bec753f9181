"""What the simulated Gate spot lists. Data."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "gateio"


def pair(base: str, quote: str, price_scale: int, qty_scale: int, notional_min: str) -> Listing:
    """Return a listing with Gate's ways of writing numbers."""
    return Listing(
        venue=VENUE,
        instrument=f"{base}/{quote}",
        symbol=f"{base}_{quote}",
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=price_scale,
        qty_decimals=qty_scale,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=Decimal(notional_min),
        taker_bps=Decimal(20),
        maker_bps=Decimal(20),
    )


LISTINGS = (
    pair("BTC", "USDT", 1, 6, "3"),
    pair("ETH", "USDT", 2, 4, "3"),
    pair("SOL", "USDT", 2, 3, "3"),
)
MORE_LISTINGS = (
    pair("ETH", "BTC", 5, 4, "0.0001"),
    pair("BTC", "USDC", 1, 6, "3"),
    pair("USDC", "USDT", 4, 2, "3"),
    replace(pair("BTC", "USD", 1, 6, "3"), taker_bps=Decimal(5), maker_bps=Decimal(5)),
)
"""Beside these where markets between assets are asked for. Dollars are cheap here, so that a basis
against Bybit's inverse perpetual pays now and then."""
