"""What the venues of the lab list, and what everything is worth when a world begins. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.lab.variety import TOKEN
from shared.exchange.listing import Listing

BASES = ("BTC", "SOL")
MONEY = "USDT"
STABLE = ("USDC", "USD")
PRICES = {"BTC": 60_000.0, "SOL": 150.0, TOKEN: 20.0}
"""In ``MONEY``; what is stable is worth one."""


def listing(
    venue: str, base: str, price_scale: int, qty_scale: int, taker_bps: str, *, quote: str = MONEY
) -> Listing:
    """Return an instrument of the lab; its least order is worth five units of ``MONEY``."""
    least = Decimal(5) if quote not in PRICES else Decimal("0.0001")
    return Listing(
        venue=venue,
        instrument=f"{base}/{quote}",
        symbol=f"{base}{quote}",
        base=base,
        quote=quote,
        price_scale=price_scale,
        qty_scale=qty_scale,
        price_decimals=8,
        qty_decimals=8,
        qty_min=Decimal(1).scaleb(-qty_scale),
        notional_min=least,
        taker_bps=Decimal(taker_bps),
        maker_bps=Decimal(taker_bps),
    )


def perpetual(venue: str, base: str, price_scale: int, qty_scale: int, taker_bps: str) -> Listing:
    """Return a linear perpetual of the lab: fees and profit in the quote asset."""
    spot = listing(venue, base, price_scale, qty_scale, taker_bps)
    return replace(spot, instrument=f"{base}/USDT:USDT", perpetual=True)


LISTINGS = (
    (listing("alpha", "BTC", 2, 5, "10"), listing("alpha", "SOL", 2, 3, "10")),
    (listing("beta", "BTC", 1, 4, "8"), listing("beta", "SOL", 3, 2, "8")),
    (listing("gamma", "BTC", 2, 6, "4"), listing("gamma", "SOL", 2, 1, "4")),
)
PERPETUALS = (perpetual("delta", "BTC", 1, 3, "5"), perpetual("delta", "SOL", 2, 1, "5"))

INVERSES = tuple(
    replace(
        each,
        instrument=f"{each.base}/USDT:{each.base}",
        qty_scale=0,
        qty_min=Decimal(1),
        notional_min=Decimal(0),
        inverse=True,
    )
    for each in PERPETUALS
)
"""The same in contracts of one quote unit, settled in coins."""

TRIANGLES = (
    (*LISTINGS[0], listing("alpha", "SOL", 7, 3, "10", quote="BTC")),
    (*LISTINGS[2], listing("gamma", "SOL", 6, 2, "4", quote="BTC")),
)
"""Cycles of three markets on each of two venues."""


def least_base(each: Listing, price: Decimal) -> Decimal:
    """Return the least base units that an order of an instrument may be at a price."""
    if each.inverse:
        return each.qty_min / price
    return max(each.qty_min, each.notional_min / price)


def conversions(stable: str) -> tuple[tuple[Listing, ...], ...]:
    """Return bitcoins in two quote assets over three venues, and the market between these."""
    return (
        (LISTINGS[0][0],),
        (
            listing("beta", "BTC", 1, 4, "8", quote=stable),
            listing("beta", stable, 4, 1, "2"),
        ),
        (LISTINGS[2][0], listing("gamma", "BTC", 2, 5, "4", quote=stable)),
    )
