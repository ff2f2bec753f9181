"""``[backtest]`` of a configuration: the latency of every edge, and an account's terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.config_sections import Section
from shared.errors import ConfigError

_US, _MS = 1_000, 1_000_000
Milliseconds = Annotated[float, Meta(ge=0, le=60_000)]
MaybeMilliseconds = Annotated[float, Meta(ge=0, le=60_000)] | None
TIERS_MAX = 50


class VenueTerms(Section, frozen=True, kw_only=True):
    """``[backtest.venues.NAME]``: what differs at one venue.

    ``fee_tiers`` are pairs of the volume of 30 days from which a fee counts (units of one of
    ``risk.quote_assets``; other assets do not count) and the taker fee in bps. Without ``leverage``
    margin and liquidation are not modelled. ``balances`` is all that the account starts with;
    without it, it starts like a paper account.
    """

    order_ms: MaybeMilliseconds = None
    answer_ms: MaybeMilliseconds = None
    feed_ms: MaybeMilliseconds = None
    jitter_ms: MaybeMilliseconds = None
    fee_tiers: tuple[tuple[Decimal, Decimal], ...] = ()
    leverage: Annotated[float, Meta(ge=0, le=200)] = 0.0
    maintenance_bps: Annotated[float, Meta(ge=0, le=5_000)] = 50.0
    liquidation_fee_bps: Annotated[float, Meta(ge=0, le=1_000)] = 50.0
    balances: Mapping[str, Decimal] = msgspec.field(default_factory=dict)


class BacktestConfig(Section, frozen=True, kw_only=True):
    """``[backtest]``: edges and their latency, for all venues.

    ``bus_us`` is a hop between two services, ``order_ms`` the way of a request to a venue,
    ``answer_ms`` the way back, ``feed_ms`` how old market data is when it is received,
    ``jitter_ms`` what is drawn evenly and added to each way, by ``seed``. ``data`` is the table of
    a store that is played, else the most exact one; ``spread_bps`` that of books made of bars;
    ``bar_s`` how long those are, where a store has several lengths.
    With ``holes`` kept a run goes on where data are missing; nothing is priced meanwhile.
    """

    bus_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    order_ms: Milliseconds = 20.0
    answer_ms: Milliseconds = 0.0
    feed_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 7
    data: Literal["", "raw", "depth", "bar"] = ""
    spread_bps: Annotated[float, Meta(gt=0, le=1_000)] = 2.0
    holes: Literal["refuse", "keep"] = "refuse"
    venues: Mapping[str, VenueTerms] = msgspec.field(default_factory=dict)
    bar_s: Annotated[int, Meta(ge=0, le=86_400)] = 0

    def of(self, venue: str) -> VenueTerms:
        """Return the terms of a venue."""
        return self.venues.get(venue, VenueTerms())

    def ns(self, venue: str, name: str) -> int:
        """Return a latency of a venue by the name of its setting."""
        own = getattr(self.of(venue), name)
        chosen: float = getattr(self, name) if own is None else own
        return round(chosen * _MS)

    @property
    def hop_ns(self) -> int:
        """What a hop over the bus takes."""
        return self.bus_us * _US


def check_terms(terms: BacktestConfig, venues: list[str], where: str) -> None:
    """Refuse terms that cannot be meant.

    Raises:
        ConfigError: With the place and what would be right.
    """
    for name, each in terms.venues.items():
        place = f"{where}: backtest.venues.{name}"
        if name not in venues:
            raise ConfigError(f"{place}: no such venue in the data; there are: {', '.join(venues)}")
        steps = [volume for volume, _ in each.fee_tiers]
        good = all(v.is_finite() and b.is_finite() and v >= 0 for v, b in each.fee_tiers)
        if not good or steps != sorted(set(steps)) or len(steps) > TIERS_MAX:
            raise ConfigError(
                f"{place}.fee_tiers: give pairs of rising volume and bps, like [[0, 10], [1e6, 9]]"
            )
        if steps and steps[0]:
            raise ConfigError(f"{place}.fee_tiers: the first tier begins at {steps[0]}; give 0")
        for asset, amount in each.balances.items():
            if not (amount.is_finite() and amount >= 0):
                raise ConfigError(f"{place}.balances.{asset} = {amount}; give 0 or more")
