"""What a backtest on bars keeps does not grow with the bars, and its figures stay exact."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.research.candle_files import DataConfig, load_candles
from services.research.event_bars import TRADES_MAX, Bar, BarBacktest, run_bars
from services.research.kernel import Bars, Costs, run_all
from services.research.rules import SmaCross
from services.research.study import CURVE_POINTS_MAX, shown

FAST = SmaCross(fast_bars=1, slow_bars=2)
DAY = 1_440
GROWTH_BYTES_MAX = 32_768
"""A float and its place for each of some days, and what Python itself keeps."""


def minutes(count: int) -> Iterator[Bar]:
    """A market that the rule enters and leaves at every other bar."""
    for number in range(count):
        yield Bar(60 * number, 100.0 + number % 2, 100.0 + number % 3 % 2)


def peak_of(count: int) -> tuple[int, BarBacktest]:
    """Return the most memory held while bars are streamed, and the run."""
    tracemalloc.start()
    try:
        run = run_bars(minutes(count), FAST, Costs(0.0), range(0, count + 1, DAY))
        return tracemalloc.get_traced_memory()[1], run
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(120)
def test_a_longer_run_on_bars_holds_no_more_memory() -> None:
    short, first = peak_of(3 * TRADES_MAX + 6)
    long, second = peak_of(9 * TRADES_MAX)
    assert len(first.trades) == len(second.trades) == TRADES_MAX
    assert second.round_trips > 2.5 * first.round_trips
    assert len(second.equity) == 9 * TRADES_MAX // DAY + 1
    assert long - short < GROWTH_BYTES_MAX


def test_the_compiled_backtest_holds_eight_bytes_a_bar_beside_its_arrays() -> None:
    def held(count: int) -> int:
        closes = 100.0 + np.arange(count) % 3 % 2
        instants = np.arange(0, count + 1, DAY, dtype=np.int64)
        given = Bars(closes, closes, instants)
        run_all(given, [FAST], Costs(0.0))  # compiled, and loaded, before it is measured
        tracemalloc.start()
        try:
            run_all(given, [FAST], Costs(0.0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    more = 60_000
    assert held(20_000 + more) - held(20_000) < 8 * more + GROWTH_BYTES_MAX


@pytest.mark.timeout(120)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_candles_are_read_into_arrays_and_their_text_is_not_kept(
    tmp_path: Path, suffix: str
) -> None:
    """Two copies of 48 bytes a row at most; the text alone has 90, and was held four times."""

    def held(count: int) -> int:
        path = tmp_path / f"{count}.{suffix}"
        rows = (f"{1_700_000_040 + 60 * n},{'30000.123456,' * 4}{'7' * 30}" for n in range(count))
        text = "\n".join(["time,open,high,low,close,volume", *rows]).encode()
        path.write_bytes(gzip.compress(text, 1) if suffix == "csv.gz" else text)
        tracemalloc.start()
        try:
            loaded = load_candles(path, DataConfig())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(loaded.candles.closes) == count
        return peak

    more = 30_000
    assert held(10_000 + more) - held(10_000) < 2 * 48 * more + GROWTH_BYTES_MAX


def test_figures_count_what_is_no_longer_kept() -> None:
    count = 4 * TRADES_MAX
    bars = list(minutes(count))
    run = run_bars(bars, FAST, Costs(0.0001), range(0, count + 1, 7))
    given = Bars(
        np.array([bar.open for bar in bars]),
        np.array([bar.close for bar in bars]),
        np.arange(0, count + 1, 7, dtype=np.int64),
    )
    kernel = run_all(given, [FAST], Costs(0.0001))
    assert run.round_trips == kernel.figure("round_trips")[0] > len(run.trades) == TRADES_MAX
    assert run.equity == pytest.approx(kernel.equity[0].tolist(), rel=1e-9)
    assert run.value == pytest.approx(kernel.figure("final")[0], rel=1e-9)
    assert run.drawdown == pytest.approx(kernel.figure("drawdown")[0], rel=1e-9)


def test_equity_at_the_last_close_is_after_what_closes_there() -> None:
    bars = [Bar(60 * n, o, c) for n, (o, c) in enumerate([(10, 10), (9, 9), (9, 12), (20, 24)])]
    run = run_bars(bars, FAST, Costs(0.01), [0, 2, 4, 4])
    final = 0.99 * 24 / 20 * 0.99
    assert run.equity == pytest.approx([1, 1, final, final])
    assert run.value == pytest.approx(final)


@pytest.mark.parametrize("instants", [1, 2, 9_999, 10_000, 10_001, 20_001, 525_601])
def test_lines_show_some_instants_and_the_last(instants: int) -> None:
    at = shown(instants)
    assert len(at) <= CURVE_POINTS_MAX
    assert (at[0], at[-1]) == (0, instants - 1)
    assert len(at) == instants or len(at) > CURVE_POINTS_MAX // 3
    assert len(set(np.diff(at[:-1]).tolist())) <= 1
