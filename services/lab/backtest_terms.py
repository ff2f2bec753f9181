"""``[backtest]`` of a configuration: the latency of every edge, and an account's terms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from shared.config_base import Section
from shared.config_paper import check_latency, check_outages
from shared.config_sections import PaperConfig
from shared.errors import ConfigError

_US, _MS = 1_000, 1_000_000
Milliseconds = Annotated[float, Meta(ge=0, le=60_000)]
MaybeMilliseconds = Annotated[float, Meta(ge=0, le=60_000)] | None
Samples = Annotated[tuple[Milliseconds, ...], Meta(max_length=100_000)]
Points = tuple[tuple[float, float], ...]
"""Pairs of a percentile and milliseconds."""
Share = Annotated[float, Meta(ge=0, le=1)]
PerHour = Annotated[float, Meta(ge=0, le=60)]
OutageSeconds = Annotated[float, Meta(gt=0, le=3_600)]
WAYS = ("order", "answer")
TIERS_MAX = 50


class Way(NamedTuple):
    """What a request, or its answer, takes: measured latencies, or percentiles, or a constant."""

    samples_ms: tuple[float, ...]
    percentiles_ms: Points
    constant_ms: float


class VenueTerms(Section, frozen=True, kw_only=True):
    """``[backtest.venues.NAME]``: what differs at one venue.

    ``fee_tiers`` are pairs of the volume of 30 days from which a fee counts (units of one of
    ``risk.quote_assets``; other assets do not count) and the taker fee in bps. Without ``leverage``
    margin and liquidation are not modelled. ``balances`` is all that the account starts with;
    without it, it starts like a paper account.
    """

    order_ms: MaybeMilliseconds = None
    order_samples_ms: Samples = ()
    order_percentiles_ms: Points = ()
    answer_ms: MaybeMilliseconds = None
    answer_samples_ms: Samples = ()
    answer_percentiles_ms: Points = ()
    feed_ms: MaybeMilliseconds = None
    jitter_ms: MaybeMilliseconds = None
    reject_rate: Share | None = None
    outages_per_hour: PerHour | None = None
    outage_s: OutageSeconds | None = None
    outage_unknown_rate: Share | None = None
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

    ``order_samples_ms`` are latencies that were measured, of which one is drawn for every request,
    ``order_percentiles_ms`` pairs of a percentile and milliseconds, both rising: either counts in
    place of ``order_ms``. So do those of answers. ``reject_rate`` is the share of orders that a
    venue refuses; outages of its order entry come ``outages_per_hour`` times and last ``outage_s``,
    and of ``outage_unknown_rate`` of the orders in one the outcome is not told: half of them were
    carried out. All is drawn by ``seed``.
    """

    bus_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    order_ms: Milliseconds = 20.0
    order_samples_ms: Samples = ()
    order_percentiles_ms: Points = ()
    answer_ms: Milliseconds = 0.0
    answer_samples_ms: Samples = ()
    answer_percentiles_ms: Points = ()
    feed_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 7
    data: Literal["", "raw", "depth", "bar"] = ""
    spread_bps: Annotated[float, Meta(gt=0, le=1_000)] = 2.0
    holes: Literal["refuse", "keep"] = "refuse"
    venues: Mapping[str, VenueTerms] = msgspec.field(default_factory=dict)
    bar_s: Annotated[int, Meta(ge=0, le=86_400)] = 0
    reject_rate: Share = 0.0
    outages_per_hour: PerHour = 0.0
    outage_s: OutageSeconds = 30.0
    outage_unknown_rate: Share = 0.5

    def of(self, venue: str) -> VenueTerms:
        """Return the terms of a venue."""
        return self.venues.get(venue, VenueTerms())

    def ns(self, venue: str, name: str) -> int:
        """Return a latency of a venue by the name of its setting."""
        own = getattr(self.of(venue), name)
        chosen: float = getattr(self, name) if own is None else own
        return round(chosen * _MS)

    def way(self, venue: str, name: str) -> Way:
        """Return what the way to a venue (``order``), or back (``answer``), takes."""
        own = _way_of(self.of(venue), name)
        found = own or _way_of(self, name)
        assert found is not None, "there is always a constant for all venues"
        return found

    def conditions(self, venue: str) -> PaperConfig:
        """Return what a venue does beside matching; its books forget what was taken at once."""
        own, names = self.of(venue), ("reject_rate", "outages_per_hour", "outage_s")
        given = {
            name: getattr(self, name) if getattr(own, name) is None else getattr(own, name)
            for name in (*names, "outage_unknown_rate")
        }
        return PaperConfig(seed=self.seed, impact_half_life_ms=0, **given)

    @property
    def hop_ns(self) -> int:
        """What a hop over the bus takes."""
        return self.bus_us * _US


def _way_of(given: VenueTerms | BacktestConfig, name: str) -> Way | None:
    samples, points = getattr(given, f"{name}_samples_ms"), getattr(given, f"{name}_percentiles_ms")
    constant = getattr(given, f"{name}_ms")
    if not samples and not points and constant is None:
        return None
    return Way(samples, points, constant or 0.0)


def _check_ways(given: VenueTerms | BacktestConfig, place: str) -> None:
    for name in WAYS:
        samples, points, _ = _way_of(given, name) or Way((), (), 0.0)
        if samples and points:
            both = f"{place}.{name}_samples_ms and {name}_percentiles_ms"
            raise ConfigError(f"{both}: give one of them")
        check_latency(points, f"{place}.{name}_percentiles_ms")


def check_terms(terms: BacktestConfig, venues: list[str], where: str) -> None:
    """Refuse terms that cannot be meant.

    Raises:
        ConfigError: With the place and what would be right.
    """
    _check_ways(terms, f"{where}: backtest")
    check_outages(terms.conditions(""), f"{where}: backtest")
    for name, each in terms.venues.items():
        place = f"{where}: backtest.venues.{name}"
        _check_ways(each, place)
        check_outages(terms.conditions(name), place)
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
