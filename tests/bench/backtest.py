"""The whole chain on recorded deltas: order book, strategies, risk, executor and accounts.

    python -m tests.bench.backtest [--json]

Beside it, on the same messages, order book and scanner alone: what the rest of the chain costs. The
messages are in memory before the clock starts; CPU time counts, the best of some rounds is taken.
Recorded books where there are any (``ARB_DATA``), else made-up ones.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from services.cli.verification import Verifier
from services.lab.backtest import Backtest, configured
from services.lab.backtest_terms import BacktestConfig
from services.lab.recorded import survey
from services.lab.table_rows import Timed
from services.lab.tables import Tables
from services.orderbook.engine import OrderbookEngine
from services.scanner.engine import StrategyHost
from shared.config_sections import Config
from shared.messages.base import Message
from shared.messages.market import BookDelta, BookSnapshot, DepthView, InstrumentInfo
from shared.strategy_files import load_strategies
from tests.e2e.test_replay_pays import kraken_recording, recording
from tests.support import data_dir

ROUNDS = 3
NAMES = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")


class Prepared(Tables):
    """Messages that are in memory already."""

    def __init__(self, paths: list[Path]) -> None:
        contents = survey(paths)
        found: list[Timed] = []

        def on_message(message: Message, item: Any) -> None:
            if isinstance(message, BookSnapshot | BookDelta):
                found.append((item.ts_recv_ns, message))

        verifier = Verifier(contents.capture, on_message)
        for item in contents.capture:
            verifier.take(item)
        verifier.close()
        super().__init__(
            "depth", [], rules=contents.rules, first_ns=contents.first_ns, last_ns=contents.last_ns
        )
        self.prepared = found

    def messages(self) -> Iterator[Timed]:
        """Yield them."""
        return iter(self.prepared)


def seconds(make: Callable[[], Callable[[], Any]]) -> float:
    """Return the CPU time of the best round."""
    times = []
    for _ in range(ROUNDS):
        work = make()
        gc.collect()
        gc.disable()
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
        gc.enable()
    return min(times)


def engines_alone(data: Prepared, config: Config) -> Callable[[], None]:
    """Return a pass of the messages through order book and scanner, called one after the other."""
    books, host = OrderbookEngine(config.orderbook), StrategyHost(load_strategies(config))
    books.own(0, None, data.first_ns)
    host.start({}, data.first_ns)
    for rules in data.rules.values():
        host.on_message(InstrumentInfo(ts_ns=data.first_ns, rules=rules), data.first_ns)

    def run() -> None:
        for at_ns, message in data.prepared:
            for view in books.on_message(message, at_ns).messages:
                if type(view) is DepthView:
                    host.on_message(view, at_ns)

    return run


def measure(paths: list[Path]) -> dict[str, Any]:
    data, terms = Prepared(paths), BacktestConfig()
    config = configured(Config(), data, "bench")
    deltas, market_s = len(data.prepared), (data.last_ns - data.first_ns) / 1e9
    chain_s = seconds(lambda: Backtest(data, config, terms).run)
    alone_s = seconds(lambda: engines_alone(data, config))
    return {
        "deltas": deltas,
        "market_s": round(market_s, 1),
        "deltas_per_s": round(deltas / chain_s),
        "times_real": round(market_s / chain_s),
        "two_engines_deltas_per_s": round(deltas / alone_s),
        "ratio_two_engines": round(alone_s / chain_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    paths = [data_dir() / "hftbacktest" / name for name in NAMES]
    with tempfile.TemporaryDirectory() as folder:
        recorded = all(path.exists() for path in paths)
        if not recorded:
            paths = [
                recording(Path(folder) / "one", 60_000.0, futures=False),
                kraken_recording(Path(folder) / "other", 60_000.0),
            ]
        found = {"recorded": recorded, **measure(paths)}
    print(json.dumps(found) if args.json else "\n".join(f"{k:26} {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
