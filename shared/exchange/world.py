"""Several simulated exchanges over one generated market, moved through virtual time. Pure.

The same seed and the same calls give the same events, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.exchange.client import SimulatedExchange
from shared.exchange.events import NS_PER_MS, Event
from shared.exchange.generator import MarketGenerator, Shape


class SimulatedMarket:
    """What all exchanges share: one market, one time.

    Args:
        exchanges: In the order in which their events come.
        seed: Of every price, quote and trade.
        start_ns: The time it is; the books are already open then.
        shape: How fine the market is.
    """

    def __init__(
        self,
        exchanges: Sequence[SimulatedExchange],
        *,
        seed: int,
        start_ns: int = 0,
        shape: Shape | None = None,
    ) -> None:
        shape = shape or Shape()
        self.exchanges = {exchange.venue: exchange for exchange in exchanges}
        assert len(self.exchanges) == len(exchanges), "two exchanges of one name"
        self._market = MarketGenerator([exchange.engine for exchange in exchanges], seed, shape)
        self._tick_ns = shape.tick_ms * NS_PER_MS
        self._moved_ns = start_ns
        self._market.step(start_ns // NS_PER_MS)
        for exchange in exchanges:
            exchange.drain(start_ns)

    @property
    def next_ns(self) -> int:
        """When the market moves next."""
        return self._moved_ns + self._tick_ns

    def advance(self, now_ns: int) -> list[Event]:
        """Let the market move up to a time; return what happened, in order."""
        assert now_ns >= self._moved_ns, "time never goes back"
        events: list[Event] = []
        while self.next_ns <= now_ns:
            self._moved_ns = at_ns = self.next_ns
            self._market.step(at_ns // NS_PER_MS)
            for exchange in self.exchanges.values():
                events += exchange.drain(at_ns)
        return events

    def fair(self, venue: str, base: str) -> float:
        """Return the price around which a venue's books are quoted, in quote units."""
        return self._market.fair(venue, base)
