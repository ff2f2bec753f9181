"""Marks, indices and hourly funding out of tickers. Pure.

The rate of a ticker is the one of the period under way, which ends at ``next_funding_rate_time``.
Rates are per hour, and so are periods (documented since 2022). Where a ticker's period is longer,
the rate per hour is not the rate of the period: then only the mark is told.
"""

from __future__ import annotations

from shared.messages.market import Funding, Mark
from shared.venues.krakenfutures.parse import TickerFrame
from shared.venues.port import Effect, Emit
from shared.venues.times import unix_ns

HOUR_NS = 3_600_000_000_000


def told_by(ticker: TickerFrame, venue: str, instrument: str, now_ns: int) -> list[Effect]:
    """Return what a ticker tells; nothing of one without a mark price."""
    if ticker.mark_price is None:
        return []
    ts_venue_ns, index_price = unix_ns(ticker.time), ticker.index_price or None
    mark = Mark(
        venue=venue,
        instrument=instrument,
        mark_price=ticker.mark_price,
        index_price=index_price,
        ts_recv_ns=now_ns,
        ts_venue_ns=ts_venue_ns,
    )
    if ticker.relative_rate is None or not ticker.next_time:
        return [Emit(mark)]
    ts_funding_ns = unix_ns(ticker.next_time)
    if ts_funding_ns - ts_venue_ns > HOUR_NS:
        return [Emit(mark)]
    funding = Funding(
        venue=venue,
        instrument=instrument,
        mark_price=ticker.mark_price,
        index_price=index_price,
        rate=ticker.relative_rate,
        ts_funding_ns=ts_funding_ns,
        ts_recv_ns=now_ns,
        ts_venue_ns=ts_venue_ns,
        interval_ns=HOUR_NS,
    )
    return [Emit(mark), Emit(funding)]
