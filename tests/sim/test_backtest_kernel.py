"""The engines that trade and the compiled kernel are one backtest on the same bars.

The lab runs order book, scanner with ``momentum``, risk, executor and accounts on books made of
bars; the kernel runs its own loop. Their terms are made the same by what each of them can be told:

- spread, fee, stake and lot: ``[costs]`` of the kernel, ``[backtest]`` and the budget of the lab;
- the lab decides once a bar is closed, and its order meets the book of the next one's open, which
  stands until that bar's end: latencies of less than that change nothing (one case has some);
- no stop is near, no limit of risk is reached, nothing of funding is paid.

One difference is left, and is no error: the first bar is no bar for the lab, for nobody knows what
was traded before the first trade that is seen. So the kernel begins with the second one. What is
open at the end the kernel closes at the last close; so does the lab where a book still prices it,
or it values it there, less what closing would cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from services.lab.backtest import Backtest, configured
from services.lab.backtest_data import fitted
from services.lab.backtest_terms import BacktestConfig
from services.lab.tables import tables_of
from services.research.candle_files import DataConfig, load_candles
from services.research.event_bars import Bar, RoundTrip, run_bars
from services.research.kernel import Bars, Costs, run_all
from services.research.rules import Momentum
from shared.config_sections import Config, RiskConfig, StrategyConfig, VenueConfig
from shared.messages.base import Message, Side
from shared.messages.execution import ExecutorReady, RiskReport
from shared.messages.rounds import RoundsTold
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table
from shared.watch.money import closing_cost
from shared.watch.report import Ending

BEGIN_S, SECOND_NS = 1_672_531_200, 1_000_000_000
VENUE, NAME = "beta", "BTC/USDT:USDT"
CAPITAL, STAKE, LOT = 100_000, 10_000, 1e-5
MUCH = Decimal(10) ** 12
"""More than is ever traded or lost: no limit but the stake is reached."""
EXACT = 1e-9
AT_ONCE_S = 0.5
"""So soon after a bar is closed trades by it are over."""
PANEL = "perpfunding_PietroC21/binance_BTC_2020-01-01_2026-03-06.parquet"
HOURS = 500
BARS = {60: 400, 3_600: 160}
"""How many are made up, by their length."""


class Candle(NamedTuple):
    """A bar; its high and low are seen by the lab alone, and decide nothing here."""

    time_s: int
    open: float
    high: float
    low: float
    close: float


class Case(NamedTuple):
    """One rule on bars of one length, and what it costs."""

    rule: Momentum
    fee_bps: float
    spread_bps: float
    bar_s: int = 60
    terms: BacktestConfig = BacktestConfig(bus_us=0, order_ms=0)
    lateness_ms: int = 2_000


def made_up(seed: int, count: int, bar_s: int) -> list[Candle]:
    """Return a random walk, with gaps from a close to the next open."""
    draw = np.random.Generator(np.random.PCG64(seed))
    found, close = [], 20_000.0
    for number in range(count):
        first = round(close * (1 + draw.normal(0, 0.0003)), 1)
        close = round(first * (1 + draw.normal(0, 0.001)), 1)
        high, low = max(first, close) + 2.5, min(first, close) - 2.5
        found.append(Candle(BEGIN_S + bar_s * number, first, high, low, close))
    return found


def stored(folder: Path, candles: list[Candle], bar_s: int) -> Path:
    """Write bars into a store, and a rate of zero for each hour: nothing of funding is unknown."""
    rest = (5.0, None, None, 4, False, True)
    step_ns = bar_s * SECOND_NS
    bars = [(each.time_s * SECOND_NS, step_ns, *each[1:], *rest) for each in candles]
    hours = range(candles[0].time_s, candles[-1].time_s + bar_s + 1, 3_600)
    rates = [
        (*(at * SECOND_NS,) * 3, 0.0, candles[0].open, None, 3_600 * SECOND_NS, None, None, True)
        for at in hours
    ]
    for table, rows, made in (("bar", bars, Made(step_ns=step_ns)), ("funding", rates, Made())):
        file = folder_of(folder, table, venue=VENUE, instrument=NAME, date="2023-01-01")
        write_table(file / "x.parquet", table, rows, made)
    return folder


def config_of(case: Case) -> Config:
    params = {
        "venue": VENUE,
        "instrument": NAME,
        "interval_s": case.bar_s,
        "fast_bars": case.rule.fast_bars,
        "slow_bars": case.rule.slow_bars,
        "threshold_bps": case.rule.threshold_bps,
        "stop_bps": 9_000.0,
        "held_minutes_max": 1e6,
        "lateness_ms": case.lateness_ms,
    }
    limits = ("order", "instrument", "venue", "total")
    return Config(
        venues={VENUE: VenueConfig(instruments=[NAME], taker_fee_bps=Decimal(str(case.fee_bps)))},
        risk=RiskConfig(
            **{f"{name}_notional_max": MUCH for name in limits},
            daily_loss_max=MUCH,
        ),
        strategies=[
            StrategyConfig(
                id="mom",
                class_="momentum",
                directional_notional_max=Decimal(STAKE),
                directional_equity=MUCH,
                params=params,
            )
        ],
    )


def by_the_lab(store: Path, case: Case) -> tuple[Backtest, Ending, dict[int, float]]:
    """Return the run of the whole system, and its profit before each bar begins."""
    tables = tables_of(store, {VENUE: Decimal(str(case.fee_bps))}, case.spread_bps, "bar")
    config = configured(fitted(config_of(case), tables), tables, "here")
    run = Backtest(tables, config, case.terms)
    profits: dict[int, float] = {}

    def note(market_s: float) -> None:
        profit = run.curve.profits.get("USDT", [Decimal(0)])[-1]
        assert profit is not None
        profits[run.curve.times_ns[-1] + 1] = float(profit)

    return run, run.run(note), profits


def trips_of(run: Backtest, case: Case, last_s: int) -> list[RoundTrip]:
    """Return round trips as the accounts filled them: an entry, then the exit that closes it.

    What is closed after the last bar is of that bar, at its close.
    """
    fills, bar_s = list(run.fills), case.bar_s
    in_time_s = case.lateness_ms / 1e3 + AT_ONCE_S
    found = []
    for entry, leave in zip(fills[::2], fills[1::2], strict=False):
        assert entry.qty == leave.qty
        assert entry.side is leave.side.opposite
        sign = 1 if entry.side is Side.BUY else -1
        since_s = [each.ts_ns / SECOND_NS % bar_s for each in (entry, leave)]
        assert max(since_s[0], since_s[1] if leave.ts_ns // SECOND_NS <= last_s else 0) < in_time_s
        times = (each.ts_ns // SECOND_NS // bar_s * bar_s for each in (entry, leave))
        entry_s, exit_s = (min(at, last_s) for at in times)
        assert entry.fee is not None
        assert leave.fee is not None
        gross = sign * (leave.price - entry.price) * entry.qty
        paid = float(entry.fee + leave.fee) / CAPITAL
        found.append(
            RoundTrip(
                sign,
                entry_s,
                float(entry.price),
                exit_s,
                float(leave.price),
                float(gross) / CAPITAL,
                paid,
                float(entry.qty) / CAPITAL,
            )
        )
    return found


def as_numbers(trip: RoundTrip) -> list[float]:
    return [float(getattr(trip, name)) for name in RoundTrip.__struct_fields__]


def compare(folder: Path, candles: list[Candle], case: Case, *, trips_min: int) -> None:
    costs = Costs(case.fee_bps / 1e4, False, case.spread_bps / 2e4, STAKE, LOT, CAPITAL)
    known = candles[1:]  # the first one is no whole bar for who only begins to listen
    instants = np.arange(len(known) + 1, dtype=np.int64)
    columns = (np.array([each.open for each in known]), np.array([each.close for each in known]))
    kernel = run_all(Bars(*columns, instants), [case.rule], costs)
    events = run_bars((Bar(c.time_s, c.open, c.close) for c in known), case.rule, costs)

    run, ended, profits = by_the_lab(stored(folder, candles, case.bar_s), case)
    assert not ended.problems
    trips = trips_of(run, case, known[-1].time_s)
    is_open = run.fill_count % 2  # valued, where no book prices it after the last bar
    assert run.fill_count == kernel.figure("sides")[0] - is_open
    assert len(trips) == kernel.figure("round_trips")[0] - is_open >= trips_min
    for lab, own in zip(trips, events.trades, strict=False):
        assert as_numbers(lab) == pytest.approx(as_numbers(own), rel=EXACT, abs=1e-12)

    at_closes = kernel.equity[0][1:-1].tolist()
    begins = [each.time_s * SECOND_NS for each in known[1:]]
    assert [1 + profits[at] / CAPITAL for at in begins] == pytest.approx(at_closes, rel=EXACT)
    cost = closing_cost(run.collector.books, ended.closing)["USDT"]
    valued = run.curve.profits["USDT"][-1]
    assert cost is not None
    assert valued is not None
    assert bool(cost) == bool(is_open)
    final = 1 + float(valued - cost) / CAPITAL
    assert final == pytest.approx(kernel.figure("final")[0], rel=EXACT)


LATE = BacktestConfig(bus_us=200, order_ms=20, answer_ms=30, feed_ms=40, jitter_ms=10)


@pytest.mark.parametrize(
    ("seed", "case"),
    [
        (1, Case(Momentum(5, 20, 10.0), 5.0, 2.0)),
        (2, Case(Momentum(3, 8, 4.0), 0.0, 1.0, lateness_ms=9_000)),
        (3, Case(Momentum(1, 2, 8.0), 10.0, 7.0, terms=LATE)),
        (4, Case(Momentum(2, 5, 3.0), 4.0, 2.0, 3_600, LATE)),
    ],
)
def test_made_up_bars_are_traded_alike(tmp_path: Path, seed: int, case: Case) -> None:
    compare(tmp_path, made_up(seed, BARS[case.bar_s], case.bar_s), case, trips_min=10)


@pytest.mark.recorded
def test_recorded_hours_of_a_perpetual_are_traded_alike(tmp_path: Path, recorded: Path) -> None:
    config = DataConfig(zone="UTC", suffix="_perp_binance", holes="keep")
    found = load_candles(recorded / PANEL, config).candles
    columns = (each[:HOURS].tolist() for each in (found.times_s, found.opens, found.closes))
    candles = [Candle(at, o, max(o, c), min(o, c), c) for at, o, c in zip(*columns, strict=True)]
    assert candles[-1].time_s - candles[0].time_s == 3_600 * (HOURS - 1)
    compare(tmp_path, candles, Case(Momentum(5, 20, 10.0), 5.0, 2.0, 3_600), trips_min=20)


class Counted(Backtest):
    """Counts what is published, by type."""

    published: Counter[type[Message]]

    def on_published(self, service: str, messages: Sequence[Message]) -> None:
        self.published.update(map(type, messages))
        super().on_published(service, messages)


def test_between_bars_nobody_reports(tmp_path: Path) -> None:
    """Once before a bar's data and once before it is closed, not every second in between."""
    case = Case(Momentum(5, 20, 10.0), 5.0, 2.0)
    store = stored(tmp_path, made_up(1, 120, 60), 60)
    tables = tables_of(store, {VENUE: Decimal(5)}, case.spread_bps, "bar")
    run = Counted(tables, configured(fitted(config_of(case), tables), tables, "here"), case.terms)
    run.published = Counter()
    run.run()
    assert run.fill_count
    for kind in (RiskReport, RoundsTold, ExecutorReady):
        assert 2 * 119 <= run.published[kind] <= 2 * 120 + 30  # before and after the bars, too
