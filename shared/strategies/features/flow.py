"""Order flow features of trades and best quotes: volume by side, VWAP, imbalance. Pure."""

from __future__ import annotations

import math

from shared.messages.base import Side
from shared.messages.market import Trade
from shared.strategies.features.grid import Grid
from shared.strategies.features.moments import REBASE, ExactSum
from shared.strategies.features.windows import LastN, Window


class WindowSum:
    """The sum of the values of the last ``span_ns``."""

    def __init__(self, span_ns: int) -> None:
        self.window = Window(span_ns)
        self._sum, self._updates = ExactSum(), 0

    def update(self, value: float, ts_ns: int) -> None:
        """Take a value in."""
        refused, late = self.window.refused, self.window.late
        gone = self.window.update(value, ts_ns)
        if (self.window.refused, self.window.late) == (refused, late):
            self._sum.add(value)
        self._leave(gone)
        self._updates += 1
        if self._updates >= REBASE:
            self._updates, self._sum = 0, ExactSum()
            for each in self.window.values():
                self._sum.add(each)

    def advance(self, ts_ns: int) -> None:
        """Let time pass without a value."""
        self._leave(self.window.advance(ts_ns))

    def value(self) -> float:
        """Return the sum."""
        return self._sum.value

    def recompute(self) -> float:
        """Return it from the window alone."""
        return math.fsum(self.window.values())

    def _leave(self, gone: list[float]) -> None:
        for each in gone:
            self._sum.add(-each)
        if not len(self.window):
            self._sum = ExactSum()


class TradeFlow:
    """Volume, signed volume and VWAP of the trades of the last ``span_ns``.

    By the venue's time where a trade has one, which then all of them should.
    """

    def __init__(self, span_ns: int) -> None:
        self._signed, self._base = WindowSum(span_ns), WindowSum(span_ns)
        self._quote = WindowSum(span_ns)

    def update(self, trade: Trade) -> None:
        """Take a trade in."""
        ts_ns = trade.ts_recv_ns if trade.ts_venue_ns is None else trade.ts_venue_ns
        signed = trade.qty if trade.side is Side.BUY else -trade.qty
        self._signed.update(signed, ts_ns)
        self._base.update(trade.qty, ts_ns)
        self._quote.update(trade.qty * trade.price, ts_ns)

    def advance(self, ts_ns: int) -> None:
        """Let time pass without a trade."""
        for each in (self._signed, self._base, self._quote):
            each.advance(ts_ns)

    def value(self) -> tuple[float, float, float | None]:
        """Return volume, takers' buys less sells, and VWAP (``None`` of no trade)."""
        base, quote = self._base.value(), self._quote.value()
        return base, self._signed.value(), _ratio(quote, base, len(self._base.window))

    def recompute(self) -> tuple[float, float, float | None]:
        """Return the same from the windows alone."""
        base, quote = self._base.recompute(), self._quote.recompute()
        return base, self._signed.recompute(), _ratio(quote, base, len(self._base.window))

    @property
    def late(self) -> int:
        """Trades that came out of order, and were left out."""
        return self._base.window.late


class OrderFlowImbalance:
    """What was added to the best bid less what was added to the best ask, over a grid.

    Between two instants a bid that is no lower adds its quantity, one that is no higher takes the
    old quantity away, and the other way round for asks (Cont, Kukanov and Stoikov 2014).

    Args:
        step_ns: Of the grid.
        steps: Changes in the window.
    """

    def __init__(self, step_ns: int, steps: int) -> None:
        self._grids = [Grid(step_ns) for _ in range(4)]
        self._window, self._sum, self._updates = LastN(steps), ExactSum(), 0
        self._before: tuple[float, ...] | None = None
        self._restarts = 0

    def update(self, bid: float, bid_qty: float, ask: float, ask_qty: float, ts_ns: int) -> None:
        """Take the best prices and quantities in."""
        quote = (bid, bid_qty, ask, ask_qty)
        if all(math.isfinite(each) for each in quote):
            self._take(
                [grid.update(each, ts_ns) for grid, each in zip(self._grids, quote, strict=True)]
            )

    def advance(self, ts_ns: int) -> None:
        """Let time pass without a quote."""
        self._take([grid.advance(ts_ns) for grid in self._grids])

    def value(self) -> float | None:
        """Return it in base units, ``None`` until the window is full."""
        return self._sum.value if self._window.is_full else None

    def recompute(self) -> float | None:
        """Return it from the changes in the window alone."""
        return math.fsum(self._window.values()) if self._window.is_full else None

    def _take(self, samples: list[list[float]]) -> None:
        if self._grids[0].restarts != self._restarts:
            self._restarts, self._before = self._grids[0].restarts, None
            self._window, self._sum = LastN(self._window.count), ExactSum()
        for quote in zip(*samples, strict=True):
            if self._before is not None:
                change = _flow(self._before, quote)
                gone = self._window.update(change)
                self._sum.add(change)
                if gone is not None:
                    self._sum.add(-gone)
                self._updates += 1
            self._before = quote
        if self._updates >= REBASE:
            self._updates, self._sum = 0, ExactSum()
            for each in self._window.values():
                self._sum.add(each)


def _flow(before: tuple[float, ...], now: tuple[float, ...]) -> float:
    bid_was, bid_qty_was, ask_was, ask_qty_was = before
    bid, bid_qty, ask, ask_qty = now
    flow = bid_qty * (bid >= bid_was) - bid_qty_was * (bid <= bid_was)
    return flow - ask_qty * (ask <= ask_was) + ask_qty_was * (ask >= ask_was)


def _ratio(quote: float, base: float, count: int) -> float | None:
    return quote / base if count and base > 0 else None
