"""Bars made of bars, on recorded candles."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from shared.strategies.features.bars import Bar, merged
from tests.tables import parquet_columns

pytestmark = pytest.mark.recorded

HOUR_NS = 3_600 * 10**9
FIELDS = ("open", "high", "low", "close", "volume")
FOLDER = "perpfunding_PietroC21"


def hours(data: Path, market: str) -> list[Bar]:
    """The hourly candles of one market, but for the hours that the panel does not have."""
    path = data / FOLDER / "binance_BTC_2020-01-01_2026-03-06.parquet"
    names = [f"{field}_{market}_binance" for field in FIELDS]
    rows = zip(*parquet_columns(path, "timestamp", *names), strict=True)
    return [
        Bar(
            start_ns=round(time) * 10**9,
            interval_ns=HOUR_NS,
            **dict(zip(FIELDS, values, strict=True)),
            trades=1,
        )
        for time, *values in rows
        if not any(value is None or math.isnan(value) for value in values)
    ]


@pytest.mark.parametrize(
    ("market", "complete", "different"),
    [("spot", 6_724, []), ("perp", 6_742, ["2023-11-10T08:00:00"])],
)
def test_hours_make_the_eight_hours_that_the_venue_tells(
    recorded, market: str, complete: int, different: list[str]
) -> None:
    path = recorded / FOLDER / f"ohlcv_{market}_8h" / "BTCUSDT.parquet"
    times, *columns = parquet_columns(path, "datetime", *FIELDS[:4])
    told = dict(zip((round(t) * 10**9 for t in times), zip(*columns, strict=True), strict=True))
    bars = [bar for bar in merged(hours(recorded, market), 8 * HOUR_NS) if bar.complete]
    assert all(before.start_ns < after.start_ns for before, after in pairwise(bars))
    both = [bar for bar in bars if bar.start_ns in told]
    assert len(both) == complete
    wrong = [
        bar.start_ns
        for bar in both
        if (bar.open, bar.high, bar.low, bar.close) != told[bar.start_ns]
    ]
    assert [iso(start_ns) for start_ns in wrong] == different


def iso(start_ns: int) -> str:
    return datetime.fromtimestamp(start_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
