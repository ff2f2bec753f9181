"""The same backtest one bar at a time, as bars would arrive live: the kernel must agree with it.

Plain Python, with no arrays: the rule sees a close after it happened and nothing later. It also
tells round trips, which the kernel only counts. What it keeps does not grow with the bars: equity
at the instants asked for, and the newest round trips.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

import msgspec

from services.research.kernel import LOT_SLACK, Costs
from services.research.rules import Momentum, RuleParams, SmaCross, scale_of, threshold_of

TRADES_MAX = 10_000
"""Round trips kept, the newest; older ones are in the counts only."""


class Bar(NamedTuple):
    """A closed bar, as far as these rules look at it; ``time_s`` is when it began (UNIX)."""

    time_s: int
    open: float
    close: float


class RoundTrip(msgspec.Struct, frozen=True):
    """A position from its entry to its exit, in units of the capital.

    Prices are those that were paid, with half the spread; ``qty`` is in base units.
    """

    side: int
    entry_s: int
    entry_price: float
    exit_s: int
    exit_price: float
    gross: float
    fees: float
    qty: float

    @property
    def net(self) -> float:
        """Return what is left after fees."""
        return self.gross - self.fees


class _Averages:
    """Sums over the last closes in whole units: exact, however long they run."""

    def __init__(self, params: RuleParams) -> None:
        self.fast, self.slow = params.fast_bars, params.slow_bars
        self._recent: deque[int] = deque(maxlen=self.slow)
        self._sum_fast = self._sum_slow = 0

    def take(self, units: int) -> tuple[int, float] | None:
        """Return by how much the fast average leads, as a number and as a share; None before."""
        recent = self._recent
        if len(recent) >= self.fast:
            self._sum_fast -= recent[-self.fast]
        if len(recent) == self.slow:
            self._sum_slow -= recent[0]
        recent.append(units)
        self._sum_fast += units
        self._sum_slow += units
        if len(recent) < self.slow:
            return None
        high, low = self._sum_fast * self.slow, self._sum_slow * self.fast
        return high - low, float(high) / float(low) - 1.0


class _SmaCross:
    def __init__(self, params: SmaCross) -> None:
        self._averages = _Averages(params)
        self._before: int | None = None

    def on_close(self, units: int, side: int) -> int:
        """Return the side wanted from the next open on."""
        found = self._averages.take(units)
        if found is None:
            return side
        lead, before, self._before = found[0], self._before, found[0]
        if side == 0:
            return 1 if before is not None and lead > 0 >= before else 0
        return 0 if lead < 0 else side


class _Momentum:
    def __init__(self, params: Momentum) -> None:
        self._averages = _Averages(params)
        self._edge = threshold_of(params)

    def on_close(self, units: int, side: int) -> int:
        """Return the side wanted from the next open on."""
        found = self._averages.take(units)
        if found is None:
            return side
        if found[1] > self._edge and side <= 0:
            return 1
        if found[1] < -self._edge and side >= 0:
            return -1
        return side


class BarBacktest:
    """Takes bars in order; ``finish`` closes what is open and settles the last bar.

    Args:
        params: The rule and its parameters.
        costs: What trading costs.
        instants: At which counts of closed bars equity is kept, rising; otherwise at every close.

    Attributes:
        equity: At these instants.
        value: At the last close.
        drawdown: The deepest fall at closes as a share of the peak, the capital included; of the
            last bar only once it is finished.
        trades: Closed round trips, the newest ``TRADES_MAX``.
        round_trips: How many there were, ``winners`` those that won after fees.
    """

    def __init__(
        self, params: RuleParams, costs: Costs, instants: Iterable[int] | None = None
    ) -> None:
        self._rule = _SmaCross(params) if isinstance(params, SmaCross) else _Momentum(params)
        self._costs = costs
        self._scale = 0.0
        self._cash, self._held, self._side, self._wanted = 1.0, 0.0, 0, 0
        self._entry: tuple[int, float, float, float] = (0, 0.0, 0.0, 0.0)
        self._last: Bar | None = None
        self._bars = self._kept_of_last = 0
        self._instants: Iterator[int] = count(1) if instants is None else iter(instants)
        self._instant = next(self._instants, None)
        self.value = self._peak = 1.0
        self.drawdown = 0.0
        self.equity: list[float] = []
        self.trades: deque[RoundTrip] = deque(maxlen=TRADES_MAX)
        self.round_trips = self.winners = 0
        self.fees = 0.0
        self.turnover = 0.0
        self.sides = 0
        self.bars_in_market = 0
        self._keep_equity()

    @property
    def side(self) -> int:
        """Return what is held: 1 long, -1 short, 0 nothing."""
        return self._side

    def on_bar(self, bar: Bar) -> None:
        """Fill at the open what the close before decided; then mark and decide at this close."""
        if self._scale == 0.0:
            self._scale = scale_of(bar.close)
        self._note_fall()
        if self._wanted != self._side:
            if self._side:
                self._close(bar.time_s, bar.open)
            if self._wanted and self._cash > 0:
                self._enter(bar.time_s, bar.open)
        elif self._costs.rebalanced and self._side < 0:
            whole = max(self._cash + self._held * bar.open, 0.0)
            self._held, self._cash = -whole / bar.open, 2 * whole
        if self._side:
            self.bars_in_market += 1
            if self._cash + self._held * bar.close <= 0:
                self._close(bar.time_s, bar.close)
        self.value = self._cash + self._held * bar.close
        self._bars += 1
        self._keep_equity()
        self._last = bar
        units = round(bar.close * self._scale)
        wanted = self._rule.on_close(units, self._side)
        self._wanted = wanted if self.value > 0 else 0

    def finish(self) -> None:
        """Close what is open at the last close, at cost."""
        if self._last is not None and self._side:
            self._close(self._last.time_s, self._last.close)
            self.value = self._cash
            for number in range(1, self._kept_of_last + 1):
                self.equity[-number] = self.value
        self._note_fall()

    def _keep_equity(self) -> None:
        """Keep what it is at this close, for every instant that comes before the next one."""
        self._kept_of_last = 0
        while self._instant == self._bars:
            self.equity.append(self.value)
            self._kept_of_last += 1
            self._instant = next(self._instants, None)

    def _note_fall(self) -> None:
        self._peak = max(self._peak, self.value)
        self.drawdown = max(self.drawdown, 1 - self.value / self._peak)

    def _enter(self, time_s: int, middle: float) -> None:
        costs, side, equity = self._costs, self._wanted, self._cash
        price = middle * (1 + side * costs.half_spread)
        if costs.stake:
            qty = self._staked_qty(price)
            worth = qty * price
            cost = costs.fee * worth
            self._cash = equity - side * worth - cost
        else:
            cost = equity * costs.fee
            worth = equity - cost
            qty = worth / price
            self._cash = 0.0 if side > 0 else 2 * worth
        if not qty:
            return
        self._held, self._side = side * qty, side
        self._entry = (time_s, price, equity, cost)
        self.fees += cost
        self.turnover += worth / equity if costs.stake else 1.0
        self.sides += 1

    def _staked_qty(self, price: float) -> float:
        """Return the base units that the stake buys, down to the lot, per unit of capital."""
        costs = self._costs
        if not costs.lot:
            return costs.stake / price / costs.capital
        lots = math.floor(costs.stake / (price * costs.lot) * (1 + LOT_SLACK))
        return lots * costs.lot / costs.capital

    def _close(self, time_s: int, middle: float) -> None:
        entry_s, entry_price, before, paid = self._entry
        price = middle * (1 - self._side * self._costs.half_spread)
        equity = max(self._cash + self._held * price, 0.0)
        traded = equity if self._costs.rebalanced else abs(self._held) * price
        cost = self._costs.fee * traded
        self.turnover += traded / equity if equity > 0 else 0.0
        qty = abs(self._held)
        self._cash, self._held = max(equity - cost, 0.0), 0.0
        fees = paid + cost
        gross = self._cash - before + fees
        trade = RoundTrip(self._side, entry_s, entry_price, time_s, price, gross, fees, qty)
        self.trades.append(trade)
        self.round_trips += 1
        self.winners += trade.net > 0
        self.fees += cost
        self.sides += 1
        self._side = 0


def run_bars(
    bars: Iterable[Bar], params: RuleParams, costs: Costs, instants: Iterable[int] | None = None
) -> BarBacktest:
    """Run a rule over all bars, which may be a stream."""
    run = BarBacktest(params, costs, instants)
    for bar in bars:
        run.on_bar(bar)
    run.finish()
    return run
