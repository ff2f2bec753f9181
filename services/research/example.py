"""The worked example: made-up candles of changing moods, and a search over them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
BAR = timedelta(hours=4)
BARS = 6_570
SEED = 11
CONFIG = """\
# A search for a crossing of two averages, on the made-up candles beside this file.
# docs/research.md explains every key.

[rule]
name = "sma_cross"
params = { fast_bars = 20, slow_bars = 100 }    # what `arb backtest` runs
grid = { fast_bars = [5, 10, 20, 30, 45], slow_bars = [40, 60, 100, 150, 200, 300] }

[costs]
fee_bps = 10                # of each side

[walk_forward]
train_days = 180
test_days = 30

[statistics]
seed = 7
trials = "trials.jsonl"     # every set ever tried; it only grows
"""


def candles_csv() -> str:
    """Return three years of bars of 4 hours: drifts that last weeks, and calm and wild spells."""
    draw = Random(SEED)
    lines = ["open_time,open,high,low,close,volume"]
    price, drift, wild = 20_000.0, 0.0, 0.008
    for n in range(BARS):
        if draw.random() < 1 / 120:
            drift = draw.choice((-0.0012, 0.0, 0.0004, 0.0016))
        wild = max(0.003, min(0.03, wild * (1 + draw.uniform(-0.06, 0.06))))
        first = price
        steps = [first]
        for _ in range(4):
            steps.append(steps[-1] * (1 + drift / 4 + draw.gauss(0, wild / 2)))
        price = steps[-1]
        when = f"{BEGIN + n * BAR:%Y-%m-%d %H:%M:%S}+00:00"
        numbers = ",".join(f"{v:.2f}" for v in (first, max(steps), min(steps), price))
        price = float(f"{price:.2f}")
        lines.append(f"{when},{numbers},{draw.uniform(50, 500):.3f}")
    return "\n".join(lines) + "\n"
