"""Other programs on the same bars and rule; runs in environments of their own.

    .bench-venv-bars/bin/python tests/bench/bars_others.py vectorbt|backtrader BARS.npz
    .bench-venv-nautilus/bin/python tests/bench/bars_others.py nautilus BARS.npz

For every line on stdin one round is run; its CPU seconds and its round trips are printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

FAST, SLOW, FEE = 10, 30, 0.001


def vectorbt(opens: np.ndarray, closes: np.ndarray) -> Callable[[], dict[str, float]]:
    import pandas as pd
    import vectorbt as vbt

    index = pd.date_range("2020-01-01", periods=len(closes), freq="1min")
    first, last = pd.Series(opens, index=index), pd.Series(closes, index=index)

    def run() -> dict[str, float]:
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
        return {"round_trips": int(made.trades.count())}

    return run


def backtrader(opens: np.ndarray, closes: np.ndarray) -> Callable[[], dict[str, float]]:
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

    def run() -> dict[str, float]:
        engine = bt.Cerebro(stdstats=False)
        engine.adddata(bt.feeds.PandasData(dataname=frame))
        engine.addstrategy(Cross)
        engine.broker.setcash(1e6)
        engine.broker.setcommission(commission=FEE)
        engine.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
        (ran,) = engine.run()
        return {"round_trips": int(ran.analyzers.trades.get_analysis().total.total)}

    return run


def nautilus(opens: np.ndarray, closes: np.ndarray) -> Callable[[], dict[str, float]]:
    """One coin a time: an order fills at the close of its bar, which is the next open here.

    Built once: a round resets and runs the engine, without its risk checks, log and analysis, and
    with an id for every position, which is faster than one position that is opened again.
    """
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig, RiskEngineConfig
    from nautilus_trader.indicators import SimpleMovingAverage
    from nautilus_trader.model.currencies import BTC, USDT
    from nautilus_trader.model.data import Bar, BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    venue, symbol, cash = Venue("SIM"), Symbol("BTCUSDT"), 10**9
    market = InstrumentId(symbol, venue)
    kind = BarType.from_str(f"{market}-1-MINUTE-LAST-EXTERNAL")
    fee, one = Decimal(str(FEE)), Quantity(1, 6)

    class Cross(Strategy):
        def on_start(self) -> None:
            self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
            for average in (self.fast, self.slow):
                self.register_indicator_for_bars(kind, average)
            self.before: float | None = None
            self.is_long = False
            self.subscribe_bars(kind)

        def on_bar(self, bar: Bar) -> None:
            if not self.slow.initialized:
                return
            lead, before = self.fast.value - self.slow.value, self.before
            self.before = lead
            if self.is_long:
                if lead < 0:
                    (held,) = self.cache.positions_open()
                    self.trade(OrderSide.SELL, held.id)
            elif before is not None and lead > 0 >= before:
                self.trade(OrderSide.BUY, None)

        def trade(self, side: OrderSide, position: Any) -> None:
            self.is_long = side == OrderSide.BUY
            self.submit_order(self.order_factory.market(market, side, one), position_id=position)

    def bar(number: int, first: float, last: float) -> Bar:
        high, low, at_ns = max(first, last), min(first, last), (number + 1) * 60 * 10**9
        told = (Price(price, 2) for price in (first, high, low, last))
        return Bar(kind, *told, Quantity(1_000, 6), at_ns, at_ns)

    quiet = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=quiet, risk_engine=RiskEngineConfig(bypass=True), run_analysis=False
        )
    )
    engine.add_venue(venue, OmsType.HEDGING, AccountType.CASH, [Money(cash, USDT)])
    steps = (2, 6, Price(0.01, 2), Quantity(0.000001, 6))
    fees = {"maker_fee": fee, "taker_fee": fee}
    engine.add_instrument(
        CurrencyPair(market, symbol, BTC, USDT, *steps, ts_event=0, ts_init=0, **fees)
    )
    pairs = zip(opens.tolist(), closes.tolist(), strict=True)
    engine.add_data([bar(number, first, last) for number, (first, last) in enumerate(pairs)])
    engine.add_strategy(Cross())

    def run() -> dict[str, float]:
        engine.reset()
        engine.run()
        left = engine.portfolio.account(venue).balance_total(USDT).as_decimal()
        return {"round_trips": len(engine.cache.positions_closed()), "coin_net": float(left - cash)}

    return run


def main() -> None:
    bars = np.load(sys.argv[2])
    makers = {"vectorbt": vectorbt, "backtrader": backtrader, "nautilus": nautilus}
    run = makers[sys.argv[1]](bars["opens"], bars["closes"])
    run()  # compiles, loads
    for _ in sys.stdin:
        begin = time.process_time()
        told = run()
        print(json.dumps({"seconds": time.process_time() - begin, **told}), flush=True)


if __name__ == "__main__":
    main()
