"""What the books of simulated venues really were, moment by moment, for who judges books made of
their streams. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Any

from shared.simulated.faults import FaultTable
from shared.simulated.port import SimulatedVenue

STATES_MAX = 20_000
"""States kept: half a minute of every venue. Who asks less often is told that some are gone."""
HAPPENED_MAX = 1_000


class TruthLog:
    """The best levels of every book after each tick that changed it, and when faults happened.

    It keeps nothing until it was asked the first time: then what was asked for.
    """

    def __init__(self, venues: Mapping[str, SimulatedVenue], faults: FaultTable) -> None:
        self._venues, self._faults = venues, faults
        self._levels, self._names = 0, tuple[str, ...]()
        self._count = 0
        self._states: deque[tuple[int, str, str, int, int, list[Any], list[Any]]] = deque(
            maxlen=STATES_MAX
        )
        self._seqs: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._happened: deque[tuple[int, str, str]] = deque(maxlen=HAPPENED_MAX)
        self._ts_ns = 0

    def record(self, ts_ns: int) -> None:
        """Note what changed by the tick that began at this UNIX time in ns."""
        if not self._levels:
            return
        self._ts_ns = ts_ns
        for name in self._names:
            venue = self._venues[name]
            for instrument, book in venue.exchange.books.items():
                if self._seqs.get((name, instrument)) == book.seq:
                    continue
                self._seqs[name, instrument] = book.seq
                bids, asks = book.bids.depth(self._levels), book.asks.depth(self._levels)
                self._count += 1
                self._states.append((self._count, name, instrument, ts_ns, book.seq, bids, asks))
        for key, count in self._faults.happened_at.items():
            if self._seen.get(key, 0) != count:
                self._seen[key] = count
                self._happened.append((ts_ns, *key))

    def since(self, after: int, levels: int, names: Collection[str]) -> dict[str, Any]:
        """Return the states after the one of that number, in order, and the last faults.

        Prices and quantities are in ticks and lots; ``books``, at the first time, says how long
        these are. ``lost`` tells whether states after that number are gone. ``ts_ns`` is the last
        tick noted.

        Args:
            after: 0 at the first time, then ``last`` of the answer before.
            levels: To be kept of each side from now on.
            names: Venues to be kept from now on.
        """
        if not self._levels:
            self._seen = dict(self._faults.happened_at)
        self._levels, self._names = levels, tuple(names)
        first = self._states[0][0] if self._states else self._count + 1
        newer = list(takewhile(lambda state: state[0] > after, reversed(self._states)))
        return {
            "ts_ns": self._ts_ns,
            "last": self._count,
            "lost": after + 1 < first and after > 0,
            "states": newer[::-1],
            "happened": list(self._happened),
            "books": {} if after else self._books(),
        }

    def _books(self) -> dict[str, Any]:
        return {
            name: {
                instrument: {
                    "tick": f"{listing.price(1):f}",
                    "lot": f"{listing.qty(1):f}",
                }
                for instrument, listing in venue.exchange.by_instrument.items()
            }
            for name, venue in self._venues.items()
        }
