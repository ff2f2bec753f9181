"""What a backtest assumes, in words for its report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.lab.backtest_terms import BacktestConfig
from services.lab.clocks import Seen
from services.lab.latencies import told

_MS = 1_000_000
TOLD_MS = 10.0
"""Offsets of venues' clocks that differ by at least this are warned of."""


def assumed(terms: BacktestConfig, venues: Iterable[str], clocks: Mapping[str, Seen]) -> list[str]:
    """Return the terms of every venue, and how far clocks are apart, one sentence each."""
    names = sorted(venues)
    return [
        *(text for venue in names for text in _of_venue(terms, venue)),
        *(_clock(venue, clocks.get(venue)) for venue in names),
        "times of receipt are as recorded; the venues' own times decide nothing",
        *_apart(clocks),
    ]


def _of_venue(terms: BacktestConfig, venue: str) -> list[str]:
    jitter_ms = terms.ns(venue, "jitter_ms") / _MS
    jitter = f"; up to {jitter_ms:g} ms more, drawn evenly, each way" if jitter_ms else ""
    found = [
        f"{venue}: an order is on its way for {told(terms.way(venue, 'order'))}, its answer for "
        f"{told(terms.way(venue, 'answer'))}{jitter}; market data are "
        f"{terms.ns(venue, 'feed_ms') / _MS:g} ms old when received"
    ]
    given = terms.conditions(venue)
    if given.reject_rate:
        found.append(f"{venue}: {given.reject_rate:.4g} of the orders are refused, drawn by seed")
    if given.outages_per_hour:
        found.append(
            f"{venue}: order entry is down {given.outages_per_hour:g} times an hour for "
            f"{given.outage_s:g} s, at random times; its books stay as recorded; "
            f"{given.outage_unknown_rate:.4g} of the orders sent then get no answer"
        )
    return found


def _clock(venue: str, seen: Seen | None) -> str:
    if seen is None:
        return f"{venue}: how far its clock is from ours is not known: no message has its time"
    return (
        f"{venue}: market data were received {seen.least_ns / _MS:+,.1f} ms after the venue's own "
        f"time at the least, {seen.median_ns / _MS:+,.1f} ms in the median of {seen.count:,} "
        "views: clock offset and network latency together"
    )


def _apart(clocks: Mapping[str, Seen]) -> list[str]:
    least = {venue: seen.least_ns for venue, seen in clocks.items()}
    if len(least) < 2:
        return []
    first, last = min(least, key=least.__getitem__), max(least, key=least.__getitem__)
    apart_ms = (least[last] - least[first]) / _MS
    found = []
    if apart_ms >= TOLD_MS:
        found.append(
            f"{last} was received {apart_ms:,.1f} ms later than {first} by their own times: either "
            f"their clocks differ, or data of {last} are that much older; then orders there were "
            f"filled from outdated books: set backtest.venues.{last}.feed_ms"
        )
    return found
