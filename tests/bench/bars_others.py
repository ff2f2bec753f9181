"""Other programs on the same bars and rule; runs in an environment of its own.

    .bench-venv-bars/bin/python tests/bench/bars_others.py vectorbt|backtrader BARS.npz

For every line on stdin one round is run; its CPU seconds and its round trips are printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

FAST, SLOW, FEE = 10, 30, 0.001


def vectorbt(opens: np.ndarray, closes: np.ndarray) -> Callable[[], int]:
    import pandas as pd
    import vectorbt as vbt

    index = pd.date_range("2020-01-01", periods=len(closes), freq="1min")
    first, last = pd.Series(opens, index=index), pd.Series(closes, index=index)

    def run() -> int:
        fast, slow = vbt.MA.run(last, FAST).ma, vbt.MA.run(last, SLOW).ma
        entries = (fast > slow) & (fast.shift(1) <= slow.shift(1))
        exits = fast < slow
        made = vbt.Portfolio.from_signals(
            first,
            entries.shift(1, fill_value=False),
            exits.shift(1, fill_value=False),
            fees=FEE,
            freq="1min",
            init_cash=1e20,  # below 1e-9 it ignores orders, and these bars lose nearly all
        )
        made.total_return(), made.sharpe_ratio(), made.max_drawdown()
        return int(made.trades.count())

    return run


def backtrader(opens: np.ndarray, closes: np.ndarray) -> Callable[[], int]:
    import backtrader as bt
    import pandas as pd

    index = pd.date_range("2020-01-01", periods=len(closes), freq="1min")
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    columns = {"open": opens, "high": high, "low": low, "close": closes, "volume": 1.0}
    frame = pd.DataFrame(columns, index=index)

    class Cross(bt.Strategy):
        def __init__(self) -> None:
            self.lead = bt.ind.SMA(period=FAST) - bt.ind.SMA(period=SLOW)

        def next(self) -> None:
            if not self.position and self.lead[0] > 0 >= self.lead[-1]:
                self.order_target_percent(target=0.99)
            elif self.position and self.lead[0] < 0:
                self.close()

    def run() -> int:
        engine = bt.Cerebro(stdstats=False)
        engine.adddata(bt.feeds.PandasData(dataname=frame))
        engine.addstrategy(Cross)
        engine.broker.setcash(1e6)
        engine.broker.setcommission(commission=FEE)
        engine.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
        (ran,) = engine.run()
        return int(ran.analyzers.trades.get_analysis().total.total)

    return run


def main() -> None:
    bars = np.load(sys.argv[2])
    makers = {"vectorbt": vectorbt, "backtrader": backtrader}
    run = makers[sys.argv[1]](bars["opens"], bars["closes"])
    run()  # compiles, loads
    for _ in sys.stdin:
        begin = time.process_time()
        round_trips = run()
        told = {"seconds": time.process_time() - begin, "round_trips": round_trips}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
