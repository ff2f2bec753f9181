"""Backtests on bars: against a bare compiled loop, vectorbt, backtrader and NautilusTrader.

    python -m tests.bench.bars [--json] [--bars N]

All run the same crossing of averages over 10 and 30 bars, 10 bps a side, decided at the close and
filled at the next open, which is the same price here. CPU time counts, the best round of each is
taken. The others live in environments of their own (``ENVIRONMENTS``); without them their ratios
are missing. ``events`` is the loop over bars of research; ``lab`` are the engines that trade, on
the same bars. NautilusTrader trades one coin a time, so its money is compared with that of our
round trips as well.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np

from services.lab.backtest_terms import BacktestConfig
from services.research.event_bars import Bar, RoundTrip, run_bars
from services.research.kernel import Bars, Costs, run_all
from services.research.rules import Momentum, SmaCross
from tests.sim.test_backtest_kernel import BEGIN_S, Candle, Case, by_the_lab, stored
from tests.support import ROOT

ROUNDS = 5
FAST, SLOW, FEE = 10, 30, 0.001
ENVIRONMENTS = {
    "vectorbt": ROOT / ".bench-venv-bars",
    "backtrader": ROOT / ".bench-venv-bars",
    "nautilus": ROOT / ".bench-venv-nautilus",  # it and vectorbt want different libraries
}
LAB_BARS = 2_000
"""For the engines that trade, which do far more with each."""
EVENT_BARS = 100_000
"""For engines that take a bar at a time: the slowest of them needs seconds for these."""


@numba.njit
def bare(opens: np.ndarray, closes: np.ndarray, fast: int, slow: int, fee: float) -> float:
    """The least that the same trades take: no metrics, no grid, one set."""
    cash, held, side, wanted = 1.0, 0.0, 0, 0
    sum_fast, sum_slow, before = 0.0, 0.0, 0.0
    for i in range(len(closes)):
        if wanted != side:
            if wanted == 1:
                held, cash = cash * (1 - fee) / opens[i], 0.0
            else:
                cash, held = held * opens[i] * (1 - fee), 0.0
            side = wanted
        sum_fast += closes[i]
        sum_slow += closes[i]
        if i >= fast:
            sum_fast -= closes[i - fast]
        if i >= slow:
            sum_slow -= closes[i - slow]
            lead = sum_fast / fast - sum_slow / slow
            if side == 0 and lead > 0 and before <= 0:
                wanted = 1
            elif side == 1 and lead < 0:
                wanted = 0
            before = lead
    return cash + held * closes[-1] * (1 - fee)


def prices(count: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.Generator(np.random.PCG64(7))
    closes = np.round(30_000 * np.exp(draw.normal(0, 0.001, count).cumsum()), 2)
    return np.concatenate((closes[:1], closes[:-1])), closes


def seconds(work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def python_of(name: str) -> Path:
    return ENVIRONMENTS[name] / "bin" / "python"


class Other:
    """Another program on the same bars: one round for every line it is sent."""

    def __init__(self, name: str, file: Path) -> None:
        script = Path(__file__).with_name("bars_others.py")
        self.process = subprocess.Popen(
            [str(python_of(name)), str(script), name, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def round(self) -> dict[str, float] | None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it could not even begin
            self.process.stdin.close()
        self.process.wait(timeout=60)


def measure_kernel(count: int) -> dict[str, Any]:
    opens, closes = prices(count)
    bars = Bars(opens, closes, np.arange(0, count + 1, 1_440))
    one = [SmaCross(FAST, SLOW)]
    result = run_all(bars, one, Costs(FEE))  # compiles
    assert abs(bare(opens, closes, FAST, SLOW, FEE) / float(result.figure("final")[0]) - 1) < 1e-6
    ours, least = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: run_all(bars, one, Costs(FEE))))
        least.append(seconds(lambda: bare(opens, closes, FAST, SLOW, FEE)))
    found: dict[str, Any] = {
        "kernel_ms": round(min(ours) * 1e3, 2),
        "bare_ms": round(min(least) * 1e3, 2),
        "ratio_bare": round(min(ours) / min(least), 2),
    }
    if told := compare("vectorbt", opens, closes):
        found["vectorbt_ms"] = round(told["seconds"] * 1e3, 1)
        found["ratio_vectorbt"] = round(told["seconds"] / min(ours), 1)
        found["vectorbt_round_trips"] = int(told["round_trips"])
        found["round_trips"] = int(result.figure("round_trips")[0])
    return found


def measure_events(count: int) -> dict[str, Any]:
    opens, closes = prices(count)
    rows = list(zip(range(count), opens.tolist(), closes.tolist(), strict=True))
    bars = [Bar(60 * n, first, last) for n, first, last in rows]
    params = SmaCross(FAST, SLOW)
    ours = min(seconds(lambda: run_bars(bars, params, Costs(FEE))) for _ in range(ROUNDS))
    ran = run_bars(bars, params, Costs(FEE))
    found: dict[str, Any] = {
        "ours_bars_per_s": round(count / ours),
        "round_trips": ran.round_trips,
        "coin_net": round(sum(coin_net(trade) for trade in ran.trades), 5),
    }
    assert ran.round_trips == len(ran.trades), "coin_net needs all of them"
    for name in ("backtrader", "nautilus"):
        if told := compare(name, opens, closes):
            found[f"{name}_bars_per_s"] = round(count / told["seconds"])
            found[f"ratio_{name}"] = round(told["seconds"] / ours, 1)
            found[f"{name}_round_trips"] = int(told["round_trips"])
            if "coin_net" in told:
                found[f"{name}_coin_net"] = round(told["coin_net"], 5)
    return found


def measure_lab(events: dict[str, Any]) -> dict[str, Any]:
    """Measure the engines that trade, on the first of the same bars, with the built-in momentum.

    They are order book, scanner, risk, executor and accounts on one heap, with latencies and
    timers: not the loop over bars that ``measure_events`` measures, nor what the others do.
    """
    opens, closes = prices(LAB_BARS)
    pairs = zip(opens.tolist(), closes.tolist(), strict=True)
    candles = [
        Candle(BEGIN_S + 60 * n, first, max(first, last), min(first, last), last)
        for n, (first, last) in enumerate(pairs)
    ]
    case = Case(Momentum(FAST, SLOW, 10.0), 1e4 * FEE, 2.0, terms=BacktestConfig())
    with tempfile.TemporaryDirectory() as folder:
        store = stored(Path(folder), candles, case.bar_s)
        runs = []
        best = min(seconds(lambda: runs.append(by_the_lab(store, case)[0])) for _ in range(2))
    found = {"bars_per_s": round(LAB_BARS / best), "fills": runs[-1].fill_count}
    for name in ("backtrader", "nautilus"):
        if theirs := events.get(f"{name}_bars_per_s"):
            found[f"share_of_{name}"] = round(LAB_BARS / best / theirs, 4)
    return found


def coin_net(trade: RoundTrip) -> float:
    """Return what the round trip made with one coin, after fees, in quote units."""
    fees = (trade.entry_price + trade.exit_price) * FEE
    return trade.side * (trade.exit_price - trade.entry_price) - fees


def compare(name: str, opens: np.ndarray, closes: np.ndarray) -> dict[str, float] | None:
    """Return the best round of another program, None where it cannot be run."""
    if not python_of(name).exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bars.npz"
        np.savez(file, opens=opens, closes=closes)
        other = Other(name, file)
        rounds = [other.round() for _ in range(3)]
        other.close()
    good = [told for told in rounds if told]
    return min(good, key=lambda told: told["seconds"]) if good else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--bars", type=int, default=1_000_000)
    args = parser.parse_args()
    events = measure_events(EVENT_BARS)
    found = {"kernel": measure_kernel(args.bars), "events": events, "lab": measure_lab(events)}
    if args.json:
        print(json.dumps(found))
        return
    for group, figures in found.items():
        for name, value in figures.items():
            print(f"{group}.{name:24} {value}")


if __name__ == "__main__":
    main()
