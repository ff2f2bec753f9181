"""Made-up books of two venues whose differences are worth taking, or are fair bets."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from services.research.trading_example import BEGIN_NS, FEES_BPS, MARKET
from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table

MS = 1_000_000
EVENT_MS, LASTS_MS, GONE_MS, STEP_MS = 2_000, 1_000, 20, 200
LEVELS, QTY, STEP = 5, 0.2, 0.00005
LOSS_BPS = 9.0
"""What it costs to buy on one venue, find the other gone, and sell again."""
COSTS_BPS = 11.0
"""Both fees and half of both spreads."""
TEXT = """\
[venues.alpha]
instruments = ["BTC/USDT"]
taker_fee_bps = 4

[venues.beta]
instruments = ["BTC/USDT"]
taker_fee_bps = 6

[[strategies]]
id = "cross"
class = "cross_venue"

[backtest]
order_ms = 30

[backtest.venues.alpha]
balances = { USDT = 1_000_000, BTC = 20 }

[backtest.venues.beta]
balances = { USDT = 1_000_000, BTC = 20 }

[study.grid]
edge_bps_min = [1.0, 10.0, 60.0]

[statistics]
period = "10s"
blocks = 8

[walk_forward]
train = "4m"
test = "1m"
"""

HELD_MINUTES_MAX = 45
MOMENTUM = f"""\
[venues.alpha]
instruments = ["BTC/USDT"]
taker_fee_bps = 2

[[strategies]]
id = "mom"
class = "momentum"
directional_notional_max = 5_000
directional_equity = 20_000
params = {{ held_minutes_max = {HELD_MINUTES_MAX}.0, stop_bps = 400.0 }}

[study.grid]
fast_bars = [3, 6, 12]
slow_bars = [12]

[statistics]
period = "10m"
blocks = 4

[walk_forward]
train = "3h"
test = "90m"
"""


def study_config(folder: Path, text: str = TEXT) -> Path:
    """Write the configuration of a study."""
    path = folder / "arb.toml"
    path.write_text(text, encoding="utf-8")
    return path


def write_study_books(store: Path, *, seconds: int = 600, fair: bool = False) -> Path:
    """Write a difference of the two venues every two seconds.

    One of five is wide and lasts; the others are narrow, and gone before an order is there. Where
    ``fair``, each is as wide as it happens and the wider the likelier gone: it is worth nothing.
    """
    draw = Random(5)
    rows: dict[str, list[tuple[Any, ...]]] = {venue: [] for venue in FEES_BPS}
    seen = dict.fromkeys(FEES_BPS, 0)

    def show(venue: str, at_ms: int, middle: float) -> None:
        seen[venue] += 1
        at_ns = BEGIN_NS + at_ms * MS
        rows[venue] += _book(middle, seen[venue], at_ns)

    wide: list[bool] = []
    for begin_ms in range(0, seconds * 1_000, EVENT_MS):
        if not wide:
            wide = [True, False, False, False, False]
            draw.shuffle(wide)
        lasts = wide.pop()
        apart_bps = draw.uniform(27, 33) if lasts else 15.0
        if fair:
            apart_bps = draw.uniform(13, 35)
            gain_bps = apart_bps - COSTS_BPS
            lasts = draw.random() > gain_bps / (gain_bps + LOSS_BPS)
        sign = draw.choice((-1, 1))
        for at_ms in range(begin_ms, begin_ms + EVENT_MS, STEP_MS):
            show("alpha", at_ms, 40_000.0)
            is_apart = begin_ms + EVENT_MS - at_ms <= LASTS_MS
            begins = begin_ms + EVENT_MS - at_ms == LASTS_MS
            shown_bps = apart_bps * sign if is_apart and (lasts or begins) else 0.0
            show("beta", at_ms + 40, 40_000 * (1 + shown_bps * 1e-4))
            if begins and not lasts:
                show("beta", at_ms + 40 + GONE_MS, 40_000.0)
    for venue, found in rows.items():
        folder = folder_of(store, "depth", venue=venue, instrument=MARKET, date="2024-01-01")
        write_table(folder / f"{venue}.parquet", "depth", found, Made())
    return store


def _book(middle: float, seq: int, at_ns: int) -> list[tuple[Any, ...]]:
    head = (at_ns, at_ns, at_ns, seq, seq, True)
    qty = QTY + seq % 7 / 1_000  # another each time: what was taken is there again
    return [
        (*head, is_bid, round(middle * (1 - sign * (level + 0.5) * STEP), 1), qty)
        for is_bid, sign in ((True, 1), (False, -1))
        for level in range(LEVELS)
    ]


def write_study_bars(store: Path, minutes: int = 480) -> Path:
    """Write minutes of a market that rises and falls for forty of them each, and wobbles."""
    draw = Random(3)
    rows: list[tuple[Any, ...]] = []
    first = 20_000.0
    for n in range(minutes):
        drift_bps = -2.5 if n // 40 % 2 else 3.0
        last = round(first * (1 + (drift_bps + draw.gauss(0, 2)) * 1e-4), 2)
        prices = (first, max(first, last) + 0.5, min(first, last) - 0.5, last)
        at_ns = BEGIN_NS + n * 60_000 * MS
        rows.append((at_ns, 60_000 * MS, *prices, 5.0, None, None, 4, False, True))
        first = last
    folder = folder_of(store, "bar", venue="alpha", instrument=MARKET, date="2024-01-01")
    write_table(folder / "alpha.parquet", "bar", rows, Made(step_ns=60_000 * MS))
    return store
