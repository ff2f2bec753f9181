"""Counts per pair of books which gates stopped comparisons; publishes aggregates. Pure.

Nearly every comparison ends at a gate, so a message for each would be a stream as busy as the
market. One near miss per pair and gate goes out at most once per interval, with their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from shared.messages.arb import NearMiss
from shared.strategies.gates import CONTEXT, QUIET

NEAR_MISS_INTERVAL_NS = 1_000_000_000
"""Least time between two near misses of one pair and gate."""
NEAR_MISS_QUIET_INTERVAL_NS = 5_000_000_000
"""The same, for the gates that stop nearly every comparison."""
FLUSH_INTERVAL_NS = 500_000_000
ROUTES_MAX = 65_536
"""Directed pairs of books of one strategy."""


class Stopped(msgspec.Struct, frozen=True, gc=False):
    """The gate that stopped a comparison, the numbers behind it, and the best edge if known.

    ``fees_bps`` are the fees that the edge is net of, where they are known.
    """

    gate: str
    values: tuple[object, ...]
    edge_bps: float | None = None
    fees_bps: float | None = None


class _Miss:
    """Comparisons of one pair that one gate stopped since the last near miss was published."""

    __slots__ = ("count", "edge_bps_best", "fees_bps", "last", "ts_from_ns")

    def __init__(self, first: Stopped) -> None:
        self.count = 0
        self.edge_bps_best = -math.inf  # where no edge is known
        self.fees_bps: float | None = None
        self.ts_from_ns = 0
        self.last = first


@dataclass(slots=True, eq=False)
class Route:
    """Buy on one book, sell on another: what near misses are counted on.

    ``needs_bps`` is the least edge that its strategy asks for, where that is known.
    """

    buy_venue: str
    buy_instrument: str
    sell_venue: str
    sell_instrument: str
    misses: dict[str, _Miss] = field(default_factory=dict)
    needs_bps: float | None = None


class NearMisses:
    """All routes of one strategy.

    Args:
        gates: Codes that only this strategy uses, and the names of their values.
    """

    def __init__(self, gates: Mapping[str, tuple[str, ...]]) -> None:
        self._names: dict[str, tuple[str, ...]] = {**CONTEXT, **gates}
        self._routes: list[Route] = []
        self.next_ns: int | None = None
        """When ``due`` has something to look at."""
        self.totals: dict[str, int] = dict.fromkeys(self._names, 0)
        """Comparisons that each gate stopped."""

    def route(self, buy: tuple[str, str], sell: tuple[str, str]) -> Route:
        """Return a new route between two books, each its venue and instrument.

        Raises:
            ValueError: There are too many.
        """
        if len(self._routes) >= ROUTES_MAX:
            raise ValueError(f"more than {ROUTES_MAX} routes")
        route = Route(*buy, *sell)
        self._routes.append(route)
        return route

    def count(self, route: Route, stopped: Stopped, now_ns: int) -> None:
        """Count a comparison that came to nothing.

        Raises:
            ValueError: The gate is not declared.
        """
        gate = stopped.gate
        miss = route.misses.get(gate)
        if miss is None:
            if gate not in self._names:
                raise ValueError(f"gate {gate!r} is not declared in the strategy's `gates`")
            miss = route.misses[gate] = _Miss(stopped)
        self.totals[gate] += 1
        if not miss.count:
            miss.ts_from_ns = now_ns
            if self.next_ns is None:
                self.next_ns = now_ns + FLUSH_INTERVAL_NS
        miss.count += 1
        miss.last = stopped
        edge = stopped.edge_bps
        if edge is not None and edge > miss.edge_bps_best:
            miss.edge_bps_best, miss.fees_bps = edge, stopped.fees_bps

    def due(self, detector: str, strategy_id: str, now_ns: int) -> list[NearMiss]:
        """Return the near misses whose window is over.

        Raises:
            ValueError: The values of one are not those that its gate names.
        """
        self.next_ns = None
        out: list[NearMiss] = []
        for route in self._routes:
            for gate, miss in route.misses.items():
                if not miss.count:
                    continue
                if now_ns - miss.ts_from_ns >= _interval_ns(gate):
                    near_miss = self._near_miss(detector, strategy_id, route, gate, now_ns)
                    out.append(near_miss)
                    miss.count, miss.edge_bps_best = 0, -math.inf
                else:
                    self.next_ns = now_ns + FLUSH_INTERVAL_NS
        return out

    def _near_miss(
        self, detector: str, strategy_id: str, route: Route, gate: str, now_ns: int
    ) -> NearMiss:
        miss = route.misses[gate]
        return NearMiss(
            ts_ns=now_ns,
            detector=detector,
            buy_venue=route.buy_venue,
            buy_instrument=route.buy_instrument,
            sell_venue=route.sell_venue,
            sell_instrument=route.sell_instrument,
            gate=str(gate),
            count=miss.count,
            ts_from_ns=miss.ts_from_ns,
            edge_bps_best=None if miss.edge_bps_best == -math.inf else miss.edge_bps_best,
            context=dict(zip(self._names[gate], map(str, miss.last.values), strict=True)),
            strategy_id=strategy_id,
            needs_bps=route.needs_bps,
            fees_bps=None if miss.edge_bps_best == -math.inf else miss.fees_bps,
        )


def _interval_ns(gate: str) -> int:
    return NEAR_MISS_QUIET_INTERVAL_NS if gate in QUIET else NEAR_MISS_INTERVAL_NS
