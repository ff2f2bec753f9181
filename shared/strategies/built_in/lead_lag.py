"""Measures which of two books moves first, and reports it; it never trades. Pure.

The middles of both books are sampled on a grid of receive times, and the correlation of their
returns is taken at every lag (``features/lead_lag.py``). Where the grid begins moves the result, so
it is measured on several grids, each begun a part of a step later; a lead is called stable only
where all of them, and the measurements before, name one leader. A book that leaves LIVE begins
again: no return spans a hole.

Each measurement is an ``Indication`` (``arb tail arb.indication``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta

from shared.domain.instrument import MarketKey, split_instrument
from shared.messages.arb import Indication
from shared.messages.market import DepthView
from shared.strategies.demo import Demo
from shared.strategies.features.books import mid
from shared.strategies.features.lead_lag import LeadLag, Moves, lead_lag_of_moves, moves
from shared.strategies.near_misses import Route, Stopped
from shared.strategies.port import Depth, Params, Strategy

DEMO = Demo(
    params={"first_instrument": "BTC/USDT:USDT", "second_instrument": "BTC/USDT"},
    only_watches="it measures which book moves first",
)
ROWS_MAX = 1_024
"""Middles kept of a book; with more the window is as long as they reach back."""
LATENESS_NS = 200_000_000
"""How long a view may be under way: the window ends so long ago."""
BOOKS_MAX, PAIRS_MAX = 64, 32
"""Books and pairs followed; more are refused and counted."""
_MS = 1_000_000
_Row = tuple[int, float]


class LeadLagParams(Params, frozen=True, kw_only=True):
    """Two books, and how they are measured; empty names stand for every one.

    ``step_ms`` is the grid's, ``lags_count`` how many steps are looked at either way, ``window_ms``
    how far back. Books that move less than ``moves_count_min`` times are not measured.
    ``stable_count`` measurements in a row must name one leader before it is called stable.
    """

    first_venue: str = ""
    first_instrument: str = ""
    second_venue: str = ""
    second_instrument: str = ""
    step_ms: Annotated[int, Meta(ge=1, le=1_000)] = 10
    lags_count: Annotated[int, Meta(ge=1, le=50)] = 20
    window_ms: Annotated[int, Meta(ge=1_000, le=600_000)] = 20_000
    interval_ms: Annotated[int, Meta(ge=500, le=600_000)] = 5_000
    grids_count: Annotated[int, Meta(ge=1, le=5)] = 3
    moves_count_min: Annotated[int, Meta(ge=2, le=2_000)] = 30
    stable_count: Annotated[int, Meta(ge=1, le=1_000)] = 12


class _Measured(NamedTuple):
    """On one grid: the result, over what window, from how many moves of each."""

    found: LeadLag
    window_ms: int
    moves: tuple[int, int]

    @property
    def leader(self) -> int:
        """1 where the first leads, -1 where the second does, 0 where neither is earlier."""
        return (self.found.lag_ns > 0) - (self.found.lag_ns < 0)


class _Pair:
    """Two books of one base asset, what was measured of them, and who led before."""

    def __init__(
        self, markets: tuple[MarketKey, MarketKey], route: Route, stable_count: int
    ) -> None:
        self.markets, self.route = markets, route
        self.grids: list[_Measured] = []  # of the measurement under way
        self.leaders: deque[int] = deque(maxlen=stable_count)
        self.is_stable = False

    def begin_anew(self) -> bool:
        """Forget what was measured; tell whether there was anything."""
        was_measured = bool(self.leaders or self.grids)
        self.leaders.clear()
        self.grids, self.is_stable = [], False
        return was_measured

    def conclude(self) -> tuple[int, _Measured, list[int]]:
        """Return the leader if all grids agree (else 0), the best correlated grid, and all lags."""
        grids, self.grids = self.grids, []
        named = {each.leader for each in grids}
        leader = named.pop() if len(named) == 1 else 0
        self.leaders.append(leader)
        is_whole = len(self.leaders) == self.leaders.maxlen
        self.is_stable = bool(leader) and is_whole and set(self.leaders) == {leader}
        best = max(grids, key=lambda each: each.found.rho)
        return leader, best, [each.found.lag_ns // _MS for each in grids]


class LeadLagSignal(Strategy[LeadLagParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "WINDOW": ("window_ms", "needs_ms"),
        "TOO_FEW_MOVES": ("first", "second", "needs"),
    }

    def set_up(self) -> None:
        """Begin without prices; refuse what cannot be measured."""
        given = self.params
        self._first = Depth(given.first_venue, given.first_instrument)
        self._second = Depth(given.second_venue, given.second_instrument)
        if self._first == self._second and all(self._first):
            raise ValueError(f"{' '.join(self._first)} cannot lead itself; give two books")
        steps = given.window_ms // given.step_ms
        if steps <= 2 * given.lags_count:
            raise ValueError(
                f"a window of {steps} steps for {given.lags_count} lags; give a longer window_ms"
            )
        self._rows: dict[MarketKey, deque[_Row]] = {}
        self._pairs: list[_Pair] = []
        self._turn = 0  # of the pair that is measured next
        self._ts_recv_ns = 0
        self._next_ns: int | None = None
        names = "measurements", "measurements_stable", "views_late", "restarts", "pairs_refused"
        self._counts = dict.fromkeys(names, 0)

    def inputs(self) -> Sequence[Depth]:
        """Return both books, or all."""
        return tuple(dict.fromkeys((self._first, self._second)))

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Indication]:
        """Note where a book is."""
        rows, price = self._rows_of((view.venue, view.instrument)), mid(view)
        if rows is None:
            return ()
        if price is None:
            rows.clear()
            for pair in self._pairs:
                if (view.venue, view.instrument) in pair.markets:
                    self._counts["restarts"] += pair.begin_anew()
            return ()
        if rows and view.ts_recv_ns < rows[-1][0]:
            self._counts["views_late"] += 1
            return ()
        self._ts_recv_ns = max(self._ts_recv_ns, view.ts_recv_ns)
        if not rows or rows[-1][1] != price:
            rows.append((view.ts_recv_ns, price))
            if len(rows) > ROWS_MAX:
                rows.popleft()
        if self._next_ns is None and self._pairs:
            self._next_ns = now_ns + self._pause_ns
        return ()

    def on_timer(self, now_ns: int) -> Sequence[Indication]:
        """Measure the next pair on its next grid; after the last one say what was found."""
        self._next_ns = now_ns + self._pause_ns
        pair = self._pairs[self._turn % len(self._pairs)]
        measured = self._measure(pair, now_ns - LATENESS_NS)
        if isinstance(measured, Stopped):
            self.near_misses.count(pair.route, measured, now_ns)
            self._counts["restarts"] += pair.begin_anew()
            self._turn += 1
            return ()
        pair.grids.append(measured)
        if len(pair.grids) < self.params.grids_count:
            return ()
        self._turn += 1
        return [self._say(pair, now_ns)]

    def next_deadline_ns(self) -> int | None:
        """In turn for every pair and grid, so that each call is short."""
        return self._next_ns

    def counters(self) -> Mapping[str, int]:
        """Return measurements, those of a stable lead, late views, holes, pairs refused."""
        return self._counts

    def gauges(self) -> Mapping[str, float]:
        """Return pairs, and those with a stable lead."""
        return {"pairs": len(self._pairs), "leads": sum(each.is_stable for each in self._pairs)}

    @property
    def _pause_ns(self) -> int:
        return self.params.interval_ms * _MS // (self.params.grids_count * len(self._pairs))

    def _rows_of(self, market: MarketKey) -> deque[_Row] | None:
        """Return the middles of a book, with its pairs at first sight; ``None``: not wanted."""
        rows = self._rows.get(market)
        if rows is not None:
            return rows
        if len(self._rows) >= BOOKS_MAX:
            return None
        base = split_instrument(market[1]).base
        for other in list(self._rows):
            if split_instrument(other[1]).base == base:
                # As configured; where either may be the first, in the order of their names.
                for pair in (sorted((other, market)), sorted((other, market), reverse=True)):
                    if self._first.covers(*pair[0]) and self._second.covers(*pair[1]):
                        self._add((pair[0], pair[1]))
                        break
        rows = self._rows[market] = deque()
        return rows

    def _add(self, markets: tuple[MarketKey, MarketKey]) -> None:
        if len(self._pairs) >= PAIRS_MAX:
            self._counts["pairs_refused"] += 1
            return
        route = self.near_misses.route(*markets)
        self._pairs.append(_Pair(markets, route, self.params.stable_count))

    def _measure(self, pair: _Pair, to_ns: int) -> _Measured | Stopped:
        given = self.params
        step_ns, window_ns = given.step_ms * _MS, given.window_ms * _MS
        of_both = [self._rows[market] for market in pair.markets]
        for rows in of_both:  # the last one before the window says what holds at its beginning
            while len(rows) > 1 and rows[1][0] <= to_ns - window_ns - step_ns:
                rows.popleft()
        known_ns = min(to_ns - rows[0][0] if rows else 0 for rows in of_both)
        if known_ns < window_ns and all(len(rows) < ROWS_MAX for rows in of_both):
            return Stopped("WINDOW", (max(0, known_ns) // _MS, given.window_ms))
        from_ns = -(-(to_ns - min(known_ns, window_ns)) // step_ns) * step_ns
        from_ns += len(pair.grids) * step_ns // given.grids_count
        sides = [moves(rows, from_ns, to_ns, step_ns) for rows in of_both]
        first, second = (side or Moves(0, {}) for side in sides)
        counts = len(first.at), len(second.at)
        found = None
        if min(counts) >= given.moves_count_min:
            found = lead_lag_of_moves(first, second, lags=given.lags_count, step_ns=step_ns)
        if found is None:
            return Stopped("TOO_FEW_MOVES", (*counts, given.moves_count_min))
        return _Measured(found, first.length * given.step_ms, counts)

    def _say(self, pair: _Pair, now_ns: int) -> Indication:
        """Return what all grids say together; the numbers are of the one that correlates most."""
        grids = len(pair.grids)
        leader, best, lags_ms = pair.conclude()
        self._counts["measurements"] += 1
        self._counts["measurements_stable"] += pair.is_stable
        (venue, instrument), (other_venue, other_instrument) = first, second = pair.markets
        values = {
            "leader": " ".join(first if leader > 0 else second) if leader else "none",
            "lag_ms": best.found.lag_ns // _MS,
            "lag_ms_min": min(lags_ms),
            "lag_ms_max": max(lags_ms),
            "rho": f"{best.found.rho:.4f}",
            "llr": f"{best.found.llr:.4f}" if math.isfinite(best.found.llr) else "inf",
            "stable": str(pair.is_stable).lower(),
            "grids": grids,
            "window_ms": best.window_ms,
            "moves_first": best.moves[0],
            "moves_second": best.moves[1],
        }
        return Indication(
            ts_ns=now_ns,
            detector=self.id,
            kind="LEAD_LAG",
            venue=venue,
            instrument=instrument,
            other_venue=other_venue,
            other_instrument=other_instrument,
            ts_recv_ns=self._ts_recv_ns,
            values={name: str(value) for name, value in values.items()},
            strategy_id=self.id,
        )
