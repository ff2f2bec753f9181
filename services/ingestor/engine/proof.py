"""Proves that a book is of the instrument whose rules are known. Pure.

The venue's list of instruments and its stream are two sources. Where they do not mean the same
instrument (one was renamed, or a symbol used again), the book's prices are no multiples of the
listed tick. Some may be: orders placed before a venue made its tick coarser.
"""

from __future__ import annotations

from itertools import islice

from shared.messages.market import BookSnapshot
from shared.messages.rules import InstrumentRules

LEVELS = 10
"""Levels of each side that are looked at."""
OFF_TICK_SHARE_MAX = 0.25
"""More prices than this share off the tick, and it is another instrument's book."""
TOLERANCE = 1e-4
"""Of a tick: what floating point may be off by."""


class ListingProof:
    """What is known of the instruments of one connection: bounded by those configured."""

    def __init__(self) -> None:
        self._rules: dict[str, InstrumentRules] = {}
        self._missing: dict[str, str] = {}
        self._prices: dict[str, list[float]] = {}

    def on_rules(self, rules: InstrumentRules) -> None:
        """The venue lists it, with these rules."""
        self._rules[rules.instrument] = rules
        self._missing.pop(rules.instrument, None)

    def on_missing(self, instrument: str, reason: str) -> None:
        """The venue does not list it."""
        self._missing[instrument] = reason
        self._rules.pop(instrument, None)

    def on_snapshot(self, snapshot: BookSnapshot) -> None:
        """A whole book came."""
        sides = (snapshot.bids, snapshot.asks)
        self._prices[snapshot.instrument] = [
            price for side in sides for price, _ in islice(side, LEVELS)
        ]

    def problem(self, instrument: str) -> str:
        """Return why the book must not be used; empty where nothing speaks against it."""
        if instrument in self._missing:
            return self._missing[instrument]
        rules, prices = self._rules.get(instrument), self._prices.get(instrument)
        if rules is None or not rules.active or not prices:
            return ""
        tick = float(rules.tick_size)
        off = [price for price in prices if _is_off(price, tick)]
        if len(off) <= OFF_TICK_SHARE_MAX * len(prices):
            return ""
        return (
            f"its book's prices, like {off[0]:.12g}, are not multiples of its tick "
            f"{rules.tick_size:f}: this is another instrument's book"
        )


def _is_off(price: float, tick: float) -> bool:
    steps = price / tick
    return abs(steps - round(steps)) > TOLERANCE
