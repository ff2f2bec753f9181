"""The worked example of a backtest of the whole system: made-up books of two venues, and a config.

The venues are apart now and then, for less than a second to some seconds, by more than their fees
or by less. Pure.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from shared.store.manifest import folder_of
from shared.store.parquet import Made, write_table

BEGIN_NS = 1_704_067_200_000_000_000
STEP_NS = 200_000_000
STEPS = 3_000
LEVELS = 10
SEED = 11
MARKET = "BTC/USDT"
FEES_BPS = {"alpha": 4, "beta": 6}
CONFIG = """\
# The whole system on the made-up order books beside this file: docs/research.md explains it.

[venues.alpha]
instruments = ["BTC/USDT"]
taker_fee_bps = 4

[venues.beta]
instruments = ["BTC/USDT"]
taker_fee_bps = 6

[[strategies]]
id = "cross"
class = "cross_venue"
params = { edge_bps_min = 1.0 }

[backtest]
order_ms = 30
answer_ms = 30
jitter_ms = 20
seed = 7

[backtest.venues.alpha]
balances = { USDT = 50_000, BTC = 1 }

[backtest.venues.beta]
balances = { USDT = 50_000, BTC = 1 }
fee_tiers = [[0, 6], [500_000, 5]]

[study.grid]                        # what `arb optimize` tries
edge_bps_min = [0.5, 2.0, 4.0, 6.0]
cooldown_ms = [300, 1_000]

[statistics]
period = "10s"
trials = "study_trials.jsonl"       # every set ever tried; it only grows

[walk_forward]
train = "4m"
test = "1m"
"""


def write_books(store: Path, steps: int = STEPS) -> None:
    """Write depth of two venues into a store, ten minutes of it unless another number is given."""
    draw = Random(SEED)
    rows: dict[str, list[tuple[Any, ...]]] = {venue: [] for venue in FEES_BPS}
    fair, apart_bps, left = 40_000.0, 0.0, 0
    for step in range(steps):
        fair *= 1 + draw.gauss(0, 0.3e-4)
        if not left and draw.random() < 0.02:
            apart_bps, left = draw.uniform(7, 18) * draw.choice((-1, 1)), draw.randrange(1, 15)
        left = max(0, left - 1)
        for number, venue in enumerate(FEES_BPS):
            at_ns = BEGIN_NS + step * STEP_NS + number * 40_000_000
            middle = fair * (1 + number * (apart_bps * 1e-4 if left else 0.0))
            rows[venue] += _snapshot(middle, step + 1, at_ns, draw)
    for venue, found in rows.items():
        folder = folder_of(store, "depth", venue=venue, instrument=MARKET, date="2024-01-01")
        write_table(folder / f"{venue}.parquet", "depth", found, Made())


def _snapshot(middle: float, seq: int, at_ns: int, draw: Random) -> list[tuple[Any, ...]]:
    """Return a whole book, as venues send it that tell no changes."""
    head = (at_ns, at_ns, at_ns, seq, seq, True)
    return [
        (
            *head,
            is_bid,
            round(middle * (1 - sign * (level + 0.5) * 0.5e-4), 1),
            round(draw.uniform(0.02, 0.5), 4),
        )
        for is_bid, sign in ((True, 1), (False, -1))
        for level in range(LEVELS)
    ]
