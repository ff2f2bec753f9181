"""What the simulated Kraken lists, and Kraken's own names of assets. Data."""

from __future__ import annotations

from decimal import Decimal

from shared.exchange.listing import Listing

VENUE = "kraken"
LOT_DECIMALS = 8

ASSET_IDS = {"BTC": "XXBT", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR", "DOGE": "XXDG"}
ALTNAMES = {"BTC": "XBT", "DOGE": "XDG"}


def asset_id(asset: str) -> str:
    """Return REST's name of an asset."""
    return ASSET_IDS.get(asset, asset)


def altname(asset: str) -> str:
    """Return the short REST name of an asset."""
    return ALTNAMES.get(asset, asset)


def pair(base: str, quote: str, *, price_scale: int, qty_min: str, cost_min: str) -> Listing:
    """Return a listing with Kraken's ways of writing numbers."""
    return Listing(
        venue=VENUE,
        instrument=f"{base}/{quote}",
        symbol=f"{altname(base)}{altname(quote)}",
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=LOT_DECIMALS,
        price_decimals=price_scale,
        qty_decimals=LOT_DECIMALS,
        qty_min=Decimal(qty_min),
        notional_min=Decimal(cost_min),
        taker_bps=Decimal(25),
        maker_bps=Decimal(16),
        wire_symbol=f"{base}/{quote}",
    )


LISTINGS = (
    pair("BTC", "USDT", price_scale=1, qty_min="0.00005", cost_min="0.5"),
    pair("ETH", "USDT", price_scale=2, qty_min="0.002", cost_min="0.5"),
    pair("SOL", "USDT", price_scale=2, qty_min="0.02", cost_min="0.5"),
)
MORE_LISTINGS = (
    pair("ETH", "BTC", price_scale=5, qty_min="0.002", cost_min="0.00002"),
    pair("BTC", "USDC", price_scale=1, qty_min="0.00005", cost_min="0.5"),
    pair("USDC", "USDT", price_scale=4, qty_min="5", cost_min="0.5"),
    pair("BTC", "USD", price_scale=1, qty_min="0.00005", cost_min="0.5"),
)
"""Beside these where markets between assets are asked for."""
