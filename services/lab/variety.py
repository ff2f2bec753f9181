"""Differences of the venues of a world: fees, and account balances. Pure.

Most worlds have plenty of everything and fees in the quote asset. In the others a venue charges
what is bought, or a token of its own while that lasts, as venues do; or an account runs short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from services.lab.drawn_limits import COLLATERAL_SHARE, exposure_limits_of, margin_limits_of
from shared.config_limits import DOLLARS, AssetLimits
from shared.config_sections import (
    Config,
    InventoryConfig,
    InventoryTarget,
    OrderbookConfig,
)
from shared.domain.rounding import exact
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.services import CORE_SERVICES

PLENTY = {"USDT": Decimal(5_000_000), "BTC": Decimal(100), "SOL": Decimal(30_000)}
PLENTY_OF_QUOTE = Decimal(5_000_000)
"""What an account has of every other asset that is traded against."""
SHORT = {"USDT": Decimal(6_000), "BTC": Decimal("0.1"), "SOL": Decimal(40)}
"""Enough for a plan or two of those that are made."""
SHORT_OF_OTHERS = SHORT["USDT"]
TOKEN = "TOK"
TOKENS = (Decimal(0), Decimal("0.3"), Decimal(1_000))
"""None, enough for a few fills, enough for all."""
FEES_CHANCE = 0.3
SHORT_CHANCE = 0.15
BASE, OWN_TOKEN = "base", "token"
PERPETUAL_CHANCE = 0.35
"""That a world has a venue of perpetuals."""
LEVERAGES = (Decimal(3), Decimal(20))
SECOND_CHANCE = 0.4
"""That anything runs twice in a world."""
UNSEEN_CHANCE = 0.3
"""That they are on different machines there, so that every lease has to run out."""
SHARDS = 5
"""With so many, two instances divide the books between them."""
ONE_BASE_CHANCE = 0.6
"""That all books of a world are of one base asset: more plans meet for the same market data."""
COLD_CHANCE = 0.25
"""That things go wrong in a world from its first moment, before anything can be traded."""
PLAN_LOSS_CHANCE = 0.25
PLAN_LOSSES_MAX = (Decimal(4), Decimal(12))
"""The lesser denies the largest plans: it does not pay for trading a leg of theirs back."""
LIMIT_CHANCE = 0.12
"""That a world has any one of the limits that are none by default."""
ORDERS_PER_MINUTE_MAX = (8, 30)
PRICE_BANDS_BPS = (60.0, 200.0)
DEPEGS_BPS = (40.0, 150.0)
DEPEG_LIMIT_CHANCE = 0.5
"""That a world has the limit on dollars, where two of them are traded."""
LOSS_LIMIT_CHANCE = 0.06
LOSSES_MAX: dict[str, tuple[Any, ...]] = {
    "daily_loss_max": (Decimal(40), Decimal(80)),
    "rolling_loss_max": (Decimal(40), Decimal(80)),
    "drawdown_max": (Decimal(40), Decimal(80)),
    "losses_in_row_max": (1, 3),
}
"""What may be lost in a world: of its money, or plans in a row."""
NET_MAX, GROSS_MAX = Decimal(9_000), Decimal(30_000)
"""Of each base asset, in quote units at its first price: of three plans, and of ten."""
MAINTENANCE_CHANCE = 0.04
"""That nothing may be opened at one venue of a world, whose time is 22:13 UTC."""
MAINTENANCES = ("22:00-22:30", "Tue 21:00-23:00", "2023-11-14T22:00Z/2023-11-15T00:00Z")
SKEW_CHANCE = 0.04
"""That the clock of one venue of a world differs from ours by more than risk allows."""
SKEWS_MS = (-3_000, 3_000)
PORTFOLIO_SHARES_BPS = (0.5, 0.8)
"""Of about 30 million: less than the largest plans trade."""
ERROR_RATE_MAX, LATENCY_MS_MAX = 0.25, 400
INVENTORY_CHANCE = 0.12
"""That a world keeps to what its accounts began with."""
INVENTORY_BAND = Decimal(9_000)
"""Of each asset around what an account began with, in quote units at its first price."""
SKEWS_BPS = (Decimal(2), Decimal(10))
RESTLESS_CHANCE = 0.05
"""That the market moves at its full rate all the time, and views are repeated as often as live."""
REFRESH_MS, RESTLESS_REFRESH_MS = 600, OrderbookConfig().refresh_ms
"""How often the view of a book is repeated that does not change."""


def bases_of(seed: int, bases: Sequence[str]) -> Sequence[str]:
    """Return the base assets that are traded in a world."""
    draw = Random(f"{seed}/bases")
    return [draw.choice(bases)] if draw.random() < ONE_BASE_CHANCE else bases


def exchanges_of(seed: int, listings: Sequence[Sequence[Listing]]) -> dict[str, Exchange]:
    """Return the venues of a world, by name."""
    draw = Random(f"{seed}/variety")
    exchanges = {}
    for of_venue in listings:
        venue = of_venue[0].venue
        fees = draw.choice((BASE, OWN_TOKEN)) if draw.random() < FEES_CHANCE else ""
        start = dict(PLENTY)
        start |= {x.quote: PLENTY_OF_QUOTE for x in of_venue if x.quote not in PLENTY}
        if draw.random() < SHORT_CHANCE:
            asset = draw.choice(sorted(SHORT))
            start[asset] = SHORT[asset]
        listed = list(of_venue)
        if fees == OWN_TOKEN:
            start[TOKEN] = draw.choice(TOKENS)
            listed.append(_token_listing(venue))
        # Without a price of the token an exchange charges what is bought, or the quote asset.
        fee_asset = TOKEN if fees else ""
        exchanges[venue] = Exchange(venue, listed, fee_asset=fee_asset, start=start, seed=seed)
    return exchanges


CUTS_CHANCE = 0.5
"""That the venue cuts a reduce-only order to the position; else it refuses one that exceeds it."""


def perpetual_of(
    seed: int, listings: Sequence[Listing], *, always: bool = False
) -> dict[str, Exchange]:
    """Return the venue of perpetuals of a world by name, if it has one."""
    draw = Random(f"{seed}/perpetual")
    if draw.random() >= PERPETUAL_CHANCE and not always:
        return {}
    venue, start = listings[0].venue, {each.settle: PLENTY[each.settle] for each in listings}
    if margin_limits_of(seed):
        start = {asset: qty * COLLATERAL_SHARE for asset, qty in start.items()}
    leverage = draw.choice(LEVERAGES)
    made = Exchange(
        venue,
        listings,
        fee_asset="",
        start=start,
        seed=seed,
        leverage=leverage,
        cuts_reduce_only=Random(f"{seed}/reduce-only").random() < CUTS_CHANCE,
    )
    return {venue: made}


def start_balances(exchanges: Mapping[str, Exchange]) -> dict[str, dict[str, Decimal]]:
    """Return what is in every account, by venue and asset; to be asked before anything happens."""
    return {
        venue: {asset: balance.free for asset, balance in exchange.ledger.balances.items()}
        for venue, exchange in exchanges.items()
    }


def _token_listing(venue: str) -> Listing:
    return Listing(
        venue=venue,
        instrument=f"{TOKEN}/USDT",
        symbol=f"{TOKEN}USDT",
        base=TOKEN,
        quote="USDT",
        price_scale=3,
        qty_scale=3,
        price_decimals=8,
        qty_decimals=8,
        qty_min=Decimal("0.001"),
        notional_min=Decimal(5),
        taker_bps=Decimal(10),
        maker_bps=Decimal(10),
    )


@dataclass(frozen=True, slots=True)
class Instances:
    """Which services run twice, over how many shards, and what a standby sees.

    Attributes:
        second: Services of which there are two processes.
        shards: Of the market data.
        sees_the_dead: Whether both are on one machine, so that the lease of a process that has
            ended is taken at once, and not when it runs out.
    """

    second: tuple[str, ...] = ()
    shards: int = 1
    sees_the_dead: bool = True


def instances_of(seed: int) -> Instances:
    """Return what runs twice in a world."""
    draw = Random(f"{seed}/instances")
    if draw.random() >= SECOND_CHANCE:
        return Instances()
    chosen = tuple(row.name for row in CORE_SERVICES if draw.random() < 0.5)
    return Instances(chosen, draw.choice((1, SHARDS)), sees_the_dead=draw.random() >= UNSEEN_CHANCE)


@dataclass(frozen=True, slots=True)
class Pace:
    """When trouble begins in a world, and how fast its market moves.

    Attributes:
        starts_cold: Whether things go wrong before trading has begun for the first time.
        is_restless: Whether the market moves at its full rate also while nobody trades.
    """

    starts_cold: bool
    is_restless: bool

    @property
    def refresh_ms(self) -> int:
        """How often the view of a book is repeated that does not change."""
        return RESTLESS_REFRESH_MS if self.is_restless else REFRESH_MS


def plan_loss_max_of(seed: int) -> Decimal:
    """Return what evening out a plan may cost at most in a world, in quote units; 0: any share."""
    draw = Random(f"{seed}/plan loss")
    return draw.choice(PLAN_LOSSES_MAX) if draw.random() < PLAN_LOSS_CHANCE else Decimal(0)


def with_limits(config: Config, seed: int, prices: Mapping[str, float]) -> Config:
    """Return a world's configuration with the limits that are drawn for it.

    Args:
        config: Without any.
        seed: Of the world.
        prices: What assets are worth at first, in quote units.
    """
    draw, venues, executor = Random(f"{seed}/more limits"), dict(config.venues), config.executor
    drawn = [draw.random() for _ in range(3)]
    limits = _limits_of(seed, prices)
    if drawn[0] < MAINTENANCE_CHANCE:
        venue = draw.choice(sorted(venues))
        windows = (draw.choice(MAINTENANCES),)
        venues[venue] = msgspec.structs.replace(venues[venue], maintenance=windows)
    if drawn[1] < LIMIT_CHANCE:
        limits["plan_portfolio_bps_max"] = draw.choice(PORTFOLIO_SHARES_BPS)
    if drawn[2] < LIMIT_CHANCE:
        weak = {"venue_error_rate_max": ERROR_RATE_MAX, "venue_latency_ms_max": LATENCY_MS_MAX}
        executor = msgspec.structs.replace(executor, **weak)
    risk = msgspec.structs.replace(config.risk, **limits)
    return msgspec.structs.replace(config, venues=venues, risk=risk, executor=executor)


def clocks_of(seed: int, venues: Iterable[str]) -> dict[str, int]:
    """Return by how many ms the clocks of venues are ahead of ours, of those that differ."""
    draw = Random(f"{seed}/clocks")
    if draw.random() >= SKEW_CHANCE:
        return {}
    return {draw.choice(sorted(venues)): draw.choice(SKEWS_MS)}


def _limits_of(seed: int, prices: Mapping[str, float]) -> dict[str, Any]:
    """Return what differs from the usual limits, by their names in ``[risk]``."""
    draw = Random(f"{seed}/limits")
    chances = [draw.random() < LIMIT_CHANCE for _ in range(3)]
    chances.append(draw.random() < DEPEG_LIMIT_CHANCE and any(name in DOLLARS for name in prices))
    values: list[tuple[str, Any]] = [
        ("orders_per_minute_max", draw.choice(ORDERS_PER_MINUTE_MAX)),
        ("price_band_bps_max", draw.choice(PRICE_BANDS_BPS)),
        ("per_asset", {name: _limits_worth(exact(price)) for name, price in prices.items()}),
        ("depeg_bps_max", draw.choice(DEPEGS_BPS)),
    ]
    drawn = zip(values, chances, strict=True)
    limits = {name: value for (name, value), is_drawn in drawn if is_drawn}
    losses = Random(f"{seed}/losses")
    limits |= {
        name: losses.choice(values)
        for name, values in LOSSES_MAX.items()
        if losses.random() < LOSS_LIMIT_CHANCE
    }
    limits |= exposure_limits_of(seed) | margin_limits_of(seed)
    return {"plan_loss_max": plan_loss_max_of(seed), **limits}


def _limits_worth(price: Decimal) -> AssetLimits:
    return AssetLimits(net_max=NET_MAX / price, gross_max=GROSS_MAX / price)


def inventory_of(
    seed: int, balances: Mapping[str, Mapping[str, Decimal]], prices: Mapping[str, float]
) -> InventoryConfig:
    """Return what a world's venues should hold: what they began with, and a band around it.

    Args:
        seed: Of the world.
        balances: What is in every account at first, by venue and asset.
        prices: What assets are worth at first, in quote units.
    """
    draw = Random(f"{seed}/inventory")
    if draw.random() >= INVENTORY_CHANCE:
        return InventoryConfig()
    skew, in_edge = draw.choice(SKEWS_BPS), draw.random() < 0.5
    targets = [
        InventoryTarget(
            venue=venue,
            asset=asset,
            target_qty=amount,
            band_qty=INVENTORY_BAND / exact(prices.get(asset, 1.0)),
        )
        for venue, account in balances.items()
        for asset, amount in account.items()
    ]
    return InventoryConfig(
        skew_bps_max=skew, reward_bps_max=skew / 2, cost_in_edge=in_edge, targets=targets
    )


def pace_of(seed: int) -> Pace:
    """Return the pace of a world."""
    draw = Random(f"{seed}/pace")
    return Pace(draw.random() < COLD_CHANCE, draw.random() < RESTLESS_CHANCE)
