"""What is wrong with the paper accounts of a configuration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

from shared.config_sections import Config, PaperConfig
from shared.errors import ConfigError

LATENCY_MS_MAX = 60_000
POINTS_MAX = 50
HOUR_S = 3_600


def check_paper(config: Config, where: str) -> None:
    """Check that latencies are distributions, outages leave time, and venues are configured.

    Raises:
        ConfigError: With the place and what would be right.
    """
    paper = config.paper
    share = paper.queue_ahead_share
    if not (share.is_finite() and 0 <= share <= 1):
        raise ConfigError(f"{where}: paper.queue_ahead_share = {share}; give 0 to 1")
    check_latency(paper.latency_ms, f"{where}: paper.latency_ms")
    check_outages(paper, f"{where}: paper")
    for name, venue in paper.venues.items():
        if name not in config.venues:
            known = ", ".join(config.venues) or "none"
            raise ConfigError(
                f"{where}: paper.venues.{name}: no such venue is configured; venues are: {known}"
            )
        check_latency(venue.latency_ms, f"{where}: paper.venues.{name}.latency_ms")
        check_outages(paper.at(name), f"{where}: paper.venues.{name}")


def check_outages(conditions: PaperConfig, place: str) -> None:
    """Check that a venue is there between its outages.

    Raises:
        ConfigError: With the place and what would be right.
    """
    per_hour, outage_s = conditions.outages_per_hour, conditions.outage_s
    if per_hour * outage_s >= HOUR_S:
        raise ConfigError(
            f"{place}: outages_per_hour = {per_hour:g} of outage_s = {outage_s:g} are "
            f"{per_hour * outage_s:,.0f} s of every hour; give less than {HOUR_S:,} s together"
        )


def check_latency(points: Sequence[tuple[float, float]], named: str) -> None:
    """Check that pairs of a percentile and milliseconds are a distribution.

    Raises:
        ConfigError: With the place and what would be right.
    """
    if len(points) > POINTS_MAX:
        raise ConfigError(f"{named} has {len(points)} pairs; give at most {POINTS_MAX}")
    for percentile, ms in points:
        if not (0 <= percentile <= 100 and isfinite(ms) and 0 <= ms <= LATENCY_MS_MAX):
            raise ConfigError(
                f"{named}: [{percentile:g}, {ms:g}]: give a percentile from 0 to 100 and 0 to "
                f"{LATENCY_MS_MAX} ms"
            )
    for (one, one_ms), (next_, next_ms) in pairwise(points):
        if not (one < next_ and one_ms <= next_ms):
            raise ConfigError(
                f"{named}: [{next_:g}, {next_ms:g}] comes after [{one:g}, {one_ms:g}]; give rising "
                "pairs, like [[50, 12], [90, 30], [99, 120]]"
            )
