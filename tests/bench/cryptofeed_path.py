"""cryptofeed's own Binance handler on recorded frames; runs in the benchmark environment.

    .bench-venv/bin/python tests/bench/cryptofeed_path.py FRAMES spot|linear

FRAMES holds the REST book on its first line, then one frame per line. For every line on stdin one
round is run over a fresh book and its nanoseconds are printed; at the end of stdin the final book.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Binance, BinanceFutures
from cryptofeed.symbols import Symbols
from cryptofeed.types import OrderBook

MARKETS = {"spot": (Binance, "BTC-USDT"), "linear": (BinanceFutures, "BTC-USDT-PERP")}


def main() -> None:
    kind, name = MARKETS[sys.argv[2]]
    Symbols.set(kind.id, {name: "BTCUSDT"}, {"instrument_type": {name: sys.argv[2]}})
    snapshot, *frames = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rest = json.loads(snapshot)
    sides = {
        side: {Decimal(price): Decimal(qty) for price, qty in rest[side]}
        for side in ("bids", "asks")
    }
    feed = kind(symbols=[name], channels=[L2_BOOK], callbacks={})

    async def run() -> int:
        feed._reset()
        feed._l2_book[name] = OrderBook(kind.id, name, bids=sides["bids"], asks=sides["asks"])
        feed.last_update_id[name] = rest["lastUpdateId"]
        started = time.thread_time_ns()
        for frame in frames:
            await feed.message_handler(frame, None, 0.0)
        return time.thread_time_ns() - started

    for _ in sys.stdin:
        print(asyncio.run(run()), flush=True)
    book = feed._l2_book[name].book
    final = {
        side: [[float(price), float(levels[price])] for price in levels.keys()]  # noqa: SIM118
        for side, levels in (("bids", book.bids), ("asks", book.asks))
    }
    print(json.dumps(final), flush=True)


if __name__ == "__main__":
    main()
