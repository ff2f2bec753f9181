"""The limits of ``[risk]``: what can be set, and its defaults. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.config_base import Positive, PositiveInt, Section

DOLLARS = ("USDT", "USDC", "USD", "FDUSD", "TUSD", "DAI", "PYUSD")
"""Dollars, and coins that stand for one."""


class QuoteLimits(Section, frozen=True, kw_only=True):
    """The limits on what is traded against one quote asset, in units of it."""

    order_notional_max: Decimal
    instrument_notional_max: Decimal
    venue_notional_max: Decimal
    total_notional_max: Decimal
    daily_loss_max: Decimal
    rolling_loss_max: Decimal = Decimal(0)
    drawdown_max: Decimal = Decimal(0)
    plan_loss_max: Decimal = Decimal(0)
    net_notional_max: Decimal = Decimal(0)


class AssetLimits(Section, frozen=True, kw_only=True):
    """The limits on what is held of one asset over all venues, in units of it; 0: none."""

    net_max: Decimal = Decimal(0)
    gross_max: Decimal = Decimal(0)


MAY_BE_ZERO = {
    *("rolling_loss_max", "drawdown_max", "plan_loss_max"),
    *("net_notional_max", "net_max", "gross_max"),
}
"""Limits that are none at 0."""


class RiskConfig(Section, frozen=True, kw_only=True):
    """Limits. Notionals, losses and caps are in quote units, each asset of ``quote_assets`` apart.

    What is traded against any other asset needs limits of its own in ``per_quote``: ten thousand
    dollars are no limit on an order in bitcoins. ``rolling_loss_max`` is of 24 hours,
    ``drawdown_max`` from the peak; a strategy that lost ``losses_in_row_max`` times in a row opens
    nothing for ``loss_pause_minutes``. Evening out one plan may cost ``loss_cap_bps`` of it, and no
    more than ``plan_loss_max``. 0: there is no such limit. ``resting_orders_max`` plans may have an
    order that rests, each for ``rest_ms_max`` at most; ``plans_in_flight_max`` is of all others.
    Nothing is opened where a venue's clock differs from ours by more than ``clock_skew_ms_max``, or
    a price by more than ``price_band_bps_max`` from the median of the other books of its pair, or
    where fewer than ``price_band_books_min`` of them tell it (0: where some are followed and none).
    ``orders_per_minute_max`` is of each venue. A dollar may trade ``depeg_bps_max`` from another.
    One plan may trade ``plan_portfolio_bps_max`` of what is free in the accounts. Unhedged
    exposure is within ``net_notional_max``; plans in flight have ``open_orders_max`` orders at a
    venue. A venue's derivatives are worth ``leverage_max`` times the balance that they settle in,
    and ``liquidation_bps_min`` from liquidation at ``maintenance_margin_bps``. A plan that is too
    large is made smaller, down to ``shrink_share_min`` of what was offered (1: it is denied).
    What is held above ``soft_limit_share`` of a limit on exposure is worked off.
    A balance that lost more than ``unexplained_loss_max`` in a day beside trading halts it.
    """

    order_notional_max: Decimal = Decimal(10_000)
    instrument_notional_max: Decimal = Decimal(100_000)
    venue_notional_max: Decimal = Decimal(200_000)
    total_notional_max: Decimal = Decimal(500_000)
    daily_loss_max: Decimal = Decimal(1_000)
    loss_cap_bps: Decimal = Decimal(100)
    book_age_ms_max: PositiveInt = 2_000
    opportunity_age_ms_max: PositiveInt = 500
    plan_ttl_ms: PositiveInt = 1_000
    edge_bps_max: Positive = 500.0
    plans_in_flight_max: PositiveInt = 4
    start_active: bool = True
    quote_assets: tuple[str, ...] = DOLLARS
    per_quote: dict[str, QuoteLimits] = {}
    rolling_loss_max: Decimal = Decimal(0)
    drawdown_max: Decimal = Decimal(0)
    losses_in_row_max: Annotated[int, Meta(ge=0)] = 0
    loss_pause_minutes: Annotated[int, Meta(gt=0, le=366 * 1_440)] = 30
    plan_loss_max: Decimal = Decimal(0)
    resting_orders_max: PositiveInt = 4
    rest_ms_max: PositiveInt = 30_000
    clock_skew_ms_max: Annotated[int, Meta(ge=0)] = 1_000
    price_band_bps_max: Annotated[float, Meta(ge=0)] = 0.0
    price_band_books_min: Annotated[int, Meta(ge=0, le=100)] = 0
    depeg_bps_max: Annotated[float, Meta(ge=0)] = 0.0
    orders_per_minute_max: Annotated[int, Meta(ge=0)] = 0
    per_asset: dict[str, AssetLimits] = {}
    plan_portfolio_bps_max: Annotated[float, Meta(ge=0)] = 0.0
    net_notional_max: Decimal = Decimal(0)
    open_orders_max: Annotated[int, Meta(ge=0)] = 0
    leverage_max: Annotated[float, Meta(ge=0)] = 0.0
    liquidation_bps_min: Annotated[float, Meta(ge=0)] = 0.0
    maintenance_margin_bps: Decimal = Decimal(100)
    shrink_share_min: Annotated[float, Meta(gt=0, le=1)] = 0.1
    soft_limit_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    unexplained_loss_max: Decimal = Decimal(1_000)

    def limits_in(self, quote: str) -> RiskConfig | None:
        """Return the limits on what is traded against an asset; ``None`` where there are none."""
        own = self.per_quote.get(quote)
        if own is not None:
            return msgspec.structs.replace(self, **msgspec.structs.asdict(own))
        return self if quote in self.quote_assets else None
